package outbox

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A request that Salesforce does not answer may take minutes: a record that is locked
// there, a trigger of the org that runs for long. Nobody else shall wait for it. After
// Config.Patience the call is set aside: its entries are PENDING, as those of jobs are,
// and its records, and what depends on them, wait; new plans are made for all else. It
// goes on to count among the calls under way, of which a table whose calls are set aside
// leaves one to the others. Where Config.Calls are set aside all waits for the first of
// them.

// slowFrom is from when on the log tells of a call that is not answered.
const slowFrom = 30 * time.Second

// room is how many calls of a plan may be under way beside those set aside: one in any
// case, as long as not all that there may be are.
func (w *Worker) room() int {
	left := w.cfg.Calls - len(w.aside)
	return min(left, max(1, w.pace.now-len(w.aside)))
}

// crowds reports whether a table has calls set aside, and as many under way in all as
// leave one place to the other tables.
func (w *Worker) crowds(t *Table, flying ...*flight) bool {
	aside, all := 0, 0
	for _, f := range w.aside {
		if f.table == t {
			aside, all = aside+1, all+1
		}
	}
	for _, f := range flying {
		if f.table == t {
			all++
		}
	}
	return aside > 0 && len(w.writable) > 1 && all >= max(1, w.cfg.Calls-1)
}

// await waits for a call to land. It returns nil when it has set aside some instead,
// as it does not once ctx has ended.
func (t *traffic) await(ctx context.Context) *flight {
	for {
		wait, some := time.Duration(0), false
		for _, f := range t.flying {
			if left := t.cfg.Patience - time.Since(f.begun); !f.isAnswered() && (!some || left < wait) {
				wait, some = left, true
			}
		}
		if !some || ctx.Err() != nil {
			return <-t.landed
		}
		timer := time.NewTimer(wait)
		select {
		case f := <-t.landed:
			timer.Stop()
			return f
		case <-timer.C:
		}
		before := len(t.flying)
		if err := t.putAside(ctx); err != nil {
			return <-t.landed
		}
		if len(t.flying) < before {
			return nil
		}
	}
}

// putAside sets the calls aside that have not been answered for long. Of those that
// only an attempt tells, the entries are made PENDING first: the next plan goes by that.
func (t *traffic) putAside(ctx context.Context) (err error) {
	var kept []*flight
	for _, f := range t.flying {
		if time.Since(f.begun) < t.cfg.Patience {
			kept = append(kept, f)
			continue
		}
		pending, failed := t.pend(ctx, f)
		if err = errors.Join(err, failed); pending {
			t.aside = append(t.aside, f)
		} else {
			kept = append(kept, f)
		}
	}
	t.flying = kept
	return err
}

// pend makes all entries of a call PENDING, unless it has been answered.
func (w *Worker) pend(ctx context.Context, f *flight) (done bool, err error) {
	f.mu.Lock() // or what is written of the answer would be undone
	defer f.mu.Unlock()
	if f.writing {
		return false, nil
	}
	var light []int64
	for _, i := range f.ready {
		if i.light() {
			for _, e := range i.entries {
				light = append(light, e.id)
			}
		}
	}
	if len(light) > 0 {
		_, err = w.pool.Exec(ctx, w.sql.attemptKept, light)
	}
	return err == nil, err //nolint:wrapcheck // then it is waited for
}

func (f *flight) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writing = true
}

func (f *flight) isAnswered() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writing
}

// touchDown reports whether a call was set aside, as which it does not count any more.
func (w *Worker) touchDown(f *flight) bool {
	n := len(w.aside)
	w.aside = slices.DeleteFunc(w.aside, func(o *flight) bool { return o == f })
	return len(w.aside) < n
}

// setAside are the items of calls set aside, as plans need them. The calls' goroutines
// write to others of their fields.
func (w *Worker) setAside() []*item {
	var all []*item
	for _, f := range w.aside {
		for _, i := range f.ready {
			all = append(all, &item{key: i.key, table: i.table, op: i.op, entries: i.entries, carrier: i.carrier, values: i.values, old: i.old, sfid: i.sfid})
		}
	}
	return all
}

// takeDown takes down what came of calls that were set aside, and tells of those that
// still are.
func (w *Worker) takeDown(context.Context) (n int, err error) {
	arrived := w.arrived
	w.arrived = nil
	for more := len(w.aside) > len(arrived); more; {
		select {
		case f := <-w.landed:
			arrived = append(arrived, f)
		default:
			more = false
		}
	}
	for _, f := range arrived {
		t := &traffic{Worker: w}
		failed := t.takeIn(f)
		if n += t.n; err == nil {
			err = failed
		}
	}
	for _, f := range w.aside {
		if took := time.Since(f.begun); took >= slowFrom && !f.said {
			f.said = true
			w.log.Warn().Str("event", "call_slow").Str("object", f.request.Object).Stringer("op", f.request.Op).Int("rows", len(f.ready)).Dur("took_ms", took).
				Msg("Salesforce does not answer a call; its records wait, the others go on")
		}
	}
	w.tellUnanswered()
	return n, err
}

// tellUnanswered tells Config.Unanswered of calls of which the log tells, once their
// number has changed.
func (w *Worker) tellUnanswered() {
	calls := map[string]int{}
	for object := range w.slow {
		calls[object] = 0
	}
	for _, f := range w.aside {
		if f.said {
			calls[f.request.Object]++
		}
	}
	for object, n := range calls {
		if w.cfg.Unanswered != nil && n != w.slow[object] {
			w.cfg.Unanswered(object, n)
		}
	}
	w.slow = calls
}

// bringDown waits for the calls set aside, at the end of Run, whose grace ends them.
func (w *Worker) bringDown(ctx context.Context) {
	for len(w.aside) > 0 {
		if len(w.arrived) == 0 {
			w.arrived = append(w.arrived, <-w.landed)
		}
		_, _ = w.takeDown(ctx) // what could not be written is tried again
	}
	w.flights.Wait()
}
