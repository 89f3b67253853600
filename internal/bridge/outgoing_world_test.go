package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/migrate"
	"hcbridge/outbox"
	"hcbridge/test/compare"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
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
	db := &database{pool: pgtest.New(t), mappings: map[string]*mapping{}}
	ctx := t.Context()
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := migrate.Up(ctx, conn.Conn()); err != nil {
		t.Fatal(err)
	}
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
			err = s.ensure(ctx, m)
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
	if err := s.install(ctx); err != nil {
		t.Fatal(err)
	}
	return db
}

// outWorld is a world whose rows apps write to.
type outWorld struct {
	*world
	outPlot

	worker                 *outbox.Worker
	before                 func() // is done when the next call has been claimed and not been sent
	after                  func() // and when it has been answered
	inCall, sending, dying bool
	ran                    int           // requests that ran late
	over                   bool          // what is not answered cannot take effect any more
	giveUp                 bool          // the next call is given up before it runs
	late                   *org.Injected // and one that has been
	revives                bool          // one was an upsert, which makes a record that was deleted again
	locked                 int           // how many of the next records are locked, by bits
	fresh                  bool          // the session has not been revoked yet

	rows  []*row
	byRow map[string]*row // by nonce
	opens []*txn
	faint bool             // something has happened for which an entry may be FAILED
	cured map[int64]string // the messages of entries that a person has looked after
	moves []passed
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

// pass lets time pass.
func (w *outWorld) pass(ctx context.Context, d time.Duration) error {
	w.moves = append(w.moves, passed{time.Now(), d})
	return w.move(ctx, d)
}

// passed is how long the org's clock was moved on, and when.
type passed struct {
	at time.Time
	by time.Duration
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
		Log: zerolog.Nop(), TidyEvery: 1, Backoff: func(int) time.Duration { return 0 },
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
	if w.dying {
		w.dying = false
		panic(crashed{})
	}
	return nil
}

// hooked is the bridge's sender. What happens during a call happens in it.
type hooked struct {
	sender

	w *outWorld
}

func (d hooked) Send(ctx context.Context, call outbox.Call) ([]outbox.Outcome, error) {
	w := d.w
	hook := func(fn *func()) {
		if do := *fn; do != nil {
			*fn = nil
			w.inCall = true
			defer func() { w.inCall = false }()
			do()
		}
	}
	hook(&w.before)
	if err := w.onlyChanged(ctx, call); err != nil {
		return nil, err
	}
	if w.giveUp {
		// It is on its way, and the deadline comes.
		w.sf.ClearFaults()
		f := w.sf.Fault(org.Fault{Path: writesPath, Verb: org.Hold, Before: true, Times: 1})
		w.giveUp, w.late = false, f
		w.revives = w.revives || call.Op == outbox.Upsert
		w.trail = append(w.trail, fmt.Sprintf("given up: %v %s", call.Op, call.Object))
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			if f.Wait(ctx, 1) == nil {
				cancel()
			}
		}()
		outcomes, err := d.sender.Send(ctx, call)
		hook(&w.after)
		return outcomes, err
	}
	outcomes, err := d.sender.Send(ctx, call)
	var text strings.Builder
	fmt.Fprintf(&text, "%v %d %s: ", call.Op, len(call.Records), call.Object)
	if err != nil {
		text.WriteString(err.Error())
	}
	for i, o := range outcomes {
		text.WriteString(o.SFID)
		if o.Failure != nil {
			text.WriteString(o.Failure.Code)
		}
		fmt.Fprint(&text, call.Records[i].SFID, call.Records[i].Fields, " ")
	}
	w.trail = append(w.trail, text.String())
	hook(&w.after)
	return outcomes, err
}

