package bridge

import (
	"errors"
	"testing"
	"time"
)

// day lets a day pass, a second at a time, and returns when the topics were
// looked at. happens is told every second and says what there is to go by.
func day(happens func(w *watchdog, now time.Time) (sessions int, doubted bool)) (at []time.Duration) {
	var l looks
	w := newWatchdog()
	start := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	w.live("Account", true, start)
	for t := time.Duration(0); t < 24*time.Hour; t += time.Second {
		now := start.Add(t)
		sessions, doubted := happens(w, now)
		if l.due(now, sessions, doubted, w.restless()) {
			w.settle()
			l.looked(now, sessions, nil)
			at = append(at, t)
		}
	}
	return at
}

func TestLooksAtTopics(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

	t.Run("IdleDayCostsOneCall", func(t *testing.T) {
		t.Parallel()
		at := day(func(w *watchdog, now time.Time) (int, bool) {
			w.sang(now, now) // proves the session, and changes nothing
			return 1, false
		})
		if len(at) != 1 || at[0] != 0 {
			t.Errorf("looked at %v, want at the start only", at)
		}
	})

	t.Run("OncePerSession", func(t *testing.T) {
		t.Parallel()
		at := day(func(_ *watchdog, now time.Time) (int, bool) { return 1 + int(now.Sub(start)/(3*time.Hour)), false })
		if len(at) != 8 || at[1] != 3*time.Hour {
			t.Errorf("looked at %v, want every three hours", at)
		}
	})

	t.Run("BusyDayCostsNoMoreThanOnceInTenMinutes", func(t *testing.T) {
		t.Parallel()
		at := day(func(w *watchdog, now time.Time) (int, bool) {
			w.event("Account", "a", now, now)
			return 1, false
		})
		if len(at) != 144 {
			t.Errorf("looked %d times, want 144", len(at))
		}
	})

	// Whatever shows a change makes the topics be looked at within ten minutes.
	for name, shows := range map[string]func(w *watchdog, now time.Time){
		"Event":        func(w *watchdog, now time.Time) { w.event("Contact", "a", now, now) },
		"Write":        func(w *watchdog, now time.Time) { w.wrote("Account", "a", now) },
		"Poll":         func(w *watchdog, now time.Time) { w.found("Account", "a", now, now) },
		"PollOfPolled": func(w *watchdog, now time.Time) { w.found("Lead", "a", now, now) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, change := range []time.Duration{time.Second, 5 * time.Minute, 10 * time.Minute, 7 * time.Hour} {
				at := day(func(w *watchdog, now time.Time) (int, bool) {
					if now.Sub(start) == change {
						shows(w, now)
					}
					return 1, false
				})
				if want := max(change, verifyEvery); len(at) != 2 || at[1] != want {
					t.Errorf("a change after %s: looked at %v, want at %s", change, at, want)
				}
			}
		})
	}

	t.Run("DoubtIsLookedIntoAtOnceButNotInALoop", func(t *testing.T) {
		t.Parallel()
		at := day(func(_ *watchdog, now time.Time) (int, bool) {
			since := now.Sub(start)
			return 1, since >= time.Hour && since < time.Hour+time.Minute
		})
		if len(at) != 13 || at[1] != time.Hour || at[2] != time.Hour+verifyPause {
			t.Errorf("looked at %v", at)
		}
	})

	t.Run("FailuresWaitEverLonger", func(t *testing.T) {
		t.Parallel()
		var l looks
		tries := 0
		for now := start; now.Before(start.Add(time.Hour)); now = now.Add(time.Second) {
			if l.due(now, 5, true, true) {
				l.looked(now, 5, errors.New("no answer"))
				tries++
			}
		}
		if tries < 15 || tries > 40 {
			t.Errorf("%d tries in an hour, want up to five minutes between them", tries)
		}
		if l.looked(start.Add(time.Hour), 5, nil); l.due(start.Add(2*time.Hour), 5, false, false) {
			t.Error("due again after it has worked")
		}
	})
}
