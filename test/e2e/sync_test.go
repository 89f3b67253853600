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
		r.insert("Account", map[string]any{"Name": fmt.Sprintf("Before %d", i)})
	}
	r.start()
	r.synced()
	r.equal("Account", "Contact")

	arrived := r.watchArrivals("contact", "lastname")
	var ids []string
	for i := range 500 {
		name := fmt.Sprintf("Created %d", i)
		arrived.sent(name)
		ids = append(ids, r.insert("Contact", map[string]any{"FirstName": "C", "LastName": name, "Email": fmt.Sprintf("c%d@example.com", i)}))
	}
	for i := range 300 {
		name := fmt.Sprintf("Updated %d", i)
		arrived.sent(name)
		r.must(r.sf.Update("Contact", ids[i], map[string]any{"LastName": name, "Email": nil}))
	}
	for i := range 150 {
		r.must(r.sf.Delete("Contact", ids[i]))
	}
	for i := range 50 {
		r.must(r.sf.Undelete("Contact", ids[i]))
	}
	r.equal("Account", "Contact")
	if n := r.count("SELECT count(*) FROM salesforce.contact"); n != 400 {
		t.Errorf("%d contacts, want 400", n)
	}
	took := arrived.stop()
	t.Logf("inbound: %d changes seen, p50 %s, p99 %s", len(took), percentile(took, 50), percentile(took, 99))
}

