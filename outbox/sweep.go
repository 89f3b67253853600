package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Autovacuum comes by once a minute, if it finds the time. A burst of changes leaves
// thousands of pages without an entry in the indexes of the log, and until then every
// look at it, of which each change that comes alone waits for one, walks them.
const (
	sweepFrom  = 5000             // entries gone since the last time
	sweepEvery = 10 * time.Second // at most; an old transaction keeps the space in use
)

// sweeper vacuums the log when nothing waits to be sent, beside the run.
type sweeper struct {
	group sync.WaitGroup
	busy  chan struct{} // has one while it sweeps
	gone  int           // entries since the last time
	last  time.Time
}

// newSweeper begins with a sweep, for what an earlier process has left.
func newSweeper() sweeper { return sweeper{busy: make(chan struct{}, 1), gone: sweepFrom} }

// sweepIfDue begins to vacuum the log. It is a courtesy: what goes wrong is passed over.
func (r *runner) sweepIfDue(ctx context.Context) {
	s := &r.sweeper
	if s.gone < sweepFrom || time.Since(s.last) < sweepEvery {
		return
	}
	select {
	case s.busy <- struct{}{}:
	default:
		return
	}
	entries := s.gone
	s.gone, s.last = 0, time.Now()
	s.group.Go(func() {
		defer func() { <-s.busy }()
		began := time.Now()
		err := r.sweep(ctx)
		if ctx.Err() == nil {
			r.log.Debug().AnErr("error", err).Str("event", "swept").Int("rows", entries).Dur("took_ms", time.Since(began)).Msg("vacuumed the log")
		}
	})
}

func (r *runner) sweep(ctx context.Context) error {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	defer conn.Release()
	_, err = conn.Exec(ctx, r.sql.sweep, pgx.QueryExecModeSimpleProtocol)
	return err //nolint:wrapcheck // for the log
}
