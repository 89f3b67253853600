package bridge

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The inbound side under random schedules: creates, updates, deletes, undeletes,
// merges, purges and moves of up to six records, some without an event, some
// stamped up to 20 minutes before they commit, some twice in one transaction;
// their events delivered in batches of any size, again, late or never, over
// streams and answers that break off; reads that are overtaken; and processes
// that end at any moment. Whatever happens, no row ever shows what is older than
// what it has shown, a record that comes back has the local id of before, and in
// the end both sides are equal and no mark is left.
//
// What decides, stores, polls and reads back is the bridge's own, with a real
// Postgres and the simulated org over HTTP. Only the loops around it are not:
// one goroutine does the steps, by the org's clock.
//
// It runs 200 seeds that are always the same and 50 that are new each time.
// HCBRIDGE_SCHEDULES is another number of the former, HCBRIDGE_FIRST the first of
// them, HCBRIDGE_SEED a single one.
//
// Each of these mistakes was made on purpose, and found by the seed of that number:
//
//	an event of an equal stamp dropped, not read back        7
//	no second look after the second of a stamp              10
//	a poll that begins at the newest stamp                  24
//	the position stored before the rows                     37
//	a read written over a newer event                       38
//	deletions not remembered                                49
//	an undelete ignored                                    157
//	events written without looking at stamps               345
//	a delete that leaves the record's mark as it was       357
//	a mark removed although it was set again               593
//
// What they do not find: a reappeared record that is not read again. It takes a
// change in the second of a stamp, whose event comes after the poll of that second,
// and hiding over both. That has a test of its own in package poll.
func TestSchedules(t *testing.T) {
	t.Parallel()
	runSchedules(t, 200, newDatabase, plotOf, inFound...)
}

// inFound are seeds that have found something once:
//
//	31694            a reading written over the event of a later change in the second of its stamp
//	50360            a record deleted, taken back and changed, then hidden: its row went
//	88557            a record hidden whenever a poll looked at the second in which it changed twice
//	140747387448144  as 50360, with the change known before the deletion
var inFound = []uint64{31694, 50360, 88557, 140747387448144}

// runSchedules runs n seeds that are always the same, those that have found
// something once, and a quarter of n new ones, or what the environment asks for.
func runSchedules(t *testing.T, n uint64, open func(*testing.T) *database, plotOf func(seed uint64) plot, known ...uint64) {
	t.Helper()
	if seed, given := seedFrom(t, "HCBRIDGE_SEED", 0); given {
		db := open(t)
		p := plotOf(seed)
		if trail, err := p.run(t.Context(), db); err != nil {
			tell(t, db, p, trail, err)
		}
		return
	}
	more := n / 4
	n, _ = seedFrom(t, "HCBRIDGE_SCHEDULES", n)
	first, _ := seedFrom(t, "HCBRIDGE_FIRST", 1)
	fresh := rand.Uint64() >> 16
	t.Logf("seeds %d to %d, and %d from %d", first, first+n-1, more, fresh)
	seeds := slices.Clone(known)
	for i := range n {
		seeds = append(seeds, first+i)
	}
	for i := range more {
		seeds = append(seeds, fresh+i)
	}
	began := time.Now()
	var next, failed atomic.Int64
	var once sync.Mutex
	g, ctx := errgroup.WithContext(t.Context())
	for range 2 * runtime.GOMAXPROCS(0) {
		db := open(t)
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(seeds) || failed.Load() > 0 {
					return nil
				}
				if i%1000 == 999 {
					t.Logf("%d after %s", i+1, time.Since(began).Round(time.Second))
				}
				p := plotOf(seeds[i])
				trail, err := p.run(ctx, db)
				if err == nil {
					continue
				}
				failed.Add(1)
				once.Lock()
				tell(t, db, p, trail, err)
				once.Unlock()
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d schedules in %s", next.Load(), time.Since(began).Round(time.Millisecond))
}

// seedFrom reads a number from the environment.
func seedFrom(t *testing.T, name string, otherwise uint64) (n uint64, given bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n, true
}

// tell reports a failed schedule, in its shortest form that still fails.
func tell(t *testing.T, db *database, p plot, trail []string, err error) {
	t.Helper()
	t.Errorf("seed %d: %v", p.Seed, err)
	p, trail, err = shrink(t.Context(), db, p, trail, err)
	t.Errorf("rerun it with HCBRIDGE_SEED=%d. In short (%v): %v", p.Seed, p, err)
	for _, line := range trail {
		t.Log(line)
	}
}

// shrink takes out of p all that is not needed for it to fail.
func shrink(ctx context.Context, db *database, p plot, trail []string, err error) (plot, []string, error) {
	began := time.Now()
	try := func(less plot) bool {
		if time.Since(began) > 20*time.Second {
			return false
		}
		got, e := less.run(ctx, db)
		if e == nil || errors.Is(e, context.Canceled) {
			return false
		}
		p, trail, err = less, got, e
		return true
	}
	for again := true; again; {
		again = false
		for _, list := range []func(*plot) *[]step{func(p *plot) *[]step { return &p.Before }, func(p *plot) *[]step { return &p.Steps }} {
			for i := len(*list(&p)) - 1; i >= 0; i-- {
				less := p
				*list(&less) = slices.Delete(slices.Clone(*list(&p)), i, i+1)
				if try(less) {
					again = true
					continue
				}
				for j := len((*list(&p))[i].during) - 1; j >= 0; j-- {
					less := p
					*list(&less) = slices.Clone(*list(&p))
					(*list(&less))[i].during = slices.Delete(slices.Clone((*list(&p))[i].during), j, j+1)
					again = try(less) || again
				}
			}
		}
	}
	return p, trail, err
}
