package pgsink

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// askSQL bounds how long a look at a mapped table waits while the app has locked it: who
// asks has other objects to look after, or keeps a connection from them.
const askSQL = `SELECT set_config('lock_timeout', '500ms', true)`

// ask runs one statement on a mapped table, with its limit in the same round trip, and
// has read, unless that is nil, take its rows. What comes before it is no BEGIN: they
// are one transaction as they are sent together.
func (s *Sink) ask(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	defer conn.Release()
	if err := prepare(ctx, conn, []string{sql}); err != nil {
		return err
	}
	return send(ctx, conn, []step{s.settings(askSQL), {sql: sql, args: args, read: read}})
}

// askIDs is ask for one column of text.
func (s *Sink) askIDs(ctx context.Context, sql string, args ...any) (ids []string, err error) {
	err = s.ask(ctx, func(rows pgx.Rows) (err error) {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}, sql, args...)
	return ids, err
}

// askSet is askIDs for a set.
func (s *Sink) askSet(ctx context.Context, sql string, args ...any) (map[string]bool, error) {
	ids, err := s.askIDs(ctx, sql, args...)
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set, err
}
