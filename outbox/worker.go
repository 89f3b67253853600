package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/beat"
)

// Worker sends what is in the trigger log of one schema. Make it with [New].
type Worker struct {
	pool    Pool
	cfg     Config
	log     zerolog.Logger
	sql     statements
	planner planner

	tables   map[string]*Table
	writable []string            // names of the read_write tables
	naming   map[string][]string // columns by which rows are named, or name others, by table
	columns  map[string]map[string]bool

	guard     guard
	governor  governor
	turns     turns
	pace      pace
	writing   chan struct{} // has one for each call that writes results down
	settling  sync.Mutex    // of Config.Settle, until what it wrote is committed
	window    window
	short     bool // so was the log when it was last looked at
	jobs      map[string]*job
	jobPace   time.Duration        // per record, of the last job
	noBulk    map[string]time.Time // tables, until when
	retries   map[key]retry        // records whose last attempt failed for now
	doubts    map[int64]*doubt     // creations and updates whose answer was lost, by the entry that carries them
	lates     map[key]*late        // requests that may still take effect, though they were repeated
	latesMu   sync.Mutex
	relook    relook
	sent      sent
	suspect   atomic.Bool // a record has come in that may be of one of them
	busy      busy
	unsettled []*settlement // answers that are not written down yet
	down      bool          // the last calls failed as a whole
	answered  time.Time     // when Salesforce last did what it was asked
	silent    bool          // the last call was not answered, and nothing was since
	refusals  map[string]*refusals
	unmapped  map[string]map[string]bool // columns of which the log has told, by object
	aside     []*flight                  // calls that are not answered, see aside.go
	slow      map[string]int             // those that Config.Unanswered knows of, by object
	landed    chan *flight               // those that are; it has room for all
	arrived   []*flight                  // of those set aside, before they are taken down
	flights   sync.WaitGroup             // of their goroutines
	limited   atomic.Bool                // a call has met a limit, and lands soon
	planned   time.Time                  // when the last plan was made
	tidied    int64                      // the beat of Config.TidyEvery in which it was last done
	lastPurge time.Time
}

// retry is a record's back-off. It is not stored: after a restart everything is
// tried at once.
type retry struct {
	attempts  int
	due       time.Time
	first     time.Time // when the first request was sent whose answer was lost
	duplicate bool      // refused as a duplicate of what was not found
	full      bool      // for want of room in the org, which smaller calls do not make
	internal  int       // attempts in a row, the last included, that Salesforce answered with an internal error
	ill       time.Time // when the first of those failed
}

func (r retry) since(sent time.Time) retry {
	r.first = sent
	return r
}

// together has all records for which there is no room come back at the same moments.
func (r retry) together() retry {
	r.full, r.due = true, r.due.Add(fullEvery-time.Duration(r.due.UnixNano())%fullEvery)
	return r
}

