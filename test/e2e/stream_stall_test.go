package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
)

// Faults that take their time, each on a bridge of its own, all at once: the
// first half of every case begins its fault, the second sees how it ended.
func TestStreamStalls(t *testing.T) {
	t.Parallel()
	quick := org.Options{PollTimeout: 2 * time.Second}
	var ends []func()
	for _, c := range []struct {
		name  string
		begin func(t *testing.T, r *rig, id string) (end func())
		opt   org.Options
		with  []string
	}{
		{name: "Row27Mute", begin: mute},
		{name: "Row27MuteWithWritesOnly", begin: muteWrites, with: readWrite[:2]},
		{name: "Row21AdviceNone", begin: adviceNone},
		{name: "LoginDown", begin: loginDown},
		{name: "Row5SubscribeBusy", begin: subscribeBusy},
		{name: "Row9EventLimit", begin: eventLimit, with: []string{"HC_POLL_INTERVAL=1s"}},
		{name: "Row12HalfOpen", begin: halfOpen(org.Hold), opt: quick},
		{name: "Row13Trickle", begin: halfOpen(org.Trickle), opt: quick},
		{name: "Row18SlowApply", begin: slowApply},
		{name: "Row27BulkLoad", begin: bulkLoad, with: []string{"HC_POLL_INTERVAL=3s"}},
	} {
		r := streamRig(t, c.opt, c.with...)
		if c.name == "Row27MuteWithWritesOnly" {
			r.sf.DenyStreamingChannels(true)
		}
		r.env["HC_HTTP_ADDR"] = freeAddr(t)
		b := r.start()
		end := c.begin(t, r, r.streaming())
		ends = append(ends, func() {
			t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // they wait together
				r.t = t
				end()
				if strings.Contains(b.log.String(), `"polling_only"`) {
					t.Error("the stream was given up")
				}
			})
			r.t = t
		})
	}
	for _, end := range ends {
		end()
	}
}

// With the login endpoint down there is one attempt at most for each step of the
// back-off, which begins at half a second and at least doubles.
func loginDown(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.sf.ResetCounters()
	down := r.sf.Fault(org.Fault{Path: "/oauth2/token", Verb: org.Reject})
	r.sf.RevokeTokens()
	r.set(id, 1)
	const within, most = 15 * time.Second, 5 // at 0, 0.5, 1.5, 3.5 and 7.5 s, if not later
	attempts := make(chan int, 1)
	time.AfterFunc(within, func() { attempts <- down.Hits() })
	return func() {
		got := <-attempts
		r.t.Logf("%d attempts in %s", got, within)
		if got < 3 || got > most {
			r.t.Errorf("%d attempts to log in within %s, want 3 to %d", got, within, most)
		}
		down.Remove()
		r.arrives(id, 1, 60*time.Second)
		if got := r.sf.Calls()["token"] - down.Hits(); got != 1 {
			r.t.Errorf("%d logins, want 1", got)
		}
	}
}

// A subscription that is denied because the server is too busy is asked for
// again, not given up.
func subscribeBusy(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.sf.Stream().RefuseSubscribe(accountTopic, "403:denied_by_security_policy:create_denied", "503::Server is too busy.  Please try your request again later.", 1)
	before := len(r.accepted(accountTopic))
	r.sf.Forget()
	r.set(id, 1)
	return func() {
		r.eventually("subscription", 75*time.Second, func() error {
			if got := len(r.accepted(accountTopic)); got != before+1 {
				return fmt.Errorf("%d accepted, %d before", got, before)
			}
			return nil
		})
		r.arrives(id, 1, 5*time.Second)
		r.shows("streaming", 10*time.Second, func(_ status.Connection, o status.Object) bool { return o.ModeEffective == "streaming" })
	}
}

