package bridge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"hcbridge/outbox"
	"hcbridge/test/org"
)

// A value is undone if the record has the first one again, however Salesforce writes
// either, and nobody else has changed the record since.
func TestUndoneValues(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	f, client := finding(t, sf, "Every__c", "Name", "Text__c", "Currency__c", "Int__c", "Check__c")
	record := map[string]any{"Name": "n", "Text__c": "first ", "Currency__c": json.Number("1.2"), "Int__c": json.Number("7"), "Check__c": true}
	ids := made(t)(client.InsertAll(t.Context(), "Every__c", []map[string]any{record, record, record}))
	if err := sf.As(org.DefaultOther).Update("Every__c", ids[1], map[string]any{"Name": "other"}); err != nil {
		t.Fatal(err)
	}
	if err := sf.Delete("Every__c", ids[2]); err != nil {
		t.Fatal(err)
	}
	var asked []outbox.Successive
	var want []bool
	for _, c := range []struct {
		field      string
		first, now any
		want       bool
	}{
		{"Text__c", "first", "second", true},
		{"Text__c", "second", "first", false},
		{"Text__c", "first", "first  ", false}, // the same to Salesforce
		{"Text__c", nil, "first", false},
		{"Text__c", "first", nil, true},
		{"Currency__c", json.Number("1.20"), json.Number("1.3"), true},
		{"Currency__c", json.Number("1.2"), json.Number("1.234"), false}, // rounded, nobody knows how
		{"Currency__c", json.Number("1.234"), json.Number("1.3"), false},
		{"Int__c", json.Number("7"), json.Number("8"), true},
		{"Check__c", true, false, true},
		{"Check__c", false, true, false},
	} {
		for i, id := range ids {
			asked = append(asked, outbox.Successive{SFID: id, First: map[string]any{c.field: c.first}, Now: map[string]any{c.field: c.now}})
			want = append(want, c.want && i == 0)
		}
	}
	got, err := f.Undone(t.Context(), "Every__c", asked)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
	sf.Fault(org.Fault{Verb: org.Reject, Status: http.StatusServiceUnavailable})
	if _, err := f.Undone(t.Context(), "Every__c", asked); err == nil {
		t.Error("no error")
	}
}
