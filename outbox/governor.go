package outbox

import (
	"slices"
	"sync/atomic"
	"time"
)

// A call that carries one row costs as much as one that carries a thousand, so
// under a steady trickle calls wait for more rows, and the day's allowance lasts.
//
// Plans are paid from a purse. What it holds and what fills it in a day together
// are the outbound share of the budget, so that no 24 hours cost more. While it is
// half full everything goes at once, for hours as a rule: nobody saves for its own
// sake. Below, plans are further and further apart, and the more so the fewer records
// their calls carry: there is no cliff, and always something left for full calls and
// for the first rows after a lull. A plan may overdraw the
// purse; the next waits until that is made up. It is paid for before its first call
// leaves, lest a crash make any free of charge, and what its calls that were not made
// would have cost is given back at its end.
//
// Others use the org's calls as well. When little of the budget is left, plans are
// further apart the less that is and the more they cost, so that it is come near to
// and not used up; where others use it up all the same, some go nevertheless.
const (
	outboundShare = 0.8  // of the budget; the rest is for polls, comparisons and look-ups
	purseShare    = 0.33 // of that, what the purse holds; the rest fills it in a day
	easyShare     = 0.5  // of what the purse holds, below which plans are spaced

	fullCall   = 1000             // records of a call that need not wait for more
	probeEvery = 10 * time.Minute // from a small plan to the next where others use the org's calls up
	probeMost  = time.Hour        // from any plan to the next then
	scarceFrom = 0.15             // of the budget that is left

	callCost, readCost = 1, 1 // a call, and reading back what it wrote
	jobCost            = 7    // all calls for one
	readRecords        = 2000 // read back by one call

	recheckSmall = time.Second // how soon a plan that waits may have become a fuller one
	recheckAny   = 30 * time.Second
)

// Purse is how many API calls writes might have cost at once some time ago.
type Purse struct {
	Calls float64       // below zero: overdrawn
	Age   time.Duration // since then
}

// governor spaces plans. Its zero value lets everything pass.
type governor struct {
	budget func() (calls, used int) // Config.Budget
	filled time.Time                // when the purse was filled last
	spent  time.Time                // when a plan last went
	cost   float64                  // what that cost
	purse  float64                  // calls in it; less than none if overdrawn
	again  time.Duration            // how long the plan that waits is not made again; 0 = none waits
	said   time.Time                // when somebody was told that plans wait
	until  atomic.Int64             // when it will go if it stays small; 0 = none waits
	left   atomic.Pointer[float64]  // purse, for others to read; nil before it is known

	paid   float64  // for the plan that goes; 0 = nothing
	made   float64  // of that, for calls that were made
	before struct { // spent and cost, should none be made
		spent time.Time
		cost  float64
	}
}

// resume goes on where another governor has left off.
func (g *governor) resume(now time.Time, p *Purse) {
	if p != nil {
		g.purse, g.filled = p.Calls, now.Add(-p.Age)
	}
}

// price is what a plan costs in API calls, and how full its calls are, from 0 to 1.
func (p plan) price() (cost, fullness float64) {
	for _, c := range p.calls {
		one, full := c.price()
		cost += one
		fullness += full
	}
	return cost, fullness / float64(len(p.calls))
}

func (c *call) price() (cost, fullness float64) {
	records := float64(len(c.items))
	reads := float64(readCost)
	if c.op == Delete {
		reads = 0
	}
	if c.bulk {
		return jobCost + reads*records/readRecords, 1
	}
	return callCost + reads, min(1, records/fullCall)
}

// take pays for a plan, or returns how long it must wait.
func (g *governor) take(now time.Time, p plan) (wait time.Duration) {
	g.again, g.paid, g.made = 0, 0, 0
	defer func() { g.note(now, wait) }()
	if g.budget == nil || len(p.calls) == 0 {
		return 0
	}
	calls, used := g.budget()
	if calls <= 0 {
		return 0 // not known yet
	}
	full, rate := g.fill(now, float64(calls))
	cost, fullness := p.price()
	if g.purse < 0 {
		wait, g.again = time.Millisecond+seconds(-g.purse/rate), recheckAny
	}
	if rest := g.spacing(full, rate, cost, fullness) - now.Sub(g.spent); rest > wait {
		wait, g.again = rest, recheckSmall
	}
	if rest := g.scarcity(calls, used) - now.Sub(g.spent); rest > wait {
		wait, g.again = rest, recheckAny
	}
	if wait > 0 {
		g.again = min(g.again, wait)
		return wait
	}
	g.before.spent, g.before.cost = g.spent, g.cost
	g.again, g.spent, g.cost, g.paid = 0, now, cost, cost
	g.pay(cost)
	return 0
}

