package pgsink

// Layout is how [Table.Ensure] lays out an object that has no table yet.
type Layout struct {
	Columns []Column // in their order; those that are not fields have no Field, Id has the column sfid
	Indexes []Index
}

// Index is one index of a table.
type Index struct {
	Name, Column string
	Unique       bool
}

// Layout tells how the table is made.
func (t *Table) Layout() Layout {
	l := Layout{Columns: append([]Column(nil), t.Columns...), Indexes: []Index{{short(t.Name + "_pkey"), colID, true}}}
	for _, c := range t.system() {
		column := Column{Name: c.name, PgType: c.pgType}
		if c.name == colSFID {
			column.Field, column.Type = "Id", "id"
		}
		l.Columns = append(l.Columns, column)
	}
	for _, ix := range t.indexes() {
		l.Indexes = append(l.Indexes, Index{ix.name, ix.column, ix.unique})
	}
	return l
}
