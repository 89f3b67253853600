package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// finding is a finder for one object of an org, and the client that makes its
// records.
func finding(t *testing.T, sf *org.Server, name string, fields ...string) (finder, *salesforce.Client) {
	t.Helper()
	client, done, err := clientOf(t.Context(), sf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	m, err := mapObject(t.Context(), client, config.Object{Name: name, Fields: fields, Access: accessReadWrite, Mode: config.ModePolling}, "salesforce", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), migrated(t), client)
	s.userID = sf.UserID()
	s.objects = []*object{newObject(m)}
	return finder{s}, client
}

// made checks results and returns the ids of the records.
func made(t *testing.T) func([]salesforce.SaveResult, error) []string {
	return func(results []salesforce.SaveResult, err error) (ids []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if !r.Success {
				t.Fatal(r.Errors)
			}
			ids = append(ids, r.ID)
		}
		return ids
	}
}

// A record is found by what was sent, however Salesforce writes it.
func TestFindByValues(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	f, client := finding(t, sf, "Every__c", "Name", "Text__c", "Area__c", "Currency__c", "Double__c", "Check__c", "Int__c", "Date__c", "Datetime__c", "Multi__c", "Email__c")
	parent := map[string]any{
		"Name": "  it's \"one\"\\ ", "Text__c": "x  ", "Area__c": "two\r\nlines", "Currency__c": json.Number("12.345"), "Double__c": json.Number("1.50"), "Check__c": true,
		"Int__c": json.Number("7"), "Date__c": "2026-01-02", "Datetime__c": "2026-01-02T03:04:05.678Z", "Multi__c": "Gamma;Alpha", "Email__c": "a@example.com",
	}
	copyOf := func(change map[string]any) map[string]any {
		out := map[string]any{}
		for k, v := range parent {
			out[k] = v
		}
		for k, v := range change {
			out[k] = v
		}
		return out
	}
	sent := []map[string]any{parent, copyOf(map[string]any{"Int__c": json.Number("8")}), {"Name": "Lone"}, copyOf(nil)}
	ids := made(t)(client.InsertAll(t.Context(), "Every__c", sent))
	if _, err := sf.Insert("Every__c", copyOf(map[string]any{"Currency__c": json.Number("12.35")})); err != nil {
		t.Fatal(err)
	}
	attempts := []outbox.Attempt{{Fields: sent[0]}, {Fields: sent[1]}, {Fields: sent[2]}, {Fields: copyOf(map[string]any{"Name": "ITS ONE", "Text__c": "y", "Int__c": json.Number("9")})}}
	got, err := f.Find(t.Context(), "Every__c", "", attempts)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, c := range got {
		text = append(text, fmt.Sprint(strings.Index(strings.Join(ids, " "), c.SFID)/19, c.Equal))
	}
	// The other user's record is not there, and the fourth attempt has no equal.
	if want := "0 [0], 1 [1], 2 [2], 3 [0]"; strings.Join(text, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(text, ", "), want)
	}
}

// Keys are compared as they are, of records made since, in several queries.
func TestFindByKey(t *testing.T) {
	t.Parallel()
	clock := &orgClock{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	sf := org.New(org.Options{Now: clock.Now, SessionTimeout: 100 * time.Hour}).Start()
	defer sf.Close()
	f, client := finding(t, sf, "Account", "Name", "External_Id__c")
	key := func(k string) map[string]any { return map[string]any{"Name": "n", "External_Id__c": k} }
	old := made(t)(client.InsertAll(t.Context(), "Account", []map[string]any{key("old")}))
	began := time.Now()
	clock.move(3 * time.Minute)
	ids := made(t)(client.InsertAll(t.Context(), "Account", []map[string]any{key(`it's a "\key"`), key("Upper")}))
	if _, err := sf.Insert("Account", key("foreign")); err != nil {
		t.Fatal(err)
	}
	attempts := []outbox.Attempt{{Fields: key(`it's a "\key"`)}, {Fields: key("Upper")}, {Fields: key("foreign")}, {Fields: key("old")}}
	for i := range 450 {
		attempts = append(attempts, outbox.Attempt{Fields: key(fmt.Sprint("none", i))})
	}
	sf.ResetCounters()
	got, err := f.Find(t.Context(), "Account", "External_Id__c", attempts)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, c := range got {
		found[c.SFID] = fmt.Sprint(c.Equal)
	}
	if want := map[string]string{ids[0]: "[0]", ids[1]: "[1]"}; fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("found %v, want %v without %s", found, want, old)
	}
	if n := len(sf.Requests()); n > 3 {
		t.Errorf("%d calls for %d keys", n, len(attempts))
	}
	attempts[3].Age = 2*time.Minute + time.Since(began) // the request may have been before the record
	if got, err = f.Find(t.Context(), "Account", "External_Id__c", attempts[3:]); err != nil || len(got) != 1 || got[0].SFID != old[0] {
		t.Errorf("got %v, %v", got, err)
	}
}

