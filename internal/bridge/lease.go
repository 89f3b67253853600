package bridge

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/internal/beat"
	"hcbridge/outbox"
)

var (
	//go:embed sql/lease.sql
	leaseSQL string
	//go:embed sql/lease_free.sql
	leaseFreeSQL string
	//go:embed sql/renew.sql
	renewSQL string
	//go:embed sql/evict.sql
	evictSQL string
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
	leaseAsk   = 500 * time.Millisecond // how often who stands by asks for it
	leaseAgain = 100 * time.Millisecond // until a renewal that failed is tried again: mostly a connection was lost
	leaseTake  = 10 * time.Second       // for taking it: some ten round trips, which may be long ones
)

// errLeaseLost is the cause of the end of all contexts of a session, too.
var errLeaseLost = fmt.Errorf("the lease was lost: %w", outbox.ErrTakenOver)

// lease is the right of one process to work on a schema. What it guards by itself
// is the way to Salesforce, see [lease.trust]; that to Postgres is a [fence]'s.
type lease struct {
	pool   *pgxpool.Pool
	schema string
	holder string
	doubt  <-chan struct{} // says that it may be lost; nil = never

	epoch   int64
	others  *time.Time                // until when another had it at the last take, by the database's clock; nil if it was free
	reads   atomic.Bool               // it is another's, and we do no more than read what the objects are
	renewed atomic.Pointer[time.Time] // when the last renewal that worked began; nil while it is not ours
}

func newLease(pool *pgxpool.Pool, schema string) *lease {
	host, _ := os.Hostname() // only for people who read the table
	return &lease{pool: pool, schema: schema, holder: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:8])}
}

// take tries once. It reports false while another process holds the lease.
func (l *lease) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTake)
	defer cancel()
	var began time.Time
	err := l.look(ctx)
	if err == nil && l.others == nil {
		err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			// Transactions of who had it end first, and new ones are refused meanwhile.
			if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', '1s', true), set_config('idle_in_transaction_session_timeout', '5s', true)"); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hcbridge.lease_key($1))", l.schema); err != nil {
				return err
			}
			began = time.Now() // it lasts from the next statement on
			return tx.QueryRow(ctx, leaseSQL, l.schema, l.holder, leaseTTL).Scan(&l.epoch)
		})
	}
	switch {
	case err == nil && l.others != nil, errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case isLocked(err):
		if _, err := l.pool.Exec(ctx, evictSQL, l.schema, l.holder); err != nil {
			return false, fmt.Errorf("lease: end what holds up the take-over: %w", err)
		}
		return false, nil
	case readOnly(err):
		l.pool.Reset() // whoever connects anew, by name or by list of hosts, finds the primary
	}
	if err != nil {
		return false, fmt.Errorf("lease: %w", err)
	}
	l.renewed.Store(&began)
	return true, nil
}

// look asks until when another holds the lease. A connection on which nothing comes back
// is given up long before taking would be: who stands by is to have a live one.
func (l *lease) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*leaseRenew)
	defer cancel()
	return l.pool.QueryRow(ctx, leaseFreeSQL, l.schema, l.holder).Scan(&l.others)
}

// readOnly reports read_only_sql_transaction: the server was a primary and is a
// standby now, and a connection to it stays one for ever.
func readOnly(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "25006"
}

// trust returns an error unless the lease is certainly ours now. It is asked before
// each request to Salesforce, which can refuse nobody by his epoch. It asks only
// this machine's clocks, counted from before the last renewal: both of them, as one
// stands while a virtual machine does, and the other may be set.
func (l *lease) trust() error {
	renewed := l.renewed.Load()
	if renewed == nil || max(time.Since(*renewed), time.Now().Round(0).Sub(renewed.Round(0))) > leaseTrust {
		return errLeaseLost
	}
	return nil
}

// allow is trust, but for who stands by.
func (l *lease) allow() error {
	if l.reads.Load() {
		return nil
	}
	return l.trust()
}

// keep renews the lease until ctx ends, then gives it up. It returns
// errLeaseLost when another holds it or it could not be renewed in time; it is not
// given up then, because what we began may not have ended.
func (l *lease) keep(ctx context.Context) error {
	renewed := time.Now()
	if taken := l.renewed.Load(); taken != nil {
		renewed = *taken // a while ago, where round trips are long
	}
	timer := time.NewTimer(max(0, min(beat.Wait(leaseRenew), time.Until(renewed.Add(leaseRenew)))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.release(context.WithoutCancel(ctx))
			return nil
		case <-timer.C:
		case <-l.doubt:
		}
		timer.Reset(beat.Wait(leaseRenew))
		began := time.Now()
		ok, err := l.renew(ctx)
		switch {
		case ctx.Err() != nil: // the next turn ends
		case err == nil && !ok:
			l.renewed.Store(nil)
			return errLeaseLost
		case err == nil:
			renewed = began
			l.renewed.Store(&began)
		case time.Since(renewed) > leaseTrust-leaseRenew/2:
			l.renewed.Store(nil)
			return errors.Join(errLeaseLost, err)
		default:
			timer.Reset(leaseAgain)
		}
	}
}

// renew reports false if the lease is not ours any more.
func (l *lease) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	tag, err := l.pool.Exec(ctx, renewSQL, l.schema, l.holder, l.epoch, leaseTTL)
	if readOnly(err) {
		l.pool.Reset()
	}
	if err != nil {
		return false, fmt.Errorf("renew the lease: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	l.renewed.Store(nil)
	_, _ = l.pool.Exec(ctx, releaseSQL, l.schema, l.holder, l.epoch) // it runs out by itself
}
