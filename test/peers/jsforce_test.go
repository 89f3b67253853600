package peers

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/test/org"
)

// filled is an org with n accounts, named peer-00000 and so on.
func filled(t *testing.T, n int, options org.Options) *org.Server {
	t.Helper()
	o := started(t, options)
	_, err := o.InsertMany("Account", func(yield func(map[string]any) bool) {
		for i := range n {
			if !yield(map[string]any{"Name": fmt.Sprintf("peer-%05d", i), "Industry": "Energy"}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestJSForceRecords(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // of the org's clock
	o := filled(t, 4500, org.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	s := run(t, o, "jsforce-records.mjs")
	who := fmt.Sprintf(`"id":%q,"org":%q`, o.UserID(), o.ID())
	s.is("oauth", `{`+who+`}`)
	s.is("soap", `{`+who+`,"name":"`+org.DefaultUsername+`"}`)
	s.is("describe", `{"external":["External_Id__c"],"global":true,"versions":true}`)
	s.is("query", `{"total":4500,"pages":3,"rows":4500,"first":"peer-00000","last":"peer-04499","sorted":true}`)
	s.is("find", `{"names":["peer-00099","peer-00098","peer-00097"]}`)
	var refused struct{ Code, Message string }
	s.next("refused", &refused)
	if refused.Code != "INVALID_FIELD" {
		t.Errorf("a query of a field that is not there: %+v", refused)
	}
	var single struct {
		Account               string
		Created               []bool
		Same, Parent, Removed bool
		External              string
	}
	s.next("single", &single)
	if single.External != "j-1" || !single.Same || !single.Parent || !single.Removed || len(single.Created) != 2 || !single.Created[0] || single.Created[1] {
		t.Errorf("single records: %+v", single)
	}
	if r, ok := o.Get("Account", single.Account); !ok || r.Get(o.Object("Account"), "Name") != "renamed" {
		t.Errorf("the account is %v", r)
	}
	s.is("invalid", `{"code":"REQUIRED_FIELD_MISSING","message":"Required fields are missing: [Name]"}`)
	s.is("collections", `{"failed":[[7,"REQUIRED_FIELD_MISSING"]],"changed":249,"upserted":2,"gone":50,"left":199}`)
	ahead.Store(int64(2 * time.Minute))
	s.tell("a minute is over")
	s.is("replication", `{"deleted":50}`)
	s.is("limits", `{"max":15000,"used":true}`)
	s.is("logout", `{"code":"INVALID_SESSION_ID"}`)
	s.ended()
}

func TestJSForceBulk(t *testing.T) {
	t.Parallel()
	o := filled(t, 3000, org.Options{})
	id, err := o.Insert("Account", map[string]any{"Name": "say \"hi\",\nthen go"})
	if err != nil {
		t.Fatal(err)
	}
	s := run(t, o, "jsforce-bulk.mjs", "SAMPLE=say \"hi\",\nthen go")
	var query struct {
		Rows, Distinct int
		Sample         map[string]any
	}
	s.next("query", &query)
	if query.Rows != 3001 || query.Distinct != 3001 || query.Sample["Id"] != id {
		t.Errorf("query %+v, want 3001 rows and %s", query, id)
	}
	var insert struct {
		Good, Bad [][2]string
		Rest      int
	}
	s.next("insert", &insert)
	if len(insert.Good) != 2 || len(insert.Bad) != 1 || insert.Bad[0][0] != "b1" || insert.Rest != 0 {
		t.Errorf("insert %+v", insert)
	}
	s.is("upsert", `{"created":{"b1":"false","b3":"true"}}`)
	s.is("delete", `{"removed":1,"left":["b \"2\"","b3"],"all":3}`)
	var ending struct{ State, Error string }
	s.next("ending", &ending)
	if ending.State == "JobComplete" {
		t.Errorf("a job with the wrong line ending: %+v", ending)
	}
	s.ended()
	if n := len(o.Jobs().Jobs()); n != 8 {
		t.Errorf("%d jobs: %+v", n, o.Jobs().Jobs())
	}
}

func TestJSForceStreaming(t *testing.T) {
	t.Parallel()
	o := started(t, org.Options{})
	s := run(t, o, "jsforce-streaming.mjs", "TOPIC=peer_jsforce")
	s.is("topic", `{"ok":true,"prefix":"0IF"}`)
	type event struct {
		Type    string
		Replay  int64
		SObject map[string]any
	}
	type said struct {
		ID     string
		Events []event
	}
	var live, resumed, again said
	s.next("events", &live)
	s.next("resumed", &resumed)
	s.next("again", &again)
	s.ended()
	want := []string{
		"created map[Id:%s Industry:Energy Name:s1]", "updated map[Id:%s Industry:<nil> Name:s1]",
		"updated map[Id:%s Industry:<nil> Name:s2]", "deleted map[Id:%s]",
	}
	check := func(what string, got []event, want []string) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %+v", what, got)
		}
		for i, e := range got {
			if text := fmt.Sprintf("%s %v", e.Type, e.SObject); text != fmt.Sprintf(want[i], live.ID) {
				t.Errorf("%s: event %d is %s", what, i, text)
			}
			if i > 0 && got[i-1].Replay >= e.Replay {
				t.Errorf("%s: replay id %d after %d", what, e.Replay, got[i-1].Replay)
			}
		}
	}
	check("live", live.Events, want)
	check("resumed", resumed.Events, want[2:])
	check("again", again.Events, want)
}
