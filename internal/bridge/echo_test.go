package bridge

import (
	"encoding/json"
	"testing"
	"time"

	"hcbridge/outbox"
	"hcbridge/pgsink"
	"hcbridge/test/org"
)

// Which events tell that an update on its way took effect: those that have all that was
// sent, however Salesforce writes it, and are not of before.
func TestEchoes(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	f, _ := finding(t, sf, "Every__c", "Name", "Text__c", "Currency__c")
	m := f.s.objects[0].mapping
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	sent := func(fields map[string]any) *outbox.Sent {
		return &outbox.Sent{Entry: 1, Fields: fields, Age: 10 * time.Second}
	}
	for name, c := range map[string]struct {
		sent *outbox.Sent
		body string
		want bool
	}{
		"all of it":                {sent(map[string]any{"Name": "a ", "Text__c": nil}), `"Name":"a","Text__c":null`, true},
		"with more":                {sent(map[string]any{"Name": "a"}), `"Name":"a","Text__c":"x"`, true},
		"some of it":               {sent(map[string]any{"Name": "a", "Text__c": "x"}), `"Name":"a","Text__c":"y"`, false},
		"another value":            {sent(map[string]any{"Name": "a"}), `"Name":"b"`, false},
		"of a change, all of it":   {sent(map[string]any{"Name": "a", "Text__c": "x"}), `"Name":"a"`, true}, // the other was as it was
		"of a change, none of it":  {sent(map[string]any{"Name": "a"}), `"Text__c":"x"`, false},
		"what Salesforce rounds":   {sent(map[string]any{"Currency__c": json.Number("1.234")}), `"Currency__c":1.23`, false},
		"a parent by external id":  {sent(map[string]any{"Parent": map[string]any{"External_Id__c": "x"}}), `"Name":"a"`, false},
		"nothing that can be read": {sent(nil), `"Name":"a"`, false},
	} {
		for stamp, timely := range map[string]bool{"2026-01-02T12:00:00.000Z": true, "2026-01-02T11:59:49.000Z": true, "2026-01-02T11:59:40.000Z": false} {
			row, err := m.table.Decode([]byte(`{"Id":"a00000000000001AAA","SystemModstamp":"` + stamp + `",` + c.body + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.echoes(c.sent, row, noon); got != (c.want && timely) {
				t.Errorf("%s, at %s: %t", name, stamp, got)
			}
		}
	}
	(&session{}).echo(newObject(m), pgsink.Row{}, nil) // without a writer nothing is on its way
}
