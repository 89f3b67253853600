package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hcbridge/internal/poll"
	"hcbridge/pgsink"
	"hcbridge/test/compare"
	"hcbridge/test/org"
)

// silent are the verbs after which events alone are not enough.
var silent = []string{"bulk", "hide", "drop", "expire", "purge", "poll"}

// do does a step, and looks at the tables.
func (w *world) do(ctx context.Context, s step) error {
	if w.pure && slices.Contains(silent, s.do) {
		return nil
	}
	w.trail = append(w.trail, w.clock.Now().Format("15:04:05.0 ")+s.String())
	outer := w.spoilt
	w.spoilt = outer || len(w.sf.Faults()) > 0
	defer func() { w.spoilt = outer }()
	var inner error
	if len(s.during) > 0 {
		w.during = func() {
			for _, s := range s.during {
				inner = errors.Join(inner, w.do(ctx, s))
			}
			w.trail = append(w.trail, "…")
		}
	}
	err := w.act(ctx, s)
	w.during = nil
	if err == nil {
		err = w.look(ctx)
	}
	return errors.Join(inner, err)
}

func (w *world) act(ctx context.Context, s step) error {
	switch s.do {
	case "wait":
		d := waits[s.a%len(waits)]
		if w.pure {
			d = min(d, 20*time.Minute) // within what the org keeps of events
		}
		if d > 0 {
			w.showAll()
		}
		return w.move(ctx, d)
	case "hide":
		if r := w.pick(s.a, "", live); r != nil {
			w.sf.HideRecord(r.object, r.id)
			w.hid = true
		}
		return nil
	case "deliver":
		return w.deliver(ctx, s)
	case "again":
		return w.deliverAgain(ctx, s)
	case "drop":
		return w.drop(ctx, s)
	case "load":
		return w.load(ctx)
	case "poll":
		return w.poll(ctx, w.s.objects[s.a%len(w.s.objects)])
	case "read":
		return w.read(ctx, w.s.objects[s.a%len(w.s.objects)])
	case "cut":
		verb := []org.Verb{org.Cut, org.Drop, org.FailAfterWrite, org.Garble, org.Reject}[s.b%5]
		w.sf.Fault(org.Fault{Path: "/query|/composite|/deleted", Verb: verb, Times: 1, After: s.a % 2})
		return nil
	case "lose":
		w.disconnect()
		return nil
	case "find":
		return w.cutOr(w.connect(ctx))
	case "crash":
		return w.crash(ctx, s)
	case "expire":
		w.sf.ExpireReplay()
		return nil
	}
	return w.change(s)
}

// cutOr is err unless it is only that of a connection that was cut: what was
// begun is begun again later.
func (w *world) cutOr(err error) error {
	if cut(err) && (w.spoilt || len(w.sf.Faults()) > 0) {
		w.trail = append(w.trail, "cut")
		w.heal()
		return nil
	}
	return err
}

// choose picks some of the events that are due, in the order of one wire: each
// channel's as they are, the channels one after the other.
func (w *world) choose(ctx context.Context, s step) ([]incoming, error) {
	pending, err := w.pending(ctx)
	if err != nil || !w.connected {
		return nil, w.cutOr(err)
	}
	var some []incoming
	if s.b%2 == 1 && len(pending) > 1 {
		pending[0], pending[1] = pending[1], pending[0]
	}
	for i, list := range pending {
		n := min(len(list), 1+s.a%4)
		if i > 0 && s.b%3 == 0 {
			n = 0
		}
		some = append(some, list[:n]...)
	}
	return some, nil
}

