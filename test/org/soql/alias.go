package soql

import "strings"

// resolveAlias drops the alias or the object's own name from paths and notes
// whether any path leads to a parent.
func (q *Query) resolveAlias() {
	strip := func(path []string) []string {
		if len(path) > 1 && (strings.EqualFold(path[0], q.alias) || strings.EqualFold(path[0], q.From)) {
			path = path[1:]
		}
		if len(path) > 1 {
			q.Relationship = true
		}
		return path
	}
	for i := range q.Select {
		q.Select[i].Path = strip(q.Select[i].Path)
	}
	for i := range q.OrderBy {
		q.OrderBy[i].Path = strip(q.OrderBy[i].Path)
	}
	walk(q.Where, func(c *Compare) { c.Path = strip(c.Path) })
}

// walk visits every comparison of an expression.
func walk(e Expr, fn func(*Compare)) {
	switch e := e.(type) {
	case *And:
		for _, t := range e.Terms {
			walk(t, fn)
		}
	case *Or:
		for _, t := range e.Terms {
			walk(t, fn)
		}
	case *Not:
		walk(e.Term, fn)
	case *Compare:
		fn(e)
	}
}
