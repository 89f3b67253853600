package soql

import (
	"slices"

	"hcbridge/test/org/sobject"
)

// Object returns the object of a bound query.
func (q *Query) Object() *sobject.Object { return q.object }

// Columns returns the paths of the select list in canonical case, the header
// of a CSV.
func (q *Query) Columns() []string {
	out := make([]string, len(q.columns))
	for i, c := range q.columns {
		out[i] = c.name
	}
	return out
}

// SelectFields returns the object's own fields in the select list.
func (q *Query) SelectFields() []string {
	var out []string
	for _, c := range q.columns {
		if len(c.parents) == 0 {
			out = append(out, c.field.Name)
		}
	}
	return out
}

// WhereFields returns the object's own fields in the WHERE clause, each once.
func (q *Query) WhereFields() []string {
	var out []string
	walk(q.Where, func(c *Compare) {
		if c.column != nil && len(c.column.parents) == 0 && !slices.Contains(out, c.column.field.Name) {
			out = append(out, c.column.field.Name)
		}
	})
	return out
}
