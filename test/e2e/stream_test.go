package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/org/cometd"
	"hcbridge/test/org/sobject"
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
	r.sf = org.New(opt).Start()
	t.Cleanup(r.sf.Close)
	r.env["HC_SALESFORCE_LOGIN_URL"] = r.sf.URL()
	return r
}

// streaming waits until the bridge is subscribed and a change has come through.
func (r *rig) streaming() (id string) {
	r.t.Helper()
	r.synced()
	r.eventually("subscription", 30*time.Second, func() error {
		if n := len(r.accepted(accountTopic)); n == 0 {
			return fmt.Errorf("not subscribed")
		}
		return nil
	})
	id = r.insert("Account", map[string]any{"Name": "First", "NumberOfEmployees": 0})
	r.arrives(id, 0, 10*time.Second)
	r.eventually("position", 10*time.Second, func() error { // the row may have come by the first poll
		if r.count("SELECT count(*) FROM hcbridge.position WHERE channel = $1", accountTopic) == 0 {
			return fmt.Errorf("no event has been applied")
		}
		return nil
	})
	return id
}

// accepted lists the subscribes to a channel that the org has taken.
func (r *rig) accepted(channel string) (list []cometd.Subscribe) {
	for _, s := range r.sf.Stream().Subscribes() {
		if s.Channel == channel && s.Error == "" {
			list = append(list, s)
		}
	}
	return list
}

// set changes a record as another user.
func (r *rig) set(id string, n int) {
	r.t.Helper()
	r.must(r.sf.Update("Account", id, map[string]any{"NumberOfEmployees": n}))
}

// arrives waits until the row of a record holds n.
func (r *rig) arrives(id string, n int, within time.Duration) (took time.Duration) {
	r.t.Helper()
	began := time.Now()
	r.eventually(fmt.Sprintf("value %d of %s", n, id), within, func() error {
		if got := r.count("SELECT coalesce(max(numberofemployees), -1) FROM salesforce.account WHERE sfid = $1", id); got != n {
			return fmt.Errorf("the row holds %d", got)
		}
		return nil
	})
	return time.Since(began)
}

// gaps counts the gaps that are recorded for a reason, and those still open.
func (r *rig) gaps(reason string) (all, open int) {
	r.t.Helper()
	return r.count("SELECT count(*) FROM hcbridge.gap WHERE reason LIKE $1", "%"+reason+"%"),
		r.count("SELECT count(*) FROM hcbridge.gap WHERE closed_at IS NULL")
}

// gapClosed waits until a gap was recorded and looked into.
func (r *rig) gapClosed(reason string) {
	r.t.Helper()
	r.eventually("gap", 15*time.Second, func() error {
		if all, open := r.gaps(reason); all != 1 || open != 0 {
			return fmt.Errorf("%d gaps %q, %d open", all, reason, open)
		}
		return nil
	})
}

// shows waits until the status of the connection and of Account is as check
// wants it.
func (r *rig) shows(what string, within time.Duration, check func(status.Connection, status.Object) bool) {
	r.t.Helper()
	r.eventually(what, within, func() error {
		st, ok := r.status()
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
	})
}

// What servers do to a live stream, one thing after the other on a bridge: after
// each the next change is there within seconds, with the stream alone. A bridge
// that has lost session after session waits ever longer, so there are several.
func TestStreamFaults(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]func(*rig, *counter) []streamFault{
		"Sessions": sessionFaults, "Again": againFaults, "Answers": answerFaults, "Advice": adviceFaults,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := streamRig(t, org.Options{PollGrace: 5 * time.Second})
			r.start()
			c := &counter{r: r, id: r.streaming()}
			for _, f := range faults(r, c) {
				if !t.Run(f.name, func(t *testing.T) { //nolint:paralleltest // one after the other on one bridge
					r.t = t
					defer func() { r.t = t }()
					r.parked()
					f.do(t)
					t.Logf("flows again after %s", r.arrives(c.id, c.n, f.within).Round(time.Millisecond))
					if f.after != nil {
						f.after(t)
					}
				}) {
					return // what follows would only fail for the same reason
				}
			}
			r.t = t
			r.equal("Account")
			r.eventually("one client", 15*time.Second, func() error {
				if got := r.sf.StreamClients(); got != 1 {
					return fmt.Errorf("%d streaming clients", got)
				}
				return nil
			})
			if all, _ := r.gaps(""); all != 0 {
				t.Errorf("%d gaps, though nothing was missed", all)
			}
		})
	}
}

