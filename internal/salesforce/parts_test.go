package salesforce

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// collectionsOrg takes collections, alone and packed, and notes how they came: "200"
// for one of that many records, "200+200" for two in one call. Ids are made of the
// records' names, which are numbers. What spoils may answer instead.
type collectionsOrg struct {
	*Client
	t      *testing.T
	came   []string
	spoils func(w http.ResponseWriter, r *http.Request, packed bool) bool
	broken int // the subrequest, from 1, that fails as a whole
}

func newCollectionsOrg(t *testing.T) *collectionsOrg {
	t.Helper()
	o := &collectionsOrg{t: t}
	f := newOrg(t)
	f.api = o.serve
	o.Client = f.client()
	if _, err := o.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *collectionsOrg) serve(w http.ResponseWriter, r *http.Request) {
	packed := strings.HasSuffix(r.URL.Path, "/composite")
	if o.spoils != nil && o.spoils(w, r, packed) {
		return
	}
	var in struct {
		Records          []map[string]any
		CompositeRequest []struct {
			URL, ReferenceID string
			HTTPHeaders      map[string]string
			Body             struct{ Records []map[string]any }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		o.t.Error(err)
	}
	if !packed {
		o.came = append(o.came, fmt.Sprint(len(in.Records)))
		reply(w, 200, o.results(in.Records))
		return
	}
	var sizes, answers []string
	for i, sub := range in.CompositeRequest {
		if sub.HTTPHeaders[autoAssign] != "FALSE" || !strings.HasSuffix(sub.URL, "/composite/sobjects") {
			o.t.Errorf("subrequest to %s with %v", sub.URL, sub.HTTPHeaders)
		}
		sizes = append(sizes, fmt.Sprint(len(sub.Body.Records)))
		body, status := o.results(sub.Body.Records), 200
		if i+1 == o.broken {
			body, status = `[{"errorCode":"SERVER_UNAVAILABLE","message":"busy"}]`, 503
		}
		// In reverse: only the reference says which answer is whose.
		answers = append([]string{fmt.Sprintf(`{"body":%s,"httpHeaders":{},"httpStatusCode":%d,"referenceId":%q}`, body, status, sub.ReferenceID)}, answers...)
	}
	o.came = append(o.came, strings.Join(sizes, "+"))
	reply(w, 200, `{"compositeResponse":[`+strings.Join(answers, ",")+`]}`)
}

// results stores records and answers with the number that each has in its Name.
func (o *collectionsOrg) results(records []map[string]any) string {
	var list []string
	for _, r := range records {
		list = append(list, fmt.Sprintf(`{"id":"001%s000AAA","success":true,"errors":[]}`, fmt.Sprintf("%09v", r["Name"])[:9]))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// insert makes n records, one of them with a field of this value.
func (o *collectionsOrg) insert(n int, value string) ([]SaveResult, error) {
	records := make([]map[string]any, n)
	for i := range records {
		records[i] = map[string]any{"Name": fmt.Sprintf("%09d", i)}
	}
	records[n-1]["Description"] = value
	results, err := o.InsertAll(o.t.Context(), "Account", records)
	for i, r := range results {
		if want := fmt.Sprintf("001%09d000AAA", i); r.Success && r.ID != ID18(want) {
			o.t.Fatalf("record %d has id %s", i, r.ID)
		}
	}
	return results, err
}

func (o *collectionsOrg) want(came string) {
	o.t.Helper()
	if got := strings.Join(o.came, " "); got != came {
		o.t.Errorf("came as %s, want %s", got, came)
	}
}

func count(results []SaveResult, is func(SaveResult) bool) (n int) {
	for _, r := range results {
		if is(r) {
			n++
		}
	}
	return n
}

func TestPackedWrites(t *testing.T) {
	t.Parallel()
	done := func(r SaveResult) bool { return r.Success }

	t.Run("a thousand records are one call", func(t *testing.T) {
		t.Parallel()
		o := newCollectionsOrg(t)
		for _, n := range []int{1, 200, 201, 1000} {
			if results, err := o.insert(n, ""); err != nil || count(results, done) != n {
				t.Errorf("%d: %v", n, err)
			}
		}
		o.want("1 200 200+1 200+200+200+200+200")
		if _, err := o.insert(MaxRecords+1, ""); ClassOf(err) != Permanent {
			t.Errorf("more than that: %v", err)
		}
	})

	t.Run("a value that looks like a reference is not packed", func(t *testing.T) {
		t.Parallel()
		o := newCollectionsOrg(t)
		if results, err := o.insert(500, "see @{r0.id}"); err != nil || count(results, done) != 500 {
			t.Error(err)
		}
		o.want("200 200 100")
	})

	t.Run("one collection that fails does not fail the others, and they go singly for a while", func(t *testing.T) {
		t.Parallel()
		o := newCollectionsOrg(t)
		o.broken = 2
		results, err := o.insert(500, "")
		if err != nil || count(results, done) != 300 || results[200].Success || results[200].Errors[0].Class != Transient || !results[200].Errors[0].InDoubt || !results[200].Errors[0].Ended {
			t.Errorf("%d done, %v", count(results, done), err)
		}
		if _, err := o.insert(300, ""); err != nil {
			t.Error(err)
		}
		o.want("200+200+100 200 100")
	})

	t.Run("a lost answer leaves all of it in doubt", func(t *testing.T) {
		t.Parallel()
		o := newCollectionsOrg(t)
		o.spoils = func(w http.ResponseWriter, _ *http.Request, packed bool) bool {
			if packed {
				panic(http.ErrAbortHandler)
			}
			return false
		}
		_, err := o.insert(500, "")
		expect(t, err, Transient, "", true)
		o.want("")
	})

	t.Run("an org that takes no packed calls gets single ones", func(t *testing.T) {
		t.Parallel()
		o := newCollectionsOrg(t)
		o.spoils = func(w http.ResponseWriter, _ *http.Request, packed bool) bool {
			if packed {
				reply(w, 404, `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`)
			}
			return packed
		}
		if results, err := o.insert(500, ""); err != nil || count(results, done) != 500 {
			t.Error(err)
		}
		o.want("200 200 100")
	})

	t.Run("singly, what follows a lost answer is not sent and not in doubt", func(t *testing.T) {
		t.Parallel()
		o := newCollectionsOrg(t)
		o.packing.learn(&Error{Class: Transient})
		sent := 0
		o.spoils = func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
			if sent++; sent == 2 {
				panic(http.ErrAbortHandler)
			}
			return false
		}
		results, err := o.insert(600, "")
		doubtful := func(r SaveResult) bool { return !r.Success && r.Errors[0].InDoubt }
		if err != nil || count(results, done) != 200 || count(results, doubtful) != 200 || len(results) != 600 {
			t.Errorf("%d done, %d in doubt of %d, %v", count(results, done), count(results, doubtful), len(results), err)
		}
		o.want("200")
	})
}
