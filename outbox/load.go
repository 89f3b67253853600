package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// load reads the backlog of one run: which records have changes (see scan), the
// oldest changes of each with what else is open for them (of a short log both at
// once, see glance), the Salesforce ids that these do not tell, and where a child
// names a parent, refused parents. It begins again where the guard finds that some
// may not go, or rows have other keys now.
func (w *Worker) load(ctx context.Context) (b backlog, err error) {
	for held := true; held; {
		if err := w.askGate(ctx); err != nil {
			return b, err
		}
		b = backlog{flight: w.underWay(), hidden: w.hidden(), open: map[key][]*entry{}, rows: map[key]string{}, asked: map[key]bool{}, busy: map[string]bool{}}
		full, err := w.loadEntries(ctx, &b)
		if err != nil || len(b.entries) == 0 {
			return b, err
		}
		if held, err = w.watch(ctx, b.entries, full); err != nil {
			return b, err
		}
		if !held {
			if held, err = w.rekey(ctx, &b); err != nil {
				return b, err
			}
		}
	}
	if err := w.loadLates(ctx, b.entries); err != nil {
		return b, fmt.Errorf("repeated: %w", err)
	}
	if err := w.loadIDs(ctx, &b); err != nil {
		return b, fmt.Errorf("records: %w", err)
	}
	if b.lost, err = w.loadLost(ctx, b.entries); err != nil {
		return b, fmt.Errorf("refused parents: %w", err)
	}
	return b, nil
}

// loadEntries reads entries, and what else is open for their records. It reports
// whether there are more.
func (w *Worker) loadEntries(ctx context.Context, b *backlog) (full bool, err error) {
	if w.short {
		whole, err := w.glance(ctx, b)
		if err != nil {
			return false, fmt.Errorf("the log: %w", err)
		}
		if whole {
			w.window = window{}
			return false, nil
		}
	}
	keys, full, err := w.scan(ctx)
	if err != nil {
		return full, fmt.Errorf("entries: %w", err)
	}
	if len(keys) > 0 {
		if err := w.loadChanges(ctx, b, keys); err != nil {
			return full, fmt.Errorf("changes: %w", err)
		}
	}
	w.window.recall(b)
	return full, nil
}

// glance reads all of a short log in one round trip, which is what a change waits
// for that comes alone. It reports whether the log is short.
func (w *Worker) glance(ctx context.Context, b *backlog) (whole bool, err error) {
	if w.guard.closed() {
		return false, nil
	}
	rows, err := w.pool.Query(ctx, w.sql.glance, glanceMost)
	if err != nil {
		return false, err //nolint:wrapcheck // wrapped by load
	}
	n := 0
	list, err := w.scanEntries(rows, &n)
	if w.short = n < glanceMost; err != nil || !w.short {
		return false, err
	}
	for _, e := range list {
		switch t := w.tables[e.key.table]; {
		case t == nil || !t.ReadWrite:
		case e.state == stateNew:
			b.entries = append(b.entries, e)
		default:
			b.open[e.key] = append(b.open[e.key], e)
		}
	}
	return true, nil
}

// loadChanges reads the oldest entries of records, and what else is open for
// them.
func (w *Worker) loadChanges(ctx context.Context, b *backlog, keys []key) error {
	tables, ids := make([]string, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		tables[i], ids[i] = k.table, k.id
	}
	batch := &pgx.Batch{}
	batch.Queue(w.sql.changes, tables, ids, w.perRecord()).Query(func(rows pgx.Rows) (err error) {
		b.entries, err = w.scanEntries(rows)
		b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool { return w.guard.stops(e.key.table, e.id) })
		return err
	})
	batch.Queue(w.sql.open, tables, ids).Query(func(rows pgx.Rows) error {
		open, err := w.scanEntries(rows)
		for _, e := range open {
			b.open[e.key] = append(b.open[e.key], e)
		}
		return err
	})
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		return err //nolint:wrapcheck // wrapped by load
	}
	slices.SortFunc(b.entries, func(x, y *entry) int { return cmp.Compare(x.id, y.id) })
	w.cutOff(b)
	return nil
}

// cutOff notes of which records not all entries were read. What was read of the last
// transaction of one may be a part of it, of which nobody can tell the order: it is left
// for later, if there is anything before it.
func (w *Worker) cutOff(b *backlog) {
	byRecord := map[key][]*entry{}
	for _, e := range b.entries {
		byRecord[e.key] = append(byRecord[e.key], e)
	}
	later := map[*entry]bool{}
	b.more = map[key]bool{}
	for k, list := range byRecord {
		n := len(list)
		if n < w.perRecord() {
			continue
		}
		b.more[k] = true
		for tx := list[n-1].txid; tx != 0 && n > 0 && list[n-1].txid == tx; n-- {
		}
		if n == 0 {
			n = len(list)
		}
		for _, e := range list[n:] {
			later[e] = true
		}
		if w.tables[k.table].refers() {
			b.cut = earlier(b.cut, list[n-1].id)
		}
	}
	b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool { return later[e] })
}