// onlyChanged checks that an update sends no more than what was changed.
func (w *outWorld) onlyChanged(ctx context.Context, call outbox.Call) error {
	sub := subjects[call.Object]
	if call.Op != outbox.Update {
		return nil
	}
	rows, err := w.db.pool.Query(ctx, fmt.Sprintf(`SELECT t.sfid, akeys(l."values"::hstore) FROM salesforce._trigger_log AS l
		JOIN salesforce.%s AS t ON t.id = l.record_id
		WHERE l.state = 'PENDING' AND l.table_name = $1 AND t.sfid IS NOT NULL AND l."values" IS NOT NULL`, sub.table), sub.table)
	if err != nil {
		return err
	}
	changed := map[string][]string{}
	var id string
	var columns []string
	if _, err := pgx.ForEachRow(rows, []any{&id, &columns}, func() error {
		changed[id] = append(changed[id], columns...)
		return nil
	}); err != nil {
		return err
	}
	for _, r := range call.Records {
		for _, f := range sub.columns() {
			if _, sent := r.Fields[subjectFields[f]]; sent && len(changed[r.SFID]) > 0 && !slices.Contains(changed[r.SFID], f) {
				w.wrong("%s of %s is sent and was not changed", f, r.SFID)
			}
		}
	}
	return nil
}

// writes are the requests that write, reads those that read.
const (
	writesPath = `/composite/sobjects(\?|$|/\w+/\w+)`
	readsPath  = `/query|/composite/sobjects/\w+$|/deleted|/updated`
)

// healAll ends all faults but that of a request that has been given up.
func (w *outWorld) healAll() {
	for _, f := range w.sf.Faults() {
		if f != w.late {
			f.Remove()
		}
	}
	w.giveUp = false
}

