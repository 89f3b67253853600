package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// A topic that somebody has switched off is switched on again soon after polls have
// found what it should have told.
func TestTopicSwitchedOff(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_POLL_INTERVAL=2s")
	r.Start()
	r.streaming()
	r.Must(r.SF.Update("PushTopic", r.topic().ID, map[string]any{"IsActive": false}))
	var last time.Time
	r.Promised("the topic to be repaired", time.Minute, func() error {
		if r.topic().Get(r.SF.Object("PushTopic"), "IsActive") == true {
			return nil
		}
		if time.Since(last) > 2*time.Second {
			last = time.Now()
			r.Insert("Account", map[string]any{"Name": "unheard of"})
		}
		return errors.New("it is off")
	})
	r.Equal("Account")
}

// When the org's storage is full, new records wait, which shows; what needs no room
// goes on, and the records go when there is some again.
func TestStorageFull(t *testing.T) {
	t.Parallel()
	t.Run("by calls", func(t *testing.T) { t.Parallel(); storageFull(t, 300) })
	t.Run("by jobs", func(t *testing.T) { t.Parallel(); storageFull(t, 2500) })
}

// storageFull has n new records find no room.
func storageFull(t *testing.T, n int) {
	r := newRig(t, readWrite...)
	var full atomic.Bool
	r.SF.Trigger(func(d *sobject.Draft) error {
		if full.Load() && d.Kind == sobject.Insert && d.Object.Name == "Contact" {
			return &sobject.Error{Status: 400, Code: "STORAGE_LIMIT_EXCEEDED", Message: "storage limit exceeded", Fields: []string{}}
		}
		return nil
	})
	b := r.Start()
	r.Synced()
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('old', 'old'), ('changed', 'changed')")
	r.Equal("Contact")
	full.Store(true)
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) SELECT n::text, n::text FROM generate_series(1, $1::int) AS n", n)
	r.Eventually("the stop", 20*time.Second, func() error {
		if log := b.Log.String(); !strings.Contains(log, `"part":"new records of Contact"`) || !strings.Contains(log, "STORAGE_LIMIT_EXCEEDED") {
			return errors.New("is not told of")
		}
		return nil
	})
	r.Exec("UPDATE salesforce.contact SET department = 'new' WHERE external_id__c = 'changed'")
	r.Exec("DELETE FROM salesforce.contact WHERE external_id__c = 'old'")
	r.Eventually("what needs no room", 20*time.Second, func() error {
		records := r.SF.Records("Contact")
		if len(records) != 1 || records[0].Get(r.SF.Object("Contact"), "Department") != "new" {
			return fmt.Errorf("waits: %d records", len(records))
		}
		return nil
	})
	full.Store(false)
	r.Equal("Contact")
	r.once("Contact", "contact")
	if jobs := strings.Count(b.Log.String(), `"event":"bulk_started"`); jobs > 1 {
		t.Errorf("%d jobs", jobs)
	}
	if !strings.Contains(b.Log.String(), `"event":"flow_resumed","part":"new records of Contact"`) {
		t.Error("the flow has not been resumed")
	}
}

// A value that Salesforce cannot read makes it refuse all that it came with. In a call of
// several collections that is one of them, and only its record is refused in the end.
func TestOneValueThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	r.Start()
	r.Synced()
	// Collections with such a value are not packed.
	r.SF.Fault(org.Fault{
		Path: `/composite/sobjects`, Match: `@\{bad\}`, Verb: org.Reject, Status: 400,
		Body: `[{"message":"Cannot deserialize instance of string from VALUE_STRING value @{bad}","errorCode":"JSON_PARSER_ERROR"}]`,
	})
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) SELECT CASE n WHEN 300 THEN '@{bad}' ELSE n::text END, n::text FROM generate_series(1, 500) AS n")
	r.Eventually("all but one", time.Minute, func() error {
		if n, failed := len(r.SF.Records("Contact")), r.Count("SELECT count(*) FROM salesforce.contact WHERE _hc_lastop = 'FAILED'"); n != 499 || failed != 1 {
			return fmt.Errorf("%d arrived, %d refused", n, failed)
		}
		return nil
	})
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE _hc_lastop = 'FAILED' AND lastname = '@{bad}'"); n != 1 {
		t.Error("another one is refused")
	}
}

// A topic that cannot be made keeps no other object from being streamed, and shows.
func TestTopicCannotBeMade(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{}, "HC_OBJECTS=Account,Contact")
	var mended atomic.Bool
	r.SF.Trigger(func(d *sobject.Draft) error {
		if d.Object.Name == "PushTopic" && d.Get("Name") == "hc_Account" && !mended.Load() {
			return &sobject.Error{Status: 500, Code: "UNKNOWN_EXCEPTION", Message: "an unexpected error occurred"}
		}
		return nil
	})
	b := r.Start()
	r.Synced()
	streamed := func(object string) func() error {
		return func() error {
			if len(r.accepted("/topic/hc_"+object)) == 0 {
				return errors.New("is not subscribed")
			}
			return nil
		}
	}
	r.Eventually("Contact", 20*time.Second, streamed("Contact"))
	r.Promised("the stop", time.Minute, func() error {
		if !strings.Contains(b.Log.String(), `"part":"topics"`) {
			return errors.New("is not told of")
		}
		return nil
	})
	mended.Store(true)
	r.Eventually("Account", time.Minute, streamed("Account"))
}

// A first load that Salesforce refuses is shown, and tried again by itself.
func TestLoadIsRefusedAtFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name")
	r.Insert("Account", map[string]any{"Name": "one"})
	refused := r.SF.Fault(org.Fault{
		Path: `/query.*Account`, Verb: org.Reject, Status: 403,
		Body: `[{"message":"insufficient access rights on cross-reference id","errorCode":"INSUFFICIENT_ACCESS","fields":[]}]`,
	})
	r.Start()
	shown := func(state string) func() error {
		return func() error {
			st, _ := r.Status()
			if len(st.Objects) != 1 || st.Objects[0].State != state {
				return fmt.Errorf("status is %+v", st.Objects)
			}
			return nil
		}
	}
	r.Eventually("a mapping error", 20*time.Second, shown(status.MappingError))
	refused.Remove()
	r.Equal("Account")
	r.Eventually("synced", 20*time.Second, func() error {
		if st, _ := r.Status(); len(st.Objects) != 1 || st.Objects[0].Message != "" {
			return fmt.Errorf("status is %+v", st.Objects)
		}
		return shown(status.DataSynced)()
	})
}
