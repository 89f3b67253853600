package bridge

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// watched is a watchdog on a clock of its own, whose orders are noted.
type watched struct {
	*watchdog
	now                  time.Time
	probes, pushes       int
	renewals             int
	again, polls, doubts []string
	anew                 []string
	muteAt               time.Time
}

func newWatched(canary bool) *watched {
	w := &watched{watchdog: newWatchdog(), now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	w.live("Account", true, w.now)
	w.heard = w.now
	if canary {
		w.useCanary(true, w.now)
		w.sang(w.now, w.now)
	}
	return w
}

// pass lets time go by; heard is called at every probe.
func (w *watched) pass(d time.Duration, connected bool, heard func()) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(time.Second)
		todo := w.tick(w.now, connected)
		if todo.probe {
			w.probes++
			if heard != nil {
				heard()
			}
		}
		if todo.push {
			w.pushes++
		}
		if todo.renew {
			w.renewals++
		}
		w.again = append(w.again, todo.again...)
		w.anew = append(w.anew, todo.anew...)
		w.polls = append(w.polls, todo.poll...)
		if mute, _ := w.watchdog.doubts(); mute && w.muteAt.IsZero() {
			w.muteAt = w.now
		}
	}
	_, doubts := w.watchdog.doubts()
	w.doubts = nil
	for object := range doubts {
		w.doubts = append(w.doubts, object)
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()

	t.Run("IdleDayCostsOneCallOrTwo", func(t *testing.T) {
		t.Parallel()
		w := newWatched(true)
		w.pass(24*time.Hour, true, func() { w.sang(w.pushed, w.now) })
		if w.pushes > 2 || len(w.polls) != 0 || w.renewals != 0 || !w.muteAt.IsZero() {
			t.Errorf("%d canaries, %d polls, %d sessions, mute at %s", w.pushes, len(w.polls), w.renewals, w.muteAt)
		}
		if w.probes < 2000 || w.probes > 2300 {
			t.Errorf("asked %d times, want once in 40 s", w.probes)
		}
	})

	t.Run("MuteShowsWithinAMinute", func(t *testing.T) {
		t.Parallel()
		for _, after := range []time.Duration{0, time.Hour, 20*time.Hour + time.Second, 23 * time.Hour} {
			w := newWatched(true)
			w.pass(after, true, func() { w.sang(w.pushed, w.now) })
			silent := w.heard
			w.pass(5*time.Minute, true, nil)
			if took := w.muteAt.Sub(silent); w.muteAt.IsZero() || took > 56*time.Second {
				t.Errorf("after %s: mute shows after %s", after, took)
			}
			if w.renewals != 1 || len(w.polls) < 8 || len(w.polls) > 10 {
				t.Errorf("after %s: %d sessions, %d polls in five minutes", after, w.renewals, len(w.polls))
			}
			w.event("Account", "a", w.now, w.now)
			if mute, _ := w.watchdog.doubts(); mute {
				t.Error("still mute after an event")
			}
		}
	})

	t.Run("EventsMakeProbesNeedless", func(t *testing.T) {
		t.Parallel()
		w := newWatched(true)
		for n := range 100 {
			w.pass(30*time.Second, true, nil)
			w.event("Account", fmt.Sprint(n), w.now, w.now)
		}
		if w.probes != 0 {
			t.Errorf("asked %d times", w.probes)
		}
	})

	t.Run("ThreeWritesWithoutEvents", func(t *testing.T) {
		t.Parallel()
		w := newWatched(false)
		w.wrote("Account", "a", w.now)
		w.wrote("Account", "b", w.now)
		w.pass(61*time.Second, true, nil)
		if len(w.doubts) != 0 {
			t.Error("suspect after two writes")
		}
		w.event("Account", "c", w.now, w.now) // breaks the row
		w.wrote("Account", "c", w.now)        // its event came first
		w.wrote("Account", "d", w.now)
		w.wrote("Account", "e", w.now)
		w.pass(61*time.Second, true, nil)
		if len(w.doubts) != 0 {
			t.Error("suspect although the misses were not in a row")
		}
		w.wrote("Account", "f", w.now)
		w.pass(61*time.Second, true, nil)
		if !slices.Equal(w.doubts, []string{"Account"}) || w.renewals != 1 {
			t.Errorf("suspects %v, %d sessions", w.doubts, w.renewals)
		}
		for range 4 { // as long as more are missed
			w.pass(5*time.Minute, true, nil)
			w.wrote("Account", "g", w.now)
		}
		if len(w.doubts) != 1 || w.renewals > 3 {
			t.Errorf("suspects %v after 20 minutes of writes, %d sessions", w.doubts, w.renewals)
		}
		w.pass(11*time.Minute, true, nil)
		if len(w.doubts) != 0 || w.renewals > 4 {
			t.Errorf("suspects %v eleven minutes after the last write, %d sessions", w.doubts, w.renewals)
		}
		for _, sfid := range []string{"h", "i"} {
			w.wrote("Account", sfid, w.now)
		}
		w.pass(61*time.Second, true, nil)
		if len(w.doubts) != 0 {
			t.Error("suspect anew after two writes")
		}
	})

	t.Run("APositionThatIsPassedOver", func(t *testing.T) {
		t.Parallel()
		for _, canary := range []bool{true, false} {
			w := newWatched(canary)
			sing := func() { w.sang(w.pushed, w.now) }
			miss := func(n int) []string {
				w.anew = nil
				for range n {
					w.found("Account", "a", w.now.Add(time.Hour), w.now)
					w.pass(time.Minute, true, sing)
				}
				return w.anew
			}
			if got := miss(2); len(got) != 0 {
				t.Errorf("canary %v: given up after two polls", canary)
			}
			if got := miss(1); len(got) != 1 {
				t.Errorf("canary %v: given up %d times after three polls", canary, len(got))
			}
			if got := miss(3); len(got) != 0 {
				t.Errorf("canary %v: given up again in the same session", canary)
			}
			w.live("Account", false, w.now)
			w.live("Account", true, w.now)
			w.event("Account", "b", w.now, w.now)
			if got := miss(4); len(got) != 0 {
				t.Errorf("canary %v: given up although an event has come", canary)
			}
			w.live("Account", false, w.now)
			w.live("Account", true, w.now)
			if got := miss(2); len(got) != 0 {
				t.Errorf("canary %v: given up for what was missed before", canary)
			}
		}
	})

	t.Run("WritesWhileAwayAreNotHeldAgainstIt", func(t *testing.T) {
		t.Parallel()
		w := newWatched(false)
		for n := range 5 {
			w.wrote("Account", fmt.Sprint(n), w.now)
		}
		w.pass(5*time.Minute, false, nil)
		for n := range 5 {
			w.event("Account", fmt.Sprint(n), w.now, w.now)
		}
		w.pass(5*time.Minute, true, nil)
		if len(w.doubts) != 0 {
			t.Error("suspect because it was away")
		}
	})

	t.Run("BulkLoad", func(t *testing.T) {
		t.Parallel()
		for _, canary := range []bool{true, false} {
			w := newWatched(canary)
			sing := func() { w.sang(w.pushed, w.now) }
			load := func(from int) {
				for n := range 5 {
					w.found("Account", fmt.Sprint(from+n), w.now.Add(time.Hour), w.now)
				}
				w.pass(time.Minute, true, sing)
			}
			load(0)
			if len(w.doubts) != 0 || !slices.Equal(w.again, []string{"Account"}) {
				t.Errorf("canary %v: suspects %v after one poll, asked again for %v", canary, w.doubts, w.again)
			}
			load(10)
			if suspect := len(w.doubts) == 1; suspect == canary {
				t.Errorf("canary %v: suspect %v after two polls", canary, suspect)
			}
			if len(w.polls) < 3 {
				t.Errorf("canary %v: %d polls", canary, len(w.polls))
			}
			w.pass(11*time.Minute, true, sing)
			if len(w.doubts) != 0 {
				t.Errorf("canary %v: suspect for good", canary)
			}
			if polls := len(w.polls); polls > 30 {
				t.Errorf("canary %v: %d polls", canary, polls)
			}
		}
	})

	t.Run("FoundBeforeTheSubscriptionIsNoMiss", func(t *testing.T) {
		t.Parallel()
		w := newWatched(false)
		before := w.now
		for range 3 {
			w.found("Account", "a", before, w.now)
			w.pass(time.Minute, true, nil)
		}
		if len(w.again) != 0 {
			t.Error("missed what happened before it was subscribed")
		}
	})
}

