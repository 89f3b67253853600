package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
)

// `hcbridge verify` beside a running bridge and without one.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for i := range 30 {
		ids = append(ids, r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("C %d", i)}))
	}
	r.Insert("Account", map[string]any{"Name": "A"})
	if code, _, stderr := r.Command("verify"); code != 1 || !strings.Contains(stderr, "run the bridge first") {
		t.Errorf("before the first run: exit %d, %s", code, stderr)
	}
	b := r.Start()
	r.Synced()
	r.Equal("Account", "Contact")
	if code, stdout, stderr := r.Command("verify"); code != 0 || strings.Count(stdout, "both sides are equal") != 2 {
		t.Errorf("exit %d when both sides are equal\n%s\n%s", code, stdout, stderr)
	}
	if code, _, stderr := r.Command("pause"); code != 0 { // else a poll might mend what follows
		t.Fatalf("pause: exit %d, %s", code, stderr)
	}
	r.Eventually("pause", 20*time.Second, func() error {
		if st, ok := r.Status(); !ok || st.Connection.State != status.Paused {
			return fmt.Errorf("the status is %+v", st.Connection)
		}
		return nil
	})
	r.Exec("UPDATE salesforce.contact SET title = 'Not in Salesforce' WHERE sfid = $1", ids[3])
	r.Exec("DELETE FROM salesforce.contact WHERE sfid = $1", ids[4])
	check := func(when string) {
		t.Helper()
		code, stdout, stderr := r.Command("verify", "contact", "--json")
		found := map[string]string{}
		for line := range strings.Lines(stdout) {
			var f struct{ Object, Kind, SFID string }
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				t.Fatalf("%s: %q: %v", when, line, err)
			}
			found[f.SFID] = f.Kind
		}
		if code != 1 || len(found) != 2 || found[ids[3]] != "values" || found[ids[4]] != "no_row" {
			t.Errorf("%s: exit %d, found %v\n%s", when, code, found, stderr)
		}
	}
	check("beside a bridge")
	if code, stdout, _ := r.Command("verify", "contact"); code != 1 || !strings.HasSuffix(stdout, ": 2 records or rows differ\n") {
		t.Errorf("for people: exit %d\n%s", code, stdout)
	}
	r.SF.DenyObject("Account", true)
	if code, stdout, stderr := r.Command("verify", "--json"); code != 1 || strings.Count(stdout, `"object":"Contact"`) != 2 || !strings.Contains(stderr, "no object Account") {
		t.Errorf("with an object that cannot be compared: exit %d\n%s\n%s", code, stdout, stderr)
	}
	r.SF.DenyObject("Account", false)
	b.End(syscall.SIGTERM)
	check("without a bridge")
	if code, _, _ := r.Command("verify", "Nothing"); code != 2 {
		t.Errorf("exit %d for an object that is not mapped, want 2", code)
	}
	if code, _, _ := r.Command("verify", "a", "b"); code != 2 {
		t.Errorf("exit %d for two objects, want 2", code)
	}
}

// A parent that is gone without a row: the app has deleted it, or nobody had heard of
// it when it was made. A poll, or the answer, is all that tells, and nothing of the
// children.
func TestParentDeletedWithoutRow(t *testing.T) {
	t.Parallel()
	for name, access := range map[string]string{"by the app": "read_write", "by others": "read_only"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "HC_OBJECTS=Account,Invoice__c", "HC_OBJECT_ACCOUNT_MODE=polling", "HC_OBJECT_INVOICE__C_MODE=polling", "HC_OBJECT_ACCOUNT_ACCESS="+access, "HC_POLL_INTERVAL=2s")
			parent := r.Insert("Account", map[string]any{"Name": "Parent"})
			r.Insert("Invoice__c", map[string]any{"Account__c": parent})
			r.Start()
			r.Synced()
			r.Equal("Account", "Invoice__c")
			r.Exec("DELETE FROM salesforce.account") // of a read only object nobody notices
			if access == "read_only" {
				r.Must(r.SF.Delete("Account", parent))
			}
			r.Eventually("lookup", 20*time.Second, func() error {
				if n := r.Count("SELECT count(*) FROM salesforce.invoice__c WHERE account__c IS NOT NULL"); n > 0 {
					return fmt.Errorf("%d lookups stay", n)
				}
				return nil
			})
			r.Equal("Account", "Invoice__c")
		})
	}
}

// Row 39 of the list of faults: the event of a parent's delete is all there is;
// its children get none.
func TestParentDeletedByEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Contact,Invoice__c", "HC_POLL_INTERVAL=1h")
	parent := r.Insert("Account", map[string]any{"Name": "Parent"})
	for i := range 5 {
		r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("Child %d", i), "AccountId": parent})
		r.Insert("Invoice__c", map[string]any{"Account__c": parent})
	}
	r.Start()
	r.Synced()
	r.Equal("Account", "Contact", "Invoice__c")
	r.Must(r.SF.Delete("Account", parent))
	r.Eventually("children", 20*time.Second, func() error {
		children := r.Count("SELECT count(*) FROM salesforce.contact")
		lookups := r.Count("SELECT count(*) FROM salesforce.invoice__c WHERE account__c IS NOT NULL")
		if children+lookups > 0 {
			return fmt.Errorf("%d children and %d lookups stay", children, lookups)
		}
		return nil
	})
	r.Equal("Account", "Contact", "Invoice__c")
}

// Row 42: a bulk load of which no event tells comes in by Bulk API.
func TestBulkLoadWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact", "HC_POLL_INTERVAL=10s")
	r.Start()
	r.Synced()
	const n = 12_000
	_, err := r.SF.AsBulk("loader@example.com").InsertMany("Contact", func(yield func(map[string]any) bool) {
		for i := range n {
			if !yield(map[string]any{"LastName": fmt.Sprintf("Loaded %d", i)}) {
				return
			}
		}
	})
	r.Must(err)
	r.Equal("Contact")
	jobs := 0
	for _, q := range r.SF.Requests() {
		if strings.HasSuffix(q.Path, "/jobs/query") {
			jobs++
		}
	}
	if jobs == 0 {
		t.Error("no Bulk API job was made for 12,000 changes")
	}
}

// With the budget of API calls used up, the connection says so.
func TestBudgetUsedUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name", "HC_API_DAILY_BUDGET=100")
	r.SF.UseCalls(200)
	r.Start()
	r.Synced()
	r.Eventually("API_LIMIT", 20*time.Second, func() error {
		st, ok := r.Status()
		if !ok || st.Connection.State != status.APILimit {
			return fmt.Errorf("connection is %q", st.Connection.State)
		}
		return nil
	})
	// Events cost no calls.
	r.Insert("Account", map[string]any{"Name": "By event"})
	r.Eventually("event", 20*time.Second, func() error {
		if r.Count("SELECT count(*) FROM salesforce.account") != 1 {
			return fmt.Errorf("no row")
		}
		return nil
	})
}

// Both numbers of status follow what events bring, with the next poll.
func TestStatusCountsBothSides(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact", "HC_POLL_INTERVAL=1s")
	insert := func(n int) {
		for i := range n {
			r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("C %d", i)})
		}
	}
	shows := func(want int64) {
		t.Helper()
		r.Eventually("numbers of rows", 20*time.Second, func() error {
			st, _ := r.Status()
			for _, o := range st.Objects {
				if o.RowsSalesforce == want && o.RowsPostgres == want {
					return nil
				}
			}
			return fmt.Errorf("status tells %+v", st.Objects)
		})
	}
	insert(100)
	r.Start()
	r.Synced()
	shows(100)
	insert(5)
	shows(105)
}