// With the day's events used up the data comes by polling, and nobody logs in
// or knocks again and again.
func eventLimit(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.sf.ResetCounters()
	before := r.sf.Stream().Handshakes()
	r.sf.Stream().SetAllocation(1)
	r.set(id, 1)
	r.arrives(id, 1, 10*time.Second)
	r.set(id, 2) // perhaps in the same second
	return func() {
		r.arrives(id, 2, 60*time.Second)
		r.set(id, 3)
		r.arrives(id, 3, 10*time.Second)
		r.shows("stopped stream", 60*time.Second, func(c status.Connection, _ status.Object) bool { return c.Streaming == "waiting" })
		if got := r.sf.Stream().Handshakes() - before; got > 2 {
			r.t.Errorf("%d handshakes while the limit is used up", got)
		}
		if got := r.sf.Calls()["token"]; got != 0 {
			r.t.Errorf("%d logins because of a limit", got)
		}
	}
}

// A poll whose answer never comes, or comes byte by byte, is given up after its
// time (2 s here) and 20 s more.
func halfOpen(verb org.Verb) func(t *testing.T, r *rig, id string) func() {
	return func(t *testing.T, r *rig, id string) func() {
		t.Helper()
		f := r.sf.Fault(org.Fault{Path: "^/cometd/", Match: `"/meta/connect"`, Verb: verb, Times: 1})
		r.advise(nil)
		r.must(f.Wait(t.Context(), 1))
		r.set(id, 1)
		began, took := time.Now(), make(chan time.Duration, 1)
		go func() {
			n := 0
			for n != 1 && time.Since(began) < 60*time.Second && t.Context().Err() == nil {
				time.Sleep(50 * time.Millisecond)
				_ = r.pool.QueryRow(t.Context(), "SELECT numberofemployees FROM salesforce.account WHERE sfid = $1", id).Scan(&n)
			}
			took <- time.Since(began)
		}()
		return func() {
			// The watchdog would find it too, but later.
			if got := <-took; got > 40*time.Second {
				r.t.Errorf("events flow again after %s, want 22 s and little more", got)
			}
			f.Release()
		}
	}
}

