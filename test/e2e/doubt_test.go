package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/org"
)

// plainContacts are the settings of an app that writes contacts without an
// external id.
var plainContacts = []string{"HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_FIELDS=FirstName,LastName,Email,External_Id__c"}

// inserts matches the requests that create contacts, not those that read them.
const inserts = `/composite/sobjects(/Contact/External_Id__c)?$`

// watchRows looks at a table every millisecond and tells the most rows that it
// ever had.
func (r *rig) watchRows(table string) (most func() int) {
	ctx, cancel := context.WithCancel(r.T.Context())
	var top atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			var n int64
			if r.Pool.QueryRow(ctx, "SELECT count(*) FROM salesforce."+table).Scan(&n) == nil && n > top.Load() {
				top.Store(n)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return func() int { cancel(); <-done; return int(top.Load()) }
}

// settledRows waits until n rows have their record, and checks that there is no
// other record and never was another row.
func (r *rig) settledRows(object, table string, n int, most func() int) {
	r.T.Helper()
	r.Equal(object)
	if got := r.Count("SELECT count(*) FROM salesforce." + table + " WHERE sfid IS NOT NULL"); got != n {
		r.T.Errorf("%d rows have a record, want %d", got, n)
	}
	if got := len(r.SF.Records(object)); got != n {
		r.T.Errorf("the org has %d records, want %d", got, n)
	}
	if got := most(); got > n {
		r.T.Errorf("there were %d rows for %d records", got, n)
	}
}

// Of a thousand inserts without an external id no answer arrives, and each makes
// one record all the same (fault 53).
func TestThousandLostAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, plainContacts...)
	r.Start()
	r.Synced()
	lost := r.SF.Fault(org.Fault{Method: "POST", Path: inserts, Verb: org.FailAfterWrite})
	r.SF.Fault(org.Fault{Path: "/composite$", Match: `"records":`, Verb: org.FailAfterWrite}) // several at once
	most := r.watchRows("contact")
	began := time.Now()
	for i := range 10 { // a third of them cannot be told apart
		r.Exec("INSERT INTO salesforce.contact (firstname, lastname) SELECT 'F', CASE WHEN n % 3 = 0 THEN 'Same' ELSE 'L' || n END FROM generate_series($1::int, $1::int + 99) AS n", 100*i)
	}
	r.settledRows("Contact", "contact", 1000, most)
	t.Logf("%d requests lost their answers, all is known after %s", lost.Hits(), time.Since(began).Round(time.Millisecond))
}

// The ways to lose the answers to 1, 2 and 200 records, with and without an
// external id (fault 53).
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		for name, fault := range map[string]org.Fault{
			"dropped":      {Verb: org.FailAfterWrite},
			"cut":          {Verb: org.Cut},
			"garbled":      {Verb: org.Garble},
			"edge refuses": {Verb: org.FailAfterWrite, Status: 502, Body: "<html>Bad Gateway</html>"},
			"gateway late": {Verb: org.FailAfterWrite, Status: 504, Body: "upstream request timeout"},
		} {
			t.Run(fmt.Sprintf("%s/keyed=%t", name, keyed), func(t *testing.T) {
				t.Parallel()
				settings := plainContacts
				if keyed {
					settings = slices.Concat(settings, []string{"HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c"})
				}
				r := newRig(t, settings...)
				r.Start()
				r.Synced()
				most := r.watchRows("contact")
				total := 0
				for _, n := range []int{1, 2, 200} {
					fault.Path, fault.Times = inserts, 1
					lost := r.SF.Fault(fault)
					if keyed {
						r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) SELECT 'L' || n, $1 || '-' || n FROM generate_series(1, $2::int) AS n", fmt.Sprint(n), n)
					} else {
						r.Exec("INSERT INTO salesforce.contact (lastname) SELECT 'L' || n FROM generate_series(1, $1::int) AS n", n)
					}
					r.Must(lost.Wait(t.Context(), 1))
					total += n
					r.Equal("Contact")
				}
				r.settledRows("Contact", "contact", total, most)
			})
		}
	}
}

// The event of a record comes before the answer to the insert that made it, by
// stream, by poll, and when the answer is lost too (fault 58).
func TestEchoBeforeAnswer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"streaming", "cdc", "polling"} {
		for _, keyed := range []bool{false, true} {
			for _, lost := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/keyed=%t/lost=%t", mode, keyed, lost), func(t *testing.T) {
					t.Parallel()
					settings := slices.Concat(plainContacts, []string{"HC_OBJECT_CONTACT_MODE=" + mode, "HC_OBJECT_CONTACT_POLL_INTERVAL=1s"})
					if keyed {
						settings = append(settings, "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c")
					}
					r := newRig(t, settings...)
					if mode == "cdc" {
						r.Must(r.SF.Select("Contact"))
					}
					r.Start()
					r.Synced()
					slow := org.Fault{Path: inserts, Verb: org.Slow, Delay: 400 * time.Millisecond}
					if lost {
						slow = org.Fault{Path: inserts, Verb: org.FailAfterWrite, Times: 3}
					}
					r.SF.Fault(slow)
					most := r.watchRows("contact")
					for i := range 5 {
						r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) SELECT 'L', $1 || '-' || n FROM generate_series(1, 4) AS n", fmt.Sprint(i))
						time.Sleep(100 * time.Millisecond) // so that it takes several calls
					}
					r.settledRows("Contact", "contact", 20, most)
				})
			}
		}
	}
}

