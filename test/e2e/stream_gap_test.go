package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/org"
)

// The stream no longer holds the position of a bridge that was away for a day:
// what was missed is polled for, and new events flow.
func TestRow7ReplayExpired(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	first := r.Start()
	id := r.streaming()
	first.End(syscall.SIGTERM)
	r.Eventually("no client", 5*time.Second, func() error {
		if n := r.SF.StreamClients(); n != 0 {
			return fmt.Errorf("%d clients after a clean stop", n)
		}
		return nil
	})
	missed := r.Insert("Account", map[string]any{"Name": "Missed", "NumberOfEmployees": 7})
	r.set(id, 1)
	r.SF.ExpireReplay()
	r.Start()
	r.arrives(missed, 7, 30*time.Second)
	r.gapClosed("no longer holds")
	r.set(id, 2)
	r.arrives(id, 2, 5*time.Second)
	subs := r.accepted(accountTopic)
	if got := string(subs[len(subs)-1].Replay); got != "-1" {
		t.Errorf("subscribed from %s after the position had expired, want -1", got)
	}

	// Live, so that no first poll helps: the change falls between the sessions.
	r.SF.Stream().RefuseHandshake("401::Authentication invalid", 1)
	r.SF.Forget()
	r.set(id, 3)
	r.SF.ExpireReplay()
	r.arrives(id, 3, 20*time.Second)
	r.Eventually("second gap", 15*time.Second, func() error {
		if all, open := r.gaps("no longer holds"); all != 2 || open != 0 {
			return fmt.Errorf("%d gaps, %d open", all, open)
		}
		return nil
	})
}

// A server may pass over a position that it holds no more: it says that it subscribes
// and sends nothing, or it does not answer. The position is given up all the same, what
// was missed is polled for, and new events flow. A position that it holds is kept.
func TestReplayExpiredInSilence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deaf, mute bool
		gap        string
	}{
		"Deaf": {deaf: true, gap: "no event has come"}, "NoReply": {mute: true, gap: "does not answer"}, "Held": {deaf: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := streamRig(t, org.Options{DeafReplay: c.deaf}, "HC_POLL_INTERVAL=3s")
			first := r.Start()
			id := r.streaming()
			first.End(syscall.SIGTERM)
			if c.gap != "" {
				r.SF.ExpireReplay()
			}
			if c.mute {
				for range 20 {
					r.SF.Stream().Control("/meta/subscribe", func(request, reply map[string]any) []map[string]any {
						if request["subscription"] == accountTopic && !strings.Contains(fmt.Sprint(request["ext"]), "-1") {
							return nil
						}
						return []map[string]any{reply}
					})
				}
			}
			before := len(r.accepted(accountTopic))
			r.Start()
			n := 0
			if c.gap != "" {
				// Each is found by a poll, and 15 s later no event has told of it.
				r.Eventually("new position", 120*time.Second, func() error {
					if r.holds(id, n)() == nil {
						n++
						r.set(id, n)
					}
					subs := r.accepted(accountTopic)
					if len(subs) == before || string(subs[len(subs)-1].Replay) != "-1" {
						return fmt.Errorf("%d subscribes", len(subs)-before)
					}
					return nil
				})
				r.gapClosed(c.gap)
			}
			r.arrives(id, n, 10*time.Second)
			events := r.SF.Stream().Delivered()
			r.set(id, n+1)
			r.arrives(id, n+1, 10*time.Second)
			r.Eventually("event", 10*time.Second, func() error {
				if r.SF.Stream().Delivered() == events {
					return fmt.Errorf("none")
				}
				return nil
			})
			if all, _ := r.gaps(""); c.gap == "" && all != 0 {
				t.Errorf("%d gaps although nothing was missed", all)
			}
		})
	}
}

