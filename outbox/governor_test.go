package outbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// trickle is more than a day of an app that writes, and of a worker that asks the
// governor before each plan, on a clock of its own.
type trickle struct {
	gov    governor
	budget int
	every  time.Duration // from one restart to the next; 0 = none
	others int           // calls a day that somebody else makes, evenly
	vain   int           // full calls of each plan that are not made

	now     time.Time
	next    time.Time // when the worker looks again
	waiting []arrival
	rows    int       // in waiting
	spent   []arrival // what our plans cost, with the time
	mine    int       // of the last 24 hours
	delays  map[time.Duration]int
	firsts  []time.Duration // of the first row after each lull
	calls   int
	peak    int // most used in 24 hours, by anybody
	over    int // steps in which that was more than the budget
}

type arrival struct {
	at    time.Time
	n     int
	first bool
}

const step = 250 * time.Millisecond

func (s *trickle) used() int { return s.mine + s.others }

func (s *trickle) run(t *testing.T, length time.Duration, arrive func(at time.Duration) (n int, first bool)) {
	t.Helper()
	s.delays = map[time.Duration]int{}
	s.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	budget := func() (int, int) { return s.budget, s.used() }
	s.gov.budget = budget
	for began := s.now; s.now.Sub(began) < length; s.now = s.now.Add(step) {
		if left := s.gov.left.Load(); s.every > 0 && s.now.Sub(began)%s.every == 0 && left != nil {
			age := s.now.Sub(s.gov.spent) // of what was kept with the last answer
			s.gov = governor{budget: budget}
			s.gov.resume(s.now, &Purse{Calls: *left, Age: age})
		}
		if n, first := arrive(s.now.Sub(began)); n > 0 {
			s.waiting = append(s.waiting, arrival{s.now, n, first})
			s.rows += n
		}
		for len(s.spent) > 0 && s.now.Sub(s.spent[0].at) >= 24*time.Hour {
			s.mine -= s.spent[0].n
			s.spent = s.spent[1:]
		}
		for len(s.waiting) > 0 && !s.now.Before(s.next) && s.look() {
		}
		if s.peak = max(s.peak, s.used()); s.used() > s.budget {
			s.over++
		}
	}
}

// look plans what waits as the worker does, and reports whether it went.
func (s *trickle) look() bool {
	c := &call{op: Update, items: noItems[:min(s.rows, 1000)]}
	if s.rows >= 2000 {
		c.items, c.bulk = noItems[:min(s.rows, bulkMost)], true
	}
	p := plan{calls: []*call{c}}
	for range s.vain {
		p.calls = append(p.calls, &call{op: Update, items: noItems[:fullCall]})
	}
	if s.gov.take(s.now, p) > 0 {
		s.next = s.now.Add(s.gov.again)
		return false
	}
	s.gov.begin(c)
	s.gov.giveBack()
	n := len(c.items)
	cost := 1 + (n+readRecords-1)/readRecords
	if c.bulk {
		cost += jobCost - 1
	}
	s.calls += cost
	s.mine += cost
	s.spent = append(s.spent, arrival{at: s.now, n: cost})
	s.rows -= n
	for n > 0 {
		a := &s.waiting[0]
		took := min(n, a.n)
		s.delays[s.now.Sub(a.at)] += took
		if a.first {
			s.firsts, a.first = append(s.firsts, s.now.Sub(a.at)), false
		}
		if n -= took; took == a.n {
			s.waiting = s.waiting[1:]
		} else {
			a.n -= took
		}
	}
	return true
}

// noItems are as many records as a plan may need.
var noItems = make([]*item, bulkMost)

// percentile is how long p of a hundred rows waited at most.
func (s *trickle) percentile(p int) time.Duration {
	total := 0
	for _, n := range s.delays {
		total += n
	}
	left := total * p / 100
	for _, d := range slices.Sorted(maps.Keys(s.delays)) {
		if left -= s.delays[d]; left < 0 {
			return d
		}
	}
	return 0
}

func evenly(perSecond int) func(time.Duration) (int, bool) {
	return func(at time.Duration) (int, bool) {
		if perSecond < 4 {
			if at%(time.Second/time.Duration(perSecond)) != 0 {
				return 0, false
			}
			return 1, at == 0
		}
		return perSecond / 4, at == 0
	}
}

// lulls are thirty rows, one a second, after each silence.
func lulls(every time.Duration) func(time.Duration) (int, bool) {
	return func(at time.Duration) (int, bool) {
		if in := at % every; in < 30*time.Second && in%time.Second == 0 {
			return 1, in == 0
		}
		return 0, false
	}
}

