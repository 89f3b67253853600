package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/migrate"
	"hcbridge/test/pgtest"
)

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := migrate.Up(t.Context(), conn.Conn()); err != nil {
		t.Fatal(err)
	}
	return pool
}

func TestLease(t *testing.T) {
	t.Parallel()

	take := func(t *testing.T, l *lease) bool {
		t.Helper()
		ok, err := l.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}

	t.Run("HasOneHolder", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		for range 2 {
			if !take(t, a) {
				t.Error("the holder cannot take or renew it")
			}
		}
		if take(t, b) {
			t.Error("two hold it")
		}
		// Nor does one that saw it free a moment ago.
		if err := pool.QueryRow(t.Context(), leaseSQL, b.schema, b.holder, leaseTTL).Scan(&b.epoch); !errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("a lease that is held is taken: %v", err)
		}
		if other := newLease(pool, "other"); !take(t, other) {
			t.Error("the lease of another schema is not free")
		}
	})

	t.Run("IsFreeAtOnceAfterACleanStop", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		take(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.keep(ctx); err != nil {
			t.Fatal(err)
		}
		if !take(t, b) {
			t.Error("it is not free")
		}
	})

	t.Run("IsLostToWhoTookItAfterItRanOut", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		take(t, a)
		if _, err := pool.Exec(t.Context(), "UPDATE hcbridge.lease SET expires_at = now() - interval '1 second'"); err != nil {
			t.Fatal(err)
		}
		if !take(t, b) {
			t.Fatal("a lease that ran out is not free")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := a.keep(ctx); !errors.Is(err, errLeaseLost) {
			t.Errorf("keep returned %v, want the loss", err)
		}
		if take(t, a) {
			t.Error("the loser's release freed the new holder's lease")
		}
	})

	t.Run("IsNotGivenUpByWhoHasLostIt", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		take(t, a)
		expire(t, pool)
		if !take(t, b) {
			t.Fatal("a lease that ran out is not free")
		}
		a.release(t.Context())
		if take(t, newLease(pool, "salesforce")) {
			t.Error("the loser's release freed the new holder's lease")
		}
		a.epoch, a.holder = b.epoch-1, b.holder // as it was before it stood still
		a.release(t.Context())
		if take(t, newLease(pool, "salesforce")) {
			t.Error("the release of an older epoch freed the lease")
		}
	})
}

// An older version does not wait for a database that a newer one has upgraded to go back.
func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	if _, err := pool.Exec(t.Context(), "INSERT INTO hcbridge.migration (version) VALUES (999)"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var ce *ConfigError
	if err := New(scheduleConfig(), "test", zerolog.Nop()).prepare(ctx, pool); !errors.As(err, &ce) || !strings.Contains(ce.Text, "version 999") {
		t.Errorf("the start ends with %v", err)
	}
}
