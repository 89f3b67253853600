package org_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

func TestJournal(t *testing.T) {
	t.Parallel()
	r := start(t)
	a := r.data("POST", "/sobjects/Account", `{"Name":"A"}`)
	id := a.id(t)
	r.data("PATCH", "/sobjects/Account/"+id, `{"Name":"B"}`)
	r.must(r.s.Update("Account", id, map[string]any{"Name": "C"}))
	r.data("GET", "/query?q="+url.QueryEscape("SELECT Id FROM Account"), "")
	r.data("POST", "/composite/sobjects", `{"records":[{"attributes":{"type":"Account"},"Name":"D"}]}`)
	want := map[string]int{"token": 1, "create": 1, "update": 1, "query": 1, "collections_create": 1}
	if got := r.s.Calls(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if n := r.s.Writes(id); n != 3 {
		t.Errorf("the record was written %d times, want 3", n)
	}
	if got := r.s.WritesBy(); got["rest"] != 3 || got["ui"] != 1 {
		t.Errorf("got writes %v, want 3 by rest and 1 by ui", got)
	}
	list := r.s.Requests()
	last := list[len(list)-1]
	if last.Kind != "collections_create" || last.Status != 200 || last.Path != "/services/data/v66.0/composite/sobjects" || !strings.Contains(string(last.Body), `"Name":"D"`) {
		t.Errorf("got %+v", last)
	}
	if last.Header.Get("Authorization") != "" {
		t.Error("the journal holds a token")
	}
	r.s.ResetCounters()
	if len(r.s.Calls())+len(r.s.Requests())+r.s.Writes(id) != 0 {
		t.Error("ResetCounters left something")
	}
}

func TestActors(t *testing.T) {
	t.Parallel()
	r := start(t)
	account := r.s.Object("Account")
	id, err := r.s.As("pat@hc.example").Insert("Account", map[string]any{"Name": "A"})
	r.must(err)
	rec, _ := r.s.Get("Account", id)
	by, _ := rec.Get(account, "LastModifiedById").(string)
	if user, _ := r.s.Get("User", by); user.Get(r.s.Object("User"), "Username") != "pat@hc.example" {
		t.Errorf("the record was written by %s", by)
	}
	a := r.data("POST", "/sobjects/Account", `{"Name":"B"}`)
	rec, _ = r.s.Get("Account", a.id(t))
	if got := rec.Get(account, "CreatedById"); got != r.s.UserID() {
		t.Errorf("REST writes as %v, want %s", got, r.s.UserID())
	}
	if _, err := r.s.Insert("Account", nil); err == nil || !strings.Contains(err.Error(), "REQUIRED_FIELD_MISSING") {
		t.Errorf("got %v", err)
	}
	r.must(r.s.Delete("Account", id))
	if n := len(r.s.Records("Account")); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
	r.must(r.s.Purge("Account", id))
	if _, found := r.s.Get("Account", id); found {
		t.Error("a purged record is there")
	}
	ids, err := r.s.InsertMany("Account", accounts(401))
	r.must(err)
	if len(ids) != 401 || ids[0] == ids[400] {
		t.Errorf("got %d ids", len(ids))
	}
	ids, err = r.s.InsertMany("Account", func(yield func(map[string]any) bool) { yield(map[string]any{"Phone": "1"}) })
	if err == nil || len(ids) != 0 {
		t.Errorf("a refused record gave %v and %v", ids, err)
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.s.Trigger(func(d *sobject.Draft) error {
		if d.Object.Name == "Account" && d.Get("Name") == "no" {
			return sobject.ErrValidation("not this one", "Name")
		}
		return nil
	})
	want := `[{"message":"not this one","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","fields":["Name"]}]`
	r.data("POST", "/sobjects/Account", `{"Name":"no"}`).want(t, 400, want)
	r.data("POST", "/composite", `{"allOrNone":true,"compositeRequest":[{"method":"POST","url":"/services/data/v66.0/sobjects/Account","referenceId":"a","body":{"Name":"no"}}]}`).want(t, 200,
		`{"compositeResponse":[{"body":`+want+`,"httpHeaders":{},"httpStatusCode":400,"referenceId":"a"}]}`)
}

// The Bulk API is behind the same authorization, limit and counters.
func TestBulkMount(t *testing.T) {
	t.Parallel()
	r := start(t)
	job := r.data("POST", "/jobs/ingest", `{"object":"Account","operation":"insert","contentType":"CSV","lineEnding":"LF"}`)
	id := job.id(t)
	if a := r.data("PUT", "/jobs/ingest/"+id+"/batches/", "Name\nA\nB\n", "Content-Type", "text/csv"); a.status != 201 {
		t.Fatalf("upload answered %d %s", a.status, a.body)
	}
	r.data("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`)
	var state struct {
		State       string
		CreatedByID string `json:"createdById"`
	}
	for state.State != "JobComplete" && state.State != "Failed" {
		r.data("GET", "/jobs/ingest/"+id, "").decode(t, &state)
	}
	if n := len(r.s.Records("Account")); n != 2 || r.s.WritesBy()["bulk"] != 2 || state.CreatedByID != r.s.UserID() {
		t.Errorf("job %+v made %d records, writes %v", state, n, r.s.WritesBy())
	}
	if used, _ := r.s.Usage(); used != r.s.Calls()["bulk"] {
		t.Errorf("%d calls counted of %d", used, r.s.Calls()["bulk"])
	}
	if a := r.data("GET", "/jobs/ingest/"+id, "", "Authorization", "Bearer x"); a.status != 401 {
		t.Errorf("without a session got %d", a.status)
	}
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.topic("Acc", "SELECT Id, Name, Phone FROM Account", "")
	id := r.insert("Account", map[string]any{"Name": "shared"})
	const workers, rounds = 8, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				var err error
				switch w % 4 {
				case 0:
					_, err = r.try("POST", "/services/data/v66.0/sobjects/Account", `{"Name":"new"}`)
				case 1:
					_, err = r.try("PATCH", "/services/data/v66.0/sobjects/Account/"+id, text(`{"Phone":"%d-%d"}`, w, i))
				case 2:
					err = r.s.Update("Account", id, map[string]any{"Name": text("%d-%d", w, i)})
				case 3:
					_, err = r.try("POST", "/services/data/v66.0/composite", text(`{"allOrNone":true,"compositeRequest":[{"method":"POST","url":"/services/data/v66.0/sobjects/Account","referenceId":"a","body":{"Name":"%d"}},`+
						`{"method":"GET","url":"/services/data/v66.0/query?q=SELECT+Id+FROM+Account","referenceId":"b"}]}`, i))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			f := r.s.Fault(org.Fault{Path: "/nothing", Verb: org.Reject})
			r.s.HideField("Contact", "Phone")
			r.s.Requests()
			f.Remove()
		}
	})
	wg.Wait()
	if n := len(r.s.Records("Account")); n != 1+4*rounds {
		t.Errorf("%d accounts, want %d", n, 1+4*rounds)
	}
	if n := r.s.Writes(id); n != 1+4*rounds {
		t.Errorf("the shared record was written %d times, want %d", n, 1+4*rounds)
	}
	if used, _ := r.s.Usage(); used != 1+6*rounds {
		t.Errorf("%d calls were counted, want %d", used, 1+6*rounds)
	}
	if n := r.s.Stream().Stored("/topic/Acc"); n != 1+8*rounds {
		t.Errorf("%d events, want %d", n, 1+8*rounds)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.s.Fault(org.Fault{Path: "/limits", Verb: org.Hold})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.try("GET", "/services/data/v66.0/limits", "")
	}()
	for r.s.Calls()["limits"] == 0 {
	}
	r.s.Close()
	r.s.Close()
	<-done
	if err := r.s.Listen("127.0.0.1:0"); err == nil {
		t.Error("a closed org listens")
	}
}