// Pool is a [pgxpool.Pool], or what refuses transactions that must not be.
type Pool interface {
	DB
	Begin(ctx context.Context) (pgx.Tx, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	// Acquire gives a connection on which nothing is refused, for what no transaction
	// may surround.
	Acquire(ctx context.Context) (*pgxpool.Conn, error)
}

// New makes a worker; it does no I/O. Install must have run for the schema.
func New(pool Pool, cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	w := &Worker{
		pool: pool, cfg: cfg, log: cfg.Log, tables: map[string]*Table{}, naming: map[string][]string{}, columns: map[string]map[string]bool{},
		retries: map[key]retry{}, doubts: map[int64]*doubt{}, lates: map[key]*late{}, refusals: map[string]*refusals{}, unmapped: map[string]map[string]bool{}, landed: make(chan *flight, cfg.Calls),
		jobs: map[string]*job{}, jobPace: jobPace, noBulk: map[string]time.Time{},
		pace: newPace(cfg.Calls), writing: make(chan struct{}, writersMost), tidied: beat.Never,
		guard: guard{gate: cfg.Gate, limits: cfg.Limits, sent: map[string][]sentIn{}}, governor: governor{budget: cfg.Budget},
	}
	w.governor.resume(time.Now(), cfg.Purse)
	if w.sql, err = statementsFor(cfg.Schema, cfg.Tables); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	w.writable = []string{}
	for i := range cfg.Tables {
		t := &cfg.Tables[i]
		w.tables[t.Name], w.naming[t.Name], w.columns[t.Name] = t, t.naming(), t.known()
		if t.ReadWrite {
			w.writable = append(w.writable, t.Name)
		}
	}
	w.planner = planner{
		tables: w.tables, merged: cfg.Algorithm == Merged, batch: cfg.BatchSize,
		attempts: func(k key) int {
			if r := w.retries[k]; !r.full {
				return r.attempts
			}
			return 0
		},
		waits:  func(k key) bool { return time.Now().Before(w.retries[k].due) },
		late:   w.runsOn,
		crowds: func(t *Table) bool { return w.crowds(t) },
		silent: func() bool { return w.silent && w.wondering() },
	}
	if cfg.Bulk != nil {
		w.planner.bulk, w.planner.bulkFrom = w.bulkable, cfg.BulkFrom
	}
	return w, nil
}

// RunOnce looks at the oldest entries once and sends what may go. It returns
// how many entries it settled: sent, refused, or found to need no sending.
//
// Errors of single records are not errors of RunOnce. It returns a [Failure]
// where Salesforce takes nothing at all (class Limit, or two whole calls in a
// row that failed), else the error of the database. Once ctx ends no call is
// begun; the one in hand finishes, within Config.StopGrace.
func (w *Worker) RunOnce(ctx context.Context) (n int, err error) {
	for _, step := range []func(context.Context) (int, error){w.finish, w.takeDown, w.endJobs, w.clearUp, w.undone, w.drain} {
		var did int
		did, err = step(ctx)
		if n += did; err != nil {
			break
		}
	}
	w.tellRefused(time.Now())
	if err == nil && ctx.Err() == nil {
		err = w.tidyIfDue(ctx)
	}
	if err != nil {
		return n, fmt.Errorf("outbox: %w", err)
	}
	return n, nil
}

// drain plans and works through the calls of the plan.
func (w *Worker) drain(ctx context.Context) (n int, err error) {
	if w.room() == 0 {
		return 0, nil
	}
	b, err := w.load(ctx)
	if err != nil {
		return 0, ended(ctx, "read the log", err)
	}
	w.planned = time.Now()
	p := w.planner.plan(b)
	w.learn(b, p)
	w.forget(b)
	if err := w.tellWaiting(ctx, p.wait); err != nil {
		return 0, ended(ctx, "tell what waits", err)
	}
	if len(p.drops) > 0 {
		var results []*result
		for _, d := range p.drops {
			results = append(results, dropped(d))
		}
		settled, err := w.settle(ctx, &settlement{results: results})
		if n += settled; err != nil {
			return n, err
		}
	}
	if p = w.afford(p.within(maxJobs - len(w.jobs))); len(p.calls) == 0 {
		return n, nil
	}
	settled, err := w.work(ctx, p.calls)
	w.governor.giveBack()
	return n + settled, err
}

// forget drops the back-off of records whose time has come and of which nothing
// waits any more, because somebody dismissed it.
func (w *Worker) forget(b backlog) {
	now := time.Now()
	waiting := map[key]bool{}
	for _, e := range b.entries {
		waiting[e.key] = true
	}
	w.latesMu.Lock()
	maps.DeleteFunc(w.lates, func(_ key, l *late) bool { return !now.Before(l.until) })
	w.latesMu.Unlock()
	for k, r := range w.retries {
		if !waiting[k] && !now.Before(r.due) && w.window.saw(k) {
			delete(w.retries, k)
		}
	}
}

// finish writes down answers that could not be written before.
func (w *Worker) finish(ctx context.Context) (n int, err error) {
	waiting := w.unsettled
	w.unsettled = nil
	for i, s := range waiting {
		settled, err := w.settle(ctx, s)
		if n += settled; err != nil {
			w.unsettled = append(w.unsettled, waiting[i+1:]...)
			return n, err
		}
	}
	return n, nil
}

// Run recovers what a crash left and then sends what is committed, until ctx
// ends. It returns nil exactly then; whatever goes wrong is waited out. What could
// not be written down by then is tried for up to Config.StopGrace, unless the
// cause of the end, or the error of the pool, is [ErrTakenOver].
//
// It looks at the log after every wake-up, 20, 100 and 250 ms later for
// transactions that were not yet committed then, and every Config.IdlePoll. While
// changes keep coming it looks every few milliseconds, so that they share calls.
func (w *Worker) Run(ctx context.Context) error {
	r := runner{Worker: w, timer: time.NewTimer(0), sweeper: newSweeper()}
	defer r.timer.Stop()
	defer r.sweeper.group.Wait()
	for r.wait(ctx) {
		r.step(ctx)
	}
	w.bringDown(ctx)
	w.stop(ctx)
	return nil
}

// runner is the state of one Run: when to look next.
type runner struct {
	*Worker
	timer     *time.Timer
	held      bool        // a wake-up does not cut this wait short
	echoes    []time.Time // polls that still follow the last wake-up
	vain      int         // wake-ups in a row after which there was nothing to do
	woke      bool        // this look follows one
	recovered bool
	failures  int
	longest   time.Duration // wait after one of them
	event     string        // by which the log has told of them
	said      time.Time     // and when
	told      bool          // Config.Stalled
	locked    int           // looks in a row after which answers wait for rows that an app holds locked
	since     time.Time
	sweeper   sweeper
}

// wait blocks until it is time to look, and reports whether to go on.
func (r *runner) wait(ctx context.Context) bool {
	wake := r.cfg.Wake
	if r.held {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-wake:
		r.woken()
	case f := <-r.landed:
		r.arrived = append(r.arrived, f)
	case <-r.timer.C:
		select {
		case <-r.cfg.Wake: // meanwhile; it has been waited for
			r.woken()
		default:
		}
	}
	return ctx.Err() == nil
}

func (r *runner) woken() {
	now := time.Now()
	r.woke = true
	r.echoes = []time.Time{now.Add(20 * time.Millisecond), now.Add(100 * time.Millisecond), now.Add(250 * time.Millisecond)}
}

// lockedPause is how long after the first look for rows that were locked the next is; it
// doubles up to 0.8 s.
const lockedPause = 50 * time.Millisecond

// gather is the pause before the next plan where the last made no full call. The
// first change of a lull does not wait for it.
const gather = 3 * time.Millisecond

func (r *runner) step(ctx context.Context) {
	n, err := 0, error(nil)
	if !r.recovered {
		err = r.Recover(ctx)
		r.recovered = err == nil
	}
	if err == nil {
		n, err = r.RunOnce(ctx)
	}
	r.sweeper.gone += n
	if r.locked++; n > 0 || len(r.unsettled) == 0 {
		r.locked = 0
	}
	r.held = false
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.stalled(err)
	default:
		r.flowing()
		r.held = n > 0 && n < r.cfg.BatchSize && !r.window.more
		if n == 0 {
			r.sweepIfDue(ctx)
		}
		r.timer.Reset(r.next(n))
	}
}

