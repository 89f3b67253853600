package outbox

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Several calls are under way at a time, while one goroutine, that of RunOnce,
// plans, claims and keeps the books:
//
//	            ┌▶ send ─▶ write down ─┐
//	plan ─▶ claim ─▶ send ─▶ write down ─▶ landed ─▶ remember
//	            └▶ send ─▶ write down ─┘
//
// Calls of one level of a plan have nothing to do with each other: a record is in
// one of them, and what it depends on in none. The next level begins when all of
// one have landed, and RunOnce returns when all have, so no plan is made while
// anything is on its way, but for calls that Salesforce is slow to answer. Those are
// set aside (aside.go): what depends on them waits, and all else goes on.

// flight is a call under way. It belongs to its goroutine until it has landed.
type flight struct {
	begun    time.Time
	said     bool // that it takes long
	table    *Table
	request  Call
	ready    []*item
	results  settlement // of what needed no sending; then the answers too
	took     time.Duration
	whole    *Failure // of the call as a whole
	written  written
	panicked any // what the sender, or Config.Settle, panicked with

	mu      sync.Mutex
	writing bool // the answer is here: it lands soon, and is not set aside any more
}

// traffic is what is under way of one plan.
type traffic struct {
	*Worker

	flying []*flight
	level  int
	n      int // entries settled
	lost   int // whole calls in a row
}

// work goes through the calls of a plan. It returns when all that it began have
// landed, or are set aside, with the first reason to begin no more.
func (w *Worker) work(ctx context.Context, calls []*call) (n int, err error) {
	t := &traffic{Worker: w}
	w.limited.Store(false)
	for _, c := range calls {
		for err == nil && len(t.flying) > 0 && (c.level > t.level || len(t.flying) >= w.room() || w.crowds(c.table, t.flying...)) {
			err = t.land(ctx)
		}
		if err != nil || ctx.Err() != nil || w.limited.Load() || w.room() == 0 { // a requested stop is not a failure
			break
		}
		if w.crowds(c.table) && !c.bulk {
			continue // what depends on it is left out by blocked
		}
		t.level = c.level
		if c.bulk {
			var settled int
			settled, err = w.startJob(ctx, c)
			t.n += settled
		} else {
			err = t.launch(ctx, c)
		}
		if err != nil {
			break
		}
	}
	for len(t.flying) > 0 {
		if failed := t.land(ctx); err == nil {
			err = failed
		}
	}
	return t.n, err
}

// launch claims the items of a call and lets it go.
//
// From the claim on the call is ours: a stop does not tear it apart, since what
// is PENDING without an answer is in doubt.
func (t *traffic) launch(ctx context.Context, c *call) error {
	ctx, cancel := hold(ctx, t.cfg.CallTimeout, t.cfg.StopGrace)
	f := &flight{begun: time.Now(), table: c.table}
	var records []Record
	var err error
	if f.ready, records, err = t.prepare(ctx, c, &f.results); err != nil {
		cancel()
		return err
	}
	f.request = c.request(records)
	if len(f.ready) > 0 {
		t.governor.begin(c)
	}
	t.flying = append(t.flying, f)
	t.flights.Go(func() {
		returned := false
		defer func() {
			if !returned { // or the goroutine was ended, as a test that fails does
				f.panicked = recover()
			}
			cancel()
			t.landed <- f
		}()
		if len(f.ready) > 0 {
			t.send(ctx, f)
		}
		f.answered()
		f.written = t.write(ctx, &f.results)
		returned = true
	})
	return nil
}

// land waits for a call and takes down what came of it, or sets calls aside that are
// not answered. An error says that no other should follow.
func (t *traffic) land(ctx context.Context) error {
	f := t.await(ctx)
	if f == nil {
		return nil
	}
	return t.takeIn(f)
}

// takeIn takes down what came of a call that has landed.
func (t *traffic) takeIn(f *flight) error {
	if !t.touchDown(f) {
		t.flying = slices.DeleteFunc(t.flying, func(o *flight) bool { return o == f })
	}
	if f.panicked != nil {
		for range t.flying {
			<-t.landed
		}
		panic(f.panicked)
	}
	if !f.poisoned() {
		t.pace.note(f)
	}
	settled, err := t.remember(f.written)
	t.n += settled
	switch {
	case err != nil:
		return err
	case len(f.ready) == 0:
	case f.whole == nil:
		t.lost, t.down, t.silent, t.answered = 0, false, false, time.Now()
	case f.whole.Class == Limit:
		return f.whole
	case f.poisoned():
	default:
		t.silent = t.silent || f.whole.InDoubt
		// One call may break by what is in it; two in a row, or one more
		// after that, are an outage.
		if t.lost++; t.lost == 2 || t.down {
			t.down = true
			return f.whole
		}
	}
	return nil
}

// poisoned reports whether a call has most likely failed for the one record in it, which
// has failed so often that it goes alone. That is no sign of an outage, as Salesforce
// itself has answered.
func (f *flight) poisoned() bool {
	return f.whole != nil && f.whole.Ended && len(f.ready) == 1 && f.ready[0].tried >= UntilAlone
}

// codeLocked is Salesforce's for a record, or the parent of one, that another
// request keeps locked.
const codeLocked = "UNABLE_TO_LOCK_ROW"

// slow is from when on Salesforce counts a request among the long ones, of which
// an org may have few.
const slow = 20 * time.Second

// pace is how many calls are under way at a time: one more after as many that
// went well, half as many where Salesforce is overwhelmed or calls get into each
// other's way.
type pace struct {
	most int
	now  int
	good int       // calls since it was changed
	cut  time.Time // what began before does not count again
}

func newPace(most int) pace { return pace{most: most, now: min(2, most)} }

func (p *pace) note(f *flight) {
	switch {
	case f.troubled():
		if began := time.Now().Add(-f.took); began.After(p.cut) {
			p.now, p.good, p.cut = max(1, p.now/2), 0, time.Now()
		}
	case len(f.ready) > 0 && f.took < slow:
		if p.good++; p.good >= p.now {
			p.now, p.good = min(p.most, p.now+1), 0
		}
	}
}

// troubled reports whether fewer calls at a time would have been better.
func (f *flight) troubled() bool {
	if f.whole != nil {
		return f.whole.Class == Transient || f.whole.Class == Limit
	}
	for _, r := range f.results.results {
		if r.failure != nil && r.failure.Code == codeLocked {
			return true
		}
	}
	return false
}
