package outbox

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// An update of columns that are not mapped needs no sync, but has its row PENDING, as
// capture decides that before the columns are compared. Nothing is sent that would end it,
// so it ends when the entry is archived: a row of which an earlier change stands refused is
// FAILED again, any other SYNCED.

// idle is an entry that needs no sync.
type idle struct {
	id    int64
	key   key
	shows bool // an update, which has its row PENDING
}

// archiveIdle archives entries that need no sync, and returns how many. Those whose rows
// an app holds locked stay for the next time.
func (w *Worker) archiveIdle(ctx context.Context) (n int, err error) {
	list, err := w.findIdle(ctx)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	rows := w.idleRows(list)
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		held, err := w.endPending(ctx, tx, rows)
		if err != nil {
			return err
		}
		n, err = w.archiveEntries(ctx, tx, list, held)
		return err
	})
	if inTheWay(err) {
		return 0, w.probe(ctx, maps.Keys(rows))
	}
	return n, err //nolint:wrapcheck // wrapped by tidyIfDue
}

// findIdle lists the oldest entries that need no sync.
func (w *Worker) findIdle(ctx context.Context) (list []idle, err error) {
	rows, err := w.pool.Query(ctx, w.sql.tidyIdle, tidyBatch, w.writable)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	var e idle
	_, err = pgx.ForEachRow(rows, []any{&e.id, &e.key.table, &e.key.id, &e.shows}, func() error {
		list = append(list, e)
		return nil
	})
	return list, err //nolint:wrapcheck // wrapped by tidyIfDue
}

// idleRows are the rows, by table, that entries have made PENDING.
func (w *Worker) idleRows(list []idle) map[string][]int64 {
	rows := map[string][]int64{}
	for _, e := range list {
		if e.shows && w.tables[e.key.table] != nil {
			rows[e.key.table] = append(rows[e.key.table], e.key.id)
		}
	}
	return rows
}

// endPending ends the PENDING of rows of which nothing is to be sent, see synced.sql.tmpl. It returns those
// that an app holds locked: it may be changing them.
func (w *Worker) endPending(ctx context.Context, tx pgx.Tx, rows map[string][]int64) (held map[key]bool, err error) {
	held = map[key]bool{}
	if len(rows) == 0 {
		return held, nil
	}
	if _, err := tx.Exec(ctx, briefSQL); err != nil {
		return nil, err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	for table, ids := range rows {
		if w.busy.is(table) {
			for _, id := range ids {
				held[key{table, id}] = true
			}
			continue
		}
		if err := w.endPendingOf(ctx, tx, table, ids, held); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// endPendingOf does so in one table. What is open of a row is asked again once it is
// locked, by a statement that sees what was committed until then.
func (w *Worker) endPendingOf(ctx context.Context, tx pgx.Tx, table string, ids []int64, held map[key]bool) error {
	pending, mine := map[int64]bool{}, map[int64]bool{}
	rows, _ := tx.Query(ctx, w.sql.pending[table], ids, table)
	if err := addIDs(pending, rows); err != nil || len(pending) == 0 {
		return err
	}
	rows, _ = tx.Query(ctx, w.sql.lock[table], slices.Collect(maps.Keys(pending)))
	if err := addIDs(mine, rows); err != nil {
		return err
	}
	for id := range pending {
		held[key{table, id}] = !mine[id]
	}
	if _, err := tx.Exec(ctx, ownSQL); err != nil {
		return err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	locked := slices.Sorted(maps.Keys(mine))
	err := w.trySynced(ctx, tx, table, locked)
	if err == nil || !rowFault(err) {
		return err
	}
	for _, id := range locked { // a user's trigger refuses one: it stays PENDING
		if err := w.trySynced(ctx, tx, table, []int64{id}); err != nil && !rowFault(err) {
			return err
		}
	}
	return nil
}

// trySynced writes in a savepoint, see tryRows.
func (w *Worker) trySynced(ctx context.Context, tx pgx.Tx, table string, ids []int64) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { //nolint:wrapcheck // wrapped by tidyIfDue
		_, err := tx.Exec(ctx, w.sql.synced[table], ids, table)
		return err //nolint:wrapcheck // wrapped by tidyIfDue
	})
}

// archiveEntries archives entries but for those of rows that are held, and returns how
// many.
func (w *Worker) archiveEntries(ctx context.Context, tx pgx.Tx, list []idle, held map[key]bool) (n int, err error) {
	var ids []int64
	for _, e := range list {
		if !e.shows || !held[e.key] {
			ids = append(ids, e.id)
		}
	}
	rows, err := tx.Query(ctx, w.sql.tidyArchive, ids, notMapped)
	if err != nil {
		return 0, err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	var table, columns string
	var all, left int
	_, err = pgx.ForEachRow(rows, []any{&table, &all, &left, &columns}, func() error {
		if n += all; left > 0 {
			w.leave(table, strings.Split(columns, ", ")...)
		}
		return nil
	})
	return n, err //nolint:wrapcheck // wrapped by tidyIfDue
}
