package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// codeFenced is the SQLSTATE of hcbridge.fence. Its class is that of a server that
// goes down: nothing is wrong with what was to be written, and others wait it out.
const codeFenced = "57X01"

// pgPool is where a session works: a pool, or a fence before it.
type pgPool interface {
	Acquire(ctx context.Context) (*pgxpool.Conn, error)
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// fence is a pool whose transactions are refused, with [codeFenced], once the
// lease is of another epoch; a take-over waits for those that have begun. Single
// statements are transactions too, and are sent together with the check. So a
// process that stood still and goes on after another took over writes nothing
// more, wherever it was.
//
// Acquire gives a connection without a fence, for what is sent as a whole by
// itself: who writes on it evaluates [fence.check] first.
type fence struct {
	pool   *pgxpool.Pool
	schema string
	epoch  int64
}

// check is the SQL expression that a transaction begins with.
func (f *fence) check() string {
	return fmt.Sprintf("hcbridge.fence('%s', %d)", strings.ReplaceAll(f.schema, "'", "''"), f.epoch)
}

func (f *fence) Acquire(ctx context.Context) (*pgxpool.Conn, error) { return f.pool.Acquire(ctx) }

func (f *fence) Begin(ctx context.Context) (pgx.Tx, error) {
	// In one round trip; a connection that is refused is closed.
	tx, err := f.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN; SELECT " + f.check()})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeFenced {
		err = fmt.Errorf("%w: %w", errLeaseLost, err) // who finishes before a stop does not know it otherwise
	}
	return tx, err
}

func (f *fence) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	fenced := &pgx.Batch{}
	fenced.Queue("SELECT " + f.check())
	fenced.QueuedQueries = append(fenced.QueuedQueries, b.QueuedQueries...)
	results := f.pool.SendBatch(ctx, fenced)
	_, _ = results.Exec() // an error is that of all that follows, too
	return results
}

func (f *fence) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results := f.one(ctx, sql, args)
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, err
}

func (f *fence) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results := f.one(ctx, sql, args)
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return &fencedRows{Rows: rows, results: results}, nil
}

func (f *fence) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := f.Query(ctx, sql, args...)
	return fencedRow{rows, err}
}

func (f *fence) one(ctx context.Context, sql string, args []any) pgx.BatchResults {
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	return f.SendBatch(ctx, b)
}

// fencedRows are the rows of the last statement of a batch, and end with it.
type fencedRows struct {
	pgx.Rows
	results pgx.BatchResults
	closed  bool
	err     error
}

func (r *fencedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *fencedRows) Close() {
	r.Rows.Close()
	if !r.closed {
		r.closed = true
		r.err = r.results.Close()
	}
}

func (r *fencedRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type fencedRow struct {
	rows pgx.Rows
	err  error
}

func (r fencedRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
