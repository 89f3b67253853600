package e2e

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// readWrite are the settings of an app that writes both objects.
var readWrite = []string{
	"HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c",
	"HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c",
}

// A thousand records changed by another user of the org reach their rows.
func TestInbound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 50 {
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Before %d", i)})
	}
	r.Start()
	r.Synced()
	r.Equal("Account", "Contact")

	arrived := r.watchArrivals("contact", "lastname")
	var ids []string
	for i := range 500 {
		name := fmt.Sprintf("Created %d", i)
		arrived.sent(name)
		ids = append(ids, r.Insert("Contact", map[string]any{"FirstName": "C", "LastName": name, "Email": fmt.Sprintf("c%d@example.com", i)}))
	}
	for i := range 300 {
		name := fmt.Sprintf("Updated %d", i)
		arrived.sent(name)
		r.Must(r.SF.Update("Contact", ids[i], map[string]any{"LastName": name, "Email": nil}))
	}
	for i := range 150 {
		r.Must(r.SF.Delete("Contact", ids[i]))
	}
	for i := range 50 {
		r.Must(r.SF.Undelete("Contact", ids[i]))
	}
	r.Equal("Account", "Contact")
	if n := r.Count("SELECT count(*) FROM salesforce.contact"); n != 400 {
		t.Errorf("%d contacts, want 400", n)
	}
	took := arrived.stop()
	t.Logf("inbound: %d changes seen, p50 %s, p99 %s", len(took), percentile(took, 50), percentile(took, 99))
}

// A thousand rows changed by the app reach their records, once each.
func TestOutbound(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	r.Raced()
	r.Start()
	r.Synced()

	for i := range 500 {
		r.Exec("INSERT INTO salesforce.contact (firstname, lastname, email, external_id__c) VALUES ('P', $1, $2, $3)",
			fmt.Sprintf("Row %d", i), fmt.Sprintf("p%d@example.com", i), fmt.Sprintf("p-%d", i))
	}
	r.Equal("Contact")
	var took []time.Duration
	for i := range 20 { // an idle bridge, one change at a time
		key := fmt.Sprintf("p-%d", i)
		var id string
		r.Must(r.Pool.QueryRow(t.Context(), "UPDATE salesforce.contact SET title = 'Idle' WHERE external_id__c = $1 RETURNING sfid", key).Scan(&id))
		began := time.Now()
		for {
			if c, ok := r.SF.Get("Contact", id); ok && c.Get(r.SF.Object("Contact"), "Title") == "Idle" {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s was not sent", key)
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(began))
		r.Equal("Contact")
	}
	for i := range 280 {
		r.Exec("UPDATE salesforce.contact SET title = $2, email = NULL WHERE external_id__c = $1", fmt.Sprintf("p-%d", 20+i), fmt.Sprintf("Title %d", i))
	}
	for i := range 200 {
		r.Exec("DELETE FROM salesforce.contact WHERE external_id__c = $1", fmt.Sprintf("p-%d", 300+i))
	}
	r.Equal("Contact")

	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE sfid IS NULL OR _hc_lastop <> 'SYNCED' OR _hc_err IS NOT NULL"); n != 0 {
		t.Errorf("%d rows are not SYNCED", n)
	}
	r.Eventually("archive", 10*time.Second, func() error {
		live := r.Count("SELECT count(*) FROM salesforce._trigger_log")
		success := r.Count("SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'")
		if live != 0 || success != 1000 {
			return fmt.Errorf("%d live entries, %d SUCCESS in the archive; want 0 and 1000", live, success)
		}
		return nil
	})
	if n := r.writes(); n != 1000 {
		t.Errorf("the org saw %d writes for 1000 changes", n)
	}
	t.Logf("outbound: pick-up when idle p50 %s, p99 %s; calls %v", percentile(took, 50), percentile(took, 99), r.SF.Calls())
}