// quiet is how often the log tells again that nothing moves.
const quiet = 5 * time.Minute

// stalled says once that nothing moves, and again with every growing wait, which at a limit
// says nothing new, or when it has been quiet for long.
func (r *runner) stalled(err error) {
	if r.failures == 0 {
		r.since, r.event, r.longest = time.Now(), "", 0
	}
	r.failures++
	if since := time.Since(r.since); r.cfg.Stalled != nil && (r.failures >= stalledFrom || since >= stalledFor) {
		r.told = true
		r.cfg.Stalled(err)
	}
	wait := r.cfg.Backoff(r.failures)
	event := "stalled"
	if f, ok := errors.AsType[*Failure](err); ok && f.Class == Limit {
		event = "limit_reached"
	}
	level := zerolog.WarnLevel
	if event == r.event && time.Since(r.said) < quiet && (event == "limit_reached" || wait <= r.longest) {
		level = zerolog.DebugLevel
	} else {
		r.event, r.said = event, time.Now()
	}
	r.longest = max(r.longest, wait)
	r.log.WithLevel(level).Err(err).Str("event", event).Int("attempt", r.failures).Dur("wait_ms", wait).Msg("nothing can be written for now")
	r.held = true
	r.timer.Reset(wait)
}

func (r *runner) flowing() {
	if r.failures > 0 {
		r.log.Info().Str("event", "recovered").Int("attempt", r.failures).Dur("took_ms", time.Since(r.since)).Msg("writing again")
		r.failures = 0
	}
	if r.told {
		r.told = false
		r.cfg.Stalled(nil)
	}
}

