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

// Where nothing can be mapped the bridge says so and waits for somebody to mend it.
func TestNothingCanBeMapped(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_FIELDS=LastName,Favourite__c")
	b := r.Start()
	r.Eventually("status", 20*time.Second, func() error {
		select {
		case <-b.Done:
			t.Fatal("the bridge has ended")
		default:
		}
		if st, ok := r.Status(); !ok || len(st.Objects) != 1 || st.Objects[0].State != status.MappingError || !strings.Contains(st.Objects[0].Message, "Favourite__c") {
			return fmt.Errorf("status is %+v", st.Objects)
		}
		return nil
	})
}

// Objects and relationships go by the names that Salesforce gives them, however they
// are written in the settings.
func TestNamesAsSalesforceHasThem(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=contact", "HC_OBJECT_CONTACT_FIELDS=LastName,Account__r.External_Id__c")
	parent := r.Insert("Account", map[string]any{"Name": "parent", "External_Id__c": "p1"})
	r.Insert("Contact", map[string]any{"LastName": "child", "AccountId": parent})
	r.Start()
	r.Synced()
	r.Eventually("the row", 20*time.Second, func() error {
		if r.Count("SELECT count(*) FROM salesforce.contact WHERE account__external_id__c = 'p1'") != 1 {
			return errors.New("is not there")
		}
		return nil
	})
	r.Eventually("status", 20*time.Second, func() error {
		st, _ := r.Status()
		if len(st.Objects) != 1 || st.Objects[0].Object != "Contact" || st.Objects[0].State != status.DataSynced || st.Objects[0].Mode == "" || st.Objects[0].Access == "" {
			return fmt.Errorf("objects are %+v", st.Objects)
		}
		return nil
	})
	code, out, _ := r.Command("status")
	if code != 0 || !strings.Contains(out, "LAST POLL") || !strings.Contains(out, "s ago") {
		t.Errorf("status ends with %d:\n%s", code, out)
	}
}

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
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) SELECT n::text, n::text FROM generate_series(1, 300) AS n")
	r.Eventually("the stop", 20*time.Second, func() error {
		if log := b.Log.String(); !strings.Contains(log, `"part":"upsert of Contact"`) || !strings.Contains(log, "STORAGE_LIMIT_EXCEEDED") {
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
	if !strings.Contains(b.Log.String(), `"event":"flow_resumed","part":"upsert of Contact"`) && !strings.Contains(b.Log.String(), "flow_resumed") {
		t.Error("the flow has not been resumed")
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

// What an app writes to tables that are read only is captured as such and goes to the
// archive, also where nothing at all is sent.
func TestReadOnlyLogStaysShort(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name")
	r.Insert("Account", map[string]any{"Name": "theirs"})
	r.Start()
	r.Equal("Account")
	r.Exec("UPDATE salesforce.account SET name = 'ours'")
	r.Eventually("the archive", 20*time.Second, func() error {
		if n, m := r.Count("SELECT count(*) FROM salesforce._trigger_log"), r.Count("SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'READONLY'"); n != 0 || m != 1 {
			return fmt.Errorf("%d entries in the log, %d in the archive", n, m)
		}
		return nil
	})
}
