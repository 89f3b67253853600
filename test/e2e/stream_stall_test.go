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
	testrig "hcbridge/test/rig"
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
			r.SF.DenyStreamingChannels(true)
		}
		r.Env["HC_HTTP_ADDR"] = freeAddr(t)
		b := r.Start()
		end := c.begin(t, r, r.streaming())
		ends = append(ends, func() {
			t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // they wait together
				r.T = t
				end()
				if strings.Contains(b.Log.String(), `"polling_only"`) {
					t.Error("the stream was given up")
				}
			})
			r.T = t
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
	r.SF.ResetCounters()
	down := r.SF.Fault(org.Fault{Path: "/oauth2/token", Verb: org.Reject})
	r.SF.RevokeTokens()
	r.set(id, 1)
	const within, most = 15 * time.Second, 5 // at 0, 0.5, 1.5, 3.5 and 7.5 s, if not later
	attempts := make(chan int, 1)
	time.AfterFunc(within, func() { attempts <- down.Hits() })
	return func() {
		got := <-attempts
		r.T.Logf("%d attempts in %s", got, within)
		if got < 3 || got > most {
			r.T.Errorf("%d attempts to log in within %s, want 3 to %d", got, within, most)
		}
		down.Remove()
		r.arrives(id, 1, 60*time.Second)
		if got := r.SF.Calls()["token"] - down.Hits(); got != 1 {
			r.T.Errorf("%d logins, want 1", got)
		}
	}
}

