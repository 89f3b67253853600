package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed sql/locked_tables.sql
var lockedTablesSQL string

// lookForLocks tells which objects' tables somebody has locked now, such as a migration or
// VACUUM FULL, for minutes maybe. These are left alone until the lock has ended, as each try
// would have the others wait, and then looked after at once.
func (s *session) lookForLocks(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, lockedTablesSQL, s.cfg.Schema)
	if err != nil {
		return fmt.Errorf("locked tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("locked tables: %w", err)
	}
	for _, o := range s.objects {
		part := "table of " + o.cfg.Name
		switch held := slices.Contains(tables, o.table.Name); {
		case held && !o.locked.Swap(true): // it may be over at the next look
		case held:
			s.falter(part, "its table is locked, its records wait, and the others go on: end the transaction that holds the lock"+s.lockedBy(ctx, o.table.Name), errTableLocked)
		case o.locked.Swap(false):
			s.resume(part)
			s.unlock(o)
		}
	}
	return nil
}

// errTableLocked heals by itself.
var errTableLocked = &pgconn.PgError{Code: "55P03", Message: "the table is locked"}

// unlock has what waited for o's table looked after.
func (s *session) unlock(o *object) {
	s.wakeHydrator()
	if o.unpolled.Swap(false) {
		o.wantPoll()
	}
}

// forgetLocks takes back what a session that ends has told of locks.
func (s *session) forgetLocks() {
	for _, o := range s.objects {
		s.resume("table of " + o.cfg.Name)
	}
}

// behindLock reports whether err is that of a table which somebody has locked, so that
// only the object which needs it is to wait.
func (s *session) behindLock(ctx context.Context, err error) bool {
	if !isLocked(err) || s.lookForLocks(ctx) != nil {
		return false
	}
	return slices.ContainsFunc(s.objects, func(o *object) bool { return o.locked.Load() })
}
