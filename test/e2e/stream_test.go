package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/org/cometd"
)

// Tests named Row1 to Row27 each inject one way in which streams are known to
// fail.

const accountTopic = "/topic/hc_Account"

// streamRig is a rig whose org is as opt says. Polls are a day apart, so that
// only the stream, or a poll that the bridge sees reason for, brings data.
func streamRig(t *testing.T, opt org.Options, settings ...string) *rig {
	t.Helper()
	r := newRig(t, append([]string{
		"HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,Site,NumberOfEmployees,External_Id__c", "HC_POLL_INTERVAL=24h",
	}, settings...)...)
	opt.DailyLimit = 1_000_000
	r.SF = org.New(opt).Start()
	t.Cleanup(r.SF.Close)
	r.Env["HC_SALESFORCE_LOGIN_URL"] = r.SF.URL()
	return r
}

// streaming waits until the bridge is subscribed and a change has come through.
func (r *rig) streaming() (id string) {
	r.T.Helper()
	r.Synced()
	r.Eventually("subscription", 30*time.Second, func() error {
		if n := len(r.accepted(accountTopic)); n == 0 {
			return fmt.Errorf("not subscribed")
		}
		return nil
	})
	id = r.Insert("Account", map[string]any{"Name": "First", "NumberOfEmployees": 0})
	r.arrives(id, 0, 10*time.Second)
	r.Eventually("position", 10*time.Second, func() error { // the row may have come by the first poll
		if r.Count("SELECT count(*) FROM hcbridge.position WHERE channel = $1", accountTopic) == 0 {
			return fmt.Errorf("no event has been applied")
		}
		return nil
	})
	return id
}

// accepted lists the subscribes to a channel that the org has taken.
func (r *rig) accepted(channel string) (list []cometd.Subscribe) {
	for _, s := range r.SF.Stream().Subscribes() {
		if s.Channel == channel && s.Error == "" {
			list = append(list, s)
		}
	}
	return list
}

// set changes a record as another user.
func (r *rig) set(id string, n int) {
	r.T.Helper()
	r.Must(r.SF.Update("Account", id, map[string]any{"NumberOfEmployees": n}))
}

// arrives waits until the row of a record holds n.
func (r *rig) arrives(id string, n int, within time.Duration) {
	r.T.Helper()
	r.Eventually(fmt.Sprintf("value %d of %s", n, id), within, r.holds(id, n))
}

// holds checks that the row of a record holds n.
func (r *rig) holds(id string, n int) func() error {
	return func() error {
		if got := r.Count("SELECT coalesce(max(numberofemployees), -1) FROM salesforce.account WHERE sfid = $1", id); got != n {
			return fmt.Errorf("the row holds %d, want %d", got, n)
		}
		return nil
	}
}

// gaps counts the gaps that are recorded for a reason, and those still open.
func (r *rig) gaps(reason string) (all, open int) {
	r.T.Helper()
	return r.Count("SELECT count(*) FROM hcbridge.gap WHERE reason LIKE $1", "%"+reason+"%"),
		r.Count("SELECT count(*) FROM hcbridge.gap WHERE closed_at IS NULL")
}

// gapClosed waits until a gap was recorded and looked into.
func (r *rig) gapClosed(reason string) {
	r.T.Helper()
	r.Eventually("gap", 15*time.Second, func() error {
		if all, open := r.gaps(reason); all != 1 || open != 0 {
			return fmt.Errorf("%d gaps %q, %d open", all, reason, open)
		}
		return nil
	})
}

// shows waits until the status of the connection and of Account is as check
// wants it.
func (r *rig) shows(what string, within time.Duration, check func(status.Connection, status.Object) bool) {
	r.T.Helper()
	r.Eventually(what, within, r.showing(check))
}

// showing checks the status of the connection and of Account.
func (r *rig) showing(check func(status.Connection, status.Object) bool) func() error {
	return func() error {
		st, ok := r.Status()
		if !ok {
			return fmt.Errorf("no status")
		}
		for _, o := range st.Objects {
			if o.Object == "Account" {
				if check(st.Connection, o) {
					return nil
				}
				return fmt.Errorf("streaming %s, mode %s, message %q", st.Connection.Streaming, o.ModeEffective, o.Message)
			}
		}
		return fmt.Errorf("no Account")
	}
}

