package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// composites answers composite requests: every query with one record named
// after its object, what mentions "Bad" with an error.
func composites(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/composite") {
			reply(w, 200, `{"totalSize":1,"done":true,"records":[{"Id":"alone"}]}`)
			return
		}
		var in struct {
			CompositeRequest []struct{ URL, ReferenceID string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		queries := 0
		var out []string
		for i := range in.CompositeRequest {
			// In reverse: only the reference says which answer is whose.
			sub := in.CompositeRequest[len(in.CompositeRequest)-1-i]
			if strings.Contains(sub.URL, "/query") {
				queries++
			}
			name := sub.URL[strings.LastIndex(sub.URL, "+")+1:]
			body, status := fmt.Sprintf(`{"totalSize":1,"done":true,"records":[{"Id":%q}]}`, name), 200
			if strings.Contains(name, "Bad") {
				body, status = `[{"message":"sObject type 'Bad' is not supported.","errorCode":"INVALID_TYPE"}]`, 400
			}
			out = append(out, fmt.Sprintf(`{"body":%s,"httpHeaders":{},"httpStatusCode":%d,"referenceId":%q}`, body, status, sub.ReferenceID))
		}
		if queries > 5 || len(out) > 25 {
			t.Errorf("%d queries of %d reads in one call", queries, len(out))
		}
		reply(w, 200, `{"compositeResponse":[`+strings.Join(out, ",")+`]}`)
	}
}

// all runs one query per object together and returns what each answered.
func all(t *testing.T, c *Client, objects ...string) (answers []string) {
	t.Helper()
	answers = make([]string, len(objects))
	var wg sync.WaitGroup
	for i, o := range objects {
		wg.Go(func() {
			page, err := c.Query(Together(t.Context()), "SELECT Id FROM "+o, QueryOpts{})
			if err != nil {
				answers[i] = err.(*Error).Code //nolint:errorlint // Query returns nothing else
				return
			}
			answers[i] = string(page.Records[0])
		})
	}
	wg.Wait()
	return answers
}