type streamFault struct {
	name   string
	within time.Duration // of the fault
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
	c.r.t.Helper()
	c.n++
	c.r.set(c.id, c.n)
	return c.n
}

const connect = `"/meta/connect"`

func sessionFaults(r *rig, c *counter) []streamFault {
	stream := r.sf.Stream()
	return []streamFault{
		// The change is made in the instant in which no session exists.
		{name: "Row1UnknownClient", within: 2 * time.Second, do: func(*testing.T) { r.sf.Forget(); c.change() }},
		{name: "Row4HandshakeDenied401", within: 15 * time.Second, do: func(*testing.T) {
			r.sf.ResetCounters()
			stream.RefuseHandshake("401::Authentication invalid", 1)
			r.sf.Forget()
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			if got := r.sf.Calls()["token"]; got != 1 {
				t.Errorf("%d logins, want 1", got)
			}
		}},
		{name: "Row14EventsFiveTimes", within: 5 * time.Second, do: func(*testing.T) {
			r.equal("Account")
			r.settled()
			r.sf.ResetCounters()
			stream.Duplicate(5)
			for range 3 { // stamps hold whole seconds
				r.arrives(c.id, c.change(), 5*time.Second)
				time.Sleep(1100 * time.Millisecond)
			}
			stream.Duplicate(1)
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			if got := without(r.sf.Calls()); len(got) != 0 {
				t.Errorf("calls %v for events that came again, want none", got)
			}
		}},
		{name: "Row15ReversedUpdates", within: 5 * time.Second, do: func(*testing.T) {
			r.sf.ReverseEvents(true)
			c.change()
			c.change()
			r.sf.ReverseEvents(false)
		}, after: func(*testing.T) { r.equal("Account") }},
		{name: "Row15ReversedDelete", within: 5 * time.Second, do: func(*testing.T) {
			gone := r.insert("Account", map[string]any{"Name": "Gone", "NumberOfEmployees": 1})
			r.arrives(gone, 1, 5*time.Second)
			time.Sleep(2100 * time.Millisecond)
			r.sf.ReverseEvents(true)
			r.set(gone, 2)
			r.must(r.sf.Delete("Account", gone))
			r.sf.ReverseEvents(false)
			c.change()
		}, after: func(*testing.T) { r.equal("Account") }},
		{name: "Row20CookiesRotate", within: 2 * time.Second, do: func(t *testing.T) {
			t.Helper()
			r.arrives(c.id, c.change(), 5*time.Second)
			r.sf.ResetCounters()
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
			r.sf.ResetCounters()
			r.sf.RevokeTokens()
			c.change()
		}, after: func(t *testing.T) {
			t.Helper()
			if got := r.sf.Calls()["token"]; got != 1 {
				t.Errorf("%d logins after a revoked token, want 1", got)
			}
		}},
	}
}

