package crash

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hcbridge/test/check"
	"hcbridge/test/pgtest"
)

// inCI is how many points the suite takes from all scenarios together, besides the
// kills at random times.
const inCI = 100

// together is how many worlds run side by side, if HCBRIDGE_CRASH_TOGETHER does
// not say so: most of the time each waits.
const together = 8

// tally is what came of the points of a scenario.
type tally struct {
	mu                           sync.Mutex
	points, killed               int
	lost, twice, unequal, broken int
	took                         time.Duration
}

func (a *tally) add(b *tally) {
	a.points, a.killed, a.took = a.points+b.points, a.killed+b.killed, a.took+b.took
	a.lost, a.twice, a.unequal, a.broken = a.lost+b.lost, a.twice+b.twice, a.unequal+b.unequal, a.broken+b.broken
}

func (a *tally) String() string {
	return fmt.Sprintf("%5d points %5d killed %3d lost %3d twice %3d unequal %3d broken %8s", a.points, a.killed, a.lost, a.twice, a.unequal, a.broken, a.took.Round(time.Second))
}

// count sorts what a point has violated. A point counts once, for the worst.
func (a *tally) count(found []check.Violation) {
	kind := &a.unequal
	for _, v := range found {
		switch v.Invariant {
		case "I5", "I6", "I13", "I14":
			kind = &a.lost
		case "I3", "I4", "I8":
			if kind != &a.lost {
				kind = &a.twice
			}
		}
	}
	*kind++
}

// TestPoints kills the bridge at each effect of each scenario in turn, starts it
// again and sees that both sides become equal.
func TestPoints(t *testing.T) {
	server := pgtest.Private(t, pgtest.Options{})
	only, point, whole := os.Getenv("HCBRIDGE_CRASH_SCENARIO"), os.Getenv("HCBRIDGE_CRASH_POINT"), os.Getenv("HCBRIDGE_CRASH") == "all"
	chosen := all()
	if only != "" {
		chosen = nil
		for _, s := range all() {
			if s.name == only {
				chosen = append(chosen, s)
			}
		}
		if chosen == nil {
			t.Fatalf("there is no scenario %q", only)
		}
	}
	// All points of a scenario go side by side; of a sample, the scenarios do.
	side, abreast := together, 1
	if n, err := strconv.Atoi(os.Getenv("HCBRIDGE_CRASH_TOGETHER")); err == nil {
		side = n
	}
	if sampled := !whole && only == ""; sampled {
		side, abreast = 1, together/2 // beside other tests
	}
	worlds := &worlds{server: server, free: map[string][]*world{}}
	defer worlds.keep(nil)
	var total tally
	began := time.Now()
	var running errgroup.Group
	running.SetLimit(abreast)
	for i, s := range chosen {
		points := everyPoint(s)
		switch {
		case point != "":
			n, err := strconv.Atoi(point)
			if err != nil {
				t.Fatalf("HCBRIDGE_CRASH_POINT=%q", point)
			}
			points = somePoints(n)
		case !whole && only == "":
			points = somePoints(sample(i, s)...)
		}
		running.Go(func() error {
			var sum tally
			start := time.Now()
			var workers sync.WaitGroup
			for range side {
				workers.Go(func() { work(t, worlds, s, points, &sum) })
			}
			workers.Wait()
			sum.took = time.Since(start)
			t.Logf("%-16s %s", s.name, &sum)
			if abreast == 1 {
				worlds.keep(chosen[i+1:])
			}
			if sum.killed == 0 {
				t.Errorf("%s: nothing was killed", s.name)
			}
			total.mu.Lock()
			total.add(&sum)
			total.mu.Unlock()
			return nil
		})
	}
	_ = running.Wait() // they report themselves
	total.took = time.Since(began)
	t.Logf("%-16s %s", "total", &total)
}

// sample spreads the points that the suite takes evenly over the scenarios, and those
// of number i evenly over it.
func sample(i int, s scenario) (list []int) {
	n := inCI*(i+1)/len(all()) - inCI*i/len(all())
	for i := range n {
		list = append(list, 1+(2*i+1)*s.size/(2*n))
	}
	return list
}

// points are the numbers at which to die, until three in turn are not reached: how
// many there are differs a little from time to time.
type points struct {
	next   func() (int, bool)
	mu     sync.Mutex
	misses int
}

// stride is from one second death to the next: all would take hours.
const stride = 4

// everyPoint are 1, 2, 3 …; of a second death one in stride, up to where a machine
// that is not slow has recovered, as what follows is idle.
func everyPoint(s scenario) *points {
	n := 0
	return &points{next: func() (int, bool) {
		if !s.again {
			n++
			return n, true
		}
		n += stride
		return n, n <= s.size
	}}
}

func somePoints(list ...int) *points {
	return &points{next: func() (int, bool) {
		if len(list) == 0 {
			return 0, false
		}
		n := list[0]
		list = list[1:]
		return n, true
	}}
}

