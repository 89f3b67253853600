package pgsink

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// swallowed is records that a statement neither wrote nor found locked.
type swallowed struct {
	table  *Table
	unmade bool // they had no row, which another transaction may have made meanwhile
	sfids  []string
}

// parkSwallowed parks the records of a Result that a trigger of the app has swallowed,
// by returning NULL before the row: to keep what is deleted, or to let only some in.
// That is no error of Postgres', and what else the trigger did stands, so it comes
// after the transaction; until then the records are held.
func (s *Sink) parkSwallowed(ctx context.Context, res Result) (Result, error) {
	if len(res.swallowed) == 0 {
		return res, nil
	}
	parked := 0
	err := s.Tx(ctx, func(tx pgx.Tx) error {
		for _, w := range res.swallowed {
			sfids := slices.Sorted(slices.Values(w.sfids))
			if w.unmade {
				made, err := s.made(ctx, tx, w.table, sfids)
				if err != nil {
					return err
				}
				sfids = slices.DeleteFunc(sfids, func(sfid string) bool { return made[sfid] })
			}
			for _, sfid := range sfids {
				if err := s.park(ctx, tx, w.table.Object, sfid, codeTriggered, "a trigger of the table returned NULL, and the row was not written or removed"); err != nil {
					return err
				}
			}
			parked += len(sfids)
		}
		return nil
	})
	if err != nil {
		return Result{}, fmt.Errorf("pgsink: park what triggers swallowed: %w", err)
	}
	res.Held, res.Parked, res.swallowed = res.Held-parked, res.Parked+parked, nil
	return res, nil
}

// made tells which of some records have a row by now.
func (s *Sink) made(ctx context.Context, tx pgx.Tx, t *Table, sfids []string) (map[string]bool, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT sfid::text FROM %s WHERE sfid = ANY ($1::text[])", t.ident()), sfids)
	if err != nil {
		return nil, err
	}
	return collectSet(rows, "rows of "+t.Object)
}
