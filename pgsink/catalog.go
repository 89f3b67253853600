package pgsink

import (
	"context"
	_ "embed"
	"errors"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/columns.sql
var columnsSQL string

//go:embed sql/indexes.sql
var indexesSQL string

// catalog is what Postgres knows of an existing table.
type catalog struct {
	kind    string // pg_class.relkind
	columns map[string]catalogColumn
	order   []string        // column names as the table has them
	singles map[string]bool // columns with an index of their own; true: unique
	names   map[string]bool // names of usable indexes
}

type catalogColumn struct {
	pgType     string // as format_type spells it
	notNull    bool
	hasDefault bool // a default or an identity
	generated  bool // computed, cannot be written
	collation  string
}

// indexed reports an index on exactly this column.
func (c *catalog) indexed(column string, unique bool) bool {
	isUnique, ok := c.singles[column]
	return ok && (isUnique || !unique)
}

// readCatalog returns nil if there is no such table.
func readCatalog(ctx context.Context, tx pgx.Tx, schema, table string) (*catalog, error) {
	c := &catalog{columns: make(map[string]catalogColumn), singles: make(map[string]bool), names: make(map[string]bool)}
	var oid uint32
	err := tx.QueryRow(ctx, `SELECT c.oid, c.relkind::text FROM pg_class AS c
		JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, schema, table).Scan(&oid, &c.kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no table is an answer
	}
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, columnsSQL, oid)
	if err != nil {
		return nil, err
	}
	var name string
	var col catalogColumn
	_, err = pgx.ForEachRow(rows, []any{&name, &col.pgType, &col.notNull, &col.hasDefault, &col.generated, &col.collation}, func() error {
		c.columns[name] = col
		c.order = append(c.order, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, indexesSQL, oid)
	if err != nil {
		return nil, err
	}
	var column *string
	var unique bool
	_, err = pgx.ForEachRow(rows, []any{&name, &column, &unique}, func() error {
		c.names[name] = true
		if column != nil {
			c.singles[*column] = c.singles[*column] || unique
		}
		return nil
	})
	return c, err
}