// refuse is the org's trigger: it has locked records and a validation rule.
func (w *outWorld) refuse(d *sobject.Draft) error {
	if d.Tx.Origin.API != "rest" {
		return nil
	}
	if _, mapped := subjects[d.Object.Name]; !mapped {
		return nil
	}
	now := w.locked & 1
	w.locked >>= 1
	if now == 1 {
		return &sobject.Error{Status: 400, Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access to this record", Fields: []string{}}
	}
	for _, field := range subjects[d.Object.Name].fields {
		if text, _ := d.Get(subjectFields[field]).(string); strings.HasPrefix(text, "bad") {
			return sobject.ErrValidation("a bad value")
		}
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

func (w *outWorld) fault(s step) {
	verbs := []org.Verb{org.Reject, org.Drop, org.HTML}
	if w.Doubt {
		verbs = append(verbs, org.FailAfterWrite, org.Cut, org.Garble, org.FailAfterWrite)
	}
	f := org.Fault{Path: writesPath, Verb: verbs[s.b%len(verbs)], Times: 1, After: s.a % 3}
	if f.Verb == org.FailAfterWrite && s.b/8%3 == 0 {
		f.Status, f.Body = 500, `[{"message":"An unexpected error occurred.","errorCode":"UNKNOWN_EXCEPTION"}]`
	}
	if !w.Doubt && f.Verb == org.Drop {
		f.Verb = org.Reject // a request that did not arrive leaves the same doubt
	}
	if !w.Doubt && f.Verb == org.HTML {
		f.Path = readsPath
	}
	if f.Verb == org.Garble && s.b%5 == 0 {
		f.Path = readsPath
	}
	w.sf.Fault(f)
}

// send lets the worker look at the log once.
func (w *outWorld) send(ctx context.Context) (err error) {
	if w.inCall || w.during == nil && w.sending {
		return nil
	}
	w.sending = true
	defer func() {
		w.sending, w.dying = false, false
		switch r := recover(); r.(type) {
		case nil:
		case crashed:
			w.trail = append(w.trail, "crashed")
			w.inCall = false
			err = w.startAgain(ctx, true)
		default:
			panic(r)
		}
	}()
	_, err = w.runOnce(ctx)
	if f := (*outbox.Failure)(nil); errors.As(err, &f) {
		return nil
	}
	return err
}

// runOnce lets the worker look at the log, and whoever doubts the schema look
// at the org, which has not changed.
func (w *outWorld) runOnce(ctx context.Context) (int, error) {
	n, err := w.worker.RunOnce(ctx)
	if w.s.schema.begin() {
		w.s.schema.done(true, 0)
	}
	return n, err
}

// crash ends the process: at once, or in the call or the transaction to come.
func (w *outWorld) crash(ctx context.Context, s step) error {
	if w.inCall {
		if s.a%3 == 0 {
			w.dying = true
			return nil
		}
		panic(crashed{})
	}
	if w.sending { // it is a read that this happens in
		return nil
	}
	return w.startAgain(ctx, s.b%3 > 0)
}

func (w *outWorld) startAgain(ctx context.Context, connect bool) error {
	w.dying, w.before, w.after = false, nil, nil
	w.over = w.late == nil && !w.giveUp && !connect
	if err := w.rebirth(ctx); err != nil {
		return err
	}
	if connect {
		return w.cutOr(w.connect(ctx))
	}
	return nil
}

// runLate lets the request that was given up run, and waits until it has.
func (w *outWorld) runLate(ctx context.Context) error {
	if w.late == nil {
		return nil
	}
	count := func() (n int) {
		for _, r := range w.sf.Requests() {
			if r.Fault == org.Hold {
				n++
			}
		}
		return n
	}
	if w.late.Hits() == 0 { // it did not even begin
		w.late.Remove()
		w.late = nil
		return nil
	}
	w.late.Release()
	w.late = nil
	w.ran++
	for count() < w.ran {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// quiet ends all faults and changes, cures what was refused as a person would,
// lets time pass until every layer has looked behind the last change, and
// compares both sides.
func (w *outWorld) quiet(ctx context.Context) error {
	for len(w.opens) > 0 {
		if err := w.end(ctx, step{a: 0, b: 1}); err != nil {
			return err
		}
	}
	if err := w.runLate(ctx); err != nil {
		return err
	}
	w.sf.ClearFaults()
	w.giveUp, w.locked, w.over = false, 0, true
	if err := w.rebirth(ctx); err != nil {
		return err
	}
	if err := errors.Join(w.tell(ctx), w.connect(ctx), w.load(ctx)); err != nil {
		return err
	}
	for range 4 {
		if err := w.settleDown(ctx); err != nil {
			return err
		}
		n, err := w.cure(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return errors.Join(w.ended(ctx), w.equal(ctx))
}

// settleDown lets everything run until nothing is left to do.
func (w *outWorld) settleDown(ctx context.Context) error {
	for _, d := range []time.Duration{16 * time.Minute, 61 * time.Minute} {
		for waiting := 1; waiting > 0 && waiting < 8; {
			for n := 1; n > 0; {
				var err error
				if n, err = w.runOnce(ctx); err != nil {
					return err
				}
				if err := w.lookOut(ctx); err != nil {
					return err
				}
			}
			work, err := w.allDue(ctx)
			if err != nil {
				return err
			}
			if work != nil {
				if err := errors.Join(w.s.in.apply(ctx, work), w.lookOut(ctx)); err != nil {
					return err
				}
			}
			if err := w.pass(ctx, 3*time.Second); err != nil {
				return err
			}
			waiting++
			_, entries, err := w.readAll(ctx)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(entries, unsent.open) {
				waiting = 0
			}
		}
		if err := w.pass(ctx, d); err != nil {
			return err
		}
		for _, o := range w.s.objects {
			if err := errors.Join(w.poll(ctx, o), w.lookOut(ctx)); err != nil {
				return err
			}
		}
		if err := w.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// equal compares both sides.
func (w *outWorld) equal(ctx context.Context) error {
	var all []string
	for _, name := range w.used {
		diff, err := compare.Sides(ctx, w.db.pool, "salesforce", w.sf, name)
		if err != nil {
			return err
		}
		all = append(all, diff...)
	}
	if len(all) > 0 {
		return errors.New("not equal: " + strings.Join(all, "; "))
	}
	return nil
}
