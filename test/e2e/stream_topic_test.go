package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// A channel that the user may not read is polled; the others live on, and it
// is streamed again when the refusal has gone.
func TestRow6SubscribeDenied(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_OBJECTS=Account,Contact")
	r.Start()
	id := r.streaming()
	r.SF.Stream().RefuseSubscribe("/topic/hc_Contact", "403::Subscriber does not have access to the entity in this topic", "", 1)
	r.SF.Forget()
	contact := func(mode, message string) {
		t.Helper()
		r.Eventually("Contact "+mode, 20*time.Second, func() error {
			st, _ := r.Status()
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
	r.SF.Forget() // a new session verifies
	contact("streaming", "")
}

// A topic that was deleted and made anew has the numbers of another history:
// the old position may be valid in it, and mean nothing.
func TestRow8TopicMadeAnew(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	first := r.Start()
	id := r.streaming()
	for n := range 5 {
		r.set(id, n+1)
	}
	r.arrives(id, 5, 5*time.Second)
	old := int64(r.Count("SELECT max(replay_id) FROM hcbridge.position"))
	first.End(syscall.SIGTERM)
	r.remakeTopic()
	for n := 6; r.SF.Stream().LastReplayID(accountTopic) < 3*old; n++ {
		r.set(id, n)
	}
	before := len(r.SF.Stream().Subscribes())
	r.Start()
	r.Eventually("subscription", 30*time.Second, func() error {
		if len(r.SF.Stream().Subscribes()) == before {
			return fmt.Errorf("none")
		}
		return nil
	})
	for _, s := range r.SF.Stream().Subscribes()[before:] {
		if s.Channel == accountTopic && string(s.Replay) != "-1" {
			t.Errorf("the new topic was subscribed from %s, a position of the old one", s.Replay)
		}
	}
	r.Equal("Account")
	r.gapClosed("made anew")

	// Deleted under a live bridge: noticed when it subscribes again.
	r.Must(r.SF.Delete("PushTopic", r.topic().ID))
	r.set(id, 1001)
	r.SF.Forget()
	r.arrives(id, 1001, 20*time.Second)
	r.Eventually("subscription", 10*time.Second, func() error {
		if r.SF.Stream().LastReplayID(accountTopic) == 0 {
			r.set(id, r.Count("SELECT numberofemployees + 1 FROM salesforce.account WHERE sfid = $1", id))
			return fmt.Errorf("no events")
		}
		return nil
	})
	r.Equal("Account")
}

// topic is the PushTopic of Account.
func (r *rig) topic() sobject.Record {
	r.T.Helper()
	for _, rec := range r.SF.Records("PushTopic") {
		if rec.Get(r.SF.Object("PushTopic"), "Name") == "hc_Account" {
			return rec
		}
	}
	r.T.Fatal("no topic hc_Account")
	return sobject.Record{}
}

// remakeTopic deletes the topic and makes another that looks the same.
func (r *rig) remakeTopic() {
	r.T.Helper()
	rec, ob := r.topic(), r.SF.Object("PushTopic")
	fields := map[string]any{}
	for _, name := range []string{
		"Name", "Query", "ApiVersion", "IsActive", "NotifyForFields", "NotifyForOperationCreate",
		"NotifyForOperationUpdate", "NotifyForOperationDelete", "NotifyForOperationUndelete", "Description",
	} {
		fields[name] = rec.Get(ob, name)
	}
	r.Must(r.SF.Delete("PushTopic", rec.ID))
	r.Insert("PushTopic", fields)
}

// Objects without PushTopics, or without room for one, are polled and say so;
// the others are streamed.
func TestRow24TopicQuota(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{TopicLimit: 1}, "HC_OBJECTS=Account,Contact,User", "HC_POLL_INTERVAL=2s")
	r.Start()
	id := r.streaming()
	r.Eventually("status", 20*time.Second, func() error {
		st, _ := r.Status()
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
	r.Insert("Contact", map[string]any{"LastName": "Polled"})
	r.Equal("Account", "Contact")
}

// What an administrator does to our topics is mended at the next session, and
// what was missed meanwhile is polled for.
func TestRow25TopicChanged(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	r.Start()
	id := r.streaming()
	for n, edit := range []map[string]any{
		{"IsActive": false},
		{"Query": "SELECT Id, Name FROM Account WHERE Name = 'Nobody'", "NotifyForFields": "Referenced", "NotifyForOperationUpdate": false},
	} {
		want := r.topic()
		r.Must(r.SF.Update("PushTopic", want.ID, edit))
		r.set(id, 2*n+1) // announced by nobody
		r.SF.Forget()
		r.Eventually("repair", 20*time.Second, func() error {
			got := r.topic()
			for field := range edit {
				if ob := r.SF.Object("PushTopic"); got.ID != want.ID || got.Get(ob, field) != want.Get(ob, field) {
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
	foreign := r.Insert("PushTopic", map[string]any{
		"Name": "hc_Account", "Query": "SELECT Id FROM Account WHERE Name = 'Theirs'", "ApiVersion": 60, "NotifyForFields": "All", "Description": "ours",
	})
	r.Start()
	r.Synced()
	r.shows("fallback", 20*time.Second, func(_ status.Connection, o status.Object) bool {
		return o.ModeEffective == "polling" && strings.Contains(o.Message, "belongs to somebody else")
	})
	r.Insert("Account", map[string]any{"Name": "Polled"})
	r.Equal("Account")
	if got := r.topic(); got.ID != foreign || got.Get(r.SF.Object("PushTopic"), "Description") != "ours" || r.SF.Writes(foreign) != 1 {
		t.Error("somebody else's topic was touched")
	}
}

// Two bridges on one org, with other fields and objects: the topic is that of
// the first, the second uses it, and neither undoes what the other did.
func TestRow26TwoBridges(t *testing.T) {
	t.Parallel()
	first := streamRig(t, org.Options{PollGrace: 5 * time.Second}, "HC_OBJECTS=Account,Contact")
	b := first.Start()
	id := first.streaming()
	second := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name,Website,NumberOfEmployees", "HC_POLL_INTERVAL=24h")
	second.SF = first.SF
	second.Env["HC_SALESFORCE_LOGIN_URL"] = first.SF.URL()
	second.Start()
	second.Synced()
	streams := func(_ status.Connection, o status.Object) bool {
		return o.ModeEffective == "streaming" && o.Message == ""
	}
	second.shows("shared topic", 20*time.Second, streams)
	made := map[string]string{}
	for _, rec := range first.SF.Records("PushTopic") {
		made[rec.ID] = fmt.Sprint(rec.Get(first.SF.Object("PushTopic"), "Name"))
	}
	if len(made) != 2 {
		t.Fatalf("topics %v, want one for each object", made)
	}
	for n := range 3 {
		first.Must(first.SF.Update("Account", id, map[string]any{"Website": fmt.Sprintf("https://%d.example", n), "NumberOfEmployees": n + 1}))
		first.arrives(id, n+1, 5*time.Second)
		second.arrives(id, n+1, 5*time.Second)
		second.Equal("Account") // with the field that the topic does not carry
		second.settled()        // until both have verified in their sessions
		first.SF.Forget()
	}
	first.parkedBy(2)
	for id, name := range made {
		if got := first.SF.Writes(id); got != 1 {
			t.Errorf("%s was written %d times, want once", name, got)
		}
	}

	// The second does not repair what is not its own, but says so.
	b.End(syscall.SIGTERM)
	first.Must(first.SF.Update("PushTopic", first.topic().ID, map[string]any{"IsActive": false}))
	first.SF.Forget()
	second.shows("fallback", 20*time.Second, func(_ status.Connection, o status.Object) bool {
		return o.ModeEffective == "polling" && strings.Contains(o.Message, "of another bridge")
	})
	if got := first.SF.Writes(first.topic().ID); got != 2 {
		t.Errorf("the topic was written %d times, want twice: made, and deactivated", got)
	}
	first.Start()
	first.Eventually("repair", 20*time.Second, func() error {
		if first.SF.Writes(first.topic().ID) != 3 {
			return fmt.Errorf("the topic is as it was")
		}
		return nil
	})
}
