package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hcbridge/test/check"
	"hcbridge/test/org/truth"
	"hcbridge/test/pgtest"
	"hcbridge/test/rig"
)

func TestMain(m *testing.M) {
	// The proxy leaves what copies until its connections notice, or for good.
	proxy := "github.com/Shopify/toxiproxy/v2"
	os.Exit(rig.Main(m, goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"), goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).write"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read")))
}

// within is how long after the last fault both sides may differ.
const within = time.Minute

// number is what an environment variable says, or what is if it does not.
func number(t *testing.T, name string, what uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return what
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q", name, text)
	}
	return n
}

// Ten seeds that are always the same and five that never are; with
// HCBRIDGE_CHAOS=n the first n, and with HCBRIDGE_SEED=n that one.
func TestChaos(t *testing.T) {
	t.Parallel()
	length := 3 * time.Second
	var seeds []uint64
	campaign, one := number(t, "HCBRIDGE_CHAOS", 0), number(t, "HCBRIDGE_SEED", 0)
	switch {
	case one > 0:
		length, seeds = 8*time.Second, []uint64{one}
	case campaign > 0:
		length = 8 * time.Second
		for n := range campaign {
			seeds = append(seeds, n+1)
		}
	default:
		for n := range uint64(10) {
			seeds = append(seeds, n+1)
		}
		for range 5 {
			seeds = append(seeds, 1000+rand.Uint64N(1e9))
		}
	}
	length = time.Duration(number(t, "HCBRIDGE_CHAOS_MS", uint64(length.Milliseconds()))) * time.Millisecond
	servers := make(chan *pgtest.Server, 100)
	for range min(len(seeds), int(number(t, "HCBRIDGE_CHAOS_PARALLEL", 4))) {
		servers <- pgtest.Private(t, pgtest.Options{})
	}
	t.Logf("seeds %v", seeds)
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			server := <-servers
			t.Cleanup(func() { servers <- server })
			run(t, newPlan(seed, length), server)
		})
	}
}

func run(t *testing.T, p plan, server *pgtest.Server) {
	t.Helper()
	t.Log(p)
	w := newWorld(t, p, server)
	log := truth.Listen(w.SF)
	w.start()
	w.Synced()
	w.sql(fullSQL)

	ctx, stop := context.WithTimeout(t.Context(), p.length)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { w.people(ctx) })
	for n := range p.writers {
		wg.Go(func() { w.writer(ctx, n) })
	}
	if p.backlog > 0 {
		wg.Go(func() { w.backlog(ctx) })
	}
	began := time.Now()
	for _, s := range p.steps {
		wg.Go(func() {
			sleep(ctx, s.at-time.Since(began))
			if ctx.Err() != nil {
				return
			}
			end := s.begin(w)
			sleep(ctx, s.lasts)
			if end != nil {
				end()
			}
		})
	}
	wg.Wait()
	w.calm()
	calm := time.Now()
	violations := w.converged(log)
	for _, v := range violations {
		t.Error(v)
	}
	t.Logf("seed %d: faults for %s, all checked %s after the last, %d violations", p.seed, p.length, time.Since(calm).Round(time.Millisecond), len(violations))
	defer func() {
		if t.Failed() {
			t.Log(w.state())
			t.Log(history(log, violations))
			w.logs()
		}
	}()
	if len(violations) == 0 {
		w.streams()
	}
}

// converged waits until the checker finds nothing, and returns what it finds after
// within, but for what this package brings about itself.
func (w *world) converged(log *truth.Log) []check.Violation {
	c := w.checker(log)
	limit := within
	if page := w.plan.pageSize; page > 0 {
		limit += time.Duration(w.plan.backlog/page) * 200 * time.Millisecond // what was written in bulk is read back page by page
	}
	for began := time.Now(); ; {
		violations, err := c.Converged(w.T.Context(), 2*time.Second)
		if err != nil {
			w.T.Error(err)
			return nil
		}
		// An update whose answer is lost is repeated, and counts twice if somebody has
		// changed the field in between.
		violations = slices.DeleteFunc(violations, func(v check.Violation) bool { return v.Invariant == "I8" })
		if len(violations) == 0 {
			return nil
		}
		if time.Since(began) < limit {
			continue
		}
		// A child whose parent somebody has deleted waits for it, for up to three minutes.
		if limit < 4*within && w.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW' AND sf_message LIKE 'Foreign key external ID%'") > 0 {
			w.T.Log("children wait for parents that have gone")
			limit = 4 * within
			continue
		}
		return violations
	}
}

// streams sees to it that events are delivered again: polls find what the stream does
// not bring, so a dead one shows nowhere else. A channel that was refused is asked for
// again within a minute.
func (w *world) streams() {
	random := w.plan.random(3000)
	for _, k := range kinds {
		if w.plan.modes[k.object] == "polling" {
			continue
		}
		w.Until("an event of "+k.object, 2*within, func() error {
			before := w.SF.Stream().Delivered()
			w.Insert(k.object, k.record(random))
			for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(5 * time.Millisecond) {
				if w.SF.Stream().Delivered() > before {
					return nil
				}
			}
			return errors.New("none was delivered")
		})
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
