package soql

import (
	"bytes"
	"encoding/json"
	"strconv"

	"hcbridge/test/org/sobject"
)

// Row is one row of a result. Its values are read when it is rendered.
type Row struct {
	query  *Query
	store  sobject.Store
	all    bool
	record sobject.Record
	totals []any // of an aggregate row
}

// Cell is one value of a row, flat as in a CSV.
type Cell struct {
	Name  string // "Account.Name"
	Field *sobject.Field
	Value any // as in [sobject.Record]
}

// CSV returns the value as a Bulk API result has it; "" is null.
func (c Cell) CSV() string { return c.Field.CSV(c.Value) }

// node is a field or a parent with fields in the rendered row.
type node struct {
	name     string  // field or relationship
	column   *column // of a field; of a parent: any column below it
	depth    int     // parents above
	children []*node // of a parent
}

// grow arranges columns as REST nests them.
func grow(columns []*column) []*node {
	root := &node{}
	for _, c := range columns {
		at := root
		for depth, parent := range c.parents {
			var next *node
			for _, n := range at.children {
				if n.name == parent && n.children != nil {
					next = n
				}
			}
			if next == nil {
				next = &node{name: parent, column: c, depth: depth}
				at.children = append(at.children, next)
			}
			at = next
		}
		at.children = append(at.children, &node{name: c.field.Name, column: c, depth: len(c.parents)})
	}
	return root.children
}

// Record returns the record of the row.
func (r Row) Record() sobject.Record { return r.record }

// Cells returns the values of the select list in its order.
func (r Row) Cells() []Cell {
	out := make([]Cell, len(r.query.columns))
	for i, c := range r.query.columns {
		out[i] = Cell{Name: c.name, Field: c.field, Value: c.value(r.store, r.record, r.all)}
	}
	return out
}

// JSON renders the row as the query resource does: attributes first, then the
// select list, parents nested or null. base is the path of the API version,
// "/services/data/v66.0".
func (r Row) JSON(base string) json.RawMessage {
	var b bytes.Buffer
	if r.totals != nil {
		r.aggregateJSON(&b)
	} else {
		r.object(&b, base, r.query.tree, r.query.object, r.record)
	}
	return b.Bytes()
}

func (r Row) object(b *bytes.Buffer, base string, nodes []*node, o *sobject.Object, rec sobject.Record) {
	b.WriteString(`{"attributes":{"type":`)
	put(b, o.Name)
	b.WriteString(`,"url":`)
	url := base + "/sobjects/" + o.Name + "/" + rec.ID
	put(b, url)
	b.WriteByte('}')
	for _, n := range nodes {
		b.WriteByte(',')
		put(b, n.name)
		b.WriteByte(':')
		if n.children != nil {
			r.parent(b, base, n, o, rec)
			continue
		}
		put(b, value(o, rec, n.name, url))
	}
	b.WriteByte('}')
}

// parent renders the record one step up from rec.
func (r Row) parent(b *bytes.Buffer, base string, n *node, o *sobject.Object, rec sobject.Record) {
	step := &column{refs: n.column.refs[n.depth : n.depth+1]}
	po, parent, ok := step.home(r.store, o, rec, r.all)
	if !ok {
		b.WriteString("null")
		return
	}
	r.object(b, base, n.children, po, parent)
}

func value(o *sobject.Object, rec sobject.Record, name, url string) any {
	f := o.Field(name)
	if f == nil { // a polymorphic parent of a type without the field
		return nil
	}
	v := rec.Get(o, name)
	if f.Type == "base64" && v != nil {
		return url + "/" + f.Name
	}
	return f.JSON(v)
}

func put(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(string(v))
	case string:
		b.Write(sobject.AppendText(b.AvailableBuffer(), v))
	default:
		encoded, err := json.Marshal(v)
		if err != nil { // no stored value is like that
			encoded = []byte("null")
		}
		b.Write(encoded)
	}
}
