package outbox

import (
	"sync/atomic"
	"time"
)

// A call that carries one row costs as much as one that carries a thousand, so
// under a steady trickle calls wait for more rows, and the day's allowance lasts.
//
// Calls are paid from two purses, which fill at the same rate. One is for calls
// that carry few records: it holds so much that the first rows after a lull go at
// once, and after that such calls are as far apart as it takes to fill it again.
// The other is for all calls, and what it holds and what fills it in a day
// together are the outbound share, so that no 24 hours cost more. Full calls wait
// only for that one: a backlog goes as fast as it can while it holds something.
// Either may be overdrawn by one plan, whose cost is known when it is made.
//
// Others use the org's calls as well. When little of the budget is left, plans are
// further apart the less that is and the more they cost, so that it is come near to
// and not used up; where others use it up all the same, some go nevertheless.
const (
	outboundShare = 0.75 // of the budget; the rest is for polls, comparisons and look-ups
	bankedShare   = 0.25 // of that, what the purse of all calls holds
	burstShare    = 0.01 // of the budget, what that of small calls holds, but not less than burstLeast
	burstLeast    = 20.0

	fullCall   = 100              // records per call, on average, from which a plan does not count as small
	probeEvery = 10 * time.Minute // from a small plan to the next where others use the org's calls up
	probeMost  = time.Hour        // from any plan to the next then
	scarceFrom = 0.15             // of the budget that is left

	callCost, readCost = 1, 1 // a call, and reading back what it wrote
	jobCost            = 7    // all calls for one
	readRecords        = 2000 // read back by one call

	recheckSmall = time.Second // how soon a plan that waits may have become a full one
	recheckAny   = 30 * time.Second
)

// governor spaces plans. Its zero value lets everything pass.
type governor struct {
	budget func() (calls, used int) // Config.Budget
	filled time.Time                // when the purses were filled last
	spent  time.Time                // when a plan last went
	cost   float64                  // what that cost
	small  float64                  // calls in the purse of small calls
	all    float64                  // calls in the other
	again  time.Duration            // how long the plan that waits is not made again; 0 = none waits
	said   time.Time                // when somebody was told that plans wait
	until  atomic.Int64             // when it will go if it stays small; 0 = none waits
}

// price is what a plan costs in API calls, and whether its calls are small.
func (p plan) price() (cost float64, small bool) {
	records := 0
	for _, c := range p.calls {
		records += len(c.items)
		reads := float64(readCost)
		if c.op == Delete {
			reads = 0
		}
		if c.bulk {
			cost += jobCost + reads*float64(len(c.items))/readRecords
			continue
		}
		cost += callCost + reads
	}
	return cost, records < fullCall*len(p.calls)
}

// take pays for a plan, or returns how long it must wait.
func (g *governor) take(now time.Time, p plan) (wait time.Duration) {
	g.again = 0
	defer func() { g.note(now, wait) }()
	if g.budget == nil || len(p.calls) == 0 {
		return 0
	}
	calls, used := g.budget()
	if calls <= 0 {
		return 0 // not known yet
	}
	rate := g.fill(now, float64(calls))
	cost, small := p.price()
	wait, g.again = g.lacks(g.all, rate), recheckAny
	if few := g.lacks(g.small, rate); small && few > wait {
		wait, g.again = few, recheckSmall
	}
	if rest := g.scarcity(calls, used) - now.Sub(g.spent); rest > wait {
		wait, g.again = rest, recheckAny
	}
	if wait > 0 {
		g.again = min(g.again, wait)
		return wait
	}
	g.again, g.spent, g.cost = 0, now, cost
	g.all -= cost
	if small {
		g.small -= cost
	}
	return 0
}

// scarcity is how long after the last plan the next may go because little is left.
func (g *governor) scarcity(calls, used int) time.Duration {
	left := float64(max(0, calls-used)) / float64(calls)
	apart := float64(probeEvery) * g.cost / (callCost + readCost)
	return time.Duration(min(apart, float64(probeMost)) * max(0, 1-left/scarceFrom))
}

// fill adds what the time since the last filling is worth, and returns the rate
// in calls a second.
func (g *governor) fill(now time.Time, calls float64) (rate float64) {
	share := outboundShare * calls
	rate = share * (1 - bankedShare) / (24 * time.Hour).Seconds()
	most, burst := share*bankedShare, min(max(burstLeast, burstShare*calls), share)
	more := most + burst // both are full at first
	if !g.filled.IsZero() {
		more = rate * now.Sub(g.filled).Seconds()
	}
	g.all, g.small, g.filled = min(g.all+more, most), min(g.small+more, burst), now
	return rate
}

// lacks is how long a purse is empty.
func (*governor) lacks(purse, rate float64) time.Duration {
	if purse > 0 {
		return 0
	}
	return time.Millisecond + time.Duration(-purse/rate*float64(time.Second))
}

// sayEvery is how often it is logged that plans wait.
const sayEvery = time.Hour

// afford pays for a plan, or reports that it must wait.
func (w *Worker) afford(p plan) bool {
	g, now := &w.governor, time.Now()
	wait := g.take(now, p)
	if wait > 0 && now.Sub(g.said) >= sayEvery {
		g.said = now
		w.log.Info().Str("event", "spaced").Dur("wait_ms", wait).Msg("calls wait for more rows, so that the API calls of the day suffice")
	}
	return wait == 0
}

func (g *governor) note(now time.Time, wait time.Duration) {
	if wait <= 0 {
		g.until.Store(0)
		return
	}
	g.until.Store(now.Add(wait).UnixNano())
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
