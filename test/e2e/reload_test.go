package e2e

import (
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	testrig "hcbridge/test/rig"
)

// reloaded is how many records the reload test reads again.
const reloaded = 100_000

// A reload under a reader that counts every 10 ms: the count never drops, ids
// stay, rows that were right are not written, rows that were wrong are mended,
// and changes of the object go on meanwhile.
func TestReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_FIELDS=LastName,Title", "HC_OBJECT_CONTACT_ACCESS=read_write")
	_, err := r.SF.AsBulk("loader@example.com").InsertMany("Contact", func(yield func(map[string]any) bool) {
		for i := range reloaded {
			if !yield(map[string]any{"LastName": fmt.Sprintf("C %d", i)}) {
				return
			}
		}
	})
	r.Must(err)
	r.Start()
	r.Eventually("first load", 60*time.Second, func() error {
		var n int
		if err := r.Pool.QueryRow(t.Context(), "SELECT count(*) FROM hcbridge.object WHERE loaded_at IS NOT NULL").Scan(&n); err != nil || n == 1 {
			return err
		}
		return errors.New("not loaded")
	})
	r.Exec("CREATE TABLE before AS SELECT id, sfid, xmin::text AS version FROM salesforce.contact")
	r.Exec("BEGIN; SET LOCAL xmlbinary = 'hex'; UPDATE salesforce.contact SET title = 'wrong' WHERE id % 1000 = 0; COMMIT")
	r.Exec("DELETE FROM before WHERE id % 1000 = 0")
	var live string
	r.Must(r.Pool.QueryRow(t.Context(), "SELECT sfid FROM salesforce.contact WHERE id % 1000 = 1 LIMIT 1").Scan(&live))

	if code, out, stderr := r.Command("reload", "Contact", "--detach"); code != 0 || !strings.Contains(out, "is requested") {
		t.Fatalf("reload exits with %d:\n%s%s", code, out, stderr)
	}
	shown, changes := false, 0
	var slowest time.Duration
	for began := time.Now(); r.Count("SELECT count(*) FROM hcbridge.object WHERE reload_requested_at IS NOT NULL") > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 4*time.Minute {
			t.Fatal("the reload does not end")
		}
		if n := r.Count("SELECT count(*) FROM salesforce.contact"); n < reloaded {
			t.Fatalf("%d rows during the reload, want %d", n, reloaded)
		}
		if st, ok := r.Status(); ok && st.Objects[0].State == status.ReloadTable {
			shown = true
			want := fmt.Sprintf("Live %d", changes)
			began := time.Now()
			r.Must(r.SF.Update("Contact", live, map[string]any{"LastName": want}))
			for r.Count("SELECT count(*) FROM salesforce.contact WHERE sfid = $1 AND lastname = $2", live, want) == 0 && time.Since(began) < 20*time.Second {
				time.Sleep(5 * time.Millisecond)
			}
			slowest = max(slowest, time.Since(began))
			changes++
		}
	}
	if !shown {
		t.Error("status did not show RELOAD_TABLE")
	}
	t.Logf("%d changes during the reload, the slowest took %s", changes, slowest)
	r.Eventually("mended rows", 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE title = 'wrong'"); n != 0 {
			return fmt.Errorf("%d rows are still wrong", n)
		}
		return nil
	})
	if n := r.Count("SELECT count(*) FROM before LEFT JOIN salesforce.contact AS c USING (id, sfid) WHERE c.id IS NULL"); n != 0 {
		t.Errorf("%d rows have another id", n)
	}
	if n := r.Count("SELECT count(*) FROM before AS b JOIN salesforce.contact AS c USING (id) WHERE c.xmin::text <> b.version AND c.sfid <> $1", live); n != 0 {
		t.Errorf("%d rows that were right have been written", n)
	}
	r.sampled("Contact", 1000)
}

