package org_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hcbridge/test/org/control"
	"hcbridge/test/org/sobject"
)

func newField(name string, length int) *sobject.Field {
	return &sobject.Field{Name: name, Label: name, Type: "string", Length: length, Nillable: true, Createable: true, Updateable: true, Custom: true}
}

// What an administrator does to the schema shows in every API.
func TestSchemaChanges(t *testing.T) {
	t.Parallel()
	const noColumn = "No such column"

	t.Run("AFieldIsAddedRenamedAndRemoved", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		id := r.insert("Contact", map[string]any{"LastName": "L"})
		r.must(r.s.AddField("Contact", newField("Extra__c", 10)))
		if err := r.s.AddField("Contact", newField("extra__c", 10)); err == nil {
			t.Error("a field is added twice")
		}
		r.must(r.s.Update("Contact", id, map[string]any{"Extra__c": "v"}))
		stamp := func() string { return r.query("SELECT SystemModstamp FROM Contact").body }
		before := stamp()
		r.must(r.s.ChangeField("Contact", "Extra__c", func(f *sobject.Field) { f.Name = "Other__c" }))
		if a := r.query("SELECT Other__c FROM Contact"); a.status != 200 || !strings.Contains(a.body, `"Other__c":"v"`) {
			t.Errorf("renamed: %d %s", a.status, a.body)
		}
		if a := r.query("SELECT Extra__c FROM Contact"); a.status != 400 || !strings.Contains(a.body, noColumn) {
			t.Errorf("by its old name: %d %s", a.status, a.body)
		}
		r.must(r.s.RemoveField("Contact", "Other__c"))
		r.must(r.s.AddField("Contact", newField("Other__c", 10)))
		if a := r.query("SELECT Other__c FROM Contact"); a.status != 200 || !strings.Contains(a.body, `"Other__c":null`) {
			t.Errorf("one of its name made anew: %d %s", a.status, a.body)
		}
		if a := r.data("GET", "/sobjects/Contact/describe", ""); strings.Contains(a.body, "_del__c") {
			t.Error("a removed field is described")
		}
		if _, err := r.s.Insert("Contact", map[string]any{"LastName": "L", "Other_del__c": "x"}); err == nil {
			t.Error("a removed field is written")
		}
		if after := stamp(); after != before {
			t.Errorf("the stamp moved from %s to %s", before, after)
		}
	})

	t.Run("AFieldIsWidenedAndRetyped", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.must(r.s.AddField("Contact", newField("Extra__c", 3)))
		number := r.insert("Contact", map[string]any{"LastName": "A", "Extra__c": "12"})
		r.insert("Contact", map[string]any{"LastName": "B", "Extra__c": "abc"})
		if err := r.s.Update("Contact", number, map[string]any{"Extra__c": "1234"}); err == nil {
			t.Error("a value that is too long is taken")
		}
		r.must(r.s.ChangeField("Contact", "Extra__c", func(f *sobject.Field) { f.Length = 4 }))
		r.must(r.s.Update("Contact", number, map[string]any{"Extra__c": "1234"}))
		r.must(r.s.ChangeField("Contact", "Extra__c", func(f *sobject.Field) { f.Type, f.Length, f.Precision = "double", 0, 18 }))
		a := r.query("SELECT Extra__c FROM Contact ORDER BY LastName")
		if !strings.Contains(a.body, `"Extra__c":1234`) || !strings.Contains(a.body, `"Extra__c":null`) {
			t.Errorf("got %s", a.body)
		}
	})

	t.Run("ATopicThatNamesWhatIsGoneIsMute", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.must(r.s.AddField("Contact", newField("Extra__c", 10)))
		topic := r.data("POST", "/sobjects/PushTopic", `{"Name":"t","Query":"SELECT Id, Extra__c FROM Contact","ApiVersion":60,"NotifyForFields":"All"}`).id(t)
		stored := func() int { return r.s.Stream().Stored("/topic/t") }
		r.insert("Contact", map[string]any{"LastName": "1"})
		r.must(r.s.RemoveField("Contact", "Extra__c"))
		r.insert("Contact", map[string]any{"LastName": "2"})
		if n := stored(); n != 1 {
			t.Errorf("%d events, want that of before only", n)
		}
		if a := r.data("PATCH", "/sobjects/PushTopic/"+topic, `{"Query":"SELECT Id FROM Contact"}`); a.status != 204 {
			t.Fatalf("mending answered %d %s", a.status, a.body)
		}
		r.insert("Contact", map[string]any{"LastName": "3"})
		if n := stored(); n != 2 {
			t.Errorf("%d events after mending, want 2", n)
		}
	})

	t.Run("AnObjectIsLostAndGivenBack", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		id := r.insert("Contact", map[string]any{"LastName": "L"})
		r.s.DenyObject("Contact", true)
		r.data("GET", "/sobjects/Contact/describe", "").want(t, 404, notFound())
		r.data("GET", "/sobjects/Contact/"+id, "").want(t, 404, notFound())
		if a := r.query("SELECT Id FROM Contact"); a.status != 400 || !strings.Contains(a.body, "INVALID_TYPE") {
			t.Errorf("a query answered %d %s", a.status, a.body)
		}
		if a := r.data("PATCH", "/composite/sobjects", `{"records":[{"attributes":{"type":"Contact"},"Id":"`+id+`","Title":"x"}]}`); !strings.Contains(a.body, "INVALID_TYPE") {
			t.Errorf("a write answered %d %s", a.status, a.body)
		}
		if a := r.data("GET", "/sobjects/", ""); strings.Contains(a.body, `"name":"Contact"`) {
			t.Error("it is listed")
		}
		r.insert("Contact", map[string]any{"LastName": "another user"})
		r.s.DenyObject("Contact", false)
		if a := r.data("GET", "/sobjects/Contact/describe", ""); a.status != 200 {
			t.Errorf("given back, describe answers %d", a.status)
		}
	})

	t.Run("ByRemoteControl", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		h := control.New(r.s)
		for _, c := range []struct {
			path, body string
			status     int
		}{
			{"add-field", `{"object":"Account","field":"Extra__c","length":40}`, 200},
			{"change-field", `{"object":"Account","field":"Extra__c","name":"Other__c","type":"int"}`, 200},
			{"remove-field", `{"object":"Account","field":"Extra__c"}`, 400},
			{"remove-field", `{"object":"Account","field":"Other__c"}`, 200},
			{"deny-object", `{"object":"Nonsense"}`, 400},
			{"deny-object", `{"object":"Account"}`, 200},
		} {
			if got := controlled(h, c.path, c.body); got != c.status {
				t.Errorf("%s %s answered %d, want %d", c.path, c.body, got, c.status)
			}
		}
		r.data("GET", "/sobjects/Account/describe", "").want(t, 404, notFound())
	})
}

func controlled(h http.Handler, path, body string) int {
	w := newRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/_org/"+path, strings.NewReader(body)))
	return w.Code
}
