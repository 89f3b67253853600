package check_test

import (
	"context"
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/internal/migrate"
	"hcbridge/test/check"
	"hcbridge/test/org"
	"hcbridge/test/org/control"
	"hcbridge/test/org/truth"
	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is two sides that are equal, as a bridge would leave them: an account that
// somebody made in the org, and one that the app made and then changed twice.
type world struct {
	testing.TB
	pool   *pgxpool.Pool
	schema string
	sf     *org.Server
	bridge org.Actor // who writes to the org as the bridge does
	app    *check.App
	check  *check.Checker
	theirs string // record of the org's user, row 1
	ours   string // record of the app, row 2
}

// database is one that many worlds share, each with a schema of its own.
func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return pgtest.Copy(t, "migrated", migrate.Up)
}

func newWorld(t *testing.T, pool *pgxpool.Pool) *world {
	t.Helper()
	w := &world{TB: t, pool: pool, schema: "world_" + strings.ToLower(rand.Text()), sf: org.New(org.Options{}).Start()}
	t.Cleanup(w.sf.Close)
	w.bridge = w.sf.As(org.DefaultUsername)
	w.exec(`CREATE SCHEMA salesforce;
		CREATE TABLE salesforce.account (id serial PRIMARY KEY, sfid varchar(18), name text, phone text, systemmodstamp timestamp, isdeleted boolean);
		CREATE TABLE salesforce._trigger_log (id bigserial, state varchar(8), action varchar(7), table_name varchar(128), record_id bigint, sfid varchar(18), sf_message text);
		CREATE TABLE salesforce._trigger_log_archive (LIKE salesforce._trigger_log)`)
	w.exec(`INSERT INTO hcbridge.object (schema, object, loaded_at) VALUES ('salesforce', 'Account', now())`)
	w.app = &check.App{Pool: w.pool, Schema: w.schema, Mark: map[string]string{"Account": "name"}, Bridge: "hcbridge"}
	w.check = &check.Checker{Pool: w.pool, Schema: w.schema, Org: check.Local(truth.Listen(w.sf)), Objects: []string{"Account"}, App: w.app, Samples: &check.Samples{}}
	w.exec(`INSERT INTO salesforce.account (name) VALUES (NULL)`)
	var err error
	w.theirs, err = w.sf.Insert("Account", map[string]any{"Name": "theirs"})
	w.must(err)
	w.pull(1, w.theirs)
	_, err = w.app.Insert(t.Context(), "Account", map[string]any{"name": "ours", "phone": "1"})
	w.must(err)
	w.ours, err = w.bridge.Insert("Account", map[string]any{"Name": "ours", "Phone": "1"})
	w.must(err)
	for _, phone := range []string{"2", "3"} {
		w.set(phone)
		w.send(w.ours, "Phone", phone)
	}
	w.pull(2, w.ours)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	_, err := w.pool.Exec(w.Context(), strings.ReplaceAll(sql, "salesforce", w.schema), args...)
	w.must(err)
}

// set is a change by the app of its row, send one by the bridge of a record.
func (w *world) set(phone string) {
	w.Helper()
	w.must(w.app.Update(w.Context(), "Account", 2, map[string]any{"phone": phone}))
}

func (w *world) send(id, field string, value any) {
	w.Helper()
	w.must(w.bridge.Update("Account", id, map[string]any{field: value}))
}

// anotherRow has the app delete its row and a person take its record back, and the app
// change the row that it gets then.
func (w *world) anotherRow() {
	w.Helper()
	w.set("4")
	w.send(w.ours, "Phone", "4")
	w.must(w.app.Delete(w.Context(), "Account", 2))
	w.must(w.bridge.Delete("Account", w.ours))
	w.must(w.sf.Undelete("Account", w.ours))
	w.exec(`INSERT INTO salesforce.account (id, name) VALUES (50, 'back')`)
	w.pull(50, w.ours)
	w.must(w.app.Update(w.Context(), "Account", 50, map[string]any{"phone": "7"}))
	w.send(w.ours, "Phone", "7")
	w.pull(50, w.ours)
}