// sampled compares the numbers of records and rows, and n random records with
// their rows by a checksum of what was mapped: comparing all values of many rows
// takes minutes.
func (r *rig) sampled(object string, n int) {
	r.T.Helper()
	r.Eventually("checksums", 30*time.Second, func() error {
		records := r.SF.Records(object)
		if rows := r.Count("SELECT count(*) FROM salesforce." + object); rows != len(records) {
			return fmt.Errorf("%d rows of %d records", rows, len(records))
		}
		rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		want := make(map[string]string, n)
		for _, rec := range records[:min(n, len(records))] {
			o := r.SF.Object(object)
			text := fmt.Sprintf("%v|%v|%d", rec.Get(o, "LastName"), rec.Get(o, "Title"), rec.Stamp.Unix())
			want[rec.ID] = fmt.Sprintf("%x", md5.Sum([]byte(text)))
		}
		rows, err := r.Pool.Query(r.T.Context(), `SELECT sfid, md5(concat_ws('|', coalesce(lastname, '<nil>'), coalesce(title, '<nil>'), extract(epoch FROM systemmodstamp)::bigint))
			FROM salesforce.`+object+` WHERE sfid = ANY($1)`, slices.Collect(maps.Keys(want)))
		if err != nil {
			return err
		}
		var sfid, sum string
		_, err = pgx.ForEachRow(rows, []any{&sfid, &sum}, func() error {
			if want[sfid] != sum {
				return fmt.Errorf("%s: the row differs from its record", sfid)
			}
			delete(want, sfid)
			return nil
		})
		if err == nil && len(want) > 0 {
			err = fmt.Errorf("%d records have no row", len(want))
		}
		return err
	})
}

// A reload does not begin beside a poll that reads many changes by a job: after a crash
// that job would be taken for the reload's, which would end with what the poll reads.
func TestReloadBesideBulkPoll(t *testing.T) {
	t.Parallel()
	var ago atomic.Int64
	r := &rig{testrig.NewWith(t, org.Options{Now: func() time.Time { return time.Now().Add(-time.Duration(ago.Load())) }},
		"HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_FIELDS=LastName,Title", "HC_OBJECT_CONTACT_MODE=polling", "HC_POLL_INTERVAL=1s")}
	ago.Store(int64(72 * time.Hour)) // no poll looks as far back
	for n := range 10 {
		r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("old %d", n)})
	}
	ago.Store(0)
	b := r.Start()
	r.Equal("Contact")
	r.Exec("BEGIN; SET LOCAL xmlbinary = 'hex'; UPDATE salesforce.contact SET title = 'wrong'; COMMIT")

	// The poll's second job is held before its result, then before it is dropped; so is
	// the result of the reload.
	polled := r.SF.Fault(org.Fault{Path: `/jobs/query/.*/results`, Verb: org.Hold, Before: true, After: 1, Times: 1})
	read := r.SF.Fault(org.Fault{Path: `/jobs/query/.*/results`, Verb: org.Hold, Before: true, After: 1})
	dropped := r.SF.Fault(org.Fault{Method: "DELETE", Path: `/jobs/query/`, Verb: org.Hold, Before: true, After: 1, Times: 1})
	defer dropped.Release()
	_, err := r.SF.AsBulk("loader@example.com").InsertMany("Contact", func(yield func(map[string]any) bool) {
		for n := range 10_500 {
			if !yield(map[string]any{"LastName": fmt.Sprintf("new %d", n)}) {
				return
			}
		}
	})
	r.Must(err)
	r.Must(polled.Wait(t.Context(), 1))
	r.ran("is requested", "reload", "Contact", "--detach")
	r.Eventually("the reload to be taken up", 20*time.Second, func() error {
		st, _ := r.Status()
		for _, o := range st.Objects {
			if o.Object == "Contact" && o.State == status.ReloadTable {
				return nil
			}
		}
		return errors.New("not yet")
	})
	polled.Release()
	r.Must(dropped.Wait(t.Context(), 1))
	b.End(syscall.SIGKILL)
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE title = 'wrong'"); n != 10 {
		t.Fatalf("%d rows are wrong before the reload", n)
	}
	read.Release()
	r.Start()
	r.Eventually("the end of the reload", time.Minute, func() error {
		if r.Count("SELECT count(*) FROM hcbridge.object WHERE reload_requested_at IS NOT NULL") > 0 {
			return errors.New("not yet")
		}
		return nil
	})
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE title = 'wrong'"); n != 0 {
		t.Errorf("%d rows are wrong after the reload", n)
	}
	r.sampled("Contact", 1000)
}