// loadIDs finds the Salesforce ids of records whose entries do not tell them.
func (w *Worker) loadIDs(ctx context.Context, b *backlog) error {
	unknown := map[string][]int64{}
	for _, e := range b.entries {
		if e.sfid == "" && !b.asked[e.key] {
			b.asked[e.key] = true
			unknown[e.key.table] = append(unknown[e.key.table], e.key.id)
		}
	}
	err := w.read(ctx, func(batch *pgx.Batch) {
		for table := range w.tables {
			if b.busy[table] = w.busy.is(table); b.busy[table] || len(unknown[table]) == 0 {
				continue
			}
			batch.Queue(w.sql.sfids[table], unknown[table]).Query(func(rows pgx.Rows) error { return scanSFIDs(rows, table, b.rows) })
		}
	})
	return err
}

// loadLost finds the external ids of records whose insert was refused, as far as
// entries name parents by them. Where a row of the table that is in Salesforce has
// the external id, too, that is the parent, and a twin was refused.
func (w *Worker) loadLost(ctx context.Context, entries []*entry) (map[reference]int64, error) {
	wanted := map[reference]bool{}
	for _, e := range entries {
		i := item{table: w.tables[e.key.table]}
		for _, r := range i.parentRefs(e.values) {
			wanted[r] = true
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	rows, err := w.pool.Query(ctx, w.sql.lost)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by load
	}
	refused, err := w.scanEntries(rows)
	if err != nil {
		return nil, err
	}
	type column struct {
		table       *Table
		name, field string
	}
	values, named, ids := map[column][]string{}, w.planner.namedFields(), map[reference]int64{}
	for _, e := range refused {
		t := w.tables[e.key.table]
		if t == nil {
			continue
		}
		for _, c := range t.Columns {
			v := e.values[c.Name]
			if c.Relationship != "" || !set(v) || !named[strings.ToLower(c.Field)] {
				continue
			}
			if wanted[refTo(t.Object, c.Field, *v)] || wanted[refTo("", c.Field, *v)] {
				of := column{t, c.Name, c.Field}
				values[of] = append(values[of], *v)
				ids[refTo(t.Object, c.Field, *v)] = max(e.id, ids[refTo(t.Object, c.Field, *v)])
			}
		}
	}
	lost := map[reference]int64{}
	lose := func(c column, v string) {
		id := ids[refTo(c.table.Object, c.field, v)]
		lost[refTo(c.table.Object, c.field, v)] = id
		lost[refTo("", c.field, v)] = max(id, lost[refTo("", c.field, v)])
	}
	look := func(batch *pgx.Batch, c column, list []string) {
		name := ident(c.name)
		batch.Queue(`SELECT unnest($1::text[]) EXCEPT SELECT `+name+`::text FROM `+ident(w.cfg.Schema, c.table.Name)+`
			WHERE `+name+`::text = ANY ($1::text[]) AND sfid <> ''`, list).Query(func(rows pgx.Rows) error {
			var v string
			_, err := pgx.ForEachRow(rows, []any{&v}, func() error {
				lose(c, v)
				return nil
			})
			return err //nolint:wrapcheck // wrapped by load
		})
	}
	err = w.read(ctx, func(batch *pgx.Batch) {
		for c, list := range values {
			if !w.busy.is(c.table.Name) {
				look(batch, c, list)
				continue
			}
			for _, v := range list { // what names them waits until it is known
				lose(c, v)
			}
		}
	})
	return lost, err
}

// scanEntries reads rows that are entries, each behind other columns. A row without
// an entry is left out.
func (w *Worker) scanEntries(rows pgx.Rows, before ...any) ([]*entry, error) {
	var list []*entry
	var table, state, action, sfid, message repeated
	var id, txid, record pgtype.Int8
	var values, old *string
	columns := append(slices.Clone(before), &id, &txid, &table, &record, &state, &action, &sfid, &message, &values, &old)
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return nil, err //nolint:wrapcheck // wrapped by load
		}
		if !id.Valid || !record.Valid {
			continue
		}
		e := &entry{id: id.Int64, txid: txid.Int64, key: key{string(table), record.Int64}, state: string(state), action: string(action), sfid: string(sfid), message: string(message)}
		e.values = e.read(values, nil)
		e.old = e.read(old, w.befores(e))
		list = append(list, e)
	}
	return list, rows.Err() //nolint:wrapcheck // wrapped by load
}

// repeated is a text that is mostly the one of the row before, and then shares its
// memory.
type repeated string

func (r *repeated) ScanBytes(text []byte) error {
	if string(*r) != string(text) {
		*r = repeated(text)
	}
	return nil
}

// befores tells which columns of the row before an entry matter; nil = all. Of an
// update they are those that it changed, and those that tell what depends on it.
func (w *Worker) befores(e *entry) func(column string) bool {
	t := w.tables[e.key.table]
	if t == nil || e.action != actionUpdate {
		return nil
	}
	return func(column string) bool {
		_, changed := e.values[column]
		return changed || slices.Contains(w.naming[t.Name], column)
	}
}

func (e *entry) read(text *string, keep func(column string) bool) map[string]*string {
	if text == nil {
		return nil
	}
	pairs, err := parsePairs(*text, keep)
	if err != nil {
		e.broken = err
	}
	return pairs
}

func scanSFIDs(rows pgx.Rows, table string, into map[key]string) error {
	var id int64
	var sfid string
	_, err := pgx.ForEachRow(rows, []any{&id, &sfid}, func() error {
		into[key{table, id}] = sfid
		return nil
	})
	return err //nolint:wrapcheck // wrapped by the caller
}