// One change is one write on the other side, and then there is silence.
func TestNoEcho(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	r.Start()
	r.Synced()
	var ids []string
	for i := range 100 {
		ids = append(ids, r.Insert("Account", map[string]any{"Name": fmt.Sprintf("SF %d", i), "External_Id__c": fmt.Sprintf("sf-%d", i)}))
		r.Exec("INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $2)", fmt.Sprintf("PG %d", i), fmt.Sprintf("pg-%d", i))
	}
	r.Equal("Account")
	for i, id := range ids {
		r.Must(r.SF.Update("Account", id, map[string]any{"Phone": fmt.Sprint(i)}))
		r.Exec("UPDATE salesforce.account SET phone = $2 WHERE external_id__c = $1", fmt.Sprintf("pg-%d", i), fmt.Sprint(i))
	}
	r.Equal("Account")
	if n := r.Count("SELECT (SELECT count(*) FROM salesforce._trigger_log) + (SELECT count(*) FROM salesforce._trigger_log_archive)"); n != 200 {
		t.Errorf("%d log entries for 200 local changes", n)
	}
	for _, id := range ids {
		if n := r.SF.Writes(id); n != 2 {
			t.Errorf("%s was written %d times in Salesforce, want 2", id, n)
		}
	}
	calls, writes := r.settled()
	log := r.Count("SELECT count(*) FROM salesforce._trigger_log_archive")
	// The only way to see that nothing happens is to wait.
	time.Sleep(3 * time.Second)
	if again := r.SF.Calls(); !maps.Equal(calls, again) {
		t.Errorf("API calls went from %v to %v while nothing changed", calls, again)
	}
	if again := r.SF.WritesBy(); !maps.Equal(writes, again) {
		t.Errorf("writes went from %v to %v while nothing changed", writes, again)
	}
	if again := r.Count("SELECT count(*) FROM salesforce._trigger_log_archive"); again != log {
		t.Errorf("the log grew from %d to %d while nothing changed", log, again)
	}
}

// writes counts the writes to the records of all that was sent: with a topic's
// description, say, the bridge writes other records too.
func (r *rig) writes() (n int) {
	r.T.Helper()
	rows, err := r.Pool.Query(r.T.Context(), "SELECT DISTINCT sfid FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'")
	r.Must(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.Must(err)
	for _, id := range ids {
		n += r.SF.Writes(id)
	}
	return n
}

// settled waits until the API calls of what is done have stopped coming.
func (r *rig) settled() (calls, writes map[string]int) {
	r.T.Helper()
	last := r.SF.Calls()
	since := time.Now()
	r.Eventually("quiet", 20*time.Second, func() error {
		now := r.SF.Calls()
		if !maps.Equal(without(now), without(last)) {
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < time.Second {
			return fmt.Errorf("quiet for %s only", quiet)
		}
		return nil
	})
	return r.SF.Calls(), r.SF.WritesBy()
}

// without leaves out the long polls, of which one is always under way.
func without(calls map[string]int) map[string]int {
	out := maps.Clone(calls)
	maps.DeleteFunc(out, func(kind string, _ int) bool { return strings.Contains(kind, "cometd") })
	return out
}

// With PushTopics refused everything still arrives, and status says why.
func TestStreamsOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, append([]string{"HC_POLL_INTERVAL=1s"}, readWrite...)...)
	r.SF.DenyPushTopics(true)
	r.Start()
	r.Synced()
	var ids []string
	for i := range 100 {
		ids = append(ids, r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("Polled %d", i)}))
		r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $2)", fmt.Sprintf("Local %d", i), fmt.Sprintf("l-%d", i))
	}
	r.Equal("Contact")
	for i, id := range ids {
		if i < 50 {
			r.Must(r.SF.Update("Contact", id, map[string]any{"Title": fmt.Sprint(i)}))
		} else {
			r.Must(r.SF.Delete("Contact", id))
		}
	}
	for _, id := range ids[:50] { // twice within a second: equal stamps
		r.Must(r.SF.Update("Contact", id, map[string]any{"Title": "last"}))
	}
	r.Equal("Contact")
	r.Eventually("status", 15*time.Second, func() error {
		st, ok := r.Status()
		if !ok {
			return fmt.Errorf("no status")
		}
		for _, o := range st.Objects {
			if o.Mode != "streaming" || o.ModeEffective != "polling" || !strings.Contains(o.Message, "PushTopic") {
				return fmt.Errorf("%s: mode %s, effective %s, message %q", o.Object, o.Mode, o.ModeEffective, o.Message)
			}
		}
		return nil
	})
	if _, out, _ := r.Command("status"); !strings.Contains(out, "no permission for PushTopics") {
		t.Errorf("status does not say why:\n%s", out)
	}
}

