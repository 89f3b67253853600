package soql

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"hcbridge/test/org/sobject"
)

// Match reports whether a record of the query's object satisfies its WHERE
// clause. The query must be bound.
func (q *Query) Match(store sobject.Store, r sobject.Record) bool {
	return q.Where == nil || q.Where.eval(store, r, false)
}

func (e *And) eval(store sobject.Store, r sobject.Record, all bool) bool {
	for _, t := range e.Terms {
		if !t.eval(store, r, all) {
			return false
		}
	}
	return true
}

func (e *Or) eval(store sobject.Store, r sobject.Record, all bool) bool {
	for _, t := range e.Terms {
		if t.eval(store, r, all) {
			return true
		}
	}
	return false
}

func (e *Not) eval(store sobject.Store, r sobject.Record, all bool) bool {
	return !e.Term.eval(store, r, all)
}

// eval compares in two-valued logic: a null satisfies != and NOT IN.
func (c *Compare) eval(store sobject.Store, r sobject.Record, all bool) bool {
	v := c.column.value(store, r, all)
	f := c.column.field
	if v == nil && f.Type == "boolean" {
		v = false
	}
	switch c.Op {
	case "IN":
		return c.in(f, v)
	case "NOT IN":
		return !c.in(f, v)
	case "LIKE":
		s, ok := v.(string)
		return ok && like(c.Values[0].pattern, s)
	}
	want := c.Values[0].value
	if v == nil || want == nil {
		equal := v == nil && want == nil
		return c.Op == "=" && equal || c.Op == "!=" && !equal
	}
	n := compare(f, v, want)
	switch c.Op {
	case "=":
		return n == 0
	case "!=":
		return n != 0
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	}
	return n >= 0
}

func (c *Compare) in(f *sobject.Field, v any) bool {
	switch v := v.(type) {
	case nil:
		return c.null
	case string:
		return c.set[fold(f, v)]
	}
	for _, l := range c.Values {
		if l.value != nil && compare(f, v, l.value) == 0 {
			return true
		}
	}
	return false
}

// compare orders two values of a field; neither is nil. Literals of text are
// folded already, which folding again leaves alone.
func compare(f *sobject.Field, a, b any) int {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(fold(f, a), fold(f, b))
		}
	case json.Number:
		if b, ok := b.(json.Number); ok {
			return sobject.CompareNumbers(a, b)
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b)
		}
	case bool:
		if b, ok := b.(bool); ok {
			return cmp.Compare(bit(a), bit(b))
		}
	}
	return 0
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// home follows the path to the record that holds the field. ok is false if a
// parent on the way is null, purged, or deleted and all is not set.
func (c *column) home(store sobject.Store, o *sobject.Object, r sobject.Record, all bool) (*sobject.Object, sobject.Record, bool) {
	for _, ref := range c.refs {
		id, ok := r.Get(o, ref).(string)
		if !ok {
			return nil, r, false
		}
		if o = store.ObjectOf(id); o == nil {
			return nil, r, false
		}
		if r, ok = store.Get(o.Name, id); !ok || (r.Deleted && !all) {
			return nil, r, false
		}
	}
	return o, r, true
}

func (c *column) value(store sobject.Store, r sobject.Record, all bool) any {
	if len(c.refs) == 0 {
		return r.At(c.owner, c.index)
	}
	// The owner of the first reference is the object of the record.
	o, home, ok := c.home(store, store.ObjectOf(r.ID), r, all)
	if !ok {
		return nil
	}
	return home.Get(o, c.field.Name)
}
