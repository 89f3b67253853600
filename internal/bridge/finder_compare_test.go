package bridge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
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
	standings, err := f.Compare(t.Context(), "Every__c", asked)
	var got []bool
	for _, s := range standings {
		got = append(got, s.First == outbox.Yes && s.Now == outbox.No && s.Ours)
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
	sf.Fault(org.Fault{Verb: org.Reject, Status: http.StatusServiceUnavailable})
	if _, err := f.Compare(t.Context(), "Every__c", asked); err == nil {
		t.Error("no error")
	}
}

// Who changed a record last, and when, is told too; of records that are gone
// nothing is.
func TestStandings(t *testing.T) {
	t.Parallel()
	clock := &orgClock{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	sf := org.New(org.Options{Now: clock.Now, SessionTimeout: 100 * time.Hour}).Start()
	defer sf.Close()
	f, client := finding(t, sf, "Every__c", "Name", "Text__c", "Check__c", "Currency__c")
	record := map[string]any{"Name": "n", "Text__c": "old", "Check__c": false}
	ids := made(t)(client.InsertAll(t.Context(), "Every__c", []map[string]any{record, record, record, record}))
	clock.move(10 * time.Minute)
	if err := sf.As(org.DefaultOther).Update("Every__c", ids[1], map[string]any{"Text__c": "theirs", "Check__c": true}); err != nil {
		t.Fatal(err)
	}
	if err := sf.As(org.DefaultOther).Update("Every__c", ids[2], map[string]any{"Text__c": nil}); err != nil {
		t.Fatal(err)
	}
	if err := sf.Delete("Every__c", ids[3]); err != nil {
		t.Fatal(err)
	}
	clock.move(time.Minute)
	if _, err := client.Query(t.Context(), "SELECT Id FROM Every__c", salesforce.QueryOpts{}); err != nil { // tells the time
		t.Fatal(err)
	}
	text := func(id string) outbox.Successive {
		return outbox.Successive{SFID: id, First: map[string]any{"Text__c": "old"}, Now: map[string]any{"Text__c": "sent"}}
	}
	got, err := f.Compare(t.Context(), "Every__c", []outbox.Successive{
		text(ids[0]), text(ids[1]), text(ids[2]), text(ids[3]),
		{SFID: ids[1], First: map[string]any{"Check__c": false}, Now: map[string]any{"Check__c": true}},
		// What was before is not compared, as nobody knows how it was rounded, but what was sent is.
		{SFID: ids[0], First: map[string]any{"Currency__c": json.Number("1.2345")}, Now: map[string]any{"Currency__c": nil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, s := range got {
		told = append(told, fmt.Sprintf("%d %d %t %s", s.First, s.Now, s.Ours, s.Age.Round(10*time.Second)))
	}
	want := []string{"2 1 true 11m0s", "1 1 false 1m0s", "1 1 false 1m0s", "0 0 false 0s", "1 2 false 1m0s", "0 2 true 11m0s"}
	if fmt.Sprintf("%q", told) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q\nwant %q", told, want)
	}
	for _, s := range got[1:3] {
		if s.Age > time.Minute {
			t.Errorf("changed %s ago, which was a minute", s.Age)
		}
	}
}