// A record is found though Salesforce's clock was set forward after it was made, or
// ours back, which is the same; and what was made before it was sent is not.
func TestFindAcrossClocks(t *testing.T) {
	t.Parallel()
	clock := &orgClock{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	sf := org.New(org.Options{Now: clock.Now, SessionTimeout: 100 * time.Hour}).Start()
	defer sf.Close()
	f, client := finding(t, sf, "Account", "Name", "Site")
	account := map[string]any{"Name": "n", "Site": "s"}
	before := made(t)(client.InsertAll(t.Context(), "Account", []map[string]any{account}))
	clock.move(3 * time.Minute)
	ids := made(t)(client.InsertAll(t.Context(), "Account", []map[string]any{account, {"Name": "stranger"}}))
	if gain, err := f.s.clockGain(t.Context(), f.s.sf.ServerTime(), time.Hour); err != nil || gain != 0 {
		t.Errorf("gained %s, %v", gain, err)
	}
	attempts := []outbox.Attempt{{Fields: account, Age: 30 * time.Second}}
	for _, set := range []time.Duration{0, 2 * time.Hour, -time.Hour, 4 * time.Second, 25 * time.Hour} {
		clock.move(set)
		if _, err := client.Query(t.Context(), "SELECT Id FROM Account", salesforce.QueryOpts{}); err != nil { // tells the time
			t.Fatal(err)
		}
		got, err := f.Find(t.Context(), "Account", "", attempts)
		if err != nil || len(got) != 2 || got[0].SFID != ids[0] || fmt.Sprint(got[0].Equal) != "[0]" || got[1].Age > attempts[0].Age {
			t.Errorf("set forward by %s: got %+v, %v, want %s and what may be it, without %s", set, got, err, ids, before)
		}
	}
	// Once that is so, and long enough ago, nothing is allowed for.
	if _, err := f.s.pool.Exec(t.Context(), `UPDATE hcbridge.clock SET until = until - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	if gain, err := f.s.clockGain(t.Context(), f.s.sf.ServerTime(), time.Minute); err != nil || gain != 0 {
		t.Errorf("gained %s, %v", gain, err)
	}
	if gain, err := f.s.clockGain(t.Context(), f.s.sf.ServerTime(), 2*time.Hour); err != nil || gain < 26*time.Hour {
		t.Errorf("gained %s, %v", gain, err)
	}
}

// What the org's automation has changed equals nothing that was sent, and what was
// deleted is found, too.
func TestFindAfterAutomation(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	sf.Trigger(func(d *sobject.Draft) error {
		if d.Object.Name != "Contact" || d.Get("FirstName") != "Ann" {
			return nil
		}
		return errors.Join(d.Set("LastName", "rewritten"), d.Set("FirstName", "all"))
	})
	f, client := finding(t, sf, "Contact", "LastName", "FirstName")
	ids := made(t)(client.InsertAll(t.Context(), "Contact", []map[string]any{{"LastName": "O'Neil", "FirstName": "Ann"}, {"LastName": "Miller", "FirstName": "Jim"}}))
	if err := sf.As(org.DefaultOther).Delete("Contact", ids[1]); err != nil {
		t.Fatal(err)
	}
	got, err := f.Find(t.Context(), "Contact", "", []outbox.Attempt{
		{Fields: map[string]any{"LastName": "O'Neil", "FirstName": "Ann"}}, {Fields: map[string]any{"LastName": "Miller", "FirstName": "Jim"}},
	})
	if err != nil || len(got) != 2 || len(got[0].Equal) != 0 || got[0].Deleted || fmt.Sprint(got[1].Equal, got[1].Deleted) != "[1] true" {
		t.Errorf("got %v, %v", got, err)
	}
	if got[0].Age > 0 {
		t.Errorf("made %s ago at least, which leaves nothing for clocks", got[0].Age)
	}
	sf.Fault(org.Fault{Verb: org.Reject, Status: http.StatusServiceUnavailable})
	if _, err := f.Find(t.Context(), "Contact", "", []outbox.Attempt{{}}); err == nil {
		t.Error("no error")
	}
}