func againFaults(r *rig, c *counter) []streamFault {
	stream := r.sf.Stream()
	return []streamFault{
		{name: "Row2UnknownClientAgainAndAgain", within: 20 * time.Second, do: func(t *testing.T) {
			t.Helper()
			before := stream.Handshakes()
			stream.ForgetEvery(1)
			r.sf.Forget()
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
			f := r.sf.Fault(org.Fault{Path: "^/cometd/", Match: connect, Verb: org.Cut, Times: 1})
			for range 5 {
				c.change()
			}
			r.must(f.Wait(r.t.Context(), 1))
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
	stream := r.sf.Stream()
	var elsewhere *httptest.Server
	var asked, token atomic.Bool
	return []streamFault{
		{name: "Row21AdviceHandshake", within: 3 * time.Second, do: func(*testing.T) {
			before := stream.Handshakes()
			r.advise(map[string]any{"reconnect": "handshake"})
			r.eventually("new session", 3*time.Second, func() error {
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
			r.sf.Fault(org.Fault{Path: "/oauth2/token", Verb: org.HTML, Status: 200, Times: 1})
			r.sf.RevokeTokens()
			c.change()
		}},
	}
}

// parked waits until the bridge's poll has been waiting for a moment.
func (r *rig) parked() {
	r.t.Helper()
	since := time.Now()
	r.eventually("quiet stream", 30*time.Second, func() error {
		if r.sf.Stream().Parked() != 1 {
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
	r.t.Helper()
	done := make(chan struct{})
	r.sf.Stream().Control("/meta/connect", func(_, reply map[string]any) []map[string]any {
		reply["advice"] = advice
		close(done)
		return []map[string]any{reply}
	})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		r.t.Fatal("no poll came")
	}
}

// spoilPolls makes f apply to the next polls: the one that is parked is let go.
func (r *rig) spoilPolls(f org.Fault) {
	r.t.Helper()
	injected := r.sf.Fault(f)
	r.advise(nil)
	r.must(injected.Wait(r.t.Context(), f.Times))
}

// A channel that the user may not read is polled; the others live on, and it
// is streamed again when the refusal has gone.
func TestRow6SubscribeDenied(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_OBJECTS=Account,Contact")
	r.start()
	id := r.streaming()
	r.sf.Stream().RefuseSubscribe("/topic/hc_Contact", "403::Subscriber does not have access to the entity in this topic", "", 1)
	r.sf.Forget()
	contact := func(mode, message string) {
		t.Helper()
		r.eventually("Contact "+mode, 20*time.Second, func() error {
			st, _ := r.status()
			for _, o := range st.Objects {
				if o.Object == "Contact" && o.ModeEffective == mode && strings.Contains(o.Message, message) {
					return nil
				}
			}
			return fmt.Errorf("%+v", st.Objects)
		})
	}
	contact("polling", "does not have access to the entity")
	r.set(id, 1)
	r.arrives(id, 1, 5*time.Second)
	r.sf.Forget() // a new session verifies
	contact("streaming", "")
}

// The stream no longer holds the position of a bridge that was away for a day:
// what was missed is polled for, and new events flow.
func TestRow7ReplayExpired(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	first := r.start()
	id := r.streaming()
	first.end(syscall.SIGTERM)
	r.eventually("no client", 5*time.Second, func() error {
		if n := r.sf.StreamClients(); n != 0 {
			return fmt.Errorf("%d clients after a clean stop", n)
		}
		return nil
	})
	missed := r.insert("Account", map[string]any{"Name": "Missed", "NumberOfEmployees": 7})
	r.set(id, 1)
	r.sf.ExpireReplay()
	r.start()
	r.arrives(missed, 7, 30*time.Second)
	r.gapClosed("no longer holds")
	r.set(id, 2)
	r.arrives(id, 2, 5*time.Second)
	subs := r.accepted(accountTopic)
	if got := string(subs[len(subs)-1].Replay); got != "-1" {
		t.Errorf("subscribed from %s after the position had expired, want -1", got)
	}

	// Live, so that no first poll helps: the change falls between the sessions.
	r.sf.Stream().RefuseHandshake("401::Authentication invalid", 1)
	r.sf.Forget()
	r.set(id, 3)
	r.sf.ExpireReplay()
	r.arrives(id, 3, 20*time.Second)
	r.eventually("second gap", 15*time.Second, func() error {
		if all, open := r.gaps("no longer holds"); all != 2 || open != 0 {
			return fmt.Errorf("%d gaps, %d open", all, open)
		}
		return nil
	})
}

// A topic that was deleted and made anew has the numbers of another history:
// the old position may be valid in it, and mean nothing.
func TestRow8TopicMadeAnew(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	first := r.start()
	id := r.streaming()
	for n := range 5 {
		r.set(id, n+1)
	}
	r.arrives(id, 5, 5*time.Second)
	old := int64(r.count("SELECT max(replay_id) FROM hcbridge.position"))
	first.end(syscall.SIGTERM)
	r.remakeTopic()
	for n := 6; r.sf.Stream().LastReplayID(accountTopic) < 3*old; n++ {
		r.set(id, n)
	}
	before := len(r.sf.Stream().Subscribes())
	r.start()
	r.eventually("subscription", 30*time.Second, func() error {
		if len(r.sf.Stream().Subscribes()) == before {
			return fmt.Errorf("none")
		}
		return nil
	})
	for _, s := range r.sf.Stream().Subscribes()[before:] {
		if s.Channel == accountTopic && string(s.Replay) != "-1" {
			t.Errorf("the new topic was subscribed from %s, a position of the old one", s.Replay)
		}
	}
	r.equal("Account")
	r.gapClosed("made anew")

	// Deleted under a live bridge: noticed when it subscribes again.
	r.must(r.sf.Delete("PushTopic", r.topic().ID))
	r.set(id, 1001)
	r.sf.Forget()
	r.arrives(id, 1001, 20*time.Second)
	r.eventually("subscription", 10*time.Second, func() error {
		if r.sf.Stream().LastReplayID(accountTopic) == 0 {
			r.set(id, r.count("SELECT numberofemployees + 1 FROM salesforce.account WHERE sfid = $1", id))
			return fmt.Errorf("no events")
		}
		return nil
	})
	r.equal("Account")
}

// topic is the PushTopic of Account.
func (r *rig) topic() sobject.Record {
	r.t.Helper()
	for _, rec := range r.sf.Records("PushTopic") {
		if rec.Get(r.sf.Object("PushTopic"), "Name") == "hc_Account" {
			return rec
		}
	}
	r.t.Fatal("no topic hc_Account")
	return sobject.Record{}
}

// remakeTopic deletes the topic and makes another that looks the same.
func (r *rig) remakeTopic() {
	r.t.Helper()
	rec, ob := r.topic(), r.sf.Object("PushTopic")
	fields := map[string]any{}
	for _, name := range []string{
		"Name", "Query", "ApiVersion", "IsActive", "NotifyForFields", "NotifyForOperationCreate",
		"NotifyForOperationUpdate", "NotifyForOperationDelete", "NotifyForOperationUndelete", "Description",
	} {
		fields[name] = rec.Get(ob, name)
	}
	r.must(r.sf.Delete("PushTopic", rec.ID))
	r.insert("PushTopic", fields)
}

// Events that fall between two polls are found.
func TestRow10EventsDropped(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_POLL_INTERVAL=2s")
	r.start()
	id := r.streaming()
	r.sf.Stream().Drop(func(_ string, replayID int64) bool { return replayID%10 < 3 })
	for n := range 100 {
		r.insert("Account", map[string]any{"Name": fmt.Sprintf("Dropped %d", n)})
	}
	r.set(id, 1)
	r.equal("Account")
	if n := r.count("SELECT count(*) FROM salesforce.account"); n != 101 {
		t.Errorf("%d rows, want 101", n)
	}
}

// A field that who changed a record may not read is not in the event, and is
// not emptied for that.
func TestRow16FieldMissing(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	r.start()
	id := r.streaming()
	r.sf.OmitFromEvents("Account", "Phone")
	r.settled()
	r.sf.ResetCounters()
	for n := range 3 {
		r.must(r.sf.Update("Account", id, map[string]any{"Phone": fmt.Sprintf("+49 %d", n), "NumberOfEmployees": n + 1}))
		r.arrives(id, n+1, 5*time.Second)
		if phone := r.count("SELECT count(*) FROM salesforce.account WHERE sfid = $1 AND phone = $2", id, fmt.Sprintf("+49 %d", n)); phone != 1 {
			t.Fatal("the field that the event lacked is wrong in the row")
		}
	}
	if calls := without(r.sf.Calls()); calls["collections_retrieve"] < 3 {
		t.Errorf("calls %v, want a read for each event", calls)
	}
}

// A reply with 50,000 events is taken; one that is larger than memory allows
// is passed over, and what was in it is polled for.
func TestRow17GiantBatch(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	b := r.start()
	id := r.streaming()

	const events = 50_000
	stream := r.sf.Stream()
	stream.Mute(true)
	r.set(id, 50)
	image := fmt.Sprintf(`{"Id":%q,"SystemModstamp":"2020-01-01T00:00:00.000Z","IsDeleted":false,"Name":"Old","Phone":null,"Site":%q,"NumberOfEmployees":1,"External_Id__c":null}`, id, strings.Repeat("x", 80))
	for range events {
		stream.Publish(accountTopic, time.Now(), func(replayID int64) any {
			return rawEvent(fmt.Sprintf(`{"event":{"createdDate":"2020-01-01T00:00:00.000Z","replayId":%d,"type":"updated"},"sobject":%s}`, replayID, image))
		})
	}
	stream.Mute(false)
	before := stream.Delivered()
	r.sf.Forget() // the next session gets all at once
	r.arrives(id, 50, 30*time.Second)
	last := stream.LastReplayID(accountTopic)
	r.eventually("position", 60*time.Second, func() error {
		if got := r.count("SELECT max(replay_id) FROM hcbridge.position"); int64(got) != last {
			return fmt.Errorf("position %d of %d", got, last)
		}
		return nil
	})
	if got := stream.Delivered() - before; got > events+100 {
		t.Errorf("%d events were sent for %d", got, events)
	}
	if kb := peakMemory(t, b.cmd.Process.Pid); kb > 1<<20 {
		t.Errorf("the process took %d MB", kb>>10)
	} else {
		t.Logf("%d events in one reply, %d MB at the most, with the race detector", events, kb>>10)
	}

	r.sf.Fault(org.Fault{Path: "^/cometd/", Match: `"/meta/connect"`, Verb: org.Reject, Status: 200, Body: "[" + strings.Repeat(" ", 65<<20) + "]", Times: 1})
	r.advise(nil)
	r.set(id, 51)
	r.arrives(id, 51, 30*time.Second)
	r.gapClosed("more events came at once")
	r.set(id, 52)
	r.arrives(id, 52, 10*time.Second)
}

type rawEvent string

// MarshalJSON implements json.Marshaler.
func (e rawEvent) MarshalJSON() ([]byte, error) { return []byte(e), nil }

// peakMemory is the most memory that a process had, in kB.
func peakMemory(t *testing.T, pid int) (kb int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// Objects without PushTopics, or without room for one, are polled and say so;
// the others are streamed.
func TestRow24TopicQuota(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{TopicLimit: 1}, "HC_OBJECTS=Account,Contact,User", "HC_POLL_INTERVAL=2s")
	r.start()
	id := r.streaming()
	r.eventually("status", 20*time.Second, func() error {
		st, _ := r.status()
		for _, o := range st.Objects {
			mode, text := "polling", "no room for another PushTopic"
			switch o.Object {
			case "Account":
				mode, text = "streaming", ""
			case "User":
				text = "do not support this object"
			}
			if o.ModeEffective != mode || !strings.Contains(o.Message, text) {
				return fmt.Errorf("%s: %s, %q", o.Object, o.ModeEffective, o.Message)
			}
		}
		return nil
	})
	r.set(id, 1)
	r.arrives(id, 1, 5*time.Second)
	r.insert("Contact", map[string]any{"LastName": "Polled"})
	r.equal("Account", "Contact")
}

// What an administrator does to our topics is mended at the next session, and
// what was missed meanwhile is polled for.
func TestRow25TopicChanged(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	r.start()
	id := r.streaming()
	for n, edit := range []map[string]any{
		{"IsActive": false},
		{"Query": "SELECT Id, Name FROM Account WHERE Name = 'Nobody'", "NotifyForFields": "Referenced", "NotifyForOperationUpdate": false},
	} {
		want := r.topic()
		r.must(r.sf.Update("PushTopic", want.ID, edit))
		r.set(id, 2*n+1) // announced by nobody
		r.sf.Forget()
		r.eventually("repair", 20*time.Second, func() error {
			got := r.topic()
			for field := range edit {
				if ob := r.sf.Object("PushTopic"); got.ID != want.ID || got.Get(ob, field) != want.Get(ob, field) {
					return fmt.Errorf("%s is %v", field, got.Get(ob, field))
				}
			}
			return nil
		})
		r.arrives(id, 2*n+1, 10*time.Second)
		r.set(id, 2*n+2)
		r.arrives(id, 2*n+2, 5*time.Second)
	}
}

// A topic of our name that is somebody else's is left alone.
func TestRow26ForeignTopic(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_POLL_INTERVAL=1s")
	foreign := r.insert("PushTopic", map[string]any{
		"Name": "hc_Account", "Query": "SELECT Id FROM Account WHERE Name = 'Theirs'", "ApiVersion": 60, "NotifyForFields": "All", "Description": "ours",
	})
	r.start()
	r.synced()
	r.shows("fallback", 20*time.Second, func(_ status.Connection, o status.Object) bool {
		return o.ModeEffective == "polling" && strings.Contains(o.Message, "belongs to somebody else")
	})
	r.insert("Account", map[string]any{"Name": "Polled"})
	r.equal("Account")
	if got := r.topic(); got.ID != foreign || got.Get(r.sf.Object("PushTopic"), "Description") != "ours" || r.sf.Writes(foreign) != 1 {
		t.Error("somebody else's topic was touched")
	}
}