// What servers do to a live stream, one thing after the other on a bridge: after
// each the next change is there within seconds, with the stream alone. A bridge
// that has lost session after session waits ever longer, so there are several.
// What is promised is a matter of seconds, so no other test runs beside them.
func TestStreamFaults(t *testing.T) { //nolint:paralleltest,tparallel // see above
	for name, faults := range map[string]func(*rig, *counter) []streamFault{
		"Sessions": sessionFaults, "Again": againFaults, "Answers": answerFaults, "Advice": adviceFaults,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := streamRig(t, org.Options{PollGrace: 5 * time.Second})
			b := r.Start()
			c := &counter{r: r, id: r.streaming()}
			for _, f := range faults(r, c) {
				if !t.Run(f.name, func(t *testing.T) { //nolint:paralleltest // one after the other on one bridge
					r.T = t
					defer func() { r.T = t }()
					r.parked()
					f.do(t)
					r.Promised("events flow again", f.within, r.holds(c.id, c.n))
					if f.after != nil {
						f.after(t)
					}
				}) {
					return // what follows would only fail for the same reason
				}
			}
			r.T = t
			r.Equal("Account")
			r.Promised("one client", 15*time.Second, func() error {
				if got := r.SF.StreamClients(); got != 1 {
					return fmt.Errorf("%d streaming clients", got)
				}
				return nil
			})
			if all, _ := r.gaps(""); all != 0 {
				t.Errorf("%d gaps, though nothing was missed", all)
			}
			b.End(syscall.SIGTERM)
			if got := r.SF.StreamClients(); got != 0 {
				t.Errorf("%d streaming clients after a clean stop", got)
			}
		})
	}
}

type streamFault struct {
	name   string
	within time.Duration // after the fault and the change, the value must be there
	do     func(t *testing.T)
	after  func(t *testing.T)
}

// counter changes one record again and again.
type counter struct {
	r  *rig
	id string
	n  int
}

func (c *counter) change() int {
	c.r.T.Helper()
	c.n++
	c.r.set(c.id, c.n)
	return c.n
}

const connect = `"/meta/connect"`

func sessionFaults(r *rig, c *counter) []streamFault {
	stream := r.SF.Stream()
	var back string // a record that is deleted and undeleted
	var row int     // its row
	return []streamFault{
		{name: "Row14EventsFiveTimes", within: 5 * time.Second, do: func(*testing.T) {
			r.Equal("Account")
			r.settled()
			r.SF.ResetCounters()
			stream.Duplicate(5)
			for range 3 { // stamps hold whole seconds
				r.arrives(c.id, c.change(), 5*time.Second)
				time.Sleep(1100 * time.Millisecond)
			}
			stream.Duplicate(1)
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			if got := without(r.SF.Calls()); len(got) != 0 {
				t.Errorf("calls %v for events that came again, want none", got)
			}
		}},
		// The change is made in the instant in which no session exists.
		{name: "Row1UnknownClient", within: 2 * time.Second, do: func(*testing.T) { r.SF.Forget(); c.change() }},
		{name: "Row15ReversedUpdates", within: 5 * time.Second, do: func(*testing.T) {
			r.SF.ReverseEvents(true)
			c.change()
			c.change()
			r.SF.ReverseEvents(false)
		}, after: func(*testing.T) { r.Equal("Account") }},
		{name: "Row15ReversedDelete", within: 5 * time.Second, do: func(*testing.T) {
			gone := r.Insert("Account", map[string]any{"Name": "Gone", "NumberOfEmployees": 1})
			r.arrives(gone, 1, 5*time.Second)
			time.Sleep(2100 * time.Millisecond)
			r.SF.ReverseEvents(true)
			r.set(gone, 2)
			r.Must(r.SF.Delete("Account", gone))
			r.SF.ReverseEvents(false)
			c.change()
		}, after: func(*testing.T) { r.Equal("Account") }},
		{name: "Row15ReversedUndelete", within: 5 * time.Second, do: func(*testing.T) {
			back = r.Insert("Account", map[string]any{"Name": "Back", "NumberOfEmployees": 1})
			r.arrives(back, 1, 5*time.Second)
			time.Sleep(2100 * time.Millisecond)
			row = r.Count("SELECT id FROM salesforce.account WHERE sfid = $1", back)
			r.SF.ReverseEvents(true)
			r.Must(r.SF.Delete("Account", back))
			r.Must(r.SF.Undelete("Account", back))
			r.SF.ReverseEvents(false)
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			r.Equal("Account")
			if got := r.Count("SELECT id FROM salesforce.account WHERE sfid = $1", back); got != row {
				t.Errorf("row %d has become row %d: it was deleted meanwhile", row, got)
			}
		}},
		{name: "Row20CookiesRotate", within: 2 * time.Second, do: func(t *testing.T) {
			t.Helper()
			r.arrives(c.id, c.change(), 5*time.Second)
			r.SF.ResetCounters()
			before := stream.Handshakes()
			stream.RotateCookies()
			for range 3 {
				r.arrives(c.id, c.change(), 2*time.Second)
			}
			if got := stream.Handshakes() - before; got != 0 {
				t.Errorf("%d handshakes because of a new cookie", got)
			}
			c.change()
		}},
		{name: "Row3TokenRevoked", within: 5 * time.Second, do: func(*testing.T) {
			r.SF.ResetCounters()
			r.SF.RevokeTokens()
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			if got := r.SF.Calls()["token"]; got != 1 {
				t.Errorf("%d logins after a revoked token, want 1", got)
			}
		}},
	}
}

