package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A load by the app goes by ingest jobs: few API calls, values as they are, and
// a bridge that dies while a job is at work leaves it to the next one. With
// HCBRIDGE_BENCH it is 100,000 rows.
func TestBulkWrites(t *testing.T) {
	t.Parallel()
	n := 2_500
	if os.Getenv("HCBRIDGE_BENCH") != "" {
		n = 100_000
	}
	r := newRig(t, readWrite...)
	first := r.Start()
	r.Synced()
	before := r.SF.Calls()
	began := time.Now()
	r.Exec(`INSERT INTO salesforce.contact (lastname, title, external_id__c)
		SELECT 'Load ' || n, CASE n % 3 WHEN 0 THEN E'say "hi",\nthere' WHEN 1 THEN ' , ' END, 'load-' || n FROM generate_series(1, $1::int) AS n`, n)
	r.Eventually("a job at work", time.Minute, func() error {
		if r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'PENDING' AND sf_message LIKE 'BULK 750%'`) == 0 {
			return fmt.Errorf("no entry names a job")
		}
		return nil
	})
	first.End(syscall.SIGKILL)
	second := r.Start()
	r.Eventually("the log to be done", 3*time.Minute, func() error {
		if left := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state <> 'IGNORE'`); left > 0 {
			return fmt.Errorf("%d entries", left)
		}
		return nil
	})
	took := time.Since(began)
	calls, kinds := 0, map[string]int{}
	for kind, count := range r.SF.Calls() {
		if count -= before[kind]; count > 0 {
			kinds[kind] = count
		}
		if kind != "cometd" && kind != "token" {
			calls += max(count, 0)
		}
	}
	t.Logf("%d rows in %v: %d calls %v", n, took, calls, kinds)
	if calls > 120 {
		t.Errorf("%d calls", calls)
	}
	if got := len(r.SF.Records("Contact")); got != n {
		t.Errorf("%d records for %d rows", got, n)
	}
	r.once("Contact", "contact")
	r.Equal("Contact")

	r.Exec(`UPDATE salesforce.contact SET title = NULL`)
	r.Equal("Contact")
	r.Exec(`DELETE FROM salesforce.contact`)
	r.Eventually("so many deletes to be held", 30*time.Second, func() error {
		if !strings.Contains(second.Log.String(), `"event":"held"`) {
			return errors.New("not yet")
		}
		return nil
	})
	r.ran(fmt.Sprintf("contact: %d entries are released", n), "approve", "Contact")
	r.Equal("Contact")
}

// A backlog of one object takes few API calls, whatever it is made of: plain
// inserts go by a thousand, the rest by jobs, and what is read back afterwards
// gathers. With HCBRIDGE_BENCH it is 100,000 rows and the limit what is promised; in
// few rows the calls of the start weigh most, and how what is read back gathers
// depends on the machine: there it is less than calls of 200 each way would take.
func TestBacklogCalls(t *testing.T) {
	t.Parallel()
	n, limit := 3_000, 20
	if os.Getenv("HCBRIDGE_BENCH") != "" {
		n, limit = 100_000, 120
	}
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_POLL_INTERVAL=24h")
	r.Start()
	r.Synced()
	for _, step := range []struct{ op, sql string }{
		{"insert", fmt.Sprintf(`INSERT INTO salesforce.account (name) SELECT 'Load ' || n FROM generate_series(1, %d) AS n`, n)},
		{"update", `UPDATE salesforce.account SET phone = id::text`},
		{"delete", `DELETE FROM salesforce.account`},
	} {
		before, _ := r.settled()
		began := time.Now()
		r.Exec(step.sql)
		r.Until("the log to be done", 10*time.Minute, func() error {
			if step.op == "delete" {
				r.Command("approve", "Account")
			}
			if left := r.Count(`SELECT (SELECT count(*) FROM salesforce._trigger_log WHERE state <> 'IGNORE') + (SELECT count(*) FROM hcbridge.mark)`); left > 0 {
				return fmt.Errorf("%d entries and marks", left)
			}
			return nil
		})
		took := time.Since(began)
		r.Equal("Account")
		after, _ := r.settled()
		calls, reads, kinds := 0, 0, map[string]int{}
		for kind, count := range after {
			if count -= before[kind]; count <= 0 || kind == "cometd" || kind == "token" {
				continue
			}
			kinds[kind] = count
			if calls += count; kind == "collections_retrieve" || kind == "query" {
				reads += count
			}
		}
		t.Logf("%s of %d rows in %v: %d calls, %d of them to read back: %v", step.op, n, took, calls, reads, kinds)
		if calls > limit {
			t.Errorf("%s: %d calls for %d rows, more than %d", step.op, calls, n, limit)
		}
	}
}

