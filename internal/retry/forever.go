package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
)

// The waits between attempts: short enough at first to hide a hiccup, bounded so
// that the end of an outage is noticed within half a minute.
const (
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second

	// quiet is how often a wait that no longer grows is still reported.
	quiet = 5 * time.Minute
)

// Forever calls op until it succeeds, ctx ends, or op returns an error for
// which heals is false; a nil heals means that every error heals. Waits grow
// from 500 ms to 30 s and are jittered by half. It never gives up on its own.
//
// It returns nil, ctx.Err(), or op's own error, respectively.
//
// name says in the log what is being tried. An outage is one line per growing
// wait, then one every 5 minutes, and one "recovered" with the number of
// attempts.
func Forever(ctx context.Context, log zerolog.Logger, name string, heals func(error) bool, op func(context.Context) error) error {
	var (
		attempt  int
		longest  time.Duration
		reported time.Time
	)
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstWait),
		backoff.WithMaxInterval(maxWait),
		backoff.WithMaxElapsedTime(0), // the default gives up after 15 minutes
	)
	err := backoff.RetryNotify(func() error {
		if err := ctx.Err(); err != nil {
			return backoff.Permanent(err)
		}
		attempt++
		err := op(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return backoff.Permanent(ctx.Err())
		case heals != nil && !heals(err):
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(policy, ctx), func(err error, wait time.Duration) {
		if wait <= longest && time.Since(reported) < quiet {
			return
		}
		longest, reported = max(longest, wait), time.Now()
		log.Warn().Str("event", "retrying").Str("op", name).Int("attempt", attempt).
			Dur("wait_ms", wait).Err(err).Msg(name + " failed, trying again")
	})
	if err == nil && attempt > 1 {
		log.Info().Str("event", "recovered").Str("op", name).Int("attempt", attempt).
			Msg(name + " works again")
	}
	return err
}
