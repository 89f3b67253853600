package outbox

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// An app may give a row another primary key, by which the log names it. Capture says so,
// and cannot do more: what is open of the row is under its old key then. Before such a
// change is planned it gets the row's new one, in the log; what is on its way is waited
// for, and the answer to an insert finds the row by that change.

// keyColumn is the primary key of every mapped table.
const keyColumn = "id"

// formerKey is what the row was named by before an update gave it another key; ok is false
// for any other change.
func (e *entry) formerKey() (k key, ok bool) {
	before, now := e.old[keyColumn], e.values[keyColumn]
	if e.action != actionUpdate || before == nil || now == nil {
		return k, false
	}
	id, err := strconv.ParseInt(*before, 10, 64)
	return key{e.key.table, id}, err == nil && id != e.key.id
}

// rekey gives what is open of rows that have another key now that key. It reports whether
// it has changed the log, so that the backlog is to be read again, and notes in it which records
// wait until what is on its way under their old key is over.
func (w *Worker) rekey(ctx context.Context, b *backlog) (moved bool, err error) {
	var tables, sfids []string
	var former, latter, entries []int64
	var busy []bool
	var list []*entry
	var flying map[key]bool
	for _, e := range b.entries {
		before, ok := e.formerKey()
		if !ok {
			continue
		}
		if flying == nil {
			flying = w.unanswered()
		}
		list = append(list, e)
		tables, former, latter = append(tables, before.table), append(former, before.id), append(latter, e.key.id)
		entries, sfids, busy = append(entries, e.id), append(sfids, e.sfid), append(busy, flying[before] || w.runsOn(before) != nil)
	}
	if len(list) == 0 {
		return false, nil
	}
	rows, err := w.pool.Query(ctx, w.sql.rekey, tables, former, latter, entries, busy, sfids)
	if err != nil {
		return false, fmt.Errorf("new keys: %w", err)
	}
	waits := map[int64]bool{}
	var id int64
	var some, left bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &some, &left}, func() error {
		moved, waits[id] = moved || some, left
		return nil
	}); err != nil {
		return false, fmt.Errorf("new keys: %w", err)
	}
	b.moving = map[key]bool{}
	m := &logWrite{}
	for _, e := range list {
		switch {
		case waits[e.id]:
			b.moving[e.key] = true
		case e.sfid != "" && !moved && !e.mapped(w.tables[e.key.table]): // it has told what it has to
			m.keep(e, stateIgnore, "")
		}
	}
	if len(m.kept) > 0 {
		if _, err := w.pool.Exec(ctx, w.sql.mark, m.kept, m.keptStates, m.keptMessages); err != nil {
			return false, fmt.Errorf("new keys: %w", err)
		}
	}
	return moved || len(m.kept) > 0, nil
}

// mapped reports whether an entry changes a column that has a field.
func (e *entry) mapped(t *Table) bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool {
		_, changed := e.values[c.Name]
		return changed && !c.system()
	})
}

// unanswered are the records of which something is on its way, or answered and not written down.
func (w *Worker) unanswered() map[key]bool {
	set := map[key]bool{}
	for _, i := range w.underWay() {
		set[i.key] = true
	}
	for _, s := range w.unsettled {
		for _, r := range s.results {
			set[r.item.key] = true
		}
	}
	return set
}

// follow finds the rows of new records that are not there under the key of their insert, as
// they have another one by now, and gives the results that. It divides the results into
// those and the others.
func (w *Worker) follow(ctx context.Context, tx pgx.Tx, results []*result) (there, elsewhere []*result, err error) {
	lost := map[key]*result{}
	was, after := map[string][]int64{}, map[string][]int64{}
	for _, r := range results {
		if i := r.item; i.gone && i.op.creates() {
			lost[i.key] = r
			was[i.key.table], after[i.key.table] = append(was[i.key.table], i.key.id), append(after[i.key.table], max(i.carrier.id, i.rekeyed))
		}
	}
	if len(lost) == 0 {
		return results, nil, nil
	}
	found := map[*result]bool{}
	batch := &pgx.Batch{}
	for table := range was {
		batch.Queue(w.sql.rekeyed, table, was[table], after[table]).Query(func(rows pgx.Rows) error {
			var from, to, entry int64
			_, err := pgx.ForEachRow(rows, []any{&from, &to, &entry}, func() error {
				r := lost[key{table, from}]
				r.item.key.id, r.item.rekeyed = to, entry
				elsewhere, found[r] = append(elsewhere, r), true
				return nil
			})
			return err //nolint:wrapcheck // wrapped by settle
		})
	}
	err = tx.SendBatch(ctx, batch).Close()
	return slices.DeleteFunc(results, func(r *result) bool { return found[r] }), elsewhere, err //nolint:wrapcheck // wrapped by settle
}