// A thousand rows changed by the app reach their records, once each.
func TestOutbound(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	r.start()
	r.synced()

	for i := range 500 {
		r.exec("INSERT INTO salesforce.contact (firstname, lastname, email, external_id__c) VALUES ('P', $1, $2, $3)",
			fmt.Sprintf("Row %d", i), fmt.Sprintf("p%d@example.com", i), fmt.Sprintf("p-%d", i))
	}
	r.equal("Contact")
	var took []time.Duration
	for i := range 20 { // an idle bridge, one change at a time
		key := fmt.Sprintf("p-%d", i)
		var id string
		r.must(r.pool.QueryRow(t.Context(), "UPDATE salesforce.contact SET title = 'Idle' WHERE external_id__c = $1 RETURNING sfid", key).Scan(&id))
		began := time.Now()
		for {
			if c, ok := r.sf.Get("Contact", id); ok && c.Get(r.sf.Object("Contact"), "Title") == "Idle" {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s was not sent", key)
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(began))
		r.equal("Contact")
	}
	for i := range 280 {
		r.exec("UPDATE salesforce.contact SET title = $2, email = NULL WHERE external_id__c = $1", fmt.Sprintf("p-%d", 20+i), fmt.Sprintf("Title %d", i))
	}
	for i := range 200 {
		r.exec("DELETE FROM salesforce.contact WHERE external_id__c = $1", fmt.Sprintf("p-%d", 300+i))
	}
	r.equal("Contact")

	if n := r.count("SELECT count(*) FROM salesforce.contact WHERE sfid IS NULL OR _hc_lastop <> 'SYNCED' OR _hc_err IS NOT NULL"); n != 0 {
		t.Errorf("%d rows are not SYNCED", n)
	}
	r.eventually("archive", 10*time.Second, func() error {
		live := r.count("SELECT count(*) FROM salesforce._trigger_log")
		success := r.count("SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'")
		if live != 0 || success != 1000 {
			return fmt.Errorf("%d live entries, %d SUCCESS in the archive; want 0 and 1000", live, success)
		}
		return nil
	})
	if n := r.writes(); n != 1000 {
		t.Errorf("the org saw %d writes for 1000 changes", n)
	}
	t.Logf("outbound: pick-up when idle p50 %s, p99 %s; calls %v", percentile(took, 50), percentile(took, 99), r.sf.Calls())
}

// One change is one write on the other side, and then there is silence.
func TestNoEcho(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	r.start()
	r.synced()
	var ids []string
	for i := range 100 {
		ids = append(ids, r.insert("Account", map[string]any{"Name": fmt.Sprintf("SF %d", i), "External_Id__c": fmt.Sprintf("sf-%d", i)}))
		r.exec("INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $2)", fmt.Sprintf("PG %d", i), fmt.Sprintf("pg-%d", i))
	}
	r.equal("Account")
	for i, id := range ids {
		r.must(r.sf.Update("Account", id, map[string]any{"Phone": fmt.Sprint(i)}))
		r.exec("UPDATE salesforce.account SET phone = $2 WHERE external_id__c = $1", fmt.Sprintf("pg-%d", i), fmt.Sprint(i))
	}
	r.equal("Account")
	if n := r.count("SELECT (SELECT count(*) FROM salesforce._trigger_log) + (SELECT count(*) FROM salesforce._trigger_log_archive)"); n != 200 {
		t.Errorf("%d log entries for 200 local changes", n)
	}
	for _, id := range ids {
		if n := r.sf.Writes(id); n != 2 {
			t.Errorf("%s was written %d times in Salesforce, want 2", id, n)
		}
	}
	calls, writes := r.settled()
	log := r.count("SELECT count(*) FROM salesforce._trigger_log_archive")
	// The only way to see that nothing happens is to wait.
	time.Sleep(3 * time.Second)
	if again := r.sf.Calls(); !maps.Equal(calls, again) {
		t.Errorf("API calls went from %v to %v while nothing changed", calls, again)
	}
	if again := r.sf.WritesBy(); !maps.Equal(writes, again) {
		t.Errorf("writes went from %v to %v while nothing changed", writes, again)
	}
	if again := r.count("SELECT count(*) FROM salesforce._trigger_log_archive"); again != log {
		t.Errorf("the log grew from %d to %d while nothing changed", log, again)
	}
}

// writes counts the writes to the records of all that was sent: with a topic's
// description, say, the bridge writes other records too.
func (r *rig) writes() (n int) {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(), "SELECT DISTINCT sfid FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'")
	r.must(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.must(err)
	for _, id := range ids {
		n += r.sf.Writes(id)
	}
	return n
}

// settled waits until the API calls of what is done have stopped coming.
func (r *rig) settled() (calls, writes map[string]int) {
	r.t.Helper()
	last := r.sf.Calls()
	since := time.Now()
	r.eventually("quiet", 20*time.Second, func() error {
		now := r.sf.Calls()
		if !maps.Equal(without(now), without(last)) {
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < time.Second {
			return fmt.Errorf("quiet for %s only", quiet)
		}
		return nil
	})
	return r.sf.Calls(), r.sf.WritesBy()
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
	r.sf.DenyPushTopics(true)
	r.start()
	r.synced()
	var ids []string
	for i := range 100 {
		ids = append(ids, r.insert("Contact", map[string]any{"LastName": fmt.Sprintf("Polled %d", i)}))
		r.exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $2)", fmt.Sprintf("Local %d", i), fmt.Sprintf("l-%d", i))
	}
	r.equal("Contact")
	for i, id := range ids {
		if i < 50 {
			r.must(r.sf.Update("Contact", id, map[string]any{"Title": fmt.Sprint(i)}))
		} else {
			r.must(r.sf.Delete("Contact", id))
		}
	}
	for _, id := range ids[:50] { // twice within a second: equal stamps
		r.must(r.sf.Update("Contact", id, map[string]any{"Title": "last"}))
	}
	r.equal("Contact")
	r.eventually("status", 15*time.Second, func() error {
		st, ok := r.status()
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
	if _, out, _ := r.command("status"); !strings.Contains(out, "no permission for PushTopics") {
		t.Errorf("status does not say why:\n%s", out)
	}
}

// Killed in the middle of a thousand changes each way and started again,
// nothing is lost and nothing is twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	for i := range 300 {
		r.insert("Contact", map[string]any{"LastName": fmt.Sprintf("Old %d", i), "External_Id__c": fmt.Sprintf("old-%d", i)})
	}
	first := r.start()
	r.synced()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, c := range r.sf.Records("Contact") {
			_ = r.sf.Update("Contact", c.ID, map[string]any{"Title": fmt.Sprintf("T %d", i)})
			_, _ = r.sf.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("New %d", i), "External_Id__c": fmt.Sprintf("new-%d", i)})
			if i%3 == 0 {
				_ = r.sf.Delete("Contact", c.ID)
			}
		}
	})
	wg.Go(func() {
		for i := range 500 {
			_, err := r.pool.Exec(t.Context(), "INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $2)", fmt.Sprintf("Local %d", i), fmt.Sprintf("local-%d", i))
			if err == nil {
				_, err = r.pool.Exec(t.Context(), "UPDATE salesforce.contact SET phone = $2 WHERE external_id__c = $1", fmt.Sprintf("local-%d", i), fmt.Sprint(i))
			}
			if err != nil {
				t.Errorf("the app's write failed: %v", err)
			}
		}
	})
	r.eventually("half way", 60*time.Second, func() error {
		if n := len(r.sf.Records("Contact")); n < 500 {
			return fmt.Errorf("%d contacts", n)
		}
		return nil
	})
	first.end(syscall.SIGKILL)
	wg.Wait()
	r.start()
	r.equal("Contact")
	r.once("Contact", "contact")
}

// once checks that no external id exists twice on either side.
func (r *rig) once(object, table string) {
	r.t.Helper()
	seen := map[any]string{}
	for _, rec := range r.sf.Records(object) {
		key := rec.Get(r.sf.Object(object), "External_Id__c")
		if other, twice := seen[key]; twice && key != nil {
			r.t.Errorf("%v is both %s and %s in Salesforce", key, other, rec.ID)
		}
		seen[key] = rec.ID
	}
	ident := pgx.Identifier{"salesforce", table}.Sanitize()
	if n := r.count("SELECT count(*) FROM (SELECT external_id__c FROM " + ident + " WHERE external_id__c IS NOT NULL GROUP BY 1 HAVING count(*) > 1) AS twice"); n != 0 {
		r.t.Errorf("%d external ids have two rows", n)
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
			rows, err := r.pool.Query(r.t.Context(), "SELECT "+column+" FROM salesforce."+table)
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
