package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"hcbridge/internal/poll"
	"hcbridge/pgsink"
	"hcbridge/test/compare"
	"hcbridge/test/org"
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

// silent are the verbs after which events alone are not enough.
var silent = []string{"bulk", "hide", "drop", "expire", "purge", "poll"}

// do does a step, and looks at the tables.
func (w *world) do(ctx context.Context, s step) error {
	if w.pure && slices.Contains(silent, s.do) {
		return nil
	}
	w.trail = append(w.trail, w.clock.Now().Format("15:04:05.0 ")+s.String())
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
	if cut(err) && len(w.sf.Faults()) > 0 {
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
		counts, err := w.s.sink.MarkCounts(ctx)
		if err != nil || len(counts) == 0 {
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
