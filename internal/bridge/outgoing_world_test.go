package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/migrate"
	"hcbridge/outbox"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// subject is what apps write of an object.
type subject struct {
	object, table string
	nonce         string    // column that a row never changes, and no other row shares
	fields        [2]string // columns that change
	lookup        string    // column that names the parent, "" without one
	external      bool      // it has an external id
}

// subjects are a parent with an external id; a child without one, that names its
// parent by id; and a child that names it by external id, one of whose fields
// events do not carry.
var subjects = map[string]*subject{
	"Account":    {object: "Account", table: "account", nonce: "site", fields: [2]string{"name", "phone"}, external: true},
	"Contact":    {object: "Contact", table: "contact", nonce: "department", fields: [2]string{"lastname", "title"}, lookup: "accountid"},
	"Invoice__c": {object: "Invoice__c", table: "invoice__c", nonce: "name", fields: [2]string{"notes__c", "notes__c"}, lookup: "account__r__external_id__c", external: true},
}

var subjectFields = map[string]string{
	"site": "Site", "name": "Name", "phone": "Phone", "department": "Department", "lastname": "LastName", "title": "Title", "notes__c": "Notes__c",
}

var outMapped = []config.Object{
	{Name: "Account", Fields: []string{"Name", "Phone", "Site"}, ExternalID: "External_Id__c"},
	{Name: "Contact", Fields: []string{"LastName", "Title", "Department", "AccountId"}},
	{Name: "Invoice__c", Fields: []string{"Name", "Notes__c", "Account__c", "Account__r.External_Id__c"}, ExternalID: "External_Id__c"},
}

func newOutDatabase(t *testing.T) *database {
	t.Helper()
	db := &database{pool: pgtest.Copy(t, "migrated", migrate.Up), mappings: map[string]*mapping{}}
	ctx := t.Context()
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	client, done, err := clientOf(ctx, sf)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), db.pool, client)
	s.orgID = sf.ID()
	if err := s.pin(ctx); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range outMapped {
		cfg.Mode, cfg.Access, cfg.PollInterval = config.ModeStreaming, accessReadWrite, 10*time.Minute
		m, err := mapObject(ctx, client, cfg, "salesforce", false, nil)
		if err == nil {
			_, err = s.ensure(ctx, m)
		}
		if err == nil {
			_, err = db.pool.Exec(ctx, "ALTER TABLE salesforce."+subjects[cfg.Name].table+" ADD COLUMN ours text")
		}
		if err != nil {
			t.Fatal(err)
		}
		db.mappings[cfg.Name] = m
		s.objects = append(s.objects, newObject(m))
	}
	if err := s.installAll(ctx); err != nil {
		t.Fatal(err)
	}
	return db
}

// outWorld is a world whose rows apps write to.
type outWorld struct {
	*world
	outPlot

	worker          *outbox.Worker
	gate            sync.RWMutex // held while something happens in a call; requests share it
	before          func()       // is done when the next call has been claimed and not been sent
	after           func()       // and when it has been answered
	inCall, sending bool
	dying           atomic.Bool
	stop            context.CancelFunc // ends the process in good order
	stopping        bool
	ran             int           // requests that ran late
	running         atomic.Bool   // one does now
	over            bool          // what is not answered cannot take effect any more
	giveUp          bool          // the next call is given up before it runs
	late            *org.Injected // and one that has been
	revives         bool          // one was an upsert, which makes a record that was deleted again
	locked          int           // how many of the next records are locked, by bits
	fresh           bool          // the session has not been revoked yet

	rows  []*row
	byRow map[string]*row // by nonce
	opens []*txn
	faint bool             // something has happened for which an entry may be FAILED
	cured map[int64]string // the messages of entries that a person has looked after
	odd   error
}

// crashed is how a process ends in the middle of something.
type crashed struct{}

func (p plot) runOut(ctx context.Context, db *database) (trail []string, err error) {
	// The org tells of what it sees while it holds locks, so what is wrong with
	// that is told after the step.
	inner := p
	inner.Child = ""
	base, done, err := newWorld(ctx, db, inner)
	if err != nil {
		return nil, err
	}
	defer done()
	w := &outWorld{world: base, outPlot: *p.Out, byRow: map[string]*row{}, fresh: true}
	w.used = w.Used
	w.heal = w.healAll
	w.check = w.lookOut
	if _, err := db.pool.Exec(ctx, "DELETE FROM salesforce._trigger_log; DELETE FROM salesforce._trigger_log_archive"); err != nil {
		return nil, err
	}
	w.sf.Trigger(w.refuse)
	w.sf.Org().Watch(w.see)
	defer w.leave()
	if err := errors.Join(w.rebirth(ctx), w.load(ctx)); err != nil {
		return nil, err
	}
	if p.Seed%5 > 0 {
		if err := w.connect(ctx); err != nil {
			return nil, err
		}
	}
	for _, s := range p.Steps {
		if err := w.do(ctx, s); err != nil {
			return w.trail, fmt.Errorf("%v: %w", s, err)
		}
	}
	w.trail = append(w.trail, "quiet")
	return w.trail, w.quiet(ctx)
}

