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
	"hcbridge/internal/status"
	"hcbridge/test/org"
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