func (w *world) deliver(ctx context.Context, s step) error {
	some, err := w.choose(ctx, s)
	if err != nil {
		return err
	}
	cut := 0 // two transactions rather than one
	if s.b%4 == 0 {
		cut = len(some) / 2
	}
	for _, part := range [][]incoming{some[:cut], some[cut:]} {
		work, err := w.take(ctx, part)
		if err != nil {
			return err
		}
		if work == nil {
			continue
		}
		if err := w.s.in.apply(ctx, work); err != nil {
			return err
		}
		if s.b%16 == 3 { // the commit's answer was lost
			if err := w.s.in.apply(ctx, work); err != nil {
				return err
			}
		}
		if err := w.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// deliverAgain brings events once more that came just before.
func (w *world) deliverAgain(ctx context.Context, s step) error {
	chs := w.channels()
	if len(chs) == 0 || !w.connected {
		return nil
	}
	ch := chs[s.b%len(chs)]
	events, _ := w.sf.Stream().After(ch.name, -2)
	var some []incoming
	for _, e := range events {
		if e.ReplayID <= w.heard[ch] {
			some = append(some, incoming{ch, e})
		}
	}
	work, err := w.take(ctx, some[max(0, len(some)-1-s.a%3):])
	if err != nil || work == nil {
		return err
	}
	return w.s.in.apply(ctx, work)
}

// drop loses events on the wire.
func (w *world) drop(ctx context.Context, s step) error {
	some, err := w.choose(ctx, s)
	if err != nil {
		return err
	}
	for _, e := range some {
		w.heard[e.ch] = e.event.ReplayID
	}
	return nil
}

func (w *world) load(ctx context.Context) error {
	for _, o := range w.s.objects {
		if o.loaded.Load() {
			continue
		}
		w.begin()
		if err := w.s.reader.Load(ctx, o.poll, func(int64, int64) {}); err != nil {
			return w.cutOr(err)
		}
		o.loaded.Store(true)
	}
	return nil
}

// begin readies the hook that orders the requests of a poll.
func (w *world) begin() { w.answered, w.queried = make(chan struct{}), newOnce() }

func (w *world) poll(ctx context.Context, o *object) error {
	if !o.loaded.Load() {
		return w.load(ctx)
	}
	if err := w.tell(ctx); err != nil {
		return err
	}
	ask := poll.Ask{Alone: true}
	select {
	case <-o.pollNow:
		ask.Wanted = true
	default:
	}
	w.begin()
	_, _, err := w.s.reader.Poll(ctx, o.poll, poll.Pace{Stretch: 1, Deep: true}, ask)
	if err != nil && ask.Wanted {
		o.wantPoll()
	}
	return w.cutOr(err)
}

func (w *world) read(ctx context.Context, o *object) error {
	if !o.loaded.Load() {
		return nil
	}
	w.begin()
	_, _, err := w.s.reader.Hydrate(ctx, o.poll)
	return w.cutOr(err)
}

// crash ends the process: before or after what it was about to store is
// stored. Another one begins.
func (w *world) crash(ctx context.Context, s step) error {
	some, err := w.choose(ctx, s)
	if err != nil {
		return err
	}
	work, err := w.take(ctx, some)
	if err != nil {
		return err
	}
	if left := s.a % 4; work != nil && left > 0 {
		// It ends in the transaction after the first one, or two.
		w.s.sink.Fence = func() string {
			if left--; left < 0 {
				return "1/0"
			}
			return "1"
		}
		if err := w.s.in.apply(ctx, work); err != nil && !errors.Is(err, pgsink.ErrFenced) {
			return err
		}
	}
	if err := w.birth(ctx); err != nil {
		return err
	}
	if s.b%3 > 0 {
		return w.cutOr(w.connect(ctx))
	}
	return nil
}

// quiet ends all faults and changes, lets time pass until every layer has
// looked behind the last of them, and compares both sides.
func (w *world) quiet(ctx context.Context) error {
	w.sf.ClearFaults()
	w.showAll()
	if err := w.tell(ctx); err != nil {
		return err
	}
	if err := errors.Join(w.connect(ctx), w.load(ctx)); err != nil {
		return err
	}
	for {
		work, err := w.allDue(ctx)
		if err != nil {
			return err
		}
		if work == nil {
			break
		}
		if err := errors.Join(w.s.in.apply(ctx, work), w.look(ctx)); err != nil {
			return err
		}
	}
	if w.pure {
		if err := w.move(ctx, 3*time.Second); err != nil {
			return err
		}
		return errors.Join(w.drain(ctx), w.same(ctx))
	}
	passes := []time.Duration{3 * time.Second, 11 * time.Minute, 61 * time.Minute}
	if w.hid { // while the layer before the last looked
		passes = append(passes, 6*time.Hour+time.Minute)
	}
	for _, d := range passes {
		if err := w.move(ctx, d); err != nil {
			return err
		}
		for _, o := range w.s.objects {
			if err := errors.Join(w.poll(ctx, o), w.look(ctx)); err != nil {
				return err
			}
		}
		if err := w.drain(ctx); err != nil {
			return err
		}
	}
	return w.same(ctx)
}

func (w *world) allDue(ctx context.Context) (*work, error) {
	pending, err := w.pending(ctx)
	if err != nil {
		return nil, err
	}
	var all []incoming
	for _, list := range pending {
		all = append(all, list...)
	}
	return w.take(ctx, all)
}

// drain reads back until no mark is left.
func (w *world) drain(ctx context.Context) error {
	for range 20 {
		var marked bool
		err := w.s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM hcbridge.mark WHERE schema = $1)`, w.s.cfg.Schema).Scan(&marked)
		if err != nil || !marked {
			return err
		}
		for _, o := range w.s.objects {
			if err := errors.Join(w.read(ctx, o), w.look(ctx)); err != nil {
				return err
			}
		}
		if err := w.move(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return errors.New("marks do not end")
}

// same compares both sides.
func (w *world) same(ctx context.Context) error {
	var all []string
	for _, name := range w.used {
		diff, err := compare.Sides(ctx, w.db.pool, "salesforce", w.sf, name)
		if err != nil {
			return err
		}
		all = append(all, diff...)
	}
	var refused int
	if err := w.db.pool.QueryRow(ctx, "SELECT count(*) FROM hcbridge.read_error").Scan(&refused); err != nil {
		return err
	}
	if refused > 0 {
		all = append(all, fmt.Sprintf("%d records are refused", refused))
	}
	if len(all) > 0 {
		return errors.New("not equal: " + strings.Join(all, "; "))
	}
	return nil
}