// pass lets time pass, for the org: ours sees its clock set forward.
func (w *outWorld) pass(ctx context.Context, d time.Duration) error {
	if _, err := w.s.clockGain(ctx, w.s.sf.ServerTime(), 0); err != nil {
		return err
	}
	return w.move(ctx, d)
}

// leave ends what would keep connections.
func (w *outWorld) leave() {
	for _, tx := range w.opens {
		_ = tx.tx.Rollback(context.Background()) // the schedule is over
	}
	w.sf.ClearFaults()
}

func (w *outWorld) rebirth(ctx context.Context) error {
	if err := w.birth(ctx); err != nil {
		return err
	}
	algorithm := outbox.Ordered
	if w.Merged {
		algorithm = outbox.Merged
	}
	var err error
	cfg := outbox.Config{
		Schema: "salesforce", Algorithm: algorithm, Tables: w.s.outboxTables(), Sender: hooked{sender{w.s}, w}, Settle: w.settled,
		Log: zerolog.Nop(), TidyEvery: 1, Calls: 1, Backoff: func(int) time.Duration { return 0 },
	}
	if w.Side {
		cfg.Calls, cfg.BatchSize = 5, 2
	}
	if w.Bulk {
		cfg.Bulk, cfg.BulkFrom, cfg.BulkAsk = hookedBulk{bulk{w.s}, w}, 2, 1
	}
	if w.Hasty {
		cfg.StopGrace = 1
	}
	w.resolve(&cfg)
	if w.worker, err = outbox.New(w.db.pool, cfg); err != nil {
		return err
	}
	w.resolved()
	return w.worker.Recover(ctx)
}

// settled is the session's; the process may end in it.
func (w *outWorld) settled(ctx context.Context, tx pgx.Tx, done []outbox.Settled) error {
	if err := w.s.settled(ctx, tx, done); err != nil {
		return err
	}
	if w.dying.Swap(false) {
		panic(crashed{})
	}
	return nil
}

// do does a step, and looks at the tables.
func (w *outWorld) do(ctx context.Context, s step) error {
	w.trail = append(w.trail, w.clock.Now().Format("15:04:05.0 ")+s.String())
	var inner error
	nested := func(list []step) func() {
		if len(list) == 0 {
			return nil
		}
		return func() {
			for _, s := range list {
				inner = errors.Join(inner, w.do(ctx, s))
			}
			w.trail = append(w.trail, "…")
		}
	}
	if !w.inCall {
		if s.do == "send" {
			early := slices.DeleteFunc(slices.Clone(s.during), func(s step) bool { return s.b%2 == 0 })
			then := slices.DeleteFunc(slices.Clone(s.during), func(s step) bool { return s.b%2 == 1 })
			w.before, w.after = nested(early), nested(then)
		} else {
			w.during = nested(slices.DeleteFunc(slices.Clone(s.during), func(s step) bool { return s.do == "crash" || s.do == "read" || s.do == "poll" }))
		}
	}
	err := w.act(ctx, s)
	if !w.inCall {
		w.during, w.before, w.after = nil, nil, nil
	}
	if err == nil {
		err = w.lookOut(ctx)
	}
	return errors.Join(inner, err)
}

func (w *outWorld) act(ctx context.Context, s step) error {
	switch s.do {
	case "app":
		return w.app(ctx, s, false)
	case "open":
		return w.app(ctx, s, true)
	case "close":
		return w.end(ctx, s)
	case "send":
		return w.send(ctx)
	case "fault":
		w.fault(s)
	case "locks":
		w.locked = s.a & s.b & 0xff
	case "limit":
		w.sf.Fault(org.Fault{Path: "/services/data", Verb: org.Reject, Status: 403, Times: 1 + s.a%4, Body: `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`})
	case "revoke":
		if w.fresh { // a client logs in again at once but once
			w.fresh = false
			w.sf.RevokeTokens()
		}
	case "late":
		w.giveUp = w.Doubt && w.late == nil && !w.over
	case "run":
		return w.runLate(ctx)
	case "edit":
		return w.edit(s)
	case "gone":
		return w.remove(s)
	case "crash":
		return w.crash(ctx, s)
	case "wait":
		return w.pass(ctx, min(waits[s.a%len(waits)], 7*time.Hour))
	case "deliver":
		return w.deliver(ctx, s)
	case "again":
		return w.deliverAgain(ctx, s)
	case "drop":
		return w.drop(ctx, s)
	case "poll":
		return w.poll(ctx, w.s.objects[s.a%len(w.s.objects)])
	case "read":
		return w.read(ctx, w.s.objects[s.a%len(w.s.objects)])
	case "lose":
		w.disconnect()
	case "find":
		return w.cutOr(w.connect(ctx))
	}
	return nil
}
