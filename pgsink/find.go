package pgsink

import (
	"context"
	"fmt"
	"strings"

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
			missing = append(missing, c.Name)
		}
		types[i] = col.pgType
	}
	if missing != nil {
		return &Mismatch{Table: t.Schema + "." + t.Name, Differences: []string{lacks(missing) + ": run the bridge with this mapping first"}}
	}
	t.found.Store(&types)
	return nil
}

// lacks names the first columns: of a new mapping all may be missing.
func lacks(columns []string) string {
	const most = 5
	if len(columns) == 1 {
		return "column " + columns[0] + " is missing"
	}
	named := strings.Join(columns[:min(len(columns), most)], ", ")
	if len(columns) > most {
		named += ", …"
	}
	return fmt.Sprintf("%d columns are missing (%s)", len(columns), named)
}