// An app that writes a row at a time has its first rows sent at once, and later ones
// together, so that the org's count of API calls stays small; status says so.
func TestTrickleIsSpaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_POLL_INTERVAL=24h", "HC_API_DAILY_BUDGET=200")
	first := r.Start()
	r.Synced()
	before, _ := r.settled()
	insert := func(from, to int) {
		r.Exec("INSERT INTO salesforce.account (name) SELECT 'Row ' || n FROM generate_series($1::int, $2::int) AS n", from, to)
	}
	insert(1, 1)
	r.Eventually("the first row", time.Second, func() error {
		if n := len(r.SF.Records("Account")); n != 1 {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
	rows := 0
	for began := time.Now(); rows < 250 && time.Since(began) < 10*time.Second; rows++ { // the next call that is not full goes after some 20 s
		insert(2+rows, 2+rows)
		time.Sleep(20 * time.Millisecond) // what the app does between its writes
	}
	r.Eventually("status to tell", 5*time.Second, func() error {
		if st, _ := r.Status(); !strings.Contains(st.Connection.Message, "writes are spaced") {
			return fmt.Errorf("message %q", st.Connection.Message)
		}
		return nil
	})
	insert(2+rows, 1001+rows) // as many as a call can carry
	r.Eventually("the full call", 20*time.Second, func() error {
		if left := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')"); left > rows {
			return fmt.Errorf("%d entries wait", left)
		}
		return nil
	})
	r.Equal("Account")
	after, _ := r.settled()
	writes, kinds := 0, map[string]int{}
	for kind, n := range after {
		if n -= before[kind]; n > 0 && kind != "cometd" {
			kinds[kind] = n
		}
		if kind == "collections_create" || kind == "composite" {
			writes += n
		}
	}
	t.Logf("%d rows one by one, and a thousand at once: %v", rows, kinds)
	if writes > 20 {
		t.Errorf("%d calls", writes)
	}

	// What is spent is spent, whoever spends the rest.
	left := func() int { return r.Count("SELECT calls::int FROM hcbridge.purse") }
	const full = 200 * 8 / 10 / 3
	spent := left()
	first.End(syscall.SIGKILL)
	r.Start()
	r.Synced()
	insert(1002+rows, 1002+rows)
	r.Equal("Account")
	if after := left(); spent > full/2 || after > spent+1 {
		t.Errorf("%d calls are left of %d, and after a restart %d", spent, full, after)
	}
}

// Changes that an app makes to three objects in turn go in as few calls as if it
// had made them one object after the other, and are read back in as few.
func TestInterleavedChanges(t *testing.T) {
	t.Parallel()
	objects := []string{"Account", "Contact", "Invoice__c"}
	named := map[string]string{"Account": "Name", "Contact": "LastName", "Invoice__c": "Name"}
	r := newRig(t, append(readWrite, "HC_OBJECTS="+strings.Join(objects, ","), "HC_OBJECT_INVOICE__C_ACCESS=read_write")...)
	for _, object := range objects {
		_, err := r.SF.InsertMany(object, func(yield func(map[string]any) bool) {
			for i := range 334 {
				if !yield(map[string]any{named[object]: fmt.Sprint(i)}) {
					return
				}
			}
		})
		r.Must(err)
	}
	r.Start()
	r.Synced()
	before, _ := r.settled()
	tx, err := r.Pool.Begin(t.Context())
	r.Must(err)
	for i := range 1000 {
		set := []string{"account SET name", "contact SET lastname", "invoice__c SET name"}[i%3]
		_, err := tx.Exec(t.Context(), fmt.Sprintf("UPDATE salesforce.%s = $1 WHERE id = (SELECT min(id) + $2 FROM salesforce.%s)", set, strings.Fields(set)[0]), fmt.Sprintf("n%d", i), i/3)
		r.Must(err)
	}
	r.Must(tx.Commit(t.Context()))
	r.Equal(objects...)
	after, _ := r.settled()
	writes, calls := 0, map[string]int{}
	for kind, n := range after {
		if n -= before[kind]; n > 0 && kind != "cometd" {
			calls[kind] = n
			if strings.HasPrefix(kind, "collections_") && kind != "collections_retrieve" {
				writes += n
			}
		}
	}
	t.Logf("1,000 changes: %v", calls)
	if writes > 8 {
		t.Errorf("1,000 changes of three objects took %d calls", writes)
	}
}
