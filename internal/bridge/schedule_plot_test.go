package bridge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// maxLate is the longest that a transaction takes to commit after its stamp.
const maxLate = 20 * time.Minute

// plot is what a seed means.
type plot struct {
	Seed   uint64
	Child  string // object beside Account; none if empty
	Polled bool   // without a stream
	Hidden bool   // one field is missing from the events
	Pure   bool   // events tell of everything, so that polls need find nothing
	Before []step // the load
	Steps  []step
	Out    *outPlot // what is outgoing too; nil = nothing
}

func (p plot) String() string {
	if p.Out != nil {
		return fmt.Sprintf("%+v", *p.Out)
	}
	return fmt.Sprintf("Child %q Polled %v Hidden %v Pure %v", p.Child, p.Polled, p.Hidden, p.Pure)
}

func (p plot) objects() []string {
	if p.Child == "" {
		return []string{"Account"}
	}
	return []string{"Account", p.Child}
}

// step is one thing that happens. Numbers mean what is there when it happens,
// so that a schedule from which steps are taken out still is one.
type step struct {
	do     string
	a, b   int
	during []step // happens while the step's answer is on its way
}

// How often each verb comes in a schedule, and whether it may happen during a
// read.
var verbs = []struct {
	do   string
	nest bool
	odds int
}{
	{"insert", true, 10},
	{"update", true, 20},
	{"twice", true, 5}, // two changes in one transaction: their events come last first
	{"late", true, 6},  // stamped up to 20 minutes before it commits
	{"bulk", true, 8},  // without an event
	{"delete", true, 7},
	{"undelete", true, 6},
	{"merge", true, 3},
	{"purge", true, 2},
	{"move", true, 4}, // to another parent
	{"hide", true, 3}, // from the bridge's user, until time passes
	{"wait", true, 14},
	{"deliver", true, 22},
	{"again", true, 4}, // events that came before
	{"drop", false, 4}, // events that never come
	{"poll", false, 8},
	{"read", false, 14},
	{"cut", false, 4}, // the next answer but one breaks off
	{"lose", true, 3}, // the stream
	{"find", true, 5}, // it again
	{"crash", false, 7},
	{"expire", true, 1}, // stored events
}

func plotOf(seed uint64) plot {
	r := rand.New(rand.NewPCG(seed, 1))
	p := plot{Seed: seed, Polled: r.IntN(8) == 0, Hidden: r.IntN(6) == 0}
	p.Child = []string{"", "Contact", "Contact", "Invoice__c"}[r.IntN(4)]
	if r.IntN(4) == 0 {
		p.Pure, p.Polled, p.Child = true, false, ""
	}
	for range r.IntN(4) {
		p.Before = append(p.Before, step{do: "insert", a: r.IntN(64), b: r.IntN(64)})
	}
	p.Before = append(p.Before, someStep(r, "load", true))
	for range 8 + r.IntN(22) {
		p.Steps = append(p.Steps, anyStep(r, true))
	}
	return p
}

func anyStep(r *rand.Rand, outer bool) step {
	for {
		sum := 0
		for _, v := range verbs {
			sum += v.odds
		}
		n := r.IntN(sum)
		for _, v := range verbs {
			if n -= v.odds; n < 0 {
				if outer || v.nest {
					return someStep(r, v.do, outer)
				}
				break
			}
		}
	}
}

func someStep(r *rand.Rand, do string, outer bool) step {
	s := step{do: do, a: r.IntN(64), b: r.IntN(64)}
	if outer && (do == "read" || do == "poll" || do == "load") && r.IntN(2) == 0 {
		for range 1 + r.IntN(3) {
			s.during = append(s.during, anyStep(r, false))
		}
	}
	return s
}

func (s step) String() string {
	text := fmt.Sprintf("%s %d %d", s.do, s.a, s.b)
	if len(s.during) > 0 {
		text += fmt.Sprint(" during ", s.during)
	}
	return text
}

var waits = []time.Duration{
	0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, time.Second, 1100 * time.Millisecond, 3 * time.Second,
	20 * time.Second, time.Minute, 6 * time.Minute, 11 * time.Minute, 21 * time.Minute, time.Hour, 7 * time.Hour, 25 * time.Hour,
}

// run does one schedule and returns what is wrong.
func (p plot) run(ctx context.Context, db *database) (trail []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if p.Out != nil {
		return p.runOut(ctx, db)
	}
	w, done, err := newWorld(ctx, db, p)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := w.birth(ctx); err != nil {
		return nil, err
	}
	if p.Seed%3 > 0 || p.Pure {
		if err := w.connect(ctx); err != nil {
			return nil, err
		}
	}
	steps := slices.Concat(p.Before, p.Steps)
	if p.Pure { // from a position that is known on
		steps = slices.Concat([]step{{do: "insert"}, {do: "deliver"}}, steps)
	}
	for _, s := range steps {
		if err := w.do(ctx, s); err != nil {
			return w.trail, fmt.Errorf("%v: %w", s, err)
		}
	}
	w.trail = append(w.trail, "quiet")
	return w.trail, w.quiet(ctx)
}
