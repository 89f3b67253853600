package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Backoff yields growing waits for loops that are not a single operation, such
// as a subscription that is retried when it ends. The zero value is not usable;
// see [NewBackoff].
type Backoff struct{ policy *backoff.ExponentialBackOff }

// NewBackoff returns a Backoff whose waits grow by half from first to limit,
// jittered by ±50 %. Values below 1 ms are taken as 1 ms, and a limit below
// first as first. It never runs out.
func NewBackoff(first, limit time.Duration) *Backoff {
	first = max(first, time.Millisecond)
	return &Backoff{policy: exponential(first, max(limit, first))}
}

// Next returns the next wait.
func (b *Backoff) Next() time.Duration { return b.policy.NextBackOff() }

// Reset starts again with the first wait; call it after a success.
func (b *Backoff) Reset() { b.policy.Reset() }

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
