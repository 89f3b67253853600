package outbox

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// The outbox never waits for an app. What was answered of a row that an app holds locked
// is kept: the id of a new record in its log entry at once, all else until the row is free.

// errLocked has a settlement written without the results of rows that an app holds locked.
var errLocked = errors.New("some of the rows are locked")

// unlocked looks whether rows that were locked are so still, before anybody is told of
// results that cannot be written yet, and entries are written anew for nothing.
func (w *Worker) unlocked(ctx context.Context, results []*result) (now, later []*result, err error) {
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // wrapped by finish
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, tableWait); err != nil {
		return nil, nil, err //nolint:wrapcheck // wrapped by finish
	}
	return w.lockRows(ctx, tx, results)
}

// lockRows locks the rows that results are written to, and tells apart those
// that somebody else holds, with those of tables that somebody holds as a whole. A row
// that is gone has nothing to be locked, but may be there under another key.
func (w *Worker) lockRows(ctx context.Context, tx pgx.Tx, results []*result) (now, later []*result, err error) {
	ids, busy := map[string][]int64{}, map[string]bool{}
	for table := range w.tables {
		busy[table] = w.busy.is(table)
	}
	for _, r := range results {
		if r.touchesRow() && !busy[r.item.key.table] {
			ids[r.item.key.table] = append(ids[r.item.key.table], r.item.key.id)
		}
	}
	locked := map[string]map[int64]bool{}
	batch := &pgx.Batch{}
	batch.Queue(tableWait)
	for table, list := range ids {
		locked[table] = make(map[int64]bool, len(list))
		batch.Queue(w.sql.lock[table], list).Query(func(rows pgx.Rows) error { return addIDs(locked[table], rows) })
	}
	batch.Queue(ownSQL)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		if inTheWay(err) {
			err = errors.Join(err, w.probe(ctx, maps.Keys(ids)))
		}
		return nil, nil, err //nolint:wrapcheck // wrapped by settle
	}
	there, err := w.among(ctx, tx, ids, locked)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range results {
		k := r.item.key
		mine := locked[k.table][k.id]
		if _, exists := there[k]; (exists || busy[k.table]) && r.touchesRow() && !mine {
			later = append(later, r)
			continue
		}
		r.item.gone, r.note = r.touchesRow() && !mine, ""
		// What newer values do not wait for any more may still run, too, see undone.go.
		if r.outcome == accepted && (w.runsOn(k) != nil || r.item.carrier.inDoubt()) {
			r.note = CodeInDoubt + ": an answer was lost, and that request may still run"
		}
		now = append(now, r)
	}
	now, elsewhere, err := w.follow(ctx, tx, now)
	if err != nil || len(elsewhere) == 0 {
		return now, later, err
	}
	free, held, err := w.lockRows(ctx, tx, elsewhere)
	return append(now, free...), append(later, held...), err
}

// among returns those of the rows ids, other than the locked ones, that exist.
func (w *Worker) among(ctx context.Context, tx pgx.Tx, ids map[string][]int64, locked map[string]map[int64]bool) (map[key]string, error) {
	there := map[key]string{}
	batch := &pgx.Batch{}
	for table, list := range ids {
		list = slices.DeleteFunc(list, func(id int64) bool { return locked[table][id] })
		if len(list) > 0 {
			batch.Queue(w.sql.sfids[table], list).Query(func(rows pgx.Rows) error { return scanSFIDs(rows, table, there) })
		}
	}
	if batch.Len() == 0 {
		return there, nil
	}
	return there, tx.SendBatch(ctx, batch).Close() //nolint:wrapcheck // wrapped by settle
}

// touchesRow reports whether the result shows at the row.
func (r *result) touchesRow() bool {
	shows := r.outcome == accepted || r.outcome == refused || r.outcome == inDoubt
	return (shows || len(r.frozen()) > 0) && r.item.op != Delete
}

// keepAnswers makes the ids of new records durable although their rows are
// locked, so that a crash leaves no insert in doubt that was answered. No other
// entry is planned again before it is settled.
func (w *Worker) keepAnswers(ctx context.Context, tx pgx.Tx, later []*result) error {
	var ids, others []int64
	var sfids []string
	for _, r := range later {
		if r.outcome == accepted && r.op.creates() {
			ids, sfids = append(ids, r.item.carrier.id), append(sfids, r.sfid)
		}
		if r.item.light() {
			for _, e := range r.item.entries {
				others = append(others, e.id)
			}
		}
	}
	batch := &pgx.Batch{}
	if len(ids) > 0 {
		batch.Queue(w.sql.answered, ids, sfids)
	}
	if len(others) > 0 {
		batch.Queue(w.sql.attemptKept, others)
	}
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, batch).Close() //nolint:wrapcheck // wrapped by settle
}