func (p *points) take() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.misses >= 3 {
		return 0, false
	}
	return p.next()
}

// reached says whether a number has been.
func (p *points) reached(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.misses++
	if yes {
		p.misses = 0
	}
}

// worlds are those that nobody uses now: who has died in one often is no worse off.
type worlds struct {
	server *pgtest.Server
	mu     sync.Mutex
	free   map[string][]*world // by what a scenario wants of it
}

// take returns a world in which a scenario can begin, with a bridge at work in it
// unless it is fresh.
func (l *worlds) take(ctx context.Context, s scenario) (*world, error) {
	l.mu.Lock()
	if list := l.free[s.wants()]; len(list) > 0 {
		w := list[len(list)-1]
		l.free[s.wants()] = list[:len(list)-1]
		l.mu.Unlock()
		return w, nil
	}
	l.mu.Unlock()
	w, err := newWorld(ctx, l.server, s.env)
	if err != nil || s.fresh {
		return w, err
	}
	if err := w.start(); err != nil {
		return w, err
	}
	return w, w.ready(ctx)
}

// put gives one back.
func (l *worlds) put(s scenario, w *world) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free[s.wants()] = append(l.free[s.wants()], w)
}

// keep closes those that none of the scenarios wants: each has connections, and a
// bridge at work.
func (l *worlds) keep(scenarios []scenario) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for wants, list := range l.free {
		if slices.ContainsFunc(scenarios, func(s scenario) bool { return s.wants() == wants }) {
			continue
		}
		for _, w := range list {
			w.close()
		}
		delete(l.free, wants)
	}
}

// wants names the worlds that a scenario can happen in.
func (s scenario) wants() string {
	if s.fresh || s.own {
		return s.name
	}
	return fmt.Sprint(s.env)
}

// work takes points, and a world for them; one in which something has gone wrong
// is given up.
func work(t *testing.T, worlds *worlds, s scenario, points *points, sum *tally) {
	for {
		n, more := points.take()
		if !more {
			return
		}
		w, err := worlds.take(t.Context(), s)
		if err != nil {
			t.Errorf("%s: a world: %v", s.name, err)
			if w != nil {
				w.close()
			}
			return
		}
		died, what, found, err := one(t.Context(), w, s, n)
		sum.mu.Lock()
		sum.points++
		switch {
		case err != nil:
			sum.broken++
		case len(found) > 0:
			sum.count(found)
		}
		if died {
			sum.killed++
		}
		if sum.points%100 == 0 {
			t.Logf("%-16s %s so far", s.name, sum)
		}
		sum.mu.Unlock()
		points.reached(died)
		good := err == nil && len(found) == 0
		if !good {
			said := w.said.String()
			t.Errorf("make crash SCENARIO=%s POINT=%d: %s: %v %s\n%s", s.name, n, what, err, list(found), said[max(0, len(said)-6000):])
		}
		if good && s.fresh {
			if err := w.renew(t.Context()); err != nil {
				t.Errorf("%s: another world: %v", s.name, err)
				good = false
			}
		}
		if good {
			worlds.put(s, w)
		} else {
			w.close()
		}
	}
}

func list(found []check.Violation) string {
	var b strings.Builder
	for _, v := range found[:min(len(found), 20)] {
		fmt.Fprintf(&b, "\n\t%s", v)
	}
	return b.String()
}

// one lets a scenario happen and the bridge die at effect n of it, if there are so
// many, and returns what is violated in the end.
func one(ctx context.Context, w *world, s scenario, n int) (died bool, what string, found []check.Violation, err error) {
	w.begin()
	if w.bridge != nil {
		if err := w.ready(ctx); err != nil {
			return false, "", nil, err
		}
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, w); err != nil {
			return false, "", nil, fmt.Errorf("prepare: %w", err)
		}
		if !s.fresh && w.bridge != nil {
			if found, err := w.check.Converged(ctx, soon); err != nil || len(found) > 0 {
				return false, "", found, err
			}
		}
	}
	at := n
	if s.again {
		at = s.first(n)
	}
	hit, done := w.fate.arm(at), make(chan struct{})
	var left []check.Violation
	var revived error
	var reviver sync.WaitGroup
	reviver.Go(func() {
		for again := s.again; ; again = false {
			select {
			case <-hit:
			case <-done:
				return
			}
			if again {
				hit = w.fate.arm(n)
			}
			var more []check.Violation
			more, revived = w.revive(ctx, age)
			left = append(left, more...)
			if !again || revived != nil {
				return
			}
		}
	})
	err = s.act(ctx, w)
	if err == nil {
		found, err = w.check.Converged(ctx, soon)
	}
	died, what, _ = w.fate.disarm()
	if !died {
		close(done)
	}
	reviver.Wait()
	if died && err == nil && revived == nil {
		// It may have died after all was over.
		if err = w.ready(ctx); err == nil {
			found, err = w.check.Converged(ctx, soon)
		}
	}
	if err == nil {
		err = revived
	}
	return died, what, append(left, found...), err
}