// A subscription that is denied because the server is too busy is asked for
// again, not given up.
func subscribeBusy(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.SF.Stream().RefuseSubscribe(accountTopic, "403:denied_by_security_policy:create_denied", "503::Server is too busy.  Please try your request again later.", 1)
	before := len(r.accepted(accountTopic))
	r.SF.Forget()
	r.set(id, 1)
	return func() {
		r.Eventually("subscription", 75*time.Second, func() error {
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
	r.SF.ResetCounters()
	before := r.SF.Stream().Handshakes()
	r.SF.Stream().SetAllocation(1)
	r.set(id, 1)
	r.arrives(id, 1, 10*time.Second)
	r.set(id, 2) // perhaps in the same second
	return func() {
		r.arrives(id, 2, 60*time.Second)
		r.set(id, 3)
		r.arrives(id, 3, 10*time.Second)
		r.shows("stopped stream", 60*time.Second, func(c status.Connection, _ status.Object) bool { return c.Streaming == "waiting" })
		if got := r.SF.Stream().Handshakes() - before; got > 2 {
			r.T.Errorf("%d handshakes while the limit is used up", got)
		}
		if got := r.SF.Calls()["token"]; got != 0 {
			r.T.Errorf("%d logins because of a limit", got)
		}
	}
}

// A poll whose answer never comes, or comes byte by byte, is given up after its
// time (2 s here) and 20 s more.
func halfOpen(verb org.Verb) func(t *testing.T, r *rig, id string) func() {
	return func(t *testing.T, r *rig, id string) func() {
		t.Helper()
		f := r.SF.Fault(org.Fault{Path: "^/cometd/", Match: `"/meta/connect"`, Verb: verb, Times: 1})
		r.advise(nil)
		r.Must(f.Wait(t.Context(), 1))
		r.set(id, 1)
		began, took := time.Now(), make(chan time.Duration, 1)
		go func() {
			n := 0
			for n != 1 && time.Since(began) < 60*time.Second && t.Context().Err() == nil {
				time.Sleep(50 * time.Millisecond)
				_ = r.Pool.QueryRow(t.Context(), "SELECT numberofemployees FROM salesforce.account WHERE sfid = $1", id).Scan(&n)
			}
			took <- time.Since(began)
		}()
		return func() {
			// The watchdog would find it too, but later.
			if got := <-took; got > 40*time.Second {
				r.T.Errorf("events flow again after %s, want 22 s and little more", got)
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
	tx, err := r.Pool.Begin(t.Context())
	r.Must(err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE hcbridge.position IN ACCESS EXCLUSIVE MODE")
	r.Must(err)
	before := r.SF.Stream().Handshakes()
	// Enough for two transactions are in memory before anybody waits.
	many := make([]map[string]any, 4000)
	for n := range many {
		many[n] = map[string]any{"Name": fmt.Sprintf("Many %d", n)}
	}
	ids, err := r.SF.InsertMany("Account", slices.Values(many))
	r.Must(err)
	ids = append(ids, id)
	const replies = 120 // fewer where the machine is so slow that some share one
	for n := range replies {
		ids = append(ids, r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Slow %d", n), "NumberOfEmployees": n}))
		time.Sleep(30 * time.Millisecond)
	}
	began := time.Now()
	return func() {
		r.Eventually("session given up", 45*time.Second-time.Since(began), func() error {
			if r.SF.Stream().Handshakes() == before {
				return fmt.Errorf("the handler holds the poll loop")
			}
			return nil
		})
		r.Must(tx.Rollback(context.WithoutCancel(r.T.Context())))
		r.arrives(ids[len(ids)-1], replies-1, 40*time.Second)
		r.Equal("Account")
		if n := r.Count("SELECT count(*) FROM salesforce.account"); n != len(ids) {
			r.T.Errorf("%d rows, want %d", n, len(ids))
		}
	}
}

// A server that wants us never to come back is asked again within a minute,
// with a new token.
func adviceNone(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.SF.ResetCounters()
	before := r.SF.Stream().Handshakes()
	r.advise(map[string]any{"reconnect": "none"})
	began := time.Now()
	return func() {
		r.Eventually("new session", 80*time.Second-time.Since(began), func() error {
			if r.SF.Stream().Handshakes() == before {
				return fmt.Errorf("none")
			}
			return nil
		})
		if got := time.Since(began); got < 15*time.Second {
			r.T.Errorf("back after %s", got)
		}
		if got := r.SF.Stream().Handshakes() - before; got != 1 {
			r.T.Errorf("%d handshakes, want 1", got)
		}
		if got := r.SF.Calls()["token"]; got != 1 {
			r.T.Errorf("%d logins, want 1", got)
		}
		r.set(id, 1)
		r.arrives(id, 1, 5*time.Second)
	}
}

// moment is when something came true first, counted from when it was asked for: the test
// may be busy with others by then.
type moment chan time.Duration

func since(t *testing.T, holds func() error) moment {
	t.Helper()
	ctx, began, m := t.Context(), time.Now(), make(moment, 1)
	go func() {
		for ctx.Err() == nil {
			if holds() == nil {
				m <- time.Since(began)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return m
}

// within fails the test where that took longer than limit.
func (m moment) within(r *rig, what string, limit time.Duration) {
	r.T.Helper()
	select {
	case took := <-m:
		if took > limit {
			r.T.Fatalf("%s: not within %s but after %s", what, limit, took.Round(time.Millisecond))
		}
		r.T.Logf("%s: after %s of %s", what, took.Round(time.Millisecond), limit)
	case <-time.After(limit): // from now on, which is later
		r.T.Fatalf("%s: not within %s", what, limit)
	}
}

// beside is what shows the status in another goroutine, while r is used for one test after
// the other.
func (r *rig) beside(t *testing.T) *rig {
	t.Helper()
	return &rig{&testrig.Rig{T: t, Pool: r.Pool}}
}

// A stream that is connected and mute is reported within a minute without a
// single write or poll, the data comes by polling, and all is well again when
// events arrive.
func mute(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.SF.ResetCounters()
	r.SF.Mute(true)
	reported := since(t, r.beside(t).showing(func(c status.Connection, o status.Object) bool {
		return c.Streaming == "muted" && strings.Contains(o.Message, "no events arrive")
	}))
	r.set(id, 1)
	arrived := since(t, func() error {
		var n int
		return r.Pool.QueryRow(t.Context(), "SELECT id FROM salesforce.account WHERE sfid = $1 AND numberofemployees = 1", id).Scan(&n)
	})
	return func() {
		reported.within(r, "report", 60*time.Second)
		calls := without(r.SF.Calls()) // those of the poll that the suspicion has made, at most
		arrived.within(r, "value by polling", 75*time.Second)
		r.T.Logf("calls until it was reported: %v", calls)
		code, body := r.get("/readyz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "no events arrive") {
			r.T.Errorf("/readyz answers %d: %s", code, body)
		}
		r.SF.Mute(false)
		r.set(id, 2)
		r.arrives(id, 2, 10*time.Second)
		r.shows("connected", 15*time.Second, func(c status.Connection, o status.Object) bool { return c.Streaming == "connected" && o.Message == "" })
	}
}

// Where there can be no canary our own writes show that no events come.
func muteWrites(t *testing.T, r *rig, id string) func() {
	t.Helper()
	r.SF.Mute(true)
	reported := since(t, r.beside(t).showing(func(_ status.Connection, o status.Object) bool {
		return strings.Contains(o.Message, "no events of its own writes")
	}))
	for n := range 3 {
		r.Exec("INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $1)", fmt.Sprintf("Canary %d", n))
	}
	r.set(id, 1)
	return func() {
		reported.within(r, "report", 60*time.Second)
		r.arrives(id, 1, 10*time.Second)
		r.SF.Mute(false)
		r.set(id, 2)
		r.arrives(id, 2, 10*time.Second)
		r.shows("trusted", 10*time.Second, func(_ status.Connection, o status.Object) bool { return o.Message == "" })
	}
}

// Writes that change nothing in Salesforce have no events, and so none are missed: text
// that it trims, nothing in place of nothing, a field that nobody may write, a record that
// is gone already. Those that change something are missed, as soon as three have no event.
func TestWritesThatHaveNoEvents(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,Site,NumberOfEmployees,External_Id__c,CreatedDate", readWrite[0])
	r.SF.DenyStreamingChannels(true)
	for _, what := range []string{"trimmed", "empty", "created", "gone", "real"} {
		for n := range 3 {
			r.Insert("Account", map[string]any{"Name": fmt.Sprint(what, n), "Site": what})
		}
	}
	b := r.Start()
	r.Synced()
	r.Eventually("subscription", 30*time.Second, func() error {
		if len(r.accepted(accountTopic)) == 0 {
			return fmt.Errorf("not subscribed")
		}
		return nil
	})
	sent := func() {
		r.Eventually("writes sent", 20*time.Second, func() error {
			if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')"); n != 0 {
				return fmt.Errorf("%d are not", n)
			}
			return nil
		})
	}
	r.SF.Stream().Drop(func(string, int64) bool { return true })
	for _, rec := range r.SF.Records("Account") {
		if site, _ := rec.Get(r.SF.Object("Account"), "Site").(string); site == "gone" {
			r.Must(r.SF.Delete("Account", rec.ID))
		}
	}
	r.Exec("UPDATE salesforce.account SET name = '  ' || name || ' ' WHERE site = 'trimmed'")
	r.Exec("UPDATE salesforce.account SET phone = '' WHERE site = 'empty'")
	r.Exec("UPDATE salesforce.account SET createddate = now() WHERE site = 'created'")
	r.Exec("DELETE FROM salesforce.account WHERE site = 'gone'")
	sent()
	answered := time.Now()
	for time.Since(answered) < 50*time.Second { // an event is missed 45 s after the answer
		r.Must(r.showing(func(_ status.Connection, o status.Object) bool { return o.Message == "" })())
		time.Sleep(time.Second)
	}
	r.Exec("UPDATE salesforce.account SET phone = '1' WHERE site = 'real'")
	sent()
	r.Promised("doubt", 60*time.Second, r.showing(func(_ status.Connection, o status.Object) bool {
		return strings.Contains(o.Message, "no events of its own writes")
	}))
	r.Eventually("log", 5*time.Second, func() error { // which is told after the status
		if n := strings.Count(b.Log.String(), `"event":"suspect"`); n != 1 {
			return fmt.Errorf("in doubt %d times", n)
		}
		return nil
	})
}

// A bulk load makes no events, and no alarm.
func bulkLoad(t *testing.T, r *rig, id string) func() {
	t.Helper()
	before := r.SF.Stream().Handshakes()
	actor := r.SF.AsBulk(org.DefaultOther)
	for n := range 4 {
		_, err := actor.Insert("Account", map[string]any{"Name": fmt.Sprintf("Bulk %d", n)})
		r.Must(err)
		time.Sleep(time.Second)
	}
	began := time.Now()
	return func() {
		r.Equal("Account")
		time.Sleep(40*time.Second - time.Since(began)) // the misses are judged after 15 s each
		r.shows("streaming", time.Second, func(c status.Connection, o status.Object) bool { return c.Streaming == "connected" && o.Message == "" })
		r.set(id, 1)
		r.arrives(id, 1, 5*time.Second)
		if got := r.SF.Stream().Handshakes() - before; got != 0 {
			r.T.Errorf("%d new sessions because of a bulk load", got)
		}
	}
}

// get asks the bridge's own HTTP server.
func (r *rig) get(path string) (code int, body string) {
	r.T.Helper()
	req, err := http.NewRequestWithContext(r.T.Context(), http.MethodGet, "http://"+r.Env["HC_HTTP_ADDR"]+path, nil)
	r.Must(err)
	res, err := http.DefaultClient.Do(req)
	r.Must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	r.Must(err)
	return res.StatusCode, string(text)
}
