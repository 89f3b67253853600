package bridge

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/status"
	"hcbridge/outbox"
)

var (
	//go:embed sql/churn.sql
	churnSQL string
	//go:embed sql/rows.sql
	rowsSQL string
	//go:embed sql/marks.sql
	marksSQL string
)

// exactRows is the size up to which a table is counted row by row; above,
// Postgres's own estimate is shown.
const exactRows = 200_000

// counts shows what waits and what failed.
func (s *session) counts(ctx context.Context) error {
	writes, err := outbox.Counts(ctx, s.pool, s.cfg.Schema)
	if err != nil {
		return err
	}
	reads := map[string]int64{}
	rows, err := s.pool.Query(ctx, `SELECT object, count(*) FROM hcbridge.read_error WHERE schema = $1 AND NOT ignored GROUP BY object`, s.cfg.Schema)
	if err != nil {
		return fmt.Errorf("count read errors: %w", err)
	}
	var object string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&object, &n}, func() error { reads[object] = n; return nil }); err != nil {
		return fmt.Errorf("count read errors: %w", err)
	}
	stale := map[string]int64{}
	if rows, err = s.pool.Query(ctx, marksSQL, s.cfg.Schema); err != nil {
		return fmt.Errorf("age of marks: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&object, &n}, func() error { stale[object] = n; return nil }); err != nil {
		return fmt.Errorf("age of marks: %w", err)
	}
	for _, o := range s.objects {
		c := writes[o.table.Name]
		o.gathering.pending.Store(c.Pending)
		s.board.Object(o.cfg.Name, func(b *status.Object) {
			b.PendingWrites, b.FailedWrites, b.FailedReads = c.Pending, c.Failed, reads[o.cfg.Name]
			if b.PendingSince = nil; c.Pending > 0 {
				b.PendingSince = &c.Oldest
			}
			b.StaleMS = stale[o.cfg.Name]
		})
	}
	return nil
}

// countRows shows the number of rows of the tables that have changed since
// seen, which it updates: exactly, or Postgres's estimate for large tables.
func (s *session) countRows(ctx context.Context, seen map[string]int64) error {
	churn := map[string]int64{}
	rows, err := s.pool.Query(ctx, churnSQL, s.cfg.Schema)
	if err != nil {
		return fmt.Errorf("changed tables: %w", err)
	}
	var table string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&table, &n}, func() error { churn[table] = n; return nil }); err != nil {
		return fmt.Errorf("changed tables: %w", err)
	}
	own := map[string]int64{} // Postgres's statistics lag behind by seconds
	for _, o := range s.board.Snapshot().Objects {
		own[o.Object] = o.Counters.RowsWritten + o.Counters.RowsDeleted + o.Loaded
	}
	for _, o := range s.objects {
		now, known := churn[o.table.Name]
		now += own[o.cfg.Name]
		if last, counted := seen[o.table.Name]; known && counted && now == last {
			continue
		}
		ident := pgx.Identifier{s.cfg.Schema, o.table.Name}.Sanitize()
		if err := s.pool.QueryRow(ctx, rowsSQL, ident).Scan(&n); err != nil {
			return fmt.Errorf("estimate rows: %w", err)
		}
		if n <= exactRows {
			if err := s.pool.QueryRow(ctx, "SELECT count(*) FROM "+ident).Scan(&n); err != nil {
				return fmt.Errorf("count rows: %w", err)
			}
		}
		seen[o.table.Name] = now
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.RowsPostgres = n })
	}
	return nil
}
