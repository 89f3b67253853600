package soql

import (
	"bytes"
	"encoding/json"
	"strconv"

	"hcbridge/test/org/sobject"
)

// aggregate computes COUNT(field), COUNT_DISTINCT, MIN and MAX over all
// matching records.
func (q *Query) aggregate(store sobject.Store, all bool) (Row, *Error) {
	row := Row{query: q, store: store, all: all, totals: make([]any, len(q.columns))}
	counts := make([]int, len(q.columns))
	distinct := make([]map[any]bool, len(q.columns))
	for i, s := range q.Select {
		switch s.Func {
		case "COUNT", "MIN", "MAX":
		case "COUNT_DISTINCT":
			distinct[i] = map[any]bool{}
		case "":
			return row, q.at(s.pos, "MALFORMED_QUERY", "Field must be grouped or aggregated: %s", q.columns[i].name)
		default:
			return row, malformed("%s is not supported", s.Func)
		}
	}
	q.each(store, all, func(r sobject.Record) bool {
		for i, c := range q.columns {
			v := c.value(store, r, all)
			if v == nil {
				continue
			}
			counts[i]++
			if distinct[i] != nil {
				distinct[i][v] = true
			}
			if t := row.totals[i]; t == nil || (q.Select[i].Func == "MIN") == (compare(c.field, v, t) < 0) {
				row.totals[i] = v
			}
		}
		return true
	})
	for i, s := range q.Select {
		switch s.Func {
		case "COUNT":
			row.totals[i] = json.Number(strconv.Itoa(counts[i]))
		case "COUNT_DISTINCT":
			row.totals[i] = json.Number(strconv.Itoa(len(distinct[i])))
		default:
			row.totals[i] = q.columns[i].field.JSON(row.totals[i])
		}
	}
	return row, nil
}

func (r Row) aggregateJSON(b *bytes.Buffer) {
	b.WriteString(`{"attributes":{"type":"AggregateResult"}`)
	for i, v := range r.totals {
		name := r.query.Select[i].alias
		if name == "" {
			name = "expr" + strconv.Itoa(i)
		}
		b.WriteByte(',')
		put(b, name)
		b.WriteByte(':')
		put(b, v)
	}
	b.WriteByte('}')
}
