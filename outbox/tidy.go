package outbox

import (
	"context"
	"fmt"
	"time"

	"hcbridge/internal/beat"
)

// How much one round of tidying does at most, in entries.
const (
	tidyBatch  = 2000
	purgeBatch = 5000
	purgeEvery = time.Minute
)

// TidyUp does of [Worker.RunOnce] what keeps the log short, once, for a schema of which
// nothing is sent.
func (w *Worker) TidyUp(ctx context.Context) error {
	if err := w.tidyIfDue(ctx); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// tidyIfDue archives what needs no sync, brings back what a user asked to have
// again, and purges the archive. Full rounds are repeated at the next run.
func (w *Worker) tidyIfDue(ctx context.Context) error {
	now, round := time.Now(), beat.Count(w.cfg.TidyEvery)
	if round == w.tidied {
		return nil
	}
	if _, err := w.pool.Exec(ctx, w.sql.tidyFailed); err != nil {
		return ended(ctx, "dismiss", err)
	}
	n, err := w.archiveIdle(ctx)
	if err != nil {
		return ended(ctx, "archive", err)
	}
	if n < tidyBatch {
		w.tidied = round
	}
	if _, err := w.pool.Exec(ctx, w.sql.tidyRequeue, requeueMark); err != nil {
		return ended(ctx, "requeue", err)
	}
	if now.Sub(w.lastPurge) < purgeEvery {
		return nil
	}
	if _, err := w.pool.Exec(ctx, w.sql.tidyEcho); err != nil {
		return ended(ctx, "echoes", err)
	}
	tag, err := w.pool.Exec(ctx, w.sql.tidyPurge, w.cfg.ArchiveFor, purgeBatch)
	if err != nil {
		return ended(ctx, "purge", err)
	}
	if tag.RowsAffected() < purgeBatch {
		w.lastPurge = now
	}
	return nil
}

// ended is err, unless it came of a stop.
func ended(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a requested stop is not a failure
	}
	return fmt.Errorf("%s: %w", what, err)
}
