package outbox

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Somebody may lock a whole table for minutes, as a migration does. Then what was answered
// of its records is kept, as that of rows that an app holds locked, and its changes are not
// planned. All other tables go on.

// busyFor is how long a table that was found locked is left alone.
const busyFor = time.Second

// tableWait is ownSQL's for the tables themselves: whoever holds one longer is not waited for.
const tableWait = "SELECT set_config('lock_timeout', '250ms', true)"

// busy knows which tables somebody holds locked. Safe for concurrent use.
type busy struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (b *busy) note(table string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until == nil {
		b.until = map[string]time.Time{}
	}
	b.until[table] = time.Now().Add(busyFor)
}

func (b *busy) is(table string) bool {
	_, some := b.left(time.Now(), table)
	return some
}

// left is how long until one of the tables is to be tried again.
func (b *busy) left(now time.Time, tables ...string) (wait time.Duration, some bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tables {
		if left := b.until[t].Sub(now); left > 0 && (!some || left < wait) {
			wait, some = left, true
		}
	}
	return wait, some
}

// probe finds out which of the tables somebody holds locked, after a statement about
// them has met a lock.
func (w *Worker) probe(ctx context.Context, tables iter.Seq[string]) error {
	for table := range tables {
		if w.busy.is(table) {
			continue
		}
		err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, tableWait+"; SELECT FROM "+ident(w.cfg.Schema, table)+" WHERE false FOR UPDATE")
			return err //nolint:wrapcheck // wrapped by the caller
		})
		switch {
		case inTheWay(err):
			w.busy.note(table)
		case err != nil:
			return err //nolint:wrapcheck // wrapped by the caller
		}
	}
	return nil
}

// readWithin is how long a reading may take that nothing hinders.
const readWithin = time.Second

// read carries out statements about mapped tables in one round trip. queue adds those of
// tables that are not busy; where one turns out to be, it is asked again. A statement that
// the connection does not know yet is parsed before anything limits its wait, so that is
// cut off.
func (w *Worker) read(ctx context.Context, queue func(*pgx.Batch)) error {
	batch := &pgx.Batch{} // one transaction
	batch.Queue(tableWait)
	if queue(batch); batch.Len() == 1 {
		return nil
	}
	quick, cancel := context.WithTimeout(ctx, readWithin)
	err := w.pool.SendBatch(quick, batch).Close()
	late := quick.Err() != nil && ctx.Err() == nil
	for cancel(); inTheWay(err) || err != nil && late; late = false {
		if err = w.probe(ctx, maps.Keys(w.tables)); err == nil {
			err = w.readSafely(ctx, queue)
		}
	}
	return err //nolint:wrapcheck // wrapped by the caller
}

// readSafely does the same in more round trips, and waits for no table in any case.
func (w *Worker) readSafely(ctx context.Context, queue func(*pgx.Batch)) error {
	return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { //nolint:wrapcheck // wrapped by the caller
		if _, err := tx.Exec(ctx, tableWait); err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		batch := &pgx.Batch{}
		if queue(batch); batch.Len() == 0 {
			return nil
		}
		return tx.SendBatch(ctx, batch).Close() //nolint:wrapcheck // wrapped by the caller
	})
}
