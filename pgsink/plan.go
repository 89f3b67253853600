package pgsink

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Plan is what [Table.Ensure] would do. The zero value is a table to be made.
type Plan struct {
	Exists      bool     // the table is there
	Differences []string // why Ensure would refuse it; what follows is then of no use
	Columns     []string // columns to add
	Widened     []string // text columns to make longer, if no view uses them
	Indexes     []string // indexes to make
	Extra       []string // columns that are not mapped and stay as they are
}

// Plan says what Ensure would do, and changes and locks nothing. Whether a unique
// index can be made takes reading the column.
func (t *Table) Plan(ctx context.Context, tx pgx.Tx) (Plan, error) {
	have, err := readCatalog(ctx, tx, t.Schema, t.Name)
	if err != nil {
		return Plan{}, fmt.Errorf("pgsink: look at %s: %w", t.ident(), err)
	}
	if have == nil {
		return Plan{}, nil
	}
	p := Plan{Exists: true, Differences: t.compare(have)}
	for _, c := range t.missing(have) {
		p.Columns = append(p.Columns, c.name)
	}
	for _, c := range t.short(have) {
		p.Widened = append(p.Widened, c.Name)
	}
	wanted := t.wanted()
	for _, name := range have.order {
		if !wanted[name] {
			p.Extra = append(p.Extra, name)
		}
	}
	for _, ix := range t.missingIndexes(have) {
		p.Indexes = append(p.Indexes, ix.name)
		if !ix.unique || slices.Contains(p.Columns, ix.column) || len(p.Differences) > 0 {
			continue
		}
		var repeated bool
		sql := strings.ReplaceAll("SELECT EXISTS (SELECT FROM "+t.ident()+" WHERE {c} IS NOT NULL GROUP BY {c} HAVING count(*) > 1)", "{c}", quote(ix.column))
		if err := tx.QueryRow(ctx, sql).Scan(&repeated); err != nil {
			return Plan{}, fmt.Errorf("pgsink: look for repeated values in %s: %w", t.ident(), err)
		}
		if repeated {
			p.Differences = append(p.Differences, ix.repeats())
		}
	}
	return p, nil
}

// wanted are the columns that are ours.
func (t *Table) wanted() map[string]bool {
	wanted := map[string]bool{colSFID: true, colID: true, colLastOp: true, colErr: true}
	for _, c := range t.Columns {
		wanted[c.Name] = true
	}
	return wanted
}

// missing lists the columns that an existing table lacks.
func (t *Table) missing(have *catalog) []systemColumn {
	all := make([]systemColumn, 0, len(t.Columns)+4)
	for _, c := range t.Columns {
		all = append(all, systemColumn{c.Name, c.PgType, ""})
	}
	return slices.DeleteFunc(append(all, t.system()...), func(c systemColumn) bool {
		_, ok := have.columns[c.name]
		return ok
	})
}

// short lists the text columns that cannot hold every value of their field.
func (t *Table) short(have *catalog) []Column {
	return slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool {
		col, ok := have.columns[c.Name]
		need := textLength(c.PgType)
		if c.length > 0 { // of a text column, which may hold more than its field
			need = min(need, c.length)
		}
		return !ok || !isText(c.PgType) || textLength(col.pgType) >= need
	})
}

// missingIndexes lists those that no other index of the same column can stand in
// for.
func (t *Table) missingIndexes(have *catalog) []index {
	return slices.DeleteFunc(t.indexes(), func(ix index) bool {
		return have.indexed(ix.column, ix.unique) || have.names[ix.name]
	})
}

// repeats says why a unique index cannot be made.
func (ix index) repeats() string {
	return fmt.Sprintf("column %s holds a value more than once", ix.column)
}
