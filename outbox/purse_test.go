package outbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/jackc/pgx/v5"
)

const purseBudget = 5_000

func withBudget(c *Config) { c.Budget = func() (int, int) { return purseBudget, 0 } }

// paid is what the purse, which was full at first, has been charged with.
func (b *bundle) paid() float64 {
	left, _ := b.worker.Purse()
	return outboundShare*purseShare*purseBudget - left
}

func (b *bundle) wantPaid(what string, want float64) {
	b.Helper()
	if got := b.paid(); math.Abs(got-want) > 1 { // some comes in meanwhile
		b.Errorf("%s: %.2f calls are paid for, want %.2f", what, got, want)
	}
}

// Jobs that may not begin, as enough are under way, cost nothing however often they are
// planned, and hold up nothing else.
func TestJobsThatWaitAreFree(t *testing.T) {
	t.Parallel()
	b, j := setupJobs(t, withBudget, func(c *Config) { c.BulkFrom = 2 })
	j.running = true
	one := func(n int) {
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'a', $1 || '-' || n FROM generate_series(1, 2) AS n`, fmt.Sprint(n))
	}
	for n := range maxJobs {
		one(n)
		b.run()
	}
	b.wantPaid("jobs under way", maxJobs*jobCost)
	one(maxJobs)
	b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('free')`)
	for range 50 {
		b.run()
	}
	b.wantPaid("and a call", maxJobs*jobCost+callCost+readCost)
	b.want("calls", b.sf.sent(), "insert Contact 1")
	j.running = false
	b.hurryJobs()
	b.drain()
	b.hurryJobs()
	b.drain()
	b.want("log", b.live(), "")
	b.want("jobs", fmt.Sprint(j.opened), fmt.Sprint(maxJobs+1))
	b.wantPaid("and the last job", (maxJobs+1)*jobCost+callCost+readCost)
}

func TestWithin(t *testing.T) {
	t.Parallel()
	job, small := &call{bulk: true}, &call{}
	p := plan{calls: []*call{job, small, job, job, small}}
	for jobs, want := range map[int]int{-1: 2, 0: 2, 2: 4, 3: 5, 4: 5} {
		if got := len(p.within(jobs).calls); got != want || len(p.calls) != 5 {
			t.Errorf("with %d jobs %d of %d calls, want %d", jobs, got, len(p.calls), want)
		}
	}
}

// unclaimed is a pool on which no claim succeeds.
type unclaimed struct {
	Pool
	sql statements
}

func (u unclaimed) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if sql := b.QueuedQueries[0].SQL; sql == u.sql.claim || sql == u.sql.attempt {
		return noBatch{}
	}
	return u.Pool.SendBatch(ctx, b)
}

type noBatch struct{ pgx.BatchResults }

func (noBatch) Close() error { return errors.New("no claims today") }

// However often a plan is begun, and whatever ends it, only calls that were made cost
// something, and they do before they leave.
func TestCallsNotMadeAreFree(t *testing.T) {
	t.Parallel()
	const rows, tries = 30, 20
	for name, c := range map[string]struct {
		answer   error
		stop     bool // at the first call
		database bool
		calls    int // at most
	}{
		"an outage":              {answer: &Failure{Class: Transient, Code: "SERVER_UNAVAILABLE"}, calls: tries + 1},
		"a limit":                {answer: &Failure{Class: Limit, Code: "REQUEST_LIMIT_EXCEEDED"}, calls: tries},
		"a stop":                 {stop: true, calls: tries},
		"a database that is out": {database: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, withBudget, calls(1, 1))
			if c.database {
				b.worker.pool = unclaimed{b.pool, b.worker.sql}
			}
			b.accounts(rows)
			stop := func() {}
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
				b.sf.Lock()
				made := len(b.sf.calls)
				b.sf.Unlock()
				if paid := b.paid(); paid < float64(made*(callCost+readCost))-1 {
					t.Errorf("call %d leaves after %.2f are paid for", made, paid)
				}
				if c.stop {
					stop()
				}
				return nil, c.answer, false
			})
			b.exec(`UPDATE salesforce.account SET industry = 'i'`)
			for range tries {
				ctx, cancel := context.WithCancel(t.Context())
				stop = cancel
				_, err := b.worker.RunOnce(ctx)
				if cancel(); (err == nil) != c.stop {
					t.Fatal(err)
				}
			}
			made := len(b.sf.calls)
			if made > c.calls || made == 0 && !c.database {
				t.Errorf("%d calls in %d runs, want at most %d", made, tries, c.calls)
			}
			b.wantPaid(fmt.Sprint(made, " calls"), float64(made*(callCost+readCost)))
		})
	}
}

// What goes nowhere, as its parents do not, costs nothing and counts as no plan.
func TestPlanOfWhichNothingGoes(t *testing.T) {
	t.Parallel()
	b := setup(t, withBudget, withExternalID)
	b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('parent', 'x')`)
	b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', 'x')`)
	b.sf.script(refuse(1, Failure{Class: Transient}, func(c Call, _ Record) bool { return c.Object == "Account" }))
	b.run()
	b.want("calls", b.sf.sent(), "upsert Account 1")
	b.wantPaid("the parent", callCost+readCost)
	b.drain()
	b.want("log", b.live(), "")
	b.wantPaid("all", 3*(callCost+readCost))
	g := &b.worker.governor
	spent, cost := g.spent, g.cost
	now := spent.Add(1)
	if wait := g.take(now, plan{calls: []*call{{op: Delete}}}); wait > 0 || g.spent != now {
		t.Fatalf("waits %s", wait)
	}
	g.giveBack()
	if g.spent != spent || g.cost != cost {
		t.Errorf("spent %s ago, for %v", now.Sub(g.spent), g.cost)
	}
	b.wantPaid("all", 3*(callCost+readCost))
}
