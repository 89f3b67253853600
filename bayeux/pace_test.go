package bayeux

import (
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	t.Parallel()
	linear := func(unit time.Duration) func(int) time.Duration {
		return func(attempt int) time.Duration {
			if attempt < 1 {
				t.Errorf("asked for the wait of attempt %d", attempt)
			}
			return time.Duration(attempt) * unit
		}
	}
	const (
		s    = time.Second
		m    = time.Minute
		long = stableAfter
	)
	p := pacer{quick: linear(s), login: linear(10 * s), slow: linear(m), spent: linear(time.Hour)}
	steps := []struct {
		e         end
		connected time.Duration
		want      time.Duration
	}{
		{end{act: actResume}, 0, 0},
		{end{act: actResume}, 0, s},
		{end{act: actAgain}, long - 1, 3 * s},
		{end{act: actResume}, long, 0},
		{end{act: actLogin}, 0, 0},
		{end{act: actLogin}, 0, 10 * s},
		{end{act: actSlow}, 0, m},
		{end{act: actSlow}, 0, 2 * m},
		{end{act: actSpent}, 0, 3 * time.Hour},
		{end{act: actRenew}, 0, 0},
		{end{act: actAgain, wait: time.Hour}, 0, time.Hour},
		{end{act: actAgain}, long, s},
		{end{act: actLogin}, long, 0},
	}
	for i, step := range steps {
		if got := p.next(step.e, step.connected); got != step.want {
			t.Errorf("step %d, %+v: waits %s, want %s", i, step.e, got, step.want)
		}
	}
}

func TestExponential(t *testing.T) {
	t.Parallel()
	slow := exponential(time.Minute, time.Hour)
	for attempt := range 100 { // none is too many to count on
		if got := slow(attempt); got < time.Minute/2 || got > time.Hour || attempt > 6 && got < time.Hour/2 {
			t.Errorf("attempt %d waits %s", attempt, got)
		}
	}
	wait := exponential(time.Second, 30*time.Second)
	for attempt, full := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second,
		6: 30 * time.Second, 64: 30 * time.Second, 1 << 40: 30 * time.Second,
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			got := wait(attempt)
			if got < full/2 || got > full {
				t.Errorf("attempt %d waits %s, want %s to %s", attempt, got, full/2, full)
			}
			seen[got] = true
		}
		if len(seen) < 50 {
			t.Errorf("attempt %d has no jitter", attempt)
		}
	}
}
