package bridge

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	//go:embed sql/lease.sql
	leaseSQL string
	//go:embed sql/release.sql
	releaseSQL string
)

// The lease lasts three renewals. leaseTrust is how long a holder works on
// without a renewal: less than the lease, so that it has stopped before
// another may begin.
const (
	leaseTTL   = 6 * time.Second
	leaseRenew = 2 * time.Second
	leaseTrust = 5 * time.Second
)

var errLeaseLost = errors.New("lease lost")

// lease is the right of one process to work on a schema.
type lease struct {
	pool   *pgxpool.Pool
	schema string
	holder string
}

func newLease(pool *pgxpool.Pool, schema string) *lease {
	host, _ := os.Hostname() // only for people who read the table
	return &lease{pool: pool, schema: schema, holder: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:8])}
}

// take tries once. It reports false while another process holds the lease.
func (l *lease) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	var epoch int64
	err := l.pool.QueryRow(ctx, leaseSQL, l.schema, l.holder, leaseTTL).Scan(&epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if readOnly(err) {
		l.pool.Reset() // whoever connects anew, by name or by list of hosts, finds the primary
	}
	if err != nil {
		return false, fmt.Errorf("lease: %w", err)
	}
	return true, nil
}

// readOnly reports read_only_sql_transaction: the server was a primary and is a
// standby now, and a connection to it stays one for ever.
func readOnly(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "25006"
}

// keep renews the lease until ctx ends, then gives it up. It returns
// errLeaseLost when another holds it or it could not be renewed in time.
func (l *lease) keep(ctx context.Context) error {
	defer l.release(context.WithoutCancel(ctx))
	ticker := time.NewTicker(leaseRenew)
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		began := time.Now()
		ok, err := l.take(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && !ok:
			return errLeaseLost
		case err == nil:
			renewed = began
		case time.Since(renewed) > leaseTrust-leaseRenew:
			return errors.Join(errLeaseLost, err)
		}
	}
}

func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	_, _ = l.pool.Exec(ctx, releaseSQL, l.schema, l.holder) // it runs out by itself
}
