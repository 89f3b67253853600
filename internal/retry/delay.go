package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns the wait before the retry that follows a given 1-based attempt:
// first, doubled with every further attempt, never over limit, jittered by ±50 %.
// It is for callers that store the number of attempts, as a queue does; an
// attempt below 1 counts as 1.
func Delay(attempt int, first, limit time.Duration) time.Duration {
	wait := min(first, limit)
	for ; attempt > 1 && wait < limit; attempt-- {
		wait = min(2*wait, limit)
		if wait <= 0 { // overflow, or a first of zero, which doubling cannot grow
			wait = limit
		}
	}
	half := wait / 2
	return half + time.Duration(rand.Int64N(int64(max(wait, 1)))) //nolint:gosec // jitter, not a secret
}

// Sleep waits for d or until ctx ends, and returns ctx.Err() in that case.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