// An insert that may still run in Salesforce is not sent again, and records that
// others make meanwhile do not wait for it; nor does a restart forget it. When it
// has run after all, its row takes the record (faults 55, 58, 71).
func TestInsertStillRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, plainContacts...)
	b := r.Start()
	r.Synced()
	held := r.SF.Fault(org.Fault{Method: "POST", Path: inserts, Verb: org.Hold, Before: true, Times: 1})
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('Late')")
	r.Must(held.Wait(t.Context(), 1))
	b.End(syscall.SIGKILL) // while it waits for the answer
	r.Exec("UPDATE salesforce.contact SET email = 'later@example.com'")
	r.Start()
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('Other')")
	r.Insert("Contact", map[string]any{"LastName": "Foreign"})
	r.Eventually("others go on", 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE sfid IS NOT NULL AND lastname IN ('Other', 'Foreign')"); n != 2 {
			return fmt.Errorf("%d of 2 rows are in step", n)
		}
		return nil
	})
	if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'PENDING' AND sf_message LIKE 'IN\\_DOUBT%'"); n != 1 {
		t.Errorf("%d inserts are in doubt, want 1", n)
	}
	most := r.watchRows("contact")
	held.Release()
	r.settledRows("Contact", "contact", 3, most)
}

// A write that Salesforce does not answer holds up its own record, and none of another
// object or of the same one (contract: failures block only their record).
func TestUnansweredWriteHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	id := r.Insert("Contact", map[string]any{"LastName": "Held"})
	r.Start()
	r.Synced()
	r.Equal("Contact")
	held := r.SF.Fault(org.Fault{Method: "PATCH", Path: "/composite/sobjects", Verb: org.Hold, Before: true, Times: 1})
	r.Exec("UPDATE salesforce.contact SET title = 'held' WHERE sfid = $1", id)
	r.Must(held.Wait(t.Context(), 1))
	r.Exec("INSERT INTO salesforce.account (name, external_id__c) VALUES ('free', 'free')")
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('free', 'free')")
	r.Eventually("others go on", 20*time.Second, func() error {
		if n := r.Count("SELECT (SELECT count(*) FROM salesforce.account WHERE sfid IS NOT NULL) + (SELECT count(*) FROM salesforce.contact WHERE lastname = 'free' AND sfid IS NOT NULL)"); n != 2 {
			return fmt.Errorf("%d of 2 records are made", n)
		}
		return nil
	})
	if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'PENDING'"); n != 1 {
		t.Errorf("%d changes are on their way, want 1", n)
	}
	held.Release()
	r.Equal("Account", "Contact")
}

// The answer to an update is lost, and before the bridge can look a user changes the same
// field. If it took effect, an event tells, and the user's value stands; if not, it is
// sent, also by another process. Without events nobody can tell, and it is sent, too.
func TestEditAfterLostUpdate(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"streaming", "cdc", "polling"} {
		for _, verb := range []org.Verb{org.FailAfterWrite, org.Drop} {
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/killed=%t", mode, verb, killed), func(t *testing.T) {
					t.Parallel()
					r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone", "HC_OBJECT_ACCOUNT_MODE="+mode, "HC_OBJECT_ACCOUNT_POLL_INTERVAL=1s")
					if mode == "cdc" {
						r.Must(r.SF.Select("Account"))
					}
					id := r.Insert("Account", map[string]any{"Name": "a", "Phone": "0"})
					b := r.Start()
					r.Synced()
					r.Must(r.SF.Update("Account", id, map[string]any{"Name": "b"}))
					r.Equal("Account") // so there is a position to go on from
					lost := r.SF.Fault(org.Fault{Method: "PATCH", Path: "/composite/sobjects", Verb: verb, Times: 1})
					look := r.SF.Fault(org.Fault{Path: "LastModifiedById", Verb: org.Reject, Times: 1})
					r.Exec("UPDATE salesforce.account SET phone = '1'")
					r.Must(lost.Wait(t.Context(), 1))
					r.Must(look.Wait(t.Context(), 1))
					if killed {
						b.End(syscall.SIGKILL)
					}
					r.Must(r.SF.As(org.DefaultOther).Update("Account", id, map[string]any{"Phone": "2"}))
					if killed {
						r.Start()
					}
					want := "1"
					if verb == org.FailAfterWrite && mode != "polling" {
						want = "2"
					}
					r.Until("it is answered", 30*time.Second, func() error {
						if n := r.Count("SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'"); n != 1 {
							return fmt.Errorf("%d entries are", n)
						}
						return nil
					})
					r.Equal("Account")
					if n := r.Count("SELECT count(*) FROM salesforce.account WHERE phone = $1", want); n != 1 {
						t.Errorf("the row's value is not %s", want)
					}
				})
			}
		}
	}
}