func TestTogether(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, api http.HandlerFunc) (*fakeOrg, *Client) {
		o := newOrg(t)
		o.api = api
		c := o.client()
		c.packer.wait = time.Second
		if _, err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		return o, c
	}

	t.Run("FiveQueriesAreOneCall", func(t *testing.T) {
		t.Parallel()
		o, c := start(t, composites(t))
		before := o.apiCalls()
		got := all(t, c, "A", "B", "Bad", "D", "E")
		if want := []string{`{"Id":"A"}`, `{"Id":"B"}`, "INVALID_TYPE", `{"Id":"D"}`, `{"Id":"E"}`}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v: each its own answer, and one failure for itself", got, want)
		}
		if n := o.apiCalls() - before; n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})

	t.Run("FiveReadingsBackAreOneCall", func(t *testing.T) {
		t.Parallel()
		o, c := start(t, func(w http.ResponseWriter, r *http.Request) {
			var in struct {
				CompositeRequest []struct {
					Method, URL, ReferenceID string
					Body                     struct{ IDs, Fields []string }
				}
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasSuffix(r.URL.Path, "/composite") {
				t.Errorf("%s: %v", r.URL.Path, err)
			}
			var out []string
			for _, sub := range in.CompositeRequest {
				body, status := fmt.Sprintf(`[{"Id":%q}]`, strings.Join(sub.Body.IDs, ",")), 200
				if strings.HasSuffix(sub.URL, "/Bad") {
					body, status = `[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]`, 400
				}
				if sub.Method != http.MethodPost || fmt.Sprint(sub.Body.Fields) != "[Id Name]" || len(sub.Body.IDs) != 1 {
					t.Errorf("%+v", sub)
				}
				out = append(out, fmt.Sprintf(`{"body":%s,"httpHeaders":{},"httpStatusCode":%d,"referenceId":%q}`, body, status, sub.ReferenceID))
			}
			reply(w, 200, `{"compositeResponse":[`+strings.Join(out, ",")+`]}`)
		})
		before := o.apiCalls()
		var wg sync.WaitGroup
		for i, object := range []string{"A", "B", "Bad", "D", "E"} {
			wg.Go(func() {
				id := fmt.Sprintf("00100000000000%d", i)
				records, err := c.Retrieve(Together(t.Context()), object, []string{id}, []string{"Id", "Name"})
				if object == "Bad" {
					if CodeOf(err) != "QUERY_TIMEOUT" {
						t.Errorf("the one that failed: %v", err)
					}
				} else if err != nil || string(records[0]) != fmt.Sprintf(`{"Id":%q}`, id) {
					t.Errorf("%s: %s, %v", object, records, err)
				}
			})
		}
		wg.Wait()
		if n := o.apiCalls() - before; n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})

	t.Run("MoreQueriesAreMoreCalls", func(t *testing.T) {
		t.Parallel()
		o, c := start(t, composites(t))
		before := o.apiCalls()
		var objects []string
		for i := range 12 {
			objects = append(objects, fmt.Sprintf("O%d", i))
		}
		for i, got := range all(t, c, objects...) {
			if want := fmt.Sprintf(`{"Id":%q}`, objects[i]); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if n := o.apiCalls() - before; n != 3 {
			t.Errorf("%d calls for 12 queries, want 3", n)
		}
	})

	t.Run("OneAloneIsNoComposite", func(t *testing.T) {
		t.Parallel()
		_, c := start(t, composites(t))
		if got := all(t, c, "A"); got[0] != `{"Id":"alone"}` {
			t.Errorf("got %v", got)
		}
	})

	t.Run("EachAsksAloneIfPackingIsRefused", func(t *testing.T) {
		t.Parallel()
		one := composites(t)
		_, c := start(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/composite") {
				reply(w, 403, `[{"message":"no","errorCode":"API_DISABLED_FOR_ORG"}]`)
				return
			}
			one(w, r)
		})
		for _, got := range all(t, c, "A", "B", "C") {
			if got != `{"Id":"alone"}` {
				t.Errorf("got %s", got)
			}
		}
	})

	t.Run("AllFailWhenTheCallDoes", func(t *testing.T) {
		t.Parallel()
		o, c := start(t, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 503, `[{"message":"busy","errorCode":"SERVER_UNAVAILABLE"}]`)
		})
		before := o.apiCalls()
		for _, got := range all(t, c, "A", "B", "C") {
			if got != "SERVER_UNAVAILABLE" {
				t.Errorf("got %s", got)
			}
		}
		if n := o.apiCalls() - before; n != 1 {
			t.Errorf("%d calls to an org that is down, want 1", n)
		}
	})

	t.Run("TheLeadersEndIsNotTheOthers", func(t *testing.T) {
		t.Parallel()
		o, c := start(t, composites(t))
		ctx, cancel := context.WithCancel(t.Context())
		led := make(chan error)
		go func() {
			_, err := c.Query(Together(ctx), "SELECT Id FROM A", QueryOpts{})
			led <- err
		}()
		for { // until the first one leads
			c.packer.mu.Lock()
			open := c.packer.full != nil
			c.packer.mu.Unlock()
			if open {
				break
			}
			time.Sleep(time.Millisecond)
		}
		time.AfterFunc(50*time.Millisecond, cancel)
		if got := all(t, c, "B"); got[0] != `{"Id":"alone"}` && got[0] != `{"Id":"B"}` {
			t.Errorf("got %v", got)
		}
		if err := <-led; err == nil {
			t.Error("the leader's query went through after its end")
		}
		_ = o
	})

	t.Run("AQueryTooLongForAURLTravelsInABody", func(t *testing.T) {
		t.Parallel()
		o, c := start(t, composites(t))
		page, err := c.Query(t.Context(), "SELECT "+strings.Repeat("Some_Field__c,", 1500)+"Id FROM Long", QueryOpts{})
		if err != nil || string(page.Records[0]) != `{"Id":"Long"}` {
			t.Errorf("%v, %v", page, err)
		}
		if r, _ := o.last(); len(r.RequestURI) > 1000 {
			t.Errorf("the URL has %d bytes", len(r.RequestURI))
		}
	})
}
