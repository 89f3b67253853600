package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/check"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
	"hcbridge/test/org/truth"
	"hcbridge/test/pgtest"
	"hcbridge/test/rig"
)

// patience is how long the app may wait for a row that the bridge holds: while a
// network between the two stands still, or the bridge does, so does its transaction.
const patience = 10 * time.Second

// world is all that a run is about.
type world struct {
	*rig.Rig

	plan   plan
	server *pgtest.Server
	app    *check.App
	toOrg  *wire
	toPG   *wire

	ahead  atomic.Int64 // of the org's clock, nanoseconds
	late   atomic.Int64 // how much older than its commit the stamp of a change is
	refuse atomic.Int64 // every nth record is locked; 0 = none
	// several says that what people do is to more than one record. Each would have
	// waited for a lock on it, so that none of them bears an older stamp than before.
	several atomic.Bool

	database sync.RWMutex // held for writing while the app rests
	process  sync.Mutex   // of what is done to the bridge
	bridge   *rig.Bridge
	bridges  []*rig.Bridge // all there have been
	ended    bool          // no start any more
}

// newWorld prepares both sides with records, and the bridge between them, not started.
func newWorld(t *testing.T, p plan, server *pgtest.Server) *world {
	t.Helper()
	w := &world{plan: p, server: server}
	w.ahead.Store(int64(p.ahead))
	sf := org.New(org.Options{
		DailyLimit: 1_000_000, Seed: p.seed, PageSize: p.pageSize,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	}).Start()
	t.Cleanup(sf.Close)
	name := fmt.Sprintf("chaos_%d", p.seed)
	address, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.Resume(ctx); err != nil {
			t.Error(err)
		}
		if err := server.DropDatabase(ctx, name); err != nil {
			t.Error(err)
		}
	})
	w.toOrg = newWire(t, "org", hostOf(t, sf.URL()))
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	w.toPG = newWire(t, "postgres", u.Host)
	u.Host = w.toPG.addr()
	sf.MovesTo("http://" + w.toOrg.addr())
	w.Rig = rig.Between(t, sf, address, append(p.settings(), "DATABASE_URL="+u.String(), "HC_SALESFORCE_LOGIN_URL=http://"+w.toOrg.addr())...)
	w.Raced()
	if objects := p.captured(); len(objects) > 0 {
		w.Must(sf.Select(objects...))
	}
	w.app = &check.App{Pool: pgtest.Open(t, address), Schema: "salesforce", Bridge: "hcbridge", Patience: patience, Mark: map[string]string{}}
	for _, k := range kinds {
		w.app.Mark[k.object] = k.mark
	}
	w.fill()
	sf.Trigger(w.trigger)
	return w
}

// fill makes the records that are there before the bridge is.
func (w *world) fill() {
	random := w.plan.random(0)
	var accounts []string
	for _, k := range kinds {
		n := w.plan.records
		ids, err := w.SF.InsertMany(k.object, func(yield func(map[string]any) bool) {
			for range n {
				fields := k.record(random)
				if k.parent != "" && len(accounts) > 0 {
					fields[k.parent] = accounts[random.IntN(len(accounts))]
				}
				if !yield(fields) {
					return
				}
			}
		})
		w.Must(err)
		if k.object == "Account" {
			accounts = ids
		}
	}
}