// Without a bridge a reload is recorded, and the next start does it.
func TestReloadWithoutBridge(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact")
	if code, _, stderr := r.Command("reload", "Contact"); code != 1 || !strings.Contains(stderr, "no bridge has mapped this object") {
		t.Errorf("reload of an unknown object exits with %d: %s", code, stderr)
	}
	if code, _, _ := r.Command("reload"); code != 2 {
		t.Errorf("reload without an object exits with %d, want 2", code)
	}
	r.Insert("Contact", map[string]any{"LastName": "One"})
	b := r.Start()
	r.Synced()
	b.End(syscall.SIGTERM)
	r.Exec("BEGIN; SET LOCAL xmlbinary = 'hex'; UPDATE salesforce.contact SET title = 'wrong'; COMMIT")
	code, out, _ := r.Command("reload", "Contact")
	if code != 0 || !strings.Contains(out, "No bridge is running") {
		t.Errorf("reload exits with %d: %s", code, out)
	}
	r.Start()
	r.Equal("Contact")
}

// objects shows what can be mapped, without a database, and prints settings
// that work.
func TestObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	database := r.Env["DATABASE_URL"]
	delete(r.Env, "DATABASE_URL")
	delete(r.Env, "HC_OBJECTS")
	code, out, stderr := r.Command("objects")
	if code != 0 || !strings.Contains(out, "\nAccount ") || !strings.Contains(out, "\nContact ") {
		t.Errorf("objects exits with %d:\n%s%s", code, out, stderr)
	}
	code, out, stderr = r.Command("objects", "contact")
	if code != 0 || !strings.Contains(out, "External_Id__c") || !strings.Contains(out, "mailingcity") || !strings.Contains(out, "mapped by its parts") {
		t.Errorf("objects contact exits with %d:\n%s%s", code, out, stderr)
	}
	if code, _, stderr := r.Command("objects", "Nonsense__c"); code != 1 || !strings.Contains(stderr, "Nonsense__c") {
		t.Errorf("objects Nonsense__c exits with %d: %s", code, stderr)
	}
	if code, _, _ := r.Command("objects", "Contact", "--env", "--mapping"); code != 2 {
		t.Errorf("--env with --mapping exits with %d, want 2", code)
	}
	_, file, _ := r.Command("objects", "Contact", "--mapping")
	if !strings.Contains(file, `"object_name": "Contact"`) || !strings.Contains(file, `"upsert_field": "External_Id__c"`) {
		t.Errorf("the export is\n%s", file)
	}
	code, out, stderr = r.Command("objects", "Contact", "--env")
	if code != 0 {
		t.Fatalf("objects --env exits with %d: %s", code, stderr)
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		r.Env[name] = value
	}
	r.Env["DATABASE_URL"] = database
	r.Insert("Contact", map[string]any{"LastName": "One"})
	r.Start()
	r.Synced()
	r.Equal("Contact")
}

// What is under way shows as an object's state: the comparison of all records, and the
// reading of columns that are new.
func TestStatesOfAnObject(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name")
	r.Insert("Account", map[string]any{"Name": "A", "Phone": "1"})
	shows := func(want string) {
		t.Helper()
		r.Eventually(want, 45*time.Second, func() error {
			st, ok := r.Status()
			if !ok || len(st.Objects) == 0 || st.Objects[0].State != want {
				return fmt.Errorf("the status is %+v", st.Objects)
			}
			return nil
		})
	}
	b := r.Start()
	r.Synced()
	r.SF.Fault(org.Fault{Path: `/query`, Verb: org.Slow, Delay: 5 * time.Second})
	r.Exec("UPDATE hcbridge.object SET full_wanted = true")
	shows(status.PollingSFForDeletes)
	r.SF.ClearFaults()
	shows(status.DataSynced)
	b.End(syscall.SIGTERM)

	r.SF.Fault(org.Fault{Path: `/query`, Verb: org.Slow, Delay: 5 * time.Second})
	r.Env["HC_OBJECT_ACCOUNT_FIELDS"] = "Name,Phone"
	r.Start()
	shows(status.Resync)
	r.SF.ClearFaults()
	shows(status.DataSynced)
	r.Equal("Account")
}
