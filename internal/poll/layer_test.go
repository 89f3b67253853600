package poll

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"hcbridge/pgsink"
)

// Row 28 of the list of faults: whatever is committed up to an hour after its
// stamp is in the window of a poll that begins after the commit, however polls
// are asked for in between, and within ten minutes, or the interval if that is longer.
func TestLayersCoverLateCommits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		start := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
		interval := time.Duration(rapid.IntRange(1, 3600).Draw(rt, "interval")) * time.Second
		stamp := start.Add(time.Duration(rapid.IntRange(0, 8*3600).Draw(rt, "stamp")) * time.Second)
		seen := stamp.Add(time.Duration(rapid.IntRange(0, 3600).Draw(rt, "delay")) * time.Second)
		s := pgsink.State{LoadStarted: start, PollMark: start}
		for now := start; ; {
			wanted := rapid.IntRange(0, 9).Draw(rt, "wanted") == 0
			w := plan(s, now, interval, Pace{Stretch: 1, Deep: true}, wanted)
			if w.deepest >= 0 {
				if !now.Before(seen) && !w.from[w.deepest].After(stamp) {
					if wait := now.Sub(seen); wait > max(10*time.Minute, interval) {
						rt.Fatalf("found only %s after the commit", wait)
					}
					return
				}
				w.moved(&s, now)
				w = plan(s, now, interval, Pace{Stretch: 1, Deep: true}, false)
			}
			if w.next <= 0 {
				rt.Fatalf("nothing is due, but the next poll is due in %s", w.next)
			}
			if now = now.Add(min(w.next, time.Duration(rapid.IntRange(60, 7200).Draw(rt, "asked"))*time.Second)); now.Sub(seen) > 3*time.Hour {
				rt.Fatalf("never found: stamp %s, visible %s", stamp, seen)
			}
		}
	})
}

// A change that becomes visible up to twenty minutes after its stamp, which its
// record had already, is read by a poll after that, however polls are asked for in
// between; one that is up to half a minute late, by the first poll after the half minute. For
// that a record is read three times, and once more if a poll fell into the second of its stamp.
func TestStampsSettle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		start := time.Date(2026, 3, 29, 5, 30, 0, 0, time.UTC) // the drift layer is due at six
		interval := time.Duration(rapid.IntRange(1, 3600).Draw(rt, "interval")) * time.Second
		stamp := start.Add(time.Duration(rapid.IntRange(-1200, 8*3600).Draw(rt, "stamp")) * time.Second)
		delay := time.Duration(rapid.OneOf(rapid.IntRange(0, 30_000), rapid.IntRange(0, 1_200_000)).Draw(rt, "delay")) * time.Millisecond
		seen := stamp.Add(delay)
		s := pgsink.State{LoadStarted: start, PollMark: start}
		times, found := 0, false
		for now := start; now.Before(stamp.Add(4 * time.Hour)); {
			deep := rapid.Bool().Draw(rt, "deep") // not while calls are short
			w := plan(s, now, interval, Pace{Stretch: 1, Deep: deep}, rapid.IntRange(0, 9).Draw(rt, "wanted") == 0)
			if w.deepest >= 0 {
				if !now.Before(stamp) && !w.from[w.deepest].After(stamp) && w.unsettled(stamp) {
					times++
					found = found || !now.Before(seen)
				}
				if delay <= fastSettle && now.Sub(stamp) > fastSettle && !found && seen.After(start) {
					rt.Fatalf("a poll %s after the stamp did not find it", now.Sub(stamp))
				}
				w.moved(&s, now)
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 2400).Draw(rt, "asked")) * time.Second)
		}
		if !found && seen.After(start) {
			rt.Fatalf("never found: stamp %s, visible %s", stamp, seen)
		}
		if times > 4 { // a poll within the second of the stamp is followed by another
			rt.Fatalf("read %d times", times)
		}
	})
}

// The org's clock is put back, by more than polls are apart or by less: what changes from
// then on is read with the next poll that would have been due, and polls go on as before.
func TestClockIsPutBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		start := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
		interval := time.Duration(rapid.IntRange(1, 3600).Draw(rt, "interval")) * time.Second
		step := time.Duration(rapid.IntRange(61, 30*3600).Draw(rt, "step")) * time.Second
		pace := Pace{Stretch: 1, Deep: true}
		s := pgsink.State{LoadStarted: start, PollMark: start}
		poll := func(now time.Time) (w window, wait time.Duration) {
			if w = plan(s, now, interval, pace, false); w.deepest >= 0 {
				w.moved(&s, now)
			}
			return w, plan(s, now, interval, pace, false).next
		}
		now := start
		for range rapid.IntRange(0, 20).Draw(rt, "polls") {
			_, wait := poll(now)
			now = now.Add(wait)
		}
		last := s.PollMark // by the clock of then
		if now.Sub(last) > interval {
			rt.Skip("nothing was due for long")
		}
		stamp := last.Add(-step) // the oldest that no poll can have seen
		now = now.Add(-step)
		var polls []time.Time
		for began := now; now.Before(began.Add(20*time.Hour)) && len(polls) < 500; { // polls a second apart are all alike
			w, wait := poll(now)
			if w.deepest >= 0 {
				if len(polls) == 0 && w.from[w.deepest].After(stamp) {
					rt.Fatalf("the first poll reads from %s, which leaves out %s", w.from[w.deepest], stamp)
				}
				polls = append(polls, now)
			}
			if wait <= 0 || wait > max(interval, 10*time.Minute)+steady { // a mark may be ahead by that much
				rt.Fatalf("the next poll is due in %s", wait)
			}
			now = now.Add(wait)
			if len(polls) == 0 && now.Sub(began) > interval+steady {
				rt.Fatalf("no poll within %s", now.Sub(began))
			}
		}
	})
}

