package bridge

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
)

// warmFirst is the wait after the first failed preparation of a process that
// stands by.
const warmFirst = time.Minute

// warmUp keeps a process that stands by ready to begin: it has a session with
// Salesforce, and knows what the objects are. To learn that would be most of what
// a take-over waits for. It only reads, costs the API calls of one description
// every six hours, and opens no stream. What it knows may be old when it is used,
// so that is compared then, as it is every six hours by whoever works.
type warmUp struct {
	sf     *salesforce.Client
	cfg    *config.Config
	known  func(context.Context) (map[string]known, error)
	log    zerolog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup

	latest *descriptions // nil = none; not before wg is done
}

// begin prepares, and prepares again, until end.
func (w *warmUp) begin(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() { w.run(ctx) })
}

// end stops it and returns what is known, nil if nothing is.
func (w *warmUp) end() *descriptions {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	w.wg.Wait()
	return w.latest
}

func (w *warmUp) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		wait := schemaEvery
		d, err := w.describe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			wait = retry.Delay(failures, warmFirst, time.Hour)
			w.log.Warn().Str("component", "bridge").Str("event", "standby_unprepared").Err(err).Int("attempt", failures).Dur("wait_ms", wait).Msg("this process could not begin at once if it had to take over")
		default:
			failures = 0
			w.latest = d
			w.log.Info().Str("component", "bridge").Str("event", "standby_prepared").Int("objects", len(w.cfg.Objects)).Msg("this process can begin at once if it has to take over")
		}
		sleep(ctx, wait)
	}
}

// describe asks for all that a session asks for when it maps the objects: parents,
// too.
func (w *warmUp) describe(ctx context.Context) (*descriptions, error) {
	if _, err := w.sf.Token(ctx, ""); err != nil {
		return nil, err
	}
	before, err := w.known(ctx)
	if err != nil {
		return nil, err
	}
	d, err := describeAll(ctx, w.sf, w.cfg.Objects)
	if err != nil {
		return nil, err
	}
	_, err = mapEach(ctx, w.cfg, d, before)
	return d, err
}