func (g *governor) pay(cost float64) {
	g.purse -= cost
	g.left.Store(new(g.purse))
}

// begin says that a call leaves: what was paid for it is spent, whatever comes of it.
func (g *governor) begin(c *call) {
	cost, _ := c.price()
	g.made += cost
}

// giveBack returns, when nothing of a plan is on its way any more, what was paid for
// calls that were not made, as it was cut short, or what they depend on did not go.
func (g *governor) giveBack() {
	if g.paid == 0 {
		return
	}
	g.pay(g.made - g.paid)
	if g.cost = g.made; g.made == 0 {
		g.spent, g.cost = g.before.spent, g.before.cost
	}
	g.paid, g.made = 0, 0
}

// spacing is how long after the last plan the next may go: at once while the purse
// holds easyShare, or if its calls are full. Small plans are as far apart as pays for
// them when it holds half of that, where a trickle settles, and further below: what
// is left is for full calls, and comes back after them.
func (g *governor) spacing(full, rate, cost, fullness float64) time.Duration {
	short := max(0, 1-max(0, g.purse)/(full*easyShare))
	return seconds(cost / rate * 4 * short * short * (1 - fullness))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// scarcity is how long after the last plan the next may go because little is left.
func (g *governor) scarcity(calls, used int) time.Duration {
	left := float64(max(0, calls-used)) / float64(calls)
	apart := float64(probeEvery) * g.cost / (callCost + readCost)
	return time.Duration(min(apart, float64(probeMost)) * max(0, 1-left/scarceFrom))
}

// fill adds what the time since the last filling is worth, and returns what the
// purse holds when it is full and what fills it, in calls a second.
func (g *governor) fill(now time.Time, calls float64) (full, rate float64) {
	share := outboundShare * calls
	full, rate = share*purseShare, share*(1-purseShare)/(24*time.Hour).Seconds()
	more := full // at first
	if !g.filled.IsZero() {
		more = rate * now.Sub(g.filled).Seconds()
	}
	g.purse, g.filled = min(g.purse+more, full), now
	return full, rate
}

// sayEvery is how often it is logged that plans wait.
const sayEvery = time.Hour

// full is a plan without the calls that would be fuller later. What depends on
// them is held back when its own call is begun.
func (p plan) full() plan {
	p.calls = slices.DeleteFunc(slices.Clone(p.calls), func(c *call) bool { return !c.bulk && len(c.items) < fullCall })
	return p
}

// within is a plan without the jobs beyond those that may begin.
func (p plan) within(jobs int) plan {
	p.calls = slices.DeleteFunc(slices.Clone(p.calls), func(c *call) bool {
		if c.bulk {
			jobs--
		}
		return c.bulk && jobs < 0
	})
	return p
}

// afford pays for a plan and returns what of it may go: all, its full calls, or
// nothing.
func (w *Worker) afford(p plan) plan {
	g, now := &w.governor, time.Now()
	wait := g.take(now, p)
	if full := p.full(); wait > 0 && len(full.calls) > 0 && len(full.calls) < len(p.calls) {
		p, wait = full, g.take(now, full)
	}
	if wait > 0 && now.Sub(g.said) >= sayEvery {
		g.said = now
		w.log.Info().Str("event", "spaced").Dur("wait_ms", wait).Msg("calls wait for more rows, so that the API calls of the day suffice")
	}
	if wait > 0 {
		return plan{}
	}
	return p
}

func (g *governor) note(now time.Time, wait time.Duration) {
	if wait <= 0 {
		g.until.Store(0)
		return
	}
	g.until.Store(now.Add(wait).UnixNano())
}

// Purse returns how many API calls writes might cost at once now, and whether that is
// known. What keeps it with the answers to writes lets a restart go on with it. It is
// safe to call beside Run, and from Config.Settle.
func (w *Worker) Purse() (calls float64, known bool) {
	if left := w.governor.left.Load(); left != nil {
		return *left, true
	}
	return 0, false
}

// Spaced returns for how long what is waiting to be sent is kept back, so that the
// API calls of the day suffice; zero if it is not. It is safe to call beside Run.
func (w *Worker) Spaced() time.Duration {
	until := w.governor.until.Load()
	if until == 0 {
		return 0
	}
	return max(0, time.Until(time.Unix(0, until)))
}
