package bridge

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/migrate"
	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return pgtest.Copy(t, "migrated", migrate.Up)
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

// A process that finds the lease of one that was killed is not ready, since nothing
// runs; beside one that renews its lease it is.
func TestReadyBesideAnother(t *testing.T) {
	t.Parallel()
	for _, lives := range []bool{false, true} {
		t.Run(map[bool]string{false: "that was killed", true: "that works"}[lives], func(t *testing.T) {
			t.Parallel()
			pool := migrated(t)
			if _, err := pool.Exec(t.Context(), leaseSQL, "salesforce", "another", 3*time.Second); err != nil {
				t.Fatal(err)
			}
			b := New(scheduleConfig(), "test", zerolog.Nop())
			server := org.New(org.Options{}).Start()
			defer server.Close()
			sf, closeIdle, err := clientOf(t.Context(), server)
			if err != nil {
				t.Fatal(err)
			}
			defer closeIdle()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				_, err := b.stand(ctx, sf, newLease(pool, "salesforce"))
				ended <- err
			}()
			for {
				changed := b.board.Changed()
				if ready, _ := b.board.Ready(); ready {
					if !lives {
						t.Error("it is ready, and nothing runs")
					}
					cancel()
					<-ended
					return
				}
				if lives && b.board.Snapshot().Connection.State == status.Standby {
					if _, err := pool.Exec(ctx, renewSQL, "salesforce", "another", 1, 20*time.Second); err != nil {
						t.Fatal(err)
					}
				}
				select {
				case <-changed:
				case err := <-ended:
					if lives || err != nil {
						t.Errorf("it stands by no more: %v", err)
					}
					return
				}
			}
		})
	}
}

// Who is refused for longer than a lease lasts has seen another at work, and so has
// who finds that its lease lasts longer than before.
func TestWorkerIsSeen(t *testing.T) {
	t.Parallel()
	began := time.Now()
	until, later := began.Add(time.Second), began.Add(2*time.Second)
	var w worker
	for _, look := range []struct {
		until *time.Time
		after time.Duration
		want  bool
	}{{nil, 0, false}, {&until, 0, false}, {nil, 1, false}, {&until, leaseTTL, false}, {&later, leaseTTL, true}, {&until, leaseTTL + 1, true}} {
		if got := w.seen(look.until, began.Add(look.after)); got != look.want {
			t.Errorf("its lease lasts until %v after %s: seen %v", look.until, look.after, got)
		}
	}
}

// far returns a pool whose way to the database of pool takes delay in each direction.
func far(t *testing.T, pool *pgxpool.Pool, delay time.Duration) *pgxpool.Pool {
	t.Helper()
	cfg := pool.Config()
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		time.Sleep(2 * delay)
		conn, err := dial(ctx, network, addr)
		return farConn{conn, delay}, err
	}
	long, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(long.Close)
	return long
}

// farConn is a connection over a long way.
type farConn struct {
	net.Conn

	delay time.Duration
}

func (c farConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	time.Sleep(c.delay)
	return n, err
}

func (c farConn) Write(b []byte) (int, error) {
	time.Sleep(c.delay)
	return c.Conn.Write(b)
}

// Row 105: a database that is far away, or a machine that has a tenth of a processor.
// One limit of two seconds for all the statements of taking the lease would never be
// kept, and the bridge never begin.
func TestLeaseFarAway(t *testing.T) {
	t.Parallel()
	near := migrated(t)
	l := newLease(far(t, near, 150*time.Millisecond), "salesforce")
	ok, err := l.take(t.Context())
	if err != nil || !ok {
		t.Fatalf("the lease is not taken: %t, %v", ok, err)
	}
	if err := l.trust(); err != nil {
		t.Errorf("it is not to be trusted when it has just been taken: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.keep(ctx); err != nil {
		t.Errorf("it is lost: %v", err)
	}
}

// Row 87: the session of two renewals in a row is ended. Waiting for the time of the
// next renewal after each loses the lease.
func TestLeaseOutlivesItsSessions(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	cfg := pool.Config()
	var doomed atomic.Int32
	cfg.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		if doomed.Add(-1) < 0 {
			return true, nil
		}
		_, err := pool.Exec(ctx, "SELECT pg_terminate_backend($1, 10000)", conn.PgConn().PID())
		return true, err
	}
	own, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	l := newLease(own, "salesforce")
	if ok, err := l.take(t.Context()); err != nil || !ok {
		t.Fatalf("the lease is not taken: %t, %v", ok, err)
	}
	doomed.Store(2)
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
	defer cancel()
	if err := l.keep(ctx); err != nil {
		t.Errorf("two ended sessions lose the lease: %v", err)
	}
	if left := doomed.Load(); left > -2 {
		t.Errorf("no renewal came after the two: %d", left)
	}
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