// pull makes a row what its record is, as the bridge would.
func (w *world) pull(row int, id string) {
	w.Helper()
	rec, _ := w.sf.Get("Account", id)
	ob := w.sf.Object("Account")
	w.exec(`UPDATE salesforce.account SET sfid = $2, name = $3, phone = $4, systemmodstamp = $5, isdeleted = false WHERE id = $1`,
		row, id, rec.Get(ob, "Name"), rec.Get(ob, "Phone"), rec.Stamp.UTC())
}

// topic makes the bridge's topic, so that what follows has events.
func (w *world) topic() {
	w.Helper()
	_, err := w.sf.Insert("PushTopic", map[string]any{"Name": "hc_Account", "Query": "SELECT Id, Name, Phone FROM Account", "ApiVersion": 60.0})
	w.must(err)
}

// Each invariant is found to be broken where it is, and nothing where nothing is.
func TestFound(t *testing.T) {
	t.Parallel()
	pool := database(t)
	for _, c := range []struct {
		name  string
		want  string // "" = nothing
		plant func(*world)
	}{
		{"nothing", "", func(*world) {}},
		{"a column of a row is altered", "I1", func(w *world) { w.exec(`UPDATE salesforce.account SET phone = '9' WHERE id = 1`) }},
		{"a row that nobody made", "I1", func(w *world) { w.exec(`INSERT INTO salesforce.account (name) VALUES ('x')`) }},
		{"an entry waits", "I2", func(w *world) {
			w.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name) VALUES ('NEW', 'UPDATE', 'account')`)
		}},
		{"an entry failed without a word", "I2", func(w *world) {
			w.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name) VALUES ('FAILED', 'UPDATE', 'account')`)
		}},
		{"a second record of one insert", "I3", func(w *world) {
			id, err := w.bridge.Insert("Account", map[string]any{"Name": "ours"})
			w.must(err)
			w.exec(`INSERT INTO salesforce.account (sfid) VALUES ('x')`)
			w.pull(3, id)
		}},
		{"a second record, deleted again", "I3 I14", func(w *world) {
			id, err := w.bridge.Insert("Account", map[string]any{"Name": "ours"})
			w.must(err)
			w.must(w.bridge.Delete("Account", id))
		}},
		{"two rows of a record", "I4", func(w *world) {
			w.exec(`INSERT INTO salesforce.account (sfid, name, phone, systemmodstamp, isdeleted) SELECT sfid, name, phone, systemmodstamp, isdeleted FROM salesforce.account WHERE id = 1`)
		}},
		{"a record without a row", "I5", func(w *world) { _, err := w.sf.Insert("Account", map[string]any{"Name": "new"}); w.must(err) }},
		{"a record without a row, refused", "", func(w *world) {
			id, err := w.sf.Insert("Account", map[string]any{"Name": "new"})
			w.must(err)
			w.exec(`INSERT INTO hcbridge.read_error (schema, object, sfid) VALUES ('salesforce', 'Account', $1)`, id)
		}},
		{"a commit that was never sent, and is undone", "I6", func(w *world) { w.set("4"); w.pull(2, w.ours) }},
		{"the same, refused", "", func(w *world) {
			w.set("4")
			w.pull(2, w.ours)
			w.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sf_message) VALUES ('FAILED', 'UPDATE', 'account', 2, 'no')`)
		}},
		{"the same, a conflict", "", func(w *world) {
			w.set("4")
			w.pull(2, w.ours)
			w.exec(`INSERT INTO hcbridge.conflict (schema, object, table_name, record_id, sfid, field, entry, chosen, settled) VALUES ('salesforce', 'Account', 'account', 2, $1, 'phone', 1, 'salesforce', true)`, w.ours)
		}},
		{"somebody has changed it since", "", func(w *world) {
			w.set("4")
			w.send(w.ours, "Phone", "4")
			w.must(w.sf.Update("Account", w.ours, map[string]any{"Phone": "5"}))
			w.pull(2, w.ours)
		}},
		{"a delete that was never sent", "I5 I6", func(w *world) { w.must(w.app.Delete(w.Context(), "Account", 2)) }},
		{"an insert that was never sent, and is gone", "I6 I14", func(w *world) {
			_, err := w.app.Insert(w.Context(), "Account", map[string]any{"name": "new"})
			w.must(err)
			w.exec(`DELETE FROM salesforce.account WHERE name = 'new'`)
		}},
		{"an older value after a newer one", "I7 I8", func(w *world) { w.send(w.ours, "Phone", "2"); w.send(w.ours, "Phone", "3"); w.pull(2, w.ours) }},
		{"a commit of what the row has", "", func(w *world) {
			w.exec(`UPDATE salesforce.account SET phone = '6' WHERE id = 1`)
			w.must(w.app.Update(w.Context(), "Account", 1, map[string]any{"phone": "6"}))
			w.pull(1, w.theirs)
		}},
		{"values in the other order", "I6 I7", func(w *world) {
			w.set("4")
			w.set("5")
			w.send(w.ours, "Phone", "5")
			w.send(w.ours, "Phone", "4")
			w.pull(2, w.ours)
		}},
		{"a row deleted, and another one of its record, which somebody took back", "", (*world).anotherRow},
		{"the same, and a value of the first row again", "I6 I7", func(w *world) {
			w.anotherRow()
			w.send(w.ours, "Phone", "4")
			w.pull(50, w.ours)
		}},
		{"two values in turn, for ever", "I7 I8", func(w *world) {
			for range 3 {
				w.send(w.ours, "Phone", "2")
				w.send(w.ours, "Phone", "3")
			}
			w.pull(2, w.ours)
		}},
		{"two clients", "I9", func(w *world) { w.check.Samples.Add(check.Sample{Clients: 2}) }},
		{"a lock that the bridge holds", "I10", func(w *world) { w.hold("hcbridge") }},
		{"a lock that another holds", "", func(w *world) { w.hold("somebody") }},
		{"a capture that fails", "I10", func(w *world) {
			w.exec(`CREATE FUNCTION salesforce.boom() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''boom''; END'; CREATE TRIGGER x BEFORE UPDATE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION salesforce.boom()`)
			_ = w.app.Update(w.Context(), "Account", 2, map[string]any{"phone": "4"})
		}},
		{"a standstill that nobody tells of", "I11", func(w *world) { w.stand(true, 0) }},
		{"a standstill that is told of", "", func(w *world) { w.stand(false, 0) }},
		{"slow, but not still", "", func(w *world) { w.stand(true, 1) }},
		{"a descriptor too many", "I12", func(w *world) {
			w.check.Samples.Bounds.Descriptors = 10
			w.check.Samples.Add(check.Sample{Descriptors: 11})
		}},
		{"a row of the app is gone", "I5 I14", func(w *world) { w.exec(`DELETE FROM salesforce.account WHERE id = 2`) }},
		{"a record that the app has not deleted", "I14", func(w *world) {
			w.must(w.bridge.Delete("Account", w.theirs))
			w.exec(`DELETE FROM salesforce.account WHERE id = 1`)
		}},
		{"a record that its people have deleted", "", func(w *world) {
			w.must(w.sf.Delete("Account", w.ours))
			w.exec(`DELETE FROM salesforce.account WHERE id = 2`)
		}},
		{"a secret in a log", "I15", func(w *world) {
			w.check.Secrets = []string{"canary"}
			w.check.Texts = func() map[string]string { return map[string]string{"log": "a canary sings"} }
		}},
		{"a secret in a table", "I15", func(w *world) {
			w.check.Secrets = []string{"bird"}
			w.exec(`UPDATE hcbridge.object SET message = 'a bird sings' WHERE schema = 'salesforce'`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pool)
			c.plant(w)
			found, err := w.check.Converged(t.Context(), 0)
			w.must(err)
			w.want(found, c.want)
		})
	}
}