// trigger is what the org itself does wrong while it stores a record.
func (w *world) trigger(d *sobject.Draft) error {
	// Not before the change of the same record that came before: it held a lock on it.
	var stamp time.Time
	if d.Kind != sobject.Insert {
		stamp, _ = d.Before.Get(d.Object, "SystemModstamp").(time.Time)
	}
	if late := time.Duration(w.late.Load()); late > 0 && !w.several.Load() && d.Tx.Origin.API == "ui" && stamp.Before(d.Tx.At.Add(-late)) {
		d.Tx.At = d.Tx.At.Add(-late)
		w.late.Store(0) // of each fault one transaction
	}
	if n := w.refuse.Load(); n > 0 && d.Tx.Origin.API != "ui" && d.Object.Field("Phone") != nil && rand.Int64N(n) == 0 {
		return &sobject.Error{Status: 400, Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access to this record or 1 records", Fields: []string{}}
	}
	return nil
}

// start runs the bridge as a service manager does: it is started again when it
// ends by itself.
func (w *world) start() {
	w.process.Lock()
	defer w.process.Unlock()
	w.startLocked()
}

func (w *world) startLocked() {
	if w.ended {
		return
	}
	w.bridge = w.Start()
	w.bridges = append(w.bridges, w.bridge)
}

// end sends the bridge a signal, waits until it is gone, does something meanwhile and
// starts it again.
func (w *world) end(sig syscall.Signal, meanwhile func()) {
	w.process.Lock()
	defer w.process.Unlock()
	w.bridge.End(sig)
	meanwhile()
	w.startLocked()
}

// still keeps the bridge's process from running.
func (w *world) still(d time.Duration) {
	w.process.Lock()
	defer w.process.Unlock()
	_ = w.bridge.Cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d) // it is what is tested
	_ = w.bridge.Cmd.Process.Signal(syscall.SIGCONT)
}

// stopPostgres ends the server as a crash does while the app rests, and starts it
// again when it has been down for d.
func (w *world) stopPostgres(d time.Duration) {
	w.database.Lock()
	defer w.database.Unlock()
	if err := w.server.Stop(pgtest.Immediate); err != nil {
		w.T.Errorf("stop of Postgres: %v", err)
	}
	time.Sleep(d)
	if err := w.server.Resume(w.T.Context()); err != nil {
		w.T.Errorf("start of Postgres: %v", err)
	}
	w.app.Pool.Reset()
	w.Pool.Reset()
}

// sql runs a statement of the administrator of the database.
func (w *world) sql(text string) {
	w.database.RLock()
	defer w.database.RUnlock()
	_, err := w.Pool.Exec(w.T.Context(), text)
	for deadline := time.Now().Add(10 * time.Second); err != nil && strings.Contains(err.Error(), "deadlock") && time.Now().Before(deadline); {
		_, err = w.Pool.Exec(w.T.Context(), text) // it locks many tables, and the bridge goes on
	}
	if err != nil {
		w.T.Errorf("%s: %v", text, err)
	}
}

// calm ends all faults. Where the plan has some whose consequences last for
// minutes the minutes pass now, while the bridge is down and nothing is under way.
func (w *world) calm() {
	w.SF.ClearFaults()
	w.SF.Mute(false)
	w.SF.ReverseEvents(false)
	w.SF.Stream().Duplicate(1)
	w.SF.Stream().Drop(nil)
	w.SF.Stream().ForgetEvery(0)
	w.SF.Stream().RefuseHandshake("", 0)
	w.SF.Stream().RefuseSubscribe("", "", "", 0)
	w.SF.DailyLimit(1_000_000)
	w.refuse.Store(0)
	w.late.Store(0)
	age := func() {}
	if w.plan.ages {
		age = func() {
			w.toOrg.cut()
			w.toPG.cut()
			// What Postgres does for the dead it does to the end.
			w.Until("the sessions of the dead to end", within, func() error {
				if n := w.Count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge'"); n > 0 {
					return fmt.Errorf("%d sessions", n)
				}
				return nil
			})
			w.sql("UPDATE salesforce._trigger_log SET processed_at = processed_at - interval '15 minutes' WHERE state = 'PENDING'")
		}
	}
	if w.plan.ages || w.plan.ends {
		w.end(syscall.SIGKILL, age)
	}
	w.toOrg.cut()
	w.toPG.cut()
}

// objects are the API names of the mapped objects.
func objects() (names []string) {
	for _, k := range kinds {
		names = append(names, k.object)
	}
	return names
}

func (w *world) checker(log *truth.Log) *check.Checker {
	return &check.Checker{
		Pool: w.Pool, Schema: "salesforce", Org: check.Local(log), Objects: objects(), App: w.app,
		Secrets: []string{org.DefaultPassword, org.DefaultClientSecret, w.URL[strings.Index(w.URL, "postgres:")+9 : strings.Index(w.URL, "@")]},
	}
}
