// Package pgstats keeps Postgres from planning by statistics of another time.
//
// Tables through which rows pass, such as a queue, are empty most of the time, and so
// they are when autovacuum comes by: it counts no row on however many pages. From then
// on Postgres expects a single row, however many there are, and to look one up each
// index is as good as another to it, and so is comparing all with all. A statement that
// takes milliseconds takes minutes then, until the next ANALYZE, a minute later at best.
// So whoever has read many rows of such a table asks what Postgres expects.
package pgstats

import (
	"context"
	_ "embed"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
)

//go:embed expected.sql
var expectedSQL string

// DB is a pool or a connection.
type DB interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Correct has Postgres count the rows of a table, a quoted name, if it expects less
// than half of those that were seen in it, or has never counted them: plans that are kept
// may be of when there were few. It waits for nobody: where another vacuum, or
// whoever alters the table, is at work, or the role does not own it, Postgres only
// warns. It is a courtesy: an error is passed over.
func Correct(ctx context.Context, db DB, log zerolog.Logger, table string, seen int) {
	var expected *float64
	err := db.QueryRow(ctx, expectedSQL, table).Scan(&expected)
	if err == nil && expected != nil && *expected >= float64(seen)/2 {
		return
	}
	if err == nil {
		_, err = db.Exec(ctx, "ANALYZE (SKIP_LOCKED) "+table)
	}
	if err != nil && ctx.Err() == nil {
		log.Debug().Str("event", "analyze_skipped").Str("table", table).Err(err).Msg("statistics are left to autovacuum")
	}
}
