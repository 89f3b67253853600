package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	testrig "hcbridge/test/rig"
)

// An object that is taken out of the mapping is not captured any more, which the log and
// status tell, and check before. When it is mapped again the log tells that changes were
// missed, and how many; nothing of the app's is sent or undone by that (fault 106).
func TestTakenOutAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	var ids []string
	for _, name := range []string{"Untouched", "Changed", "Deleted"} {
		ids = append(ids, r.Insert("Contact", map[string]any{"LastName": name}))
	}
	told := func(b *testrig.Bridge, words ...string) {
		t.Helper()
		r.Eventually(words[0], 20*time.Second, func() error {
			for line := range strings.Lines(b.Log.String()) {
				missing := false
				for _, word := range words {
					missing = missing || !strings.Contains(line, word)
				}
				if !missing {
					return nil
				}
			}
			return errors.New("is not told")
		})
	}
	silent := func(b *testrig.Bridge) {
		t.Helper()
		for _, event := range []string{"capture_ended", "capture_repaired", "capture_compared"} {
			if strings.Contains(b.Log.String(), event) {
				t.Errorf("%s is told", event)
			}
		}
	}
	b := r.Start()
	r.Synced()
	r.Equal("Account", "Contact")
	b.End(15)
	silent(b)
	objects := r.Env["HC_OBJECTS"]
	settings := map[string]string{}
	for name, value := range r.Env {
		if strings.HasPrefix(name, "HC_OBJECT_CONTACT_") {
			settings[name] = value
			delete(r.Env, name)
		}
	}
	r.Env["HC_OBJECTS"] = "Account"
	const left = "tables that were mapped and are not now: contact"
	if _, out, _ := r.Command("check"); !strings.Contains(out, "! Postgres: "+left) {
		t.Errorf("check says:\n%s", out)
	}
	b = r.Start()
	told(b, `"level":"warn"`, `"event":"capture_ended"`, `"tables":["contact"]`)
	r.says("", left)
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('Made')")
	r.Exec("UPDATE salesforce.contact SET lastname = 'Changed here' WHERE sfid = $1", ids[1])
	r.Exec("DELETE FROM salesforce.contact WHERE sfid = $1", ids[2])
	r.Exec("UPDATE hcbridge.object SET full_mark = now() - interval '8 days' WHERE object = 'Contact'") // it was so long
	b.End(15)

	start := func() *testrig.Bridge {
		t.Helper()
		r.Exec("UPDATE hcbridge.instance SET status = NULL") // of the process before
		return r.Start()
	}
	b = start() // it is told when it happens, and shown as long as it is so
	r.says("", left)
	b.End(15)
	silent(b)

	r.Env["HC_OBJECTS"] = objects
	for name, value := range settings {
		r.Env[name] = value
	}
	b = r.Start()
	told(b, `"level":"warn"`, `"event":"capture_repaired"`, `"object":"Contact"`, "hcbridge verify")
	told(b, `"level":"warn"`, `"event":"capture_compared"`, `"object":"Contact"`, `"unsent":1`, `"values":1`, `"no_record":0`)
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE lastname IN ('Made', 'Changed here')"); n != 2 {
		t.Errorf("%d of 2 changes of the app are in the table", n)
	}
	r.Exec("SELECT salesforce.hc_capture_insert_from_row(hstore(c.*), 'contact') FROM salesforce.contact AS c WHERE sfid IS NULL")
	r.Exec("SELECT salesforce.hc_capture_update_from_row(hstore(c.*), 'contact', ARRAY['lastname']) FROM salesforce.contact AS c WHERE sfid = $1", ids[1])
	r.Eventually("what is captured goes", 20*time.Second, func() error {
		var names []string
		for _, record := range r.SF.Records("Contact") {
			names = append(names, fmt.Sprint(r.value("Contact", record, "LastName")))
		}
		slices.Sort(names)
		if got := strings.Join(names, ", "); got != "Changed here, Deleted, Made, Untouched" {
			return errors.New(got)
		}
		return nil
	})
	b.End(15)
	if strings.Contains(b.Log.String(), `"event":"compared"`) {
		t.Error("everything was compared at once, which takes Salesforce to be right")
	}

	b = start()
	told(b, `"event":"running"`)
	r.Eventually("status", 20*time.Second, func() error {
		switch st, ok := r.Status(); {
		case !ok:
			return errors.New("there is none")
		case strings.Contains(st.Connection.Message, left):
			return errors.New(st.Connection.Message)
		}
		return nil
	})
	b.End(15)
	silent(b)
}