// Polls may rest only while events are proven to arrive and tell of nothing.
func TestQuiet(t *testing.T) {
	t.Parallel()
	const since = 10 * time.Minute
	sing := func(w *watched) func() { return func() { w.sang(w.now, w.now) } }
	t.Run("AfterASilentInterval", func(t *testing.T) {
		t.Parallel()
		w := newWatched(true)
		for step, want := range []bool{false, true, true} {
			if got := w.quiet("Account", since, w.now); got != want {
				t.Errorf("step %d: quiet %t, want %t", step, got, want)
			}
			w.pass(since, true, sing(w))
		}
	})
	spoil := map[string]func(*watched){
		"AnEvent":          func(w *watched) { w.event("Contact", "003", w.now, w.now) },
		"AWriteOfOurs":     func(w *watched) { w.wrote("Account", "001", w.now) },
		"APollFound":       func(w *watched) { w.found("Account", "001", w.now, w.now) },
		"NoCanaryAnyMore":  func(w *watched) { w.useCanary(false, w.now) },
		"NoChannel":        func(w *watched) { w.live("Account", false, w.now) },
		"ItHasGoneMute":    func(w *watched) { w.pass(2*time.Minute, true, nil) },
		"TheStreamIsAnew":  func(w *watched) { w.useCanary(true, w.now) },
		"AnUnknownChannel": func(w *watched) { delete(w.objects, "Account") },
	}
	for name, do := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatched(true)
			w.pass(since, true, sing(w))
			if !w.quiet("Account", since, w.now) {
				t.Fatal("not quiet to begin with")
			}
			if do(w); w.quiet("Account", since, w.now) {
				t.Error("still quiet")
			}
		})
	}
}
