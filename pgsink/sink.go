package pgsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
)

// Sink writes records of one mapped schema. It is safe for concurrent use, and
// two batches of the same records are applied one after the other.
type Sink struct {
	// Fence, if set, returns an SQL expression that is evaluated first in the
	// transactions of Apply, which sends them whole, past what the pool's Begin may
	// do. It refuses one by failing, and the caller then gets ErrFenced. Set it
	// before the first use.
	Fence func() string

	// Durable makes Apply wait until Postgres' log is on disk. It need not:
	// rows, marks and positions are lost together or not at all, and what is lost
	// is what the caller finds again by comparing positions. Set it before the
	// first use.
	Durable bool

	// Greet, if set, is asked about each connection before it applies anything; an
	// error means that it must not. Set it before the first Apply.
	Greet func(ctx context.Context, conn *pgx.Conn) error

	pool   Pool
	schema string
	log    zerolog.Logger
}

// Pool is a [pgxpool.Pool], or what refuses transactions that must not be.
type Pool interface {
	Acquire(ctx context.Context) (*pgxpool.Conn, error)
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// New returns a sink of the mapped schema. It does no I/O. Schema hcbridge must
// be installed and the tables ensured before the first Apply.
func New(pool Pool, schema string, log zerolog.Logger) *Sink {
	return &Sink{pool: pool, schema: schema, log: log.With().Str("component", "pgsink").Logger()}
}

// Tx runs fn in a transaction that is marked as the bridge's own.
func (s *Sink) Tx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ownSQL); err != nil {
			return fmt.Errorf("own transaction: %w", err)
		}
		return fn(tx)
	})
}

// own tells the triggers that the change is not a user's and says itself what becomes
// of the row, has values written as the trigger log has them, and bounds the time that
// apps wait for a process of ours which stands still, with rows locked, because its
// machine does. All end with the transaction: a pooled connection must not keep them.
const own = `SELECT set_config('xmlbinary', 'hex', true), set_config('hcbridge.tells', 'on', true), set_config('datestyle', 'ISO, YMD', true), set_config('extra_float_digits', '1', true), set_config('idle_in_transaction_session_timeout', '5s', true), set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`

// How long a transaction of ours waits for what somebody else has locked: a table that
// is being altered, a key that is being taken. Apps may wait for us meanwhile, so it is
// short where there is another way: Apply begins with the shortest, which may meet a
// locked row, goes on to a statement that passes over those, and ends by leaving out
// what it would wait for.
const (
	ownSQL    = own + `, set_config('lock_timeout', '2s', true)`
	promptSQL = own + `, set_config('lock_timeout', '500ms', true)`
	quickSQL  = own + `, set_config('lock_timeout', '50ms', true)`
)

// atEase ends an Apply's settings. Postgres writes its log in order, so whatever
// is durable later takes this along.
const atEase = `, set_config('synchronous_commit', 'off', true)`

// settings is one of those as Apply uses it. It comes first, and nothing but
// a fence fails in it.
func (s *Sink) settings(sql string) step {
	if !s.Durable {
		sql += atEase
	}
	if s.Fence == nil {
		return step{sql: sql}
	}
	return step{sql: sql + ", " + s.Fence(), wrap: fence} // a statement of its own would cost more
}

// acquire returns a connection that has been greeted.
func (s *Sink) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil || s.Greet == nil {
		return conn, err //nolint:wrapcheck // wrapped by Apply
	}
	const greeted = "greeted"
	if known := conn.Conn().PgConn().CustomData(); known[greeted] != s {
		if err := s.Greet(ctx, conn.Conn()); err != nil {
			conn.Release()
			return nil, err
		}
		known[greeted] = s
	}
	return conn, nil
}

// fence wraps a refusal; a lost connection or a server going down is none.
func fence(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || strings.HasPrefix(pg.Code, "57P") || slices.Contains([]string{"08", "40", "53", "58"}, pg.Code[:2]) {
		return fmt.Errorf("fence: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrFenced, err)
}