// want compares the invariants that were found to be broken.
func (w *world) want(found []check.Violation, want string) {
	w.Helper()
	var got []string
	for _, v := range found {
		got = append(got, v.Invariant)
	}
	if got := strings.Join(slices.Compact(got), " "); got != want {
		w.Errorf("found %q, want %q: %v", got, want, found)
	}
}

// hold lets the app wait for a lock of somebody.
func (w *world) hold(name string) {
	w.Helper()
	locked, waited := make(chan error, 1), make(chan error, 1)
	tx, err := w.pool.Begin(w.Context())
	w.must(err)
	_, err = tx.Exec(w.Context(), `SELECT set_config('application_name', $1, true)`, name)
	w.must(err)
	_, err = tx.Exec(w.Context(), `SELECT FROM `+w.schema+`.account WHERE id = 2 FOR UPDATE`)
	w.must(err)
	close(locked)
	go func() { waited <- w.app.Update(w.Context(), "Account", 2, map[string]any{"phone": "3"}) }()
	// The app is patient for 50 ms; on a busy machine it takes it longer to ask for whom.
	for long := false; !long; time.Sleep(20 * time.Millisecond) {
		w.must(w.pool.QueryRow(w.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE $1 = ANY (pg_blocking_pids(pid)) AND clock_timestamp() - query_start > interval '2 s')`, tx.Conn().PgConn().PID()).Scan(&long))
	}
	w.must(tx.Rollback(w.Context()))
	w.must(<-waited)
}

// stand is two minutes of samples in which something waits.
func (w *world) stand(ready bool, done int) {
	at := time.Now()
	for i := range 13 {
		w.check.Samples.Add(check.Sample{At: at.Add(time.Duration(i) * 10 * time.Second), Ready: ready, Behind: 1, Done: i * done})
	}
}

// An endless writer is one who goes on when all is equal.
func TestQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, database(t))
	w.check.Quiet = 200 * time.Millisecond
	found, err := w.check.Converged(t.Context(), time.Minute)
	w.must(err)
	w.want(found, "")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = w.bridge.Update("Account", w.ours, map[string]any{"Phone": "3"})
			time.Sleep(time.Millisecond)
		}
	}()
	w.check.Objects = nil // the stamps run ahead of the rows
	found, err = w.check.Converged(t.Context(), 300*time.Millisecond)
	stop()
	<-ended
	w.must(err)
	w.want(found, "I8")
}

// A position is ahead of its rows if the event that it has passed is in none.
func TestCut(t *testing.T) {
	t.Parallel()
	pool := database(t)
	for _, c := range []struct {
		name, want string
		replay     int64
		plant      func(*world)
	}{
		{"all is there", "", 100, func(w *world) { w.pull(1, w.theirs) }},
		{"a change is missing", "I13", 100, func(*world) {}},
		{"a change is missing, and the position is before it", "", 0, func(*world) {}},
		{"a change is marked", "", 100, func(w *world) {
			w.exec(`INSERT INTO hcbridge.mark (schema, object, sfid, reason) VALUES ('salesforce', 'Account', $1, 'x')`, w.theirs)
		}},
		{"a deletion is missing", "I13", 100, func(w *world) { w.pull(1, w.theirs); w.must(w.sf.Delete("Account", w.theirs)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pool)
			w.topic()
			w.exec(`UPDATE salesforce.account SET systemmodstamp = systemmodstamp - interval '1 minute' WHERE id = 1`)
			w.must(w.sf.Update("Account", w.theirs, map[string]any{"Phone": "7"}))
			c.plant(w)
			w.exec(`INSERT INTO hcbridge.position (schema, channel, replay_id) VALUES ('salesforce', '/topic/hc_Account', $1)`, c.replay)
			found, err := w.check.Cut(t.Context())
			w.must(err)
			w.want(found, c.want)
		})
	}
}

// What an org in another process tells of itself is what it tells in its own.
func TestRemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t, database(t))
	w.sf.Handle(control.Path, control.New(w.sf))
	w.check.Org = check.Remote(w.sf.URL())
	look := func(want string) {
		t.Helper()
		found, err := w.check.Look(t.Context())
		w.must(err)
		w.want(found, want)
	}
	look("")
	w.set("4")
	w.send(w.ours, "Phone", "4")
	w.pull(2, w.ours)
	look("")
	w.send(w.ours, "Phone", "3")
	w.pull(2, w.ours)
	look("I6 I7")
	w.must(w.sf.Delete("Account", w.theirs))
	look("I1 I6 I7")
	w.check.Org = check.Remote("http://127.0.0.1:1")
	if _, err := w.check.Look(t.Context()); err == nil {
		t.Error("an org that is not there is no error")
	}
}
