package pgsink

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Find learns the column types of a table that exists, as Ensure does, but
// changes nothing. A table that is not there, or lacks a column, is a *Mismatch.
func (t *Table) Find(ctx context.Context, tx pgx.Tx) error {
	have, err := readCatalog(ctx, tx, t.Schema, t.Name)
	if err != nil {
		return fmt.Errorf("pgsink: look at %s: %w", t.ident(), err)
	}
	if have == nil {
		return &Mismatch{Table: t.Schema + "." + t.Name, Differences: []string{"there is no such table: run the bridge first"}}
	}
	types := make([]string, len(t.Columns))
	var missing []string
	for i, c := range t.Columns {
		col, ok := have.columns[c.Name]
		if !ok {
			missing = append(missing, "column "+c.Name+" is missing: run the bridge with this mapping first")
		}
		types[i] = col.pgType
	}
	if missing != nil {
		return &Mismatch{Table: t.Schema + "." + t.Name, Differences: missing}
	}
	t.found.Store(&types)
	return nil
}
