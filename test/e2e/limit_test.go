package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
)

// requests counts what the org was asked, but for long polls and logins.
func (r *rig) requests() (n int) {
	for kind, count := range without(r.SF.Calls()) {
		if kind != "token" {
			n += count
		}
	}
	return n
}

// When the org's API calls are used up, all parts of the bridge together ask once
// and then wait, what the app writes is neither lost nor counted as a failure, and
// events go on (faults 66 and 67).
func TestLimitReached(t *testing.T) {
	t.Parallel()
	r := newRig(t, append(readWrite, "HC_OBJECT_CONTACT_FIELDS=LastName,External_Id__c", "HC_POLL_INTERVAL=1s", "HC_HTTP_ADDR="+freeAddr(t))...)
	r.Insert("Account", map[string]any{"Name": "Before"})
	r.Start()
	r.Synced()
	used, _ := r.SF.Usage()
	r.SF.DailyLimit(used)
	r.Exec(`UPDATE salesforce.account SET name = 'By the app'; INSERT INTO salesforce.contact (lastname) SELECT 'L' || n FROM generate_series(1, 50) AS n`)
	r.says(status.APILimit, "")
	time.Sleep(time.Second) // what was under way comes back
	before := r.requests()
	r.Insert("Contact", map[string]any{"LastName": "By event"})
	r.Eventually("an event", 10*time.Second, func() error {
		if r.Count(`SELECT count(*) FROM salesforce.contact WHERE lastname = 'By event'`) == 0 {
			return errors.New("no row")
		}
		return nil
	})
	time.Sleep(8 * time.Second) // eight polls of two objects, tries to write and to read back
	if n := r.requests() - before; n > 0 {
		t.Errorf("%d requests while the calls of the day are used up", n)
	}
	if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW'`); n != 51 {
		t.Errorf("%d entries wait, want 51", n)
	}
	if n := r.named("Before"); n != 1 {
		t.Error("the record was changed")
	}
	if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d: %s", code, body)
	}
}

// While the org is read only writes wait, without an attempt counted, and reads go
// on; nothing is FAILED (fault 67).
func TestReadOnlyOrg(t *testing.T) {
	t.Parallel()
	r := newRig(t, append(readWrite, "HC_POLL_INTERVAL=1s")...)
	r.Insert("Account", map[string]any{"Name": "Before"})
	r.Start()
	r.Synced()
	closed := r.SF.Fault(org.Fault{
		Path: "/composite/sobjects(/Contact/External_Id__c)?$|/jobs/ingest", Verb: org.Reject, Status: 503,
		Body: `[{"message":"Updates can't be made during maintenance","errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}]`,
	})
	r.Exec(`UPDATE salesforce.account SET name = 'By the app'; INSERT INTO salesforce.contact (lastname) SELECT 'L' || n FROM generate_series(1, 50) AS n`)
	r.Eventually("a refusal", 10*time.Second, func() error {
		if closed.Hits() == 0 {
			return errors.New("none yet")
		}
		return nil
	})
	r.Insert("Contact", map[string]any{"LastName": "Meanwhile"})
	r.Eventually("reads", 10*time.Second, func() error {
		if r.Count(`SELECT count(*) FROM salesforce.contact WHERE lastname = 'Meanwhile'`) == 0 {
			return errors.New("no row")
		}
		return nil
	})
	time.Sleep(6 * time.Second)
	if n := closed.Hits(); n > 2 { // as many as are under way at first
		t.Errorf("%d writes within seconds", n)
	}
	closed.Remove()
	if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'`); n > 0 {
		t.Errorf("%d writes have failed", n)
	}
	r.Promised("writes again", 2*time.Minute, func() error {
		if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')`); n > 0 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	r.Equal("Account", "Contact")
}

// What is refused for good, or has no answer and is found, is no reason to call the
// bridge ill when it is over: nothing waits any more.
func TestReadyAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault org.Fault
		ill   bool
		plain bool // without a key, so that it is not repeated but found
	}{
		"refused":     {org.Fault{Verb: org.Reject, Status: 400, Body: `[{"message":"Cannot deserialize instance of boolean from null value","errorCode":"JSON_PARSER_ERROR"}]`}, false, false},
		"locked":      {org.Fault{Verb: org.Reject, Status: 500, Body: `[{"message":"unable to obtain exclusive access to this record","errorCode":"UNABLE_TO_LOCK_ROW"}]`}, false, false},
		"answer lost": {org.Fault{Verb: org.FailAfterWrite}, true, true},
		"maintenance": {org.Fault{Verb: org.HTML, Status: 503}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, append(slices.Clone(readWrite), "HC_HTTP_ADDR="+freeAddr(t))...)
			b := r.Start()
			r.Synced()
			fault, key := c.fault, "once"
			fault.Path, fault.Method, fault.Times = "/composite/sobjects", "PATCH", 1
			if c.plain {
				fault.Path, fault.Method, key = "/composite/sobjects$", "POST", ""
			}
			r.SF.Fault(fault)
			r.Exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('once', nullif($1, ''))`, key)
			r.Eventually("nothing to wait", 30*time.Second, func() error {
				if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')`); n > 0 || !strings.Contains(b.Log.String(), `"event":"sent"`) {
					return fmt.Errorf("%d wait", n)
				}
				return nil
			})
			r.Eventually("ready", 10*time.Second, func() error {
				if code, body := r.get("/readyz"); code != http.StatusOK {
					return fmt.Errorf("/readyz answers %d: %s", code, body)
				}
				return nil
			})
			if was := strings.Contains(b.Log.String(), `"part":"outbound","reason"`); was != c.ill {
				t.Errorf("the bridge has called itself ill: %t, want %t", was, c.ill)
			}
		})
	}
}
