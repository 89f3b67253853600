package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// load reads the backlog of one run: which records have changes (see scan), the
// oldest changes of each with what else is open for them, the Salesforce ids
// that these do not tell, and where a child names a parent, refused parents. It
// begins again where the guard finds that some may not go.
func (w *Worker) load(ctx context.Context) (b backlog, err error) {
	for held := true; held; {
		if err := w.askGate(ctx); err != nil {
			return b, err
		}
		b = backlog{flight: w.underWay(), open: map[key][]*entry{}, rows: map[key]string{}, asked: map[key]bool{}}
		keys, full, err := w.scan(ctx)
		if err != nil {
			return b, fmt.Errorf("entries: %w", err)
		}
		if len(keys) == 0 {
			return b, nil
		}
		if err := w.loadChanges(ctx, &b, keys); err != nil {
			return b, fmt.Errorf("changes: %w", err)
		}
		if held, err = w.watch(ctx, b.entries, full); err != nil {
			return b, err
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
	n := map[key]int{}
	for _, e := range b.entries {
		if n[e.key]++; n[e.key] == w.perRecord() && (b.cut == 0 || e.id < b.cut) && w.tables[e.key.table].refers() {
			b.cut = e.id
		}
	}
	return nil
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
	if len(unknown) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for table, ids := range unknown {
		batch.Queue(w.sql.sfids[table], ids).Query(func(rows pgx.Rows) error {
			return scanSFIDs(rows, table, b.rows)
		})
	}
	return w.pool.SendBatch(ctx, batch).Close() //nolint:wrapcheck // wrapped by load
}

// loadLost finds the external ids of records whose insert was refused, if any
// entry names a parent by external id.
func (w *Worker) loadLost(ctx context.Context, entries []*entry) (map[reference]bool, error) {
	naming := false
	for _, e := range entries {
		i := item{table: w.tables[e.key.table]}
		naming = naming || len(i.parentRefs(e.values)) > 0
	}
	if !naming {
		return nil, nil
	}
	rows, err := w.pool.Query(ctx, w.sql.lost)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by load
	}
	refused, err := w.scanEntries(rows)
	lost := map[reference]bool{}
	named := w.planner.namedFields()
	for _, e := range refused {
		if t := w.tables[e.key.table]; t != nil {
			for _, r := range (&item{table: t}).externals(named, e.values) {
				lost[r] = true
			}
		}
	}
	return lost, err
}

func (w *Worker) scanEntries(rows pgx.Rows) ([]*entry, error) {
	var list []*entry
	for rows.Next() {
		e := &entry{}
		var values, old *string
		if err := rows.Scan(&e.id, &e.key.table, &e.key.id, &e.state, &e.action, &e.sfid, &e.message, &values, &old); err != nil {
			return nil, err //nolint:wrapcheck // wrapped by load
		}
		e.values = e.read(values, nil)
		e.old = e.read(old, w.befores(e))
		list = append(list, e)
	}
	return list, rows.Err() //nolint:wrapcheck // wrapped by load
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