// Killed in the middle of a thousand changes each way and started again,
// nothing is lost and nothing is twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	for i := range 300 {
		r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("Old %d", i), "External_Id__c": fmt.Sprintf("old-%d", i)})
	}
	first := r.Start()
	r.Synced()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, c := range r.SF.Records("Contact") {
			_ = r.SF.Update("Contact", c.ID, map[string]any{"Title": fmt.Sprintf("T %d", i)})
			_, _ = r.SF.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("New %d", i), "External_Id__c": fmt.Sprintf("new-%d", i)})
			if i%3 == 0 {
				_ = r.SF.Delete("Contact", c.ID)
			}
		}
	})
	wg.Go(func() {
		for i := range 500 {
			_, err := r.Pool.Exec(t.Context(), "INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $2)", fmt.Sprintf("Local %d", i), fmt.Sprintf("local-%d", i))
			if err == nil {
				_, err = r.Pool.Exec(t.Context(), "UPDATE salesforce.contact SET phone = $2 WHERE external_id__c = $1", fmt.Sprintf("local-%d", i), fmt.Sprint(i))
			}
			if err != nil {
				t.Errorf("the app's write failed: %v", err)
			}
		}
	})
	r.Eventually("half way", 60*time.Second, func() error {
		if n := len(r.SF.Records("Contact")); n < 500 {
			return fmt.Errorf("%d contacts", n)
		}
		return nil
	})
	first.End(syscall.SIGKILL)
	wg.Wait()
	r.Start()
	r.Equal("Contact")
	r.once("Contact", "contact")
}

// once checks that no external id exists twice on either side.
func (r *rig) once(object, table string) {
	r.T.Helper()
	seen := map[any]string{}
	for _, rec := range r.SF.Records(object) {
		key := rec.Get(r.SF.Object(object), "External_Id__c")
		if other, twice := seen[key]; twice && key != nil {
			r.T.Errorf("%v is both %s and %s in Salesforce", key, other, rec.ID)
		}
		seen[key] = rec.ID
	}
	ident := pgx.Identifier{"salesforce", table}.Sanitize()
	if n := r.Count("SELECT count(*) FROM (SELECT external_id__c FROM " + ident + " WHERE external_id__c IS NOT NULL GROUP BY 1 HAVING count(*) > 1) AS twice"); n != 0 {
		r.T.Errorf("%d external ids have two rows", n)
	}
}

// arrivals measures how long values take from one side to a column.
type arrivals struct {
	mu    sync.Mutex
	began map[string]time.Time
	took  []time.Duration
	quit  chan struct{}
	done  chan struct{}
}

func (r *rig) watchArrivals(table, column string) *arrivals {
	a := &arrivals{began: map[string]time.Time{}, quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for {
			select {
			case <-a.quit:
				return
			default:
			}
			rows, err := r.Pool.Query(r.T.Context(), "SELECT "+column+" FROM salesforce."+table)
			if err != nil {
				return
			}
			values, _ := pgx.CollectRows(rows, pgx.RowTo[string])
			now := time.Now()
			a.mu.Lock()
			for _, v := range values {
				if began, ok := a.began[v]; ok {
					a.took = append(a.took, now.Sub(began))
					delete(a.began, v)
				}
			}
			a.mu.Unlock()
		}
	}()
	return a
}

func (a *arrivals) sent(value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began[value] = time.Now()
}

func (a *arrivals) stop() []time.Duration {
	close(a.quit)
	<-a.done
	return a.took
}