// Events that fall between two polls are found.
func TestRow10EventsDropped(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_POLL_INTERVAL=2s")
	r.Start()
	id := r.streaming()
	r.SF.Stream().Drop(func(_ string, replayID int64) bool { return replayID%10 < 3 })
	for n := range 100 {
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Dropped %d", n)})
	}
	r.set(id, 1)
	r.Equal("Account")
	if n := r.Count("SELECT count(*) FROM salesforce.account"); n != 101 {
		t.Errorf("%d rows, want 101", n)
	}
}

// A field that who changed a record may not read is not in the event, and is
// not emptied for that.
func TestRow16FieldMissing(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	r.Start()
	id := r.streaming()
	r.SF.OmitFromEvents("Account", "Phone")
	r.settled()
	r.SF.ResetCounters()
	for n := range 3 {
		r.Must(r.SF.Update("Account", id, map[string]any{"Phone": fmt.Sprintf("+49 %d", n), "NumberOfEmployees": n + 1}))
		r.arrives(id, n+1, 5*time.Second)
		if phone := r.Count("SELECT count(*) FROM salesforce.account WHERE sfid = $1 AND phone = $2", id, fmt.Sprintf("+49 %d", n)); phone != 1 {
			t.Fatal("the field that the event lacked is wrong in the row")
		}
	}
	if calls := without(r.SF.Calls()); calls["collections_retrieve"] < 3 {
		t.Errorf("calls %v, want a read for each event", calls)
	}
}

// A reply with 50,000 events in 50 MB is taken, and nothing of it is lost; one
// that is larger than memory allows is passed over, and what was in it is polled
// for. It must have come within half a minute, so nothing runs beside it.
func TestRow17GiantBatch(t *testing.T) { //nolint:paralleltest // see above
	r := streamRig(t, org.Options{})
	first := r.Start()
	id := r.streaming()
	first.End(syscall.SIGTERM) // else a poll on a slow machine would find some before

	const (
		events  = 50_000
		records = 250 // of them with an event that matters, here and there
	)
	stream := r.SF.Stream()
	image := fmt.Sprintf(`{"Id":%q,"SystemModstamp":"2020-01-01T00:00:00.000Z","IsDeleted":false,"Name":"Old","Phone":null,"Site":"x","NumberOfEmployees":1,"External_Id__c":null,"Padding__c":%q}`, id, strings.Repeat("x", 750))
	for n := range events {
		if n%(events/records) == 0 {
			r.Insert("Account", map[string]any{"Name": fmt.Sprintf("New %d", n), "NumberOfEmployees": n})
			continue
		}
		stream.Publish(accountTopic, time.Now(), func(replayID int64) any {
			return rawEvent(fmt.Sprintf(`{"event":{"createdDate":"2020-01-01T00:00:00.000Z","replayId":%d,"type":"updated"},"sobject":%s}`, replayID, image))
		})
	}
	r.set(id, 50)
	before := stream.Delivered()
	b := r.Start() // gets all at once
	r.arrives(id, 50, 60*time.Second)
	last := stream.LastReplayID(accountTopic)
	r.Eventually("position", 120*time.Second, func() error {
		if got := r.Count("SELECT max(replay_id) FROM hcbridge.position"); int64(got) != last {
			return fmt.Errorf("position %d of %d", got, last)
		}
		return nil
	})
	r.Equal("Account")
	if n := r.Count("SELECT count(*) FROM salesforce.account"); n != records+1 {
		t.Errorf("%d rows, want %d", n, records+1)
	}
	if got := stream.Delivered() - before; got > events+100 {
		t.Errorf("%d events were sent for %d", got, events)
	}
	if all, _ := r.gaps(""); all != 0 {
		t.Errorf("%d gaps, though all was taken", all)
	}
	if kb := peakMemory(t, b.Cmd.Process.Pid); kb > 400<<10 {
		t.Errorf("the process took %d MB", kb>>10)
	} else {
		t.Logf("%d events in one reply, %d MB at the most", events, kb>>10)
	}

	r.SF.Fault(org.Fault{Path: "^/cometd/", Match: `"/meta/connect"`, Verb: org.Reject, Status: 200, Body: "[" + strings.Repeat(" ", 65<<20) + "]", Times: 1})
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