// Whatever an app does for more than a day, no 24 hours use more API calls than
// the budget, and the first row after a lull goes at once.
func TestTrickle(t *testing.T) {
	t.Parallel()
	const length = 30 * time.Hour
	for _, budget := range []int{5_000, 50_000} {
		for name, c := range map[string]struct {
			arrive func(time.Duration) (int, bool)
			others float64       // share of the budget that somebody else uses
			every  time.Duration // from one restart to the next
			vain   int           // calls of each plan that are not made
			p99    time.Duration // the longest that 99 of 100 rows may wait; 0 = more comes than the budget can carry
		}{
			"a row a second":                          {arrive: evenly(1), p99: time.Hour * 100 / time.Duration(budget)},
			"200 rows a second":                       {arrive: evenly(200), p99: map[int]time.Duration{50_000: 5 * time.Minute}[budget]},
			"200 rows a second, 1,000 restarts a day": {arrive: evenly(200), every: 86 * time.Second},
			"30 rows each 20 minutes":                 {arrive: lulls(20 * time.Minute), p99: 90 * time.Second},
			"200 rows a second, calls in vain":        {arrive: evenly(200), vain: 9, p99: map[int]time.Duration{50_000: 5 * time.Minute}[budget]},
			"a row a second in a busy org":            {arrive: evenly(1), others: 0.6, p99: 15 * time.Minute},
			"a row a second in a used up org":         {arrive: evenly(1), others: 0.979, p99: 15 * time.Minute},
			"200 rows a second in a busy org":         {arrive: evenly(200), others: 0.6},
			"30 rows in turn in a busy org":           {arrive: lulls(20 * time.Minute), others: 0.6, p99: 15 * time.Minute},
			"a row each ten minutes, for ever":        {arrive: func(at time.Duration) (int, bool) { return b2i(at%(10*time.Minute) == 0), at%(10*time.Minute) == 0 }, p99: step},
		} {
			t.Run(fmt.Sprintf("%s, %d calls", name, budget), func(t *testing.T) {
				t.Parallel()
				s := trickle{budget: budget, every: c.every, vain: c.vain, others: int(c.others * float64(budget))}
				s.run(t, length, c.arrive)
				p50, p99 := s.percentile(50), s.percentile(99)
				t.Logf("%d rows wait after %d calls, at most %d of %d in 24 hours; waited p50 %s, p99 %s", s.rows, s.calls, s.peak, budget, p50, p99)
				if c.others > 0.9 {
					if most := max(budget, s.others+25*(jobCost+5)); s.peak > most {
						t.Errorf("%d calls where others use nearly all, more than %d", s.peak, most)
					}
				} else if s.over > 0 {
					t.Errorf("over the budget for %s", time.Duration(s.over)*step)
				}
				if left := outboundShare * purseShare * easyShare * float64(budget) / 4; strings.HasPrefix(name, "a row a second") && c.others == 0 && s.gov.purse < left {
					t.Errorf("the trickle leaves %.0f calls for a backlog, want %.0f", s.gov.purse, left)
				}
				if c.p99 > 0 && p99 > c.p99 {
					t.Errorf("p99 is %s, more than %s", p99, c.p99)
				}
				if c.others == 0 && slices.Max(s.firsts) > 0 {
					t.Errorf("the first row of a lull waited %s", slices.Max(s.firsts))
				}
			})
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A full call goes although another of its plan waits for more rows.
func TestFullCallsDoNotWaitForOthers(t *testing.T) {
	t.Parallel()
	calls := func(sizes ...int) (p plan) {
		for _, n := range sizes {
			p.calls = append(p.calls, &call{op: Insert, items: make([]*item, n)})
		}
		return p
	}
	w := &Worker{governor: governor{budget: func() (int, int) { return 200, 0 }}}
	now := time.Now()
	w.governor.fill(now, 200)
	w.governor.purse, w.governor.spent = 5, now // nearly empty
	if p := w.afford(calls(42)); len(p.calls) != 0 || w.governor.again == 0 {
		t.Fatalf("%d calls of one small plan go", len(p.calls))
	}
	if p := w.afford(calls(42, fullCall)); len(p.calls) != 1 || len(p.calls[0].items) != fullCall {
		t.Errorf("%d calls go", len(p.calls))
	}
	w.governor.purse = -1
	if p := w.afford(calls(42, fullCall)); len(p.calls) != 0 {
		t.Errorf("%d calls of an overdrawn purse go", len(p.calls))
	}
}
