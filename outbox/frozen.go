package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A change of a frozen column cannot be sent, and is not lost either: when the rest of
// its item is done, an entry keeps it that is FAILED with [CodeFrozen], so that people
// see it as they see what Salesforce refused. A record has one such entry, to which later
// changes are added, or the record's deletion ends it. [Thaw] makes it NEW once the
// field can be seen again.

// withheld is what of a result is kept for later.
type withheld struct {
	into        int64 // the entry that has some already; 0 = none
	values, old map[string]*string
	failure     *Failure
	remark      string // for the entry that it comes from
}

// withheld reports whether the entry keeps changes of frozen columns.
func (e *entry) withheld() bool {
	return e.state == stateFailed && e.action == actionUpdate && strings.HasPrefix(e.message, CodeFrozen)
}

// frozen are the values for frozen columns of an item that is done. As in a request,
// a null says nothing of a record that is new.
func (r *result) frozen() map[string]*string {
	if r.outcome != accepted && r.outcome != ignored {
		return nil
	}
	var values map[string]*string
	for _, c := range r.item.table.Columns {
		if !c.Frozen {
			continue
		}
		if v, changed := r.item.values[c.Name]; changed && (v != nil || !r.op.creates()) {
			values = overlay(values, map[string]*string{c.Name: v})
		}
	}
	return values
}

// findWithheld finds out what is to be kept of results, and in which entries. Their rows
// are locked, so what the app has changed since is in the log: those entries keep it.
func (w *Worker) findWithheld(ctx context.Context, tx pgx.Tx, results []*result) error {
	left := map[key]*result{}
	var tables []string
	var ids []int64
	for _, r := range results {
		r.withheld = nil
		if r.touchesRow() && !r.item.gone && len(r.frozen()) > 0 {
			left[r.item.key] = r
			tables, ids = append(tables, r.item.key.table), append(ids, r.item.key.id)
		}
	}
	if len(left) == 0 {
		return nil
	}
	others := map[key][]*entry{}
	read := func(rows pgx.Rows) error {
		list, err := w.scanEntries(rows)
		for _, e := range list {
			others[e.key] = append(others[e.key], e)
		}
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(w.sql.changes, tables, ids, nil).Query(read)
	batch.Queue(w.sql.open, tables, ids).Query(read)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err //nolint:wrapcheck // wrapped by settle
	}
	for k, r := range left {
		r.withheld = r.withhold(others[k])
	}
	return nil
}

// withhold tells what is to be kept of a result, given what else the log has of its record.
func (r *result) withhold(others []*entry) *withheld {
	i := r.item
	a := &withheld{values: r.frozen(), old: map[string]*string{}}
	for c := range a.values {
		if was, known := i.old[c]; known {
			a.old[c] = was
		}
	}
	arrange(others)
	last := i.entries[len(i.entries)-1]
	if n := slices.IndexFunc(others, func(e *entry) bool { return e.id == last.id }); n >= 0 {
		last = others[n]
	}
	var keeper *entry
	for _, e := range others {
		if slices.ContainsFunc(i.entries, func(own *entry) bool { return own.id == e.id }) {
			continue
		}
		if e.place() > last.place() {
			maps.DeleteFunc(a.values, func(c string, _ *string) bool { _, newer := e.values[c]; return newer })
		}
		if e.withheld() {
			keeper = e
		}
	}
	if len(a.values) == 0 {
		return nil
	}
	a.remark = i.table.names(a.values) + " not sent: not to be seen in Salesforce now, kept in an entry of its own"
	if keeper != nil {
		a.into, a.values, a.old = keeper.id, overlay(keeper.values, a.values), overlay(a.old, keeper.old)
	}
	names := i.table.names(a.values)
	a.failure = &Failure{
		Class: Permanent, Code: CodeFrozen, Fields: strings.Split(names, ", "),
		Message: fmt.Sprintf("%s: %s cannot be seen in Salesforce now; the change waits in the trigger log until it can be sent", CodeFrozen, names),
	}
	return a
}

// names are the fields of columns.
func (t *Table) names(values map[string]*string) string {
	var names []string
	for column := range values {
		names = append(names, t.field(column))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// queueWithheld adds to a batch what is kept of results.
func (w *Worker) queueWithheld(batch *pgx.Batch, results []*result) {
	n := len(results)
	into, ids := make([]int64, n), make([]int64, n)
	tables, sfids, olds, values, messages := make([]string, n), make([]*string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, r := range results {
		a := r.withheld
		into[i], tables[i], ids[i], sfids[i] = a.into, r.item.key.table, r.item.key.id, orNull(r.sfid)
		olds[i], values[i], messages[i] = formatHStore(a.old), formatHStore(a.values), a.failure.Message
	}
	batch.Queue(w.sql.putAside, into, tables, ids, sfids, olds, values, messages)
}

// Thaw sends what was kept of a table's frozen fields, unless all that an entry has is
// of fields that are frozen still. A worker that does not know yet which these are puts
// it by again, so it is called once more before the one starts that does.
func Thaw(ctx context.Context, db DB, schema, table string, frozen []string) error {
	if there, err := exists(ctx, db, ident(schema, "_trigger_log")); err != nil || !there {
		return err
	}
	var n int64
	return ask(ctx, db, schema, "admin_thaw", []any{&n}, func() {}, table, frozen)
}

func exists(ctx context.Context, db DB, table string) (there bool, err error) {
	rows, err := db.Query(ctx, "SELECT to_regclass($1) IS NOT NULL", table)
	if err == nil {
		there, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return false, fmt.Errorf("outbox: look for %s: %w", table, err)
	}
	return there, nil
}
