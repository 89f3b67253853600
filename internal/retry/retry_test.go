package retry

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

var errDown = errors.New("down")

func TestForeverOutlivesAnHourOfOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, attempts := time.Now(), 0
		var last time.Time
		var longest time.Duration
		var log bytes.Buffer
		err := Forever(t.Context(), zerolog.New(&log), "login", nil, func(context.Context) error {
			attempts++
			if !last.IsZero() {
				longest = max(longest, time.Since(last))
			}
			last = time.Now()
			if time.Since(start) < time.Hour {
				return errDown
			}
			return nil
		})
		if err != nil {
			t.Fatalf("gave up after %s: %v", time.Since(start), err)
		}
		if took := time.Since(start); took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("came back after %s, want within a minute of the hour", took)
		}
		if longest > 45*time.Second {
			t.Errorf("waited %s between attempts, want at most 45s", longest)
		}
		if attempts < 60 || attempts > 300 {
			t.Errorf("%d attempts in an hour", attempts)
		}
		if lines := strings.Count(log.String(), "\n"); lines > 40 {
			t.Errorf("an hour of outage logged %d lines", lines)
		}
		if !strings.Contains(log.String(), `"event":"recovered"`) {
			t.Errorf("recovery is not in the log: %s", log.String())
		}
	})
}

func TestForeverStopsAtWhatCannotHeal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fatal, calls := errors.New("fatal"), 0
		err := Forever(t.Context(), zerolog.Nop(), "x", func(err error) bool { return errors.Is(err, errDown) },
			func(context.Context) error {
				calls++
				if calls == 3 {
					return fatal
				}
				return errDown
			})
		if err != fatal { //nolint:errorlint // the very error, unwrapped, is the promise
			t.Errorf("got %v, want the operation's own error", err)
		}
		if calls != 3 {
			t.Errorf("%d calls, want 3", calls)
		}
	})
}

func TestForeverEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		start := time.Now()
		err := Forever(ctx, zerolog.Nop(), "x", nil, func(context.Context) error { return errDown })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if took := time.Since(start); took != 10*time.Minute {
			t.Errorf("ended after %s, want 10m0s: a wait must not outlive its context", took)
		}

		// An operation cut by the end of the context reports its own failure,
		// which heals may not know; the context still decides.
		ctx, cancel = context.WithCancel(t.Context())
		err = Forever(ctx, zerolog.Nop(), "x", func(error) bool { return false }, func(context.Context) error {
			cancel()
			return errDown
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}

		calls := 0
		_ = Forever(ctx, zerolog.Nop(), "x", nil, func(context.Context) error { calls++; return nil })
		if calls != 0 {
			t.Error("an ended context still started an attempt")
		}
	})
}

func TestDelayGrowsWithinBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.IntRange(-3, 10_000).Draw(t, "attempt")
		first := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "first"))
		limit := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "limit"))
		got := Delay(attempt, first, limit)
		if got < 0 || got > limit+limit/2+1 {
			t.Fatalf("Delay(%d, %s, %s) = %s", attempt, first, limit, got)
		}
		if attempt <= 1 && got > first+first/2+1 {
			t.Fatalf("the first wait is %s, over %s and its jitter", got, first)
		}
	})
	if got := Delay(40, time.Second, 5*time.Minute); got < 150*time.Second {
		t.Errorf("attempt 40 waits only %s", got)
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := Sleep(t.Context(), time.Hour); err != nil {
			t.Errorf("got %v", err)
		}
	})
}
