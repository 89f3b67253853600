package poll

import (
	"slices"
	"time"

	"hcbridge/pgsink"
)

// layer is one depth of polling. All read the same way; they differ in these
// numbers only.
type layer struct {
	every  time.Duration // a layer is due once in each span of this length
	back   time.Duration // how far it looks behind the beginning of its last run
	settle time.Duration // it marks each record once when its stamp is this old; 0 = it does not
	mark   func(*pgsink.State) *time.Time
}

// The layers, from the shallowest to the deepest. A deeper one that is due does
// the work of the shallower ones, so that there is one read at a time.
const (
	fast = iota
	late
	drift
	depths
)

const (
	// Lookback is how far the fast layer looks back: most transactions commit
	// within it.
	Lookback = 15 * time.Minute
	// lateBack is for long Apex and batch jobs, and driftBack for transactions
	// that run for hours. Salesforce names no bound; see CoveredMark for more.
	lateEvery, lateBack   = 10 * time.Minute, time.Hour
	driftEvery, driftBack = 6 * time.Hour, 48 * time.Hour
	// A transaction that commits so late may have given a record the stamp that it
	// had already: the fast layer finds what came up to fastSettle late, the late one
	// up to lateSettle.
	fastSettle, lateSettle = 30 * time.Second, 20 * time.Minute
	// sweepEvery is how often everything is compared if fields are mapped that
	// change without a new stamp, and fullEvery if not.
	sweepEvery = 24 * time.Hour
	fullEvery  = 7 * 24 * time.Hour
	// steady is by how much the org's clock, as we know it, may go back without having
	// been put back: what is due then does not wait until it is where it was.
	steady = time.Minute
)

func layersOf(interval time.Duration, p Pace) [depths]layer {
	every := func(d time.Duration) time.Duration {
		return max(d, interval, p.AtLeast) * time.Duration(max(p.Stretch, 1))
	}
	return [depths]layer{
		fast:  {every(interval), Lookback, fastSettle, func(s *pgsink.State) *time.Time { return &s.PollMark }},
		late:  {every(lateEvery), lateBack, lateSettle, func(s *pgsink.State) *time.Time { return &s.LateMark }},
		drift: {every(driftEvery), driftBack, 0, func(s *pgsink.State) *time.Time { return &s.DriftMark }},
	}
}

// due reports whether a span of length every has begun since mark. Spans are
// counted from the same moment for all objects and layers, so that what is due
// together is asked for together.
func due(mark, now time.Time, every time.Duration) bool {
	return mark.Before(now.Truncate(every))
}

// window is what a poll has to read: everything stamped since from[deepest].
type window struct {
	deepest int               // the deepest layer that is due; -1 if none is
	from    [depths]time.Time // where each layer's part begins, never later than a shallower one's
	settle  []span            // rows with these stamps may differ from their records with the same one
	next    time.Duration     // until something is due; zero or less if it is
	ahead   [depths]bool      // marks of a time that is yet to come
	loading bool              // a load is under way, which the object's state can hold one of
}

// span is a stretch of stamps; to is not in it, and zero if it has no end.
type span struct{ from, to time.Time }

// unsettled reports whether a record that looks as its row is to be read again.
func (w window) unsettled(stamp time.Time) bool {
	return slices.ContainsFunc(w.settle, func(s span) bool {
		return !stamp.Before(s.from) && (s.to.IsZero() || stamp.Before(s.to))
	})
}

// plan works out what is due at now, Salesforce's clock. wanted makes the fast
// layer due.
func plan(s pgsink.State, now time.Time, interval time.Duration, p Pace, wanted bool) window {
	w := window{deepest: -1, next: 1<<63 - 1, loading: s.LoadedAt.IsZero()}
	var from time.Time
	var aged []span // of layers that may not be due
	for i, l := range layersOf(interval, p) {
		mark := *l.mark(&s)
		if mark.IsZero() {
			mark = s.LoadStarted // the load was a look at everything
		}
		if mark.IsZero() {
			w.from[i] = from // as that is which is about to begin
			continue
		}
		if i == drift && !p.Deep {
			break
		}
		if w.ahead[i] = mark.Sub(now) > min(l.every, steady); w.ahead[i] {
			mark = now.Add(-l.every) // the last look was no longer ago, as long as we ran
		}
		if i == fast {
			w.settle = append(w.settle, span{from: mark.Truncate(time.Second)})
		}
		if l.settle > 0 {
			aged = append(aged, span{mark.Add(-l.settle), now.Add(-l.settle)})
		}
		if due(mark, now, l.every) || i == fast && wanted {
			w.deepest = i
			w.settle, aged = append(w.settle, aged...), nil // the shallower ones' work is done, too
		}
		w.next = min(w.next, mark.Truncate(l.every).Add(l.every).Sub(now))
		start := mark.Add(-l.back)
		if i == drift && !s.CoveredMark.IsZero() && s.CoveredMark.Before(start) {
			start = s.CoveredMark
		}
		if from.IsZero() || start.Before(from) {
			from = start
		}
		w.from[i] = from
	}
	return w
}

// layer is the shallowest layer that looks as far back as stamp.
func (w window) layer(stamp time.Time) int {
	for i := range w.deepest {
		if !stamp.Before(w.from[i].Truncate(time.Second)) {
			return i
		}
	}
	return w.deepest
}

// moved notes in s that a read of w, begun at began, is complete.
func (w window) moved(s *pgsink.State, began time.Time) {
	for i, l := range layersOf(0, Pace{}) {
		if mark := l.mark(s); i <= w.deepest && (began.After(*mark) || w.ahead[i]) {
			*mark = began
		}
	}
}

// fullDue reports whether everything is to be compared.
func fullDue(s pgsink.State, now time.Time, o Object, p Pace) bool {
	every := fullEvery
	if len(o.Moving) > 0 {
		every = sweepEvery
	}
	return p.Deep && (s.FullWanted || now.Sub(s.FullMark) >= every)
}

// Pace is how much of Salesforce's daily API calls reading may still use.
type Pace struct {
	AtLeast  time.Duration // between two polls of an object of which a proven stream tells nothing; zero if there is none
	Stretch  int           // polls are this many times as far apart
	Deep     bool          // the drift layer and full comparisons may run
	ReadBack time.Duration // pause between readings back; zero is at once
	Limited  bool          // the budget is used up: to be shown
}

// PaceOf is the one rule for saving API calls: as used comes near the budget,
// polls slow down first, then reading back; writes never. Events cost no calls,
// so marks go on to gather, and nothing is lost by waiting. The last step keeps
// a call now and then, because only an answer tells that there is room again.
func PaceOf(used, budget int) Pace {
	switch share := float64(used) / float64(max(budget, 1)); {
	case budget <= 0 || share < 0.7:
		return Pace{Stretch: 1, Deep: true}
	case share < 0.85:
		return Pace{Stretch: 3, Deep: true}
	case share < 1:
		return Pace{Stretch: 6, ReadBack: 10 * time.Second}
	default:
		return Pace{Stretch: 12, ReadBack: 10 * time.Minute, Limited: true}
	}
}