func TestPlan(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	full := Pace{Stretch: 1, Deep: true}
	at := func(fast, late, drift time.Duration) pgsink.State {
		return pgsink.State{LoadStarted: noon.Add(-96 * time.Hour), PollMark: noon.Add(-fast), LateMark: noon.Add(-late), DriftMark: noon.Add(-drift)}
	}
	covered := at(time.Hour, time.Hour, 6*time.Hour)
	covered.CoveredMark = noon.Add(-80 * time.Hour)
	cases := []struct {
		name    string
		state   pgsink.State
		pace    Pace
		wanted  bool
		deepest int
		from    time.Duration // before noon
	}{
		{"NothingIsDue", at(0, 0, 0), full, false, -1, 0},
		{"Fast", at(10*time.Minute, 0, 0), full, false, fast, 25 * time.Minute},
		{"WantedWhenNothingIsDue", at(0, 0, 0), full, true, fast, 15 * time.Minute},
		{"LateDoesFastToo", at(10*time.Minute, time.Hour, 0), full, false, late, 2 * time.Hour},
		{"DriftLooksTwoDaysBack", at(10*time.Minute, time.Hour, 6*time.Hour), full, false, drift, 54 * time.Hour},
		{"AsFarAsSalesforceHasCovered", covered, full, false, drift, 80 * time.Hour},
		{"AnOutageIsMadeUpFor", at(72*time.Hour, 72*time.Hour, 0), full, false, late, 73 * time.Hour},
		{"NoDriftWhenCallsAreShort", at(10*time.Minute, time.Hour, 6*time.Hour), Pace{Stretch: 1}, false, late, 2 * time.Hour},
		{"RestingWhileNothingHappens", at(70*time.Minute, 70*time.Minute, 0), Pace{Stretch: 1, Deep: true, AtLeast: 1000 * time.Hour}, false, -1, 0},
		{"RestingEndsWithItsSpan", at(90*time.Minute, 90*time.Minute, 0), Pace{Stretch: 1, Deep: true, AtLeast: 90 * time.Minute}, false, late, 150 * time.Minute},
		{"BeforeAReloadBegins", pgsink.State{PollMark: noon.Add(-10 * time.Minute)}, full, false, fast, 25 * time.Minute},
		{"StretchedWhenCallsAreShort", at(10*time.Minute, 0, 0), Pace{Stretch: 7}, false, -1, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := plan(c.state, noon, 10*time.Minute, c.pace, c.wanted)
			if w.deepest != c.deepest {
				t.Fatalf("deepest layer %d, want %d", w.deepest, c.deepest)
			}
			if c.deepest >= 0 && !w.from[w.deepest].Equal(noon.Add(-c.from)) {
				t.Errorf("reads from %s before noon, want %s", noon.Sub(w.from[w.deepest]), c.from)
			}
		})
	}
}

// Objects that are polled equally often are polled together, whenever their
// last polls were: only so do they fit in one call.
func TestPollsFallTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		next := func(name string) time.Duration {
			mark := now.Add(-time.Duration(rapid.IntRange(0, 244).Draw(rt, name)) * time.Second)
			return plan(pgsink.State{LoadStarted: mark, PollMark: mark}, now, 10*time.Minute, Pace{Stretch: 1, Deep: true}, false).next
		}
		if a, b := next("a"), next("b"); a != b {
			rt.Fatalf("one is polled in %s and the other in %s", a, b)
		}
	})
}

func TestPace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		budget := rapid.IntRange(0, 1_000_000).Draw(rt, "budget")
		a := rapid.IntRange(0, 2_000_000).Draw(rt, "a")
		b := rapid.IntRange(a, 2_000_000).Draw(rt, "b")
		less, more := PaceOf(a, budget), PaceOf(b, budget)
		if more.Stretch < less.Stretch || more.ReadBack < less.ReadBack || more.Deep && !less.Deep || less.Limited && !more.Limited {
			rt.Fatalf("with more calls used reading goes faster: %+v, then %+v", less, more)
		}
		if more.ReadBack > 0 && (more.Deep || more.Stretch < 2) {
			rt.Fatalf("reading back slows down before polls: %+v", more)
		}
	})
	if p := PaceOf(0, 80_000); p != (Pace{Stretch: 1, Deep: true}) {
		t.Errorf("a fresh day begins with %+v", p)
	}
	if p, before := PaceOf(80_000, 80_000), PaceOf(79_999, 80_000); p.ReadBack <= before.ReadBack || before.ReadBack == 0 || before.Limited {
		t.Errorf("reading back pauses for %s just before the budget is used up, and for %s then", before.ReadBack, p.ReadBack)
	}
	if p := PaceOf(80_000, 80_000); !p.Limited {
		t.Errorf("a budget that is used up shows as %+v", p)
	}
	if p := PaceOf(0, 0); p.Limited || p.Stretch != 1 {
		t.Errorf("before the first answer: %+v", p)
	}
}
