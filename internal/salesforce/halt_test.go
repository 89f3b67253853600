package salesforce

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// refusing is an org that answers what it is told to and counts requests.
type refusing struct {
	*Client
	t     *testing.T
	limit atomic.Bool // the calls of the day are used up
	ro    atomic.Bool // the org is read only
	seen  atomic.Int64
}

func newRefusing(t *testing.T) *refusing {
	t.Helper()
	r := &refusing{t: t}
	o := newOrg(t)
	o.api = func(w http.ResponseWriter, req *http.Request) {
		r.seen.Add(1)
		switch {
		case r.limit.Load():
			reply(w, 403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`)
		case !strings.Contains(req.URL.Path, "/composite/sobjects"):
			reply(w, 200, `{"totalSize":0,"done":true,"records":[]}`)
		case r.ro.Load():
			reply(w, 200, `[{"success":false,"errors":[{"statusCode":"`+CodeReadOnly+`","message":"Updates can't be made during maintenance","fields":[]}]}]`)
		default:
			reply(w, 200, `[{"id":"001RM000003oLnnYAE","success":true,"errors":[]}]`)
		}
	}
	r.Client = o.client()
	if _, err := r.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// crowd makes a read, or a write, in each of many goroutines, several times, and
// returns how many requests the org saw and the class of the last failure.
func (r *refusing) crowd(write bool) (requests int64, class Class) {
	before := r.seen.Load()
	var last atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				var err error
				if write {
					var results []SaveResult
					results, err = r.InsertAll(r.t.Context(), "Account", []map[string]any{{"Name": "A"}})
					if err == nil && !results[0].Success {
						err = results[0].Errors[0]
					}
				} else {
					_, err = r.Query(r.t.Context(), "SELECT Id FROM Account", QueryOpts{})
				}
				if err != nil {
					last.Store(int64(ClassOf(err)))
				}
			}
		})
	}
	wg.Wait()
	return r.seen.Load() - before, Class(last.Load())
}

// due makes a halt's time of waiting be over.
func due(h *halt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = time.Time{}
}

func (r *refusing) want(what string, got, want int64) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: the org saw %d requests, want %d", what, got, want)
	}
}

// When the calls of the day are used up, one request in ten minutes asks whether
// there are new ones, however many would like to (faults 66 and 67).
func TestHaltAtTheLimit(t *testing.T) {
	t.Parallel()
	r := newRefusing(t)
	r.limit.Store(true)
	if _, err := r.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{}); CodeOf(err) != CodeRequestLimit {
		t.Fatal(err)
	}
	for _, write := range []bool{false, true} {
		n, class := r.crowd(write)
		if r.want("while it is used up", n, 0); class != Limit {
			t.Errorf("what is kept back fails as %s", class)
		}
	}
	due(&r.spent)
	n, _ := r.crowd(false)
	r.want("after ten minutes", n, 1)
	if left := time.Until(r.spent.until); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("the next is in %s", left)
	}
	r.limit.Store(false)
	due(&r.spent)
	if _, err := r.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{}); err != nil {
		t.Fatal(err)
	}
	n, class := r.crowd(true)
	if r.want("with new calls", n, 40); class != 0 {
		t.Errorf("failed as %s", class)
	}
}

// While an org is read only, one write in a minute asks whether it still is, and
// reads go on (fault 67).
func TestHaltWhileReadOnly(t *testing.T) {
	t.Parallel()
	r := newRefusing(t)
	r.ro.Store(true)
	if results, err := r.InsertAll(t.Context(), "Account", []map[string]any{{"Name": "A"}}); err != nil || results[0].Errors[0].Code != CodeReadOnly {
		t.Fatal(results, err)
	}
	n, class := r.crowd(true)
	if r.want("writes", n, 0); class != Transient {
		t.Errorf("what is kept back fails as %s", class)
	}
	n, _ = r.crowd(false)
	r.want("reads", n, 40)
	if left := time.Until(r.readOnly.until); left > time.Minute {
		t.Errorf("the next is in %s", left)
	}
	due(&r.readOnly)
	if _, err := r.InsertAll(t.Context(), "Account", []map[string]any{{"Name": "A"}}); err != nil {
		t.Fatal(err)
	}
	n, _ = r.crowd(true)
	r.want("after a minute", n, 0)
	r.ro.Store(false)
	due(&r.readOnly)
	if results, err := r.InsertAll(t.Context(), "Account", []map[string]any{{"Name": "A"}}); err != nil || !results[0].Success {
		t.Fatal(results, err)
	}
	n, _ = r.crowd(true)
	r.want("when it takes writes again", n, 40)
}

// A probe without an answer says nothing, and the next is due as late.
func TestHaltProbeLost(t *testing.T) {
	t.Parallel()
	h := &halt{every: time.Hour}
	h.begin(&Error{Class: Limit, Code: CodeRequestLimit})
	due(h)
	if probe, refused := h.pass("query"); !probe || refused != nil {
		t.Fatal("no probe", refused)
	}
	if probe, refused := h.pass("query"); probe || refused == nil {
		t.Error("a second one beside it")
	}
	h.probed(false)
	if _, refused := h.pass("query"); refused == nil || time.Until(h.until) < 59*time.Minute {
		t.Error("not kept back after a lost probe")
	}
}

// A probe that its maker gives up does not use up the ten minutes.
func TestHaltProbeGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9")
		c.spent.begin(&Error{Class: Limit, Code: CodeRequestLimit})
		time.Sleep(probeEvery)
		sent := 0
		ask := func(err error) {
			_, _ = c.guarded(request{op: "query"}, func() (*answer, error) { sent++; return &answer{}, err })
		}
		ask(&Error{Class: Transient, Err: context.Canceled})
		ask(nil)
		if sent != 1 {
			t.Errorf("%d requests, want none right after the one that was given up", sent)
		}
		time.Sleep(10 * time.Second)
		ask(nil)
		ask(nil)
		if sent != 3 {
			t.Errorf("%d requests, want the next probe after 10 s, and all after it", sent)
		}
	})
}

// Six hours at the limit cost a request in ten minutes, and what asks each second
// learns that it is over within ten (fault 66).
func TestSixHoursAtTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		requests, limited := 0, true
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == tokenPath:
					writeGrant(w, "http://127.0.0.1:9", canaryToken)
				case limited:
					requests++
					reply(w, 403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`)
				default:
					reply(w, 200, `{"totalSize":0,"done":true,"records":[]}`)
				}
			})
		})
		ask := func() error {
			time.Sleep(time.Second)
			_, err := c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{})
			return err
		}
		for range 6 * 3600 {
			if err := ask(); CodeOf(err) != CodeRequestLimit {
				t.Fatal(err)
			}
		}
		if requests > 37 {
			t.Errorf("%d requests in six hours", requests)
		}
		limited = false
		over, lifted := time.Now(), c.Lifted()
		for ask() != nil {
			select {
			case <-lifted:
				t.Error("told that it is over while it is not")
			default:
			}
		}
		select {
		case <-lifted:
		default:
			t.Error("not told that it is over")
		}
		if took := time.Since(over); took > 10*time.Minute+time.Second {
			t.Errorf("known after %s", took)
		}
	})
}
