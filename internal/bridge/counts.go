package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	tables := map[string]string{}
	for _, o := range s.objects {
		tables[o.cfg.Name] = o.table.Name
	}
	writes, err := s.waiting(ctx, s.pool, tables)
	if err != nil {
		return err
	}
	mapped := map[string]bool{}
	for _, o := range s.objects {
		n := writes[o.table.Name].Pending
		mapped[o.table.Name] = true
		o.gathering.pending.Store(n)
		if o.cfg.Access == accessReadWrite { // then the guard says what is held
			continue
		}
		s.board.Object(o.cfg.Name, func(b *status.Object) {
			if b.Held = ""; n > 0 {
				b.Held = fmt.Sprintf("changes of before it became read_only wait (%d): make it read_write again to send them, or set their state in _trigger_log to IGNORED", n)
			}
		})
	}
	there, err := present(ctx, s.pool, s.cfg.Schema, s.left)
	if err != nil {
		return err
	}
	s.unmapped = unmapped(writes, mapped)
	if len(there) > 0 {
		text := leftText + strings.Join(there, ", ") + "; " + leftMeans + ": " + leftRemedy
		s.unmapped = strings.Trim(s.unmapped+"; "+text, "; ")
	}
	return nil
}

// unmapped tells of changes that wait in tables which are not mapped now, empty if
// there are none.
func unmapped(writes map[string]outbox.Count, mapped map[string]bool) string {
	var list []string
	for _, table := range slices.Sorted(maps.Keys(writes)) {
		if n := writes[table].Pending; n > 0 && !mapped[table] {
			list = append(list, fmt.Sprintf("%s (%d)", table, n))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "changes wait in tables that are not mapped: " + strings.Join(list, ", ") + "; they are sent when these are mapped again"
}

// waiting shows what waits and what failed of objects, to whose names belong tables,
// and returns the writes by table.
func (b *Bridge) waiting(ctx context.Context, pool pgPool, tables map[string]string) (map[string]outbox.Count, error) {
	writes, err := outbox.Counts(ctx, pool, b.cfg.Schema)
	if err != nil {
		return nil, err
	}
	reads := map[string]int64{}
	rows, err := pool.Query(ctx, `SELECT object, count(*) FROM hcbridge.read_error WHERE schema = $1 AND NOT ignored GROUP BY object`, b.cfg.Schema)
	if err != nil {
		return nil, fmt.Errorf("count read errors: %w", err)
	}
	var object string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&object, &n}, func() error { reads[object] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count read errors: %w", err)
	}
	stale := map[string]int64{}
	if rows, err = pool.Query(ctx, marksSQL, b.cfg.Schema); err != nil {
		return nil, fmt.Errorf("age of marks: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&object, &n}, func() error { stale[object] = n; return nil }); err != nil {
		return nil, fmt.Errorf("age of marks: %w", err)
	}
	for object, table := range tables {
		c := writes[table]
		b.board.Object(object, func(o *status.Object) {
			o.PendingWrites, o.FailedWrites, o.FailedReads = c.Pending, c.Failed, reads[object]
			if o.PendingSince = nil; c.Pending > 0 {
				o.PendingSince = &c.Oldest
			}
			o.StaleMS = stale[object]
		})
	}
	return writes, nil
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
		err := s.pool.QueryRow(ctx, rowsSQL, ident).Scan(&n)
		if err == nil && n <= exactRows {
			n, err = s.countTable(ctx, ident)
		}
		if s.doubtTables(err) || isLocked(err) {
			continue // the others are counted all the same
		}
		if err != nil {
			return fmt.Errorf("count rows: %w", err)
		}
		seen[o.table.Name] = now
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.RowsPostgres = n })
	}
	return nil
}

// countTable counts rows, and waits for no lock on the table, as a migration may have for
// minutes: the limit is set before the server reads the statement.
func (s *session) countTable(ctx context.Context, ident string) (n int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '250ms'"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT count(*) FROM "+ident).Scan(&n)
	})
	return n, err
}