func againFaults(r *rig, c *counter) []streamFault {
	stream := r.SF.Stream()
	return []streamFault{
		{name: "Row4HandshakeDenied401", within: 5 * time.Second, do: func(*testing.T) {
			r.SF.ResetCounters()
			stream.RefuseHandshake("401::Authentication invalid", 1)
			r.SF.Forget()
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			if got := r.SF.Calls()["token"]; got != 1 {
				t.Errorf("%d logins, want 1", got)
			}
		}},
		{name: "Row2UnknownClientAgainAndAgain", within: 20 * time.Second, do: func(t *testing.T) {
			t.Helper()
			before := stream.Handshakes()
			stream.ForgetEvery(1)
			r.SF.Forget()
			c.change()
			time.Sleep(3 * time.Second) // only the number of attempts in a time tells a loop
			stream.ForgetEvery(0)
			if got := stream.Handshakes() - before; got < 2 || got > 8 {
				t.Errorf("%d handshakes in 3 s, want a few", got)
			}
		}},
	}
}

func answerFaults(r *rig, c *counter) []streamFault {
	return []streamFault{
		{name: "Row21AdviceInterval", within: 3 * time.Second, do: func(*testing.T) {
			r.advise(map[string]any{"reconnect": "retry", "interval": 500})
			c.change()
		}},
		{name: "Row21AdviceUnreadable", within: 3 * time.Second, do: func(*testing.T) {
			r.advise(map[string]any{"reconnect": 7, "interval": "soon", "timeout": nil})
			c.change()
		}},
		{name: "Row11CutInABatch", within: 10 * time.Second, do: func(*testing.T) {
			f := r.SF.Fault(org.Fault{Path: "^/cometd/", Match: connect, Verb: org.Cut, Times: 1})
			for range 5 {
				c.change()
			}
			r.Must(f.Wait(r.T.Context(), 1))
		}},
		{name: "Row22HTML503", within: 10 * time.Second, do: func(*testing.T) {
			r.spoilPolls(org.Fault{Path: "^/cometd/", Verb: org.HTML, Times: 1})
			c.change()
		}},
		{name: "Row22HTML200", within: 10 * time.Second, do: func(*testing.T) {
			r.spoilPolls(org.Fault{Path: "^/cometd/", Verb: org.HTML, Status: 200, Times: 1})
			c.change()
		}},
	}
}

func adviceFaults(r *rig, c *counter) []streamFault {
	stream := r.SF.Stream()
	var elsewhere *httptest.Server
	var asked, token atomic.Bool
	return []streamFault{
		{name: "Row21AdviceHandshake", within: 3 * time.Second, do: func(*testing.T) {
			before := stream.Handshakes()
			r.advise(map[string]any{"reconnect": "handshake"})
			r.Eventually("new session", 3*time.Second, func() error {
				if stream.Handshakes() == before {
					return fmt.Errorf("none")
				}
				return nil
			})
			c.change()
		}},
		{name: "Row21AdviceNever", within: 8 * time.Second, do: func(*testing.T) {
			r.advise(map[string]any{"reconnect": "retry", "interval": -1})
			c.change()
		}},
		{name: "Row23Redirect", within: 15 * time.Second, do: func(t *testing.T) {
			t.Helper()
			elsewhere = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
				asked.Store(true)
				token.Store(q.Header.Get("Authorization") != "")
			}))
			r.spoilPolls(org.Fault{Path: "^/cometd/", Verb: org.Redirect, Body: elsewhere.URL, Times: 1})
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			elsewhere.Close()
			if asked.Load() {
				t.Errorf("a redirect was followed, with the token %v", token.Load())
			}
		}},
		{name: "Row22HTMLAtLogin", within: 20 * time.Second, do: func(*testing.T) {
			r.SF.Fault(org.Fault{Path: "/oauth2/token", Verb: org.HTML, Status: 200, Times: 1})
			r.SF.RevokeTokens()
			c.change()
		}},
	}
}

// parked waits until the bridge's poll has been waiting for a moment.
func (r *rig) parked() { r.parkedBy(1) }

// parkedBy waits until the polls of so many bridges have.
func (r *rig) parkedBy(bridges int) {
	r.T.Helper()
	since := time.Now()
	r.Eventually("quiet stream", 30*time.Second, func() error {
		if r.SF.Stream().Parked() != bridges {
			since = time.Now()
		}
		if time.Since(since) < 300*time.Millisecond {
			return fmt.Errorf("no poll waits")
		}
		return nil
	})
}

// advise puts advice on the next answer to a poll.
func (r *rig) advise(advice map[string]any) {
	r.T.Helper()
	done := make(chan struct{})
	r.SF.Stream().Control("/meta/connect", func(_, reply map[string]any) []map[string]any {
		reply["advice"] = advice
		close(done)
		return []map[string]any{reply}
	})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		r.T.Fatal("no poll came")
	}
}

// spoilPolls makes f apply to the next polls: the one that is parked is let go.
func (r *rig) spoilPolls(f org.Fault) {
	r.T.Helper()
	injected := r.SF.Fault(f)
	r.advise(nil)
	r.Must(injected.Wait(r.T.Context(), f.Times))
}
