package soql

import (
	"strings"
	"time"

	"hcbridge/test/org/sobject"
)

// access is how candidates are found: by key, along the stamp order or along
// the id order. WHERE is always evaluated on what it yields.
type access struct {
	keyed bool
	field *sobject.Field // with keyed
	keys  []any

	byStamp bool
	from    place // first candidate lies behind it
	until   *time.Time

	fromID string // id order from here, inclusive

	sorted bool // candidates come in the order that was asked for
}

// place is a position in (stamp, id) order.
type place struct {
	stamp time.Time
	id    string
}

func (p place) before(o place) bool {
	if c := p.stamp.Compare(o.stamp); c != 0 {
		return c < 0
	}
	return p.id < o.id
}

// last sorts behind every id.
const last = "~"

func (q *Query) access() access {
	if f, keys := keyed(q.Where); f != nil {
		return access{keyed: true, field: f, keys: keys, sorted: len(q.OrderBy) == 0}
	}
	lower, hasLower := lowerBound(q.Where)
	until, hasUntil := upperBound(q.Where)
	var a access
	if hasUntil {
		a.until = &until
	}
	byStamp, byID := q.order("SystemModstamp", "Id"), q.order("Id")
	switch {
	case byStamp, hasLower && !byID:
		a.byStamp, a.from, a.sorted = true, lower, byStamp
	default:
		a.until = nil // ids say nothing about stamps
		a.fromID = idBound(q.Where)
		a.sorted = len(q.OrderBy) == 0 || byID
	}
	return a
}

// order reports whether ORDER BY is a prefix of the fields, ascending.
func (q *Query) order(fields ...string) bool {
	if len(q.OrderBy) == 0 || len(q.OrderBy) > len(fields) {
		return false
	}
	for i, o := range q.OrderBy {
		if len(o.column.refs) > 0 || o.column.field.Name != fields[i] || o.Descending {
			return false
		}
	}
	return true
}

// terms are the conditions that must all hold.
func terms(e Expr) []Expr {
	switch e := e.(type) {
	case nil:
		return nil
	case *And:
		var out []Expr
		for _, t := range e.Terms {
			out = append(out, terms(t)...)
		}
		return out
	}
	return []Expr{e}
}

// keyed finds a term that names the id, or the values of an indexed field.
func keyed(e Expr) (*sobject.Field, []any) {
	var field *sobject.Field
	var keys []any
	for _, t := range terms(e) {
		c, ok := t.(*Compare)
		if !ok || len(c.column.refs) > 0 || c.null || c.Sub != nil || (c.Op != "=" && c.Op != "IN") {
			continue
		}
		f := c.column.field
		if f.Type != "id" && !f.ExternalID && !f.Unique && !f.IDLookup && !f.CascadeDelete {
			continue
		}
		if field != nil && len(keys) <= len(c.Values) {
			continue
		}
		field, keys = f, nil
		for _, l := range c.Values {
			keys = append(keys, l.value)
		}
	}
	return field, keys
}

// comparison of an own field called name, or nil.
func own(e Expr, name string) *Compare {
	c, ok := e.(*Compare)
	if !ok || len(c.column.refs) > 0 || c.column.field.Name != name || len(c.Values) != 1 || c.Values[0].value == nil {
		return nil
	}
	return c
}

// lowerBound finds a place that all matches lie behind.
func lowerBound(e Expr) (place, bool) {
	switch e := e.(type) {
	case *And:
		return lowerOfAll(e)
	case *Or:
		var least place
		for i, t := range e.Terms {
			p, ok := lowerBound(t)
			if !ok {
				return place{}, false
			}
			if i == 0 || p.before(least) {
				least = p
			}
		}
		return least, true
	case *Compare:
		c := own(e, "SystemModstamp")
		if c == nil {
			return place{}, false
		}
		at, _ := c.Values[0].value.(time.Time)
		switch c.Op {
		case ">":
			return place{stamp: at, id: last}, true
		case ">=", "=":
			return place{stamp: at}, true
		}
	}
	return place{}, false
}

func lowerOfAll(e *And) (place, bool) {
	var greatest place
	found := false
	for _, t := range e.Terms {
		if p, ok := lowerBound(t); ok && (!found || greatest.before(p)) {
			greatest, found = p, true
		}
	}
	// With the stamp fixed, a bound of the id moves the place along.
	for _, t := range e.Terms {
		c := own(t, "SystemModstamp")
		if c == nil || c.Op != "=" {
			continue
		}
		at, _ := c.Values[0].value.(time.Time)
		for _, u := range e.Terms {
			if d := own(u, "Id"); d != nil && d.Op == ">" {
				id, _ := d.Values[0].value.(string)
				if p := (place{stamp: at, id: id}); greatest.before(p) {
					greatest = p
				}
			}
		}
	}
	return greatest, found
}

// upperBound finds a stamp that no match exceeds.
func upperBound(e Expr) (time.Time, bool) {
	switch e := e.(type) {
	case *And:
		var least time.Time
		found := false
		for _, t := range e.Terms {
			if at, ok := upperBound(t); ok && (!found || at.Before(least)) {
				least, found = at, true
			}
		}
		return least, found
	case *Or:
		var greatest time.Time
		for _, t := range e.Terms {
			at, ok := upperBound(t)
			if !ok {
				return time.Time{}, false
			}
			if at.After(greatest) {
				greatest = at
			}
		}
		return greatest, true
	case *Compare:
		if c := own(e, "SystemModstamp"); c != nil && (c.Op == "<" || c.Op == "<=" || c.Op == "=") {
			at, ok := c.Values[0].value.(time.Time)
			return at, ok
		}
	}
	return time.Time{}, false
}

// idBound finds the least id that a match can have.
func idBound(e Expr) string {
	bound := ""
	for _, t := range terms(e) {
		if c := own(t, "Id"); c != nil && strings.HasPrefix(c.Op, ">") {
			if id, ok := c.Values[0].value.(string); ok {
				bound = max(bound, id)
			}
		}
	}
	return bound
}

// candidates yields every record that can match until fn returns false.
func (a access) candidates(store sobject.Store, o *sobject.Object, fn func(sobject.Record) bool) {
	switch {
	case a.keyed:
		for _, r := range a.byKey(store, o) {
			if !fn(r) {
				return
			}
		}
	case a.byStamp:
		store.ScanAfter(o.Name, a.from.stamp, a.from.id, func(r sobject.Record) bool {
			return (a.until == nil || !r.Stamp.After(*a.until)) && fn(r)
		})
	default:
		store.Scan(o.Name, sobject.Cursor(a.fromID), fn)
	}
}