// From so many looks in a row that fail on, or after so long, Config.Stalled is told.
const (
	stalledFrom = 4
	stalledFor  = 3 * time.Second
)

// Any role may notify, as often as it likes. After some wake-ups in a row for
// nothing, those that come within a pause are followed by one look at its end.
const (
	vainMost  = 20
	vainPause = 20 * time.Millisecond
)

// next is the wait before the log is looked at again.
func (r *runner) next(n int) time.Duration {
	woke := r.woke
	r.woke = false
	if r.held {
		r.vain = 0
		return gather
	}
	if n > 0 {
		r.vain = 0
		return 0
	}
	if r.room() == 0 { // all waits for an answer, see aside.go
		r.held = true
		return time.Second
	}
	now := time.Now()
	wait := beat.Wait(r.cfg.IdlePoll)
	thrift := r.governor.again
	if woke && thrift == 0 { // else a wake-up is not followed anyway
		if r.vain++; r.vain > vainMost {
			r.held = true
			return vainPause
		}
	}
	if thrift > 0 {
		wait, r.held, r.echoes = thrift, true, nil
	}
	if len(r.unsettled) > 0 {
		wait = min(wait, lockedPause<<min(r.locked, 4))
	}
	for _, j := range r.jobs {
		wait = min(wait, j.due.Sub(now))
	}
	if r.window.more && thrift == 0 {
		wait = 0
	}
	if r.window.ahead > 0 && thrift == 0 { // the stretch is to be read again
		wait = min(wait, r.window.pause(r.cfg.IdlePoll))
	}
	for len(r.echoes) > 0 && !now.Before(r.echoes[0]) {
		r.echoes = r.echoes[1:]
	}
	if len(r.echoes) > 0 {
		wait = min(wait, r.echoes[0].Sub(now))
	}
	if left, some := r.busy.left(now, r.writable...); some {
		wait = min(wait, left)
	}
	if due, some := r.doubtsDue(now); some {
		wait = min(wait, due)
	}
	if !r.relook.due.IsZero() {
		wait = min(wait, r.relook.due.Sub(now))
	}
	for _, again := range r.retries {
		if again.due.After(r.planned) { // the others had their chance
			wait = min(wait, again.due.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// ErrTakenOver is the cause of a context that ends because another worker has the
// schema now, or the error of a [Pool] that refuses a transaction for that: this one
// has nothing more to write down.
var ErrTakenOver = errors.New("another works on the schema")

// stop writes down what is still in memory, as long as the grace lasts. What
// it cannot write stays PENDING, for Recover.
func (w *Worker) stop(ctx context.Context) {
	if errors.Is(context.Cause(ctx), ErrTakenOver) {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), w.cfg.StopGrace, errors.New("no database within the grace of a stop"))
	defer cancel()
	for len(w.unsettled) > 0 && ctx.Err() == nil {
		_, err := w.finish(ctx)
		if err == nil && len(w.unsettled) == 0 || errors.Is(err, ErrTakenOver) {
			return
		}
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}
