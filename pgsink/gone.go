package pgsink

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed sql/bury.sql
var burySQL string

//go:embed sql/unburied.sql
var unburiedSQL string

//go:embed sql/unbury.sql
var unburySQL string

// Bury remembers that Salesforce calls records deleted, as a Delete does: what
// an event or a load says of them from now on is read back first, unless they
// have a row. Ids may have 15 or 18 characters.
func (s *Sink) Bury(ctx context.Context, object string, ids []string) error {
	return s.bury(ctx, s.pool, object, ids)
}

// BuryIn is Bury as part of tx: for records that we deleted ourselves, of which
// older events may still come.
func (s *Sink) BuryIn(ctx context.Context, tx pgx.Tx, object string, ids []string) error {
	return s.bury(ctx, tx, object, ids)
}

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (s *Sink) bury(ctx context.Context, db executor, object string, ids []string) error {
	full := canonIDs(ids)
	if len(full) == 0 {
		return nil
	}
	if _, err := db.Exec(ctx, burySQL, s.schema, object, full); err != nil {
		return fmt.Errorf("pgsink: deleted records of %s: %w", object, err)
	}
	return nil
}

// Unburied returns those of ids, with 18 characters, that are not remembered as
// deleted.
func (s *Sink) Unburied(ctx context.Context, object string, ids []string) ([]string, error) {
	full := canonIDs(ids)
	if len(full) == 0 {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, unburiedSQL, s.schema, object, full)
	if err != nil {
		return nil, fmt.Errorf("pgsink: deleted records of %s: %w", object, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("pgsink: deleted records of %s: %w", object, err)
	}
	return list, nil
}

// Bereft returns the ids of rows that refer by a column to a record of objects which is
// remembered as deleted.
func (s *Sink) Bereft(ctx context.Context, t *Table, column string, objects []string) ([]string, error) {
	list, err := s.askIDs(ctx, fmt.Sprintf(`SELECT t.sfid::text FROM %s AS t
		JOIN hcbridge.gone AS g ON g.sfid = t.%s::text COLLATE "C"
		WHERE g.schema = $1 AND g.object = ANY ($2::text[]) AND t.sfid IS NOT NULL`, t.ident(), quote(column)), s.schema, objects)
	if err != nil {
		return nil, fmt.Errorf("pgsink: bereft rows of %s: %w", t.Object, err)
	}
	return list, nil
}

// canonIDs gives ids 18 characters, and leaves out what is none.
func canonIDs(ids []string) []string {
	full := make([]string, 0, len(ids))
	for _, id := range ids {
		if c, ok := canonID(id); ok {
			full = append(full, c)
		}
	}
	return full
}

// Unbury forgets deletions that no event can be older than any more, and that
// cannot be taken back either.
func (s *Sink) Unbury(ctx context.Context, object string) error {
	if _, err := s.pool.Exec(ctx, unburySQL, s.schema, object); err != nil {
		return fmt.Errorf("pgsink: deleted records of %s: %w", object, err)
	}
	return nil
}
