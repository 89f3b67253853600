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
//
// A row of which nothing is open once a refused change is dismissed shows what Salesforce
// has not. It is PENDING then until it is read back, for which Config.Settle is told.

// idle is an entry that needs no sync.
type idle struct {
	id    int64
	key   key
	shows bool // an update, which has its row PENDING

	dismissed bool // by a user
}

// archiveIdle archives entries that need no sync, and returns how many. Those whose rows
// an app holds locked stay for the next time.
func (w *Worker) archiveIdle(ctx context.Context) (n int, err error) {
	list, err := w.findIdle(ctx)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	shown := w.rowsOf(list, func(e idle) bool { return e.shows })
	dismissed := w.rowsOf(list, func(e idle) bool { return e.dismissed && w.cfg.Settle != nil })
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		held := map[key]bool{} // rows that an app holds locked: it may be changing them
		if err := w.tellDismissed(ctx, tx, dismissed); err != nil {
			return err
		}
		if err := w.endOf(ctx, tx, dismissed, ending{w.sql.dismissed, w.sql.reread}, held); err != nil {
			return err
		}
		if err := w.endOf(ctx, tx, shown, ending{w.sql.pending, w.sql.synced}, held); err != nil {
			return err
		}
		n, err = w.archiveEntries(ctx, tx, list, held)
		return err
	})
	if inTheWay(err) {
		maps.Copy(shown, dismissed)
		return 0, w.probe(ctx, maps.Keys(shown))
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
	_, err = pgx.ForEachRow(rows, []any{&e.id, &e.key.table, &e.key.id, &e.shows, &e.dismissed}, func() error {
		list = append(list, e)
		return nil
	})
	return list, err //nolint:wrapcheck // wrapped by tidyIfDue
}

// rowsOf are the rows, by table, of some of the entries.
func (w *Worker) rowsOf(list []idle, some func(idle) bool) map[string][]int64 {
	rows := map[string][]int64{}
	for _, e := range list {
		if some(e) && w.tables[e.key.table] != nil {
			rows[e.key.table] = append(rows[e.key.table], e.key.id)
		}
	}
	return rows
}

// tellDismissed tells Config.Settle of rows that are to be read back, before anything is
// locked. One too many does no harm.
func (w *Worker) tellDismissed(ctx context.Context, tx pgx.Tx, rows map[string][]int64) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, briefSQL); err != nil {
		return err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	var list []Settled
	for table, ids := range rows {
		if w.busy.is(table) {
			continue
		}
		found := map[int64]bool{}
		look, _ := tx.Query(ctx, w.sql.dismissed[table], ids, table)
		if err := addIDs(found, look); err != nil {
			return err
		}
		sfids := map[key]string{}
		look, _ = tx.Query(ctx, w.sql.sfids[table], slices.Sorted(maps.Keys(found)))
		if err := scanSFIDs(look, table, sfids); err != nil {
			return err
		}
		for k, sfid := range sfids {
			list = append(list, Settled{Table: k.table, RecordID: k.id, SFID: sfid, Op: Update, Dismissed: true})
		}
	}
	return w.tell(ctx, tx, list)
}

// ending is what ends that rows show something: the statements, by table, that find
// those that do, and that write to them.
type ending struct{ find, write map[string]string }

// endOf ends for rows what they show though nothing of them is open, and notes those that
// an app holds locked.
func (w *Worker) endOf(ctx context.Context, tx pgx.Tx, rows map[string][]int64, x ending, held map[key]bool) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, briefSQL); err != nil {
		return err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	for table, ids := range rows {
		if w.busy.is(table) {
			for _, id := range ids {
				held[key{table, id}] = true
			}
			continue
		}
		if err := w.endIn(ctx, tx, table, ids, x, held); err != nil {
			return err
		}
	}
	return nil
}

// endIn does so in one table. What is open of a row is asked again once it is
// locked, by a statement that sees what was committed until then.
func (w *Worker) endIn(ctx context.Context, tx pgx.Tx, table string, ids []int64, x ending, held map[key]bool) error {
	found, mine := map[int64]bool{}, map[int64]bool{}
	rows, _ := tx.Query(ctx, x.find[table], ids, table)
	if err := addIDs(found, rows); err != nil || len(found) == 0 {
		return err
	}
	rows, _ = tx.Query(ctx, w.sql.lock[table], slices.Collect(maps.Keys(found)))
	if err := addIDs(mine, rows); err != nil {
		return err
	}
	for id := range found {
		held[key{table, id}] = held[key{table, id}] || !mine[id]
	}
	if _, err := tx.Exec(ctx, ownSQL); err != nil {
		return err //nolint:wrapcheck // wrapped by tidyIfDue
	}
	locked := slices.Sorted(maps.Keys(mine))
	err := w.tryEnding(ctx, tx, x.write[table], table, locked)
	if err == nil || !rowFault(err) {
		return err
	}
	for _, id := range locked { // a user's trigger refuses one: it stays as it is
		if err := w.tryEnding(ctx, tx, x.write[table], table, []int64{id}); err != nil && !rowFault(err) {
			return err
		}
	}
	return nil
}

// tryEnding writes in a savepoint, see tryRows.
func (w *Worker) tryEnding(ctx context.Context, tx pgx.Tx, sql, table string, ids []int64) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { //nolint:wrapcheck // wrapped by tidyIfDue
		_, err := tx.Exec(ctx, sql, ids, table)
		return err //nolint:wrapcheck // wrapped by tidyIfDue
	})
}

// archiveEntries archives entries but for those of rows that are held, and returns how
// many.
func (w *Worker) archiveEntries(ctx context.Context, tx pgx.Tx, list []idle, held map[key]bool) (n int, err error) {
	var ids []int64
	for _, e := range list {
		if !e.shows && !e.dismissed || !held[e.key] {
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