// A database that stands still costs no events and no memory: the poll loop
// waits half a minute at the most, then the session is given up and resumed
// from the last event that was taken.
func slowApply(t *testing.T, r *rig, id string) func() {
	t.Helper()
	tx, err := r.pool.Begin(t.Context())
	r.must(err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE hcbridge.position IN ACCESS EXCLUSIVE MODE")
	r.must(err)
	before := r.sf.Stream().Handshakes()
	// Enough for two transactions are in memory before anybody waits.
	many := make([]map[string]any, 4000)
	for n := range many {
		many[n] = map[string]any{"Name": fmt.Sprintf("Many %d", n)}
	}
	ids, err := r.sf.InsertMany("Account", slices.Values(many))
	r.must(err)
	ids = append(ids, id)
	for n := range 40 {
		ids = append(ids, r.insert("Account", map[string]any{"Name": fmt.Sprintf("Slow %d", n), "NumberOfEmployees": n}))
		time.Sleep(30 * time.Millisecond) // a reply each
	}
	began := time.Now()
	return func() {
		r.eventually("session given up", 45*time.Second-time.Since(began), func() error {
			if r.sf.Stream().Handshakes() == before {
				return fmt.Errorf("the handler holds the poll loop")
			}
			return nil
		})
		r.must(tx.Rollback(context.WithoutCancel(r.t.Context())))
		r.arrives(ids[len(ids)-1], 39, 40*time.Second)
		r.equal("Account")
		if n := r.count("SELECT count(*) FROM salesforce.account"); n != len(ids) {
			r.t.Errorf("%d rows, want %d", n, len(ids))
		}
	}
}

// A server that wants us never to come back is asked again within a minute,
// with a new token.
func adviceNone(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.sf.ResetCounters()
	before := r.sf.Stream().Handshakes()
	r.advise(map[string]any{"reconnect": "none"})
	began := time.Now()
	return func() {
		r.eventually("new session", 80*time.Second-time.Since(began), func() error {
			if r.sf.Stream().Handshakes() == before {
				return fmt.Errorf("none")
			}
			return nil
		})
		if got := time.Since(began); got < 15*time.Second {
			r.t.Errorf("back after %s", got)
		}
		if got := r.sf.Stream().Handshakes() - before; got != 1 {
			r.t.Errorf("%d handshakes, want 1", got)
		}
		if got := r.sf.Calls()["token"]; got != 1 {
			r.t.Errorf("%d logins, want 1", got)
		}
		r.set(id, 1)
		r.arrives(id, 1, 5*time.Second)
	}
}

// A stream that is connected and mute is reported within a minute without a
// single write or poll, the data comes by polling, and all is well again when
// events arrive.
func mute(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.sf.ResetCounters()
	r.sf.Mute(true)
	began := time.Now()
	r.set(id, 1)
	return func() {
		muted := func(c status.Connection, o status.Object) bool {
			return c.Streaming == "muted" && strings.Contains(o.Message, "no events arrive")
		}
		r.promised("report", 60*time.Second-time.Since(began), r.showing(muted))
		took := time.Since(began)
		calls := without(r.sf.Calls()) // those of the poll that the suspicion has made, at most
		r.promised("value by polling", 75*time.Second-time.Since(began), r.holds(id, 1))
		r.t.Logf("reported after %s, arrived after %s, calls until then %v", took.Round(time.Second), time.Since(began).Round(time.Second), calls)
		code, body := r.get("/readyz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "no events arrive") {
			r.t.Errorf("/readyz answers %d: %s", code, body)
		}
		r.sf.Mute(false)
		r.set(id, 2)
		r.arrives(id, 2, 10*time.Second)
		r.shows("connected", 15*time.Second, func(c status.Connection, o status.Object) bool { return c.Streaming == "connected" && o.Message == "" })
	}
}

// Where there can be no canary our own writes show that no events come.
func muteWrites(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.sf.Mute(true)
	began := time.Now()
	for n := range 3 {
		r.exec("INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $1)", fmt.Sprintf("Canary %d", n))
	}
	r.set(id, 1)
	return func() {
		r.promised("report", 60*time.Second-time.Since(began), r.showing(func(_ status.Connection, o status.Object) bool {
			return strings.Contains(o.Message, "no events of its own writes")
		}))
		r.t.Logf("reported after %s", time.Since(began).Round(time.Second))
		r.arrives(id, 1, 10*time.Second)
		r.sf.Mute(false)
		r.set(id, 2)
		r.arrives(id, 2, 10*time.Second)
		r.shows("trusted", 10*time.Second, func(_ status.Connection, o status.Object) bool { return o.Message == "" })
	}
}

// A bulk load makes no events, and no alarm.
func bulkLoad(t *testing.T, r *rig, id string) func() {
	t.Helper()
	before := r.sf.Stream().Handshakes()
	actor := r.sf.AsBulk(org.DefaultOther)
	for n := range 4 {
		_, err := actor.Insert("Account", map[string]any{"Name": fmt.Sprintf("Bulk %d", n)})
		r.must(err)
		time.Sleep(time.Second)
	}
	began := time.Now()
	return func() {
		r.equal("Account")
		time.Sleep(40*time.Second - time.Since(began)) // the misses are judged after 15 s each
		r.shows("streaming", time.Second, func(c status.Connection, o status.Object) bool { return c.Streaming == "connected" && o.Message == "" })
		r.set(id, 1)
		r.arrives(id, 1, 5*time.Second)
		if got := r.sf.Stream().Handshakes() - before; got != 0 {
			r.t.Errorf("%d new sessions because of a bulk load", got)
		}
	}
}

// get asks the bridge's own HTTP server.
func (r *rig) get(path string) (code int, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.env["HC_HTTP_ADDR"]+path, nil)
	r.must(err)
	res, err := http.DefaultClient.Do(req)
	r.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	r.must(err)
	return res.StatusCode, string(text)
}
