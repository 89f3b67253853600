package soql

import (
	"slices"
	"strings"

	"hcbridge/test/org/sobject"
)

// Opts tunes a run. The zero value is a plain query by a user who sees all.
type Opts struct {
	All     bool    // queryAll: deleted records too
	Visible Visible // fields that the user may see; nil: all
}

// Run binds and executes a query. It returns all rows, paging is the caller's
// work, and how many there are. A bare COUNT() returns no rows and the count.
// The error is an [*Error].
func Run(store sobject.Store, q *Query, opts Opts) (rows []Row, total int, err error) {
	if err := q.bind(store, opts.Visible); err != nil {
		return nil, 0, err
	}
	switch {
	case q.Subquery:
		return nil, 0, malformed("child subqueries are not supported")
	case q.TypeOf:
		return nil, 0, malformed("TYPEOF is not supported")
	case q.grouped:
		return nil, 0, malformed("GROUP BY is not supported")
	}
	q.semiJoins(store, opts.All)
	if q.Count {
		n := 0
		q.each(store, opts.All, func(sobject.Record) bool {
			n++
			return q.Limit < 0 || n < q.Limit
		})
		if q.Limit == 0 {
			n = 0
		}
		return nil, n, nil
	}
	if q.Aggregate {
		row, err := q.aggregate(store, opts.All)
		if err != nil {
			return nil, 0, err
		}
		return []Row{row}, 1, nil
	}
	rows = q.collect(store, opts.All)
	return rows, len(rows), nil
}

// each passes the matching records, in the order of the access path.
func (q *Query) each(store sobject.Store, all bool, fn func(sobject.Record) bool) access {
	a := q.access()
	a.candidates(store, q.object, func(r sobject.Record) bool {
		if (r.Deleted && !all) || (q.Where != nil && !q.Where.eval(store, r, all)) {
			return true
		}
		return fn(r)
	})
	return a
}

func (q *Query) collect(store sobject.Store, all bool) []Row {
	skip, limit := max(q.Offset, 0), q.Limit
	if limit == 0 {
		return nil
	}
	var rows []Row
	sorted := q.access().sorted
	q.each(store, all, func(r sobject.Record) bool {
		rows = append(rows, Row{query: q, store: store, all: all, record: r})
		return !sorted || limit < 0 || len(rows) < skip+limit
	})
	if !sorted {
		q.sort(rows)
	}
	rows = rows[min(skip, len(rows)):]
	if limit >= 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	return rows
}

// sort puts rows into the order asked for; nulls first unless told, ties by
// id.
func (q *Query) sort(rows []Row) {
	type keyed struct {
		row  Row
		keys []any
	}
	all := make([]keyed, len(rows))
	for i, r := range rows {
		keys := make([]any, len(q.OrderBy))
		for k, o := range q.OrderBy {
			keys[k] = o.column.value(r.store, r.record, r.all)
		}
		all[i] = keyed{row: r, keys: keys}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		for k := range q.OrderBy {
			if c := q.OrderBy[k].compare(a.keys[k], b.keys[k]); c != 0 {
				return c
			}
		}
		return strings.Compare(a.row.record.ID, b.row.record.ID)
	})
	for i := range all {
		rows[i] = all[i].row
	}
}

func (o Order) compare(a, b any) int {
	nullRank := -1
	if o.NullsLast {
		nullRank = 1
	}
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return nullRank
	case b == nil:
		return -nullRank
	}
	c := compare(o.column.field, a, b)
	if o.Descending {
		return -c
	}
	return c
}

// semiJoins computes the value sets of IN (SELECT ...).
func (q *Query) semiJoins(store sobject.Store, all bool) {
	walk(q.Where, func(c *Compare) {
		if c.Sub == nil {
			return
		}
		c.Sub.semiJoins(store, all)
		c.set, c.null = map[string]bool{}, false
		for _, r := range c.Sub.collect(store, all) {
			if s, ok := c.Sub.columns[0].value(store, r.record, all).(string); ok {
				c.set[s] = true
			}
		}
	})
}

func (a access) byKey(store sobject.Store, o *sobject.Object) []sobject.Record {
	found := map[string]bool{}
	var out []sobject.Record
	for _, key := range a.keys {
		var hits []sobject.Record
		if id, ok := key.(string); ok && a.field.Type == "id" {
			if r, ok := store.Get(o.Name, id); ok {
				hits = []sobject.Record{r}
			}
		} else {
			hits = store.LookupAll(o.Name, a.field.Name, key)
		}
		for _, r := range hits {
			if !found[r.ID] {
				found[r.ID] = true
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b sobject.Record) int { return strings.Compare(a.ID, b.ID) })
	return out
}
