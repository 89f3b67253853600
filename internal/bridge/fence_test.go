package bridge

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/status"
	"hcbridge/test/org"
)

func isFenced(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == codeFenced
}

// ways are all the ways through a fence that write a row into table made.
func ways(ctx context.Context, f *fence) map[string]func() error {
	const insert = "INSERT INTO made SELECT"
	return map[string]func() error{
		"Exec": func() error { _, err := f.Exec(ctx, insert); return err },
		"Begin": func() error {
			return pgx.BeginFunc(ctx, f, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, insert); return err })
		},
		"QueryRow": func() error { return f.QueryRow(ctx, insert+" RETURNING 1").Scan(new(int)) },
		"Query": func() error {
			rows, err := f.Query(ctx, insert+" RETURNING 1")
			if err != nil {
				return err
			}
			_, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			return err
		},
		"SendBatch": func() error {
			b := &pgx.Batch{}
			b.Queue(insert)
			return f.SendBatch(ctx, b).Close()
		},
		"SendBatchWithCallback": func() error {
			b := &pgx.Batch{}
			b.Queue(insert + " RETURNING 1").QueryRow(func(row pgx.Row) error { return row.Scan(new(int)) })
			return f.SendBatch(ctx, b).Close()
		},
	}
}

func TestFence(t *testing.T) {
	t.Parallel()
	modes := map[string]pgx.QueryExecMode{"Prepared": pgx.QueryExecModeCacheStatement, "Unprepared": pgx.QueryExecModeExec}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := migrated(t)
			cfg := base.Config()
			cfg.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(t.Context(), "CREATE TABLE made ()"); err != nil {
				t.Fatal(err)
			}
			l := newLease(pool, "it's")
			if ok, err := l.take(t.Context()); !ok {
				t.Fatal(ok, err)
			}
			f := &fence{pool: pool, schema: l.schema, epoch: l.epoch}
			for name, write := range ways(t.Context(), f) {
				for range 2 { // prepared by then
					if err := write(); err != nil {
						t.Errorf("%s as the holder: %v", name, err)
					}
				}
			}
			count := func() (n int) {
				if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM made").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := count(); n != 12 {
				t.Errorf("%d rows, want 12", n)
			}
			if _, err := pool.Exec(t.Context(), "UPDATE hcbridge.lease SET epoch = epoch + 1"); err != nil {
				t.Fatal(err)
			}
			for name, write := range ways(t.Context(), f) {
				if err := write(); !isFenced(err) {
					t.Errorf("%s after the lease was taken: %v", name, err)
				}
			}
			if n := count(); n != 12 {
				t.Errorf("%d rows were written after the lease was taken", n-12)
			}
			if n := pool.Stat().AcquiredConns(); n != 0 {
				t.Errorf("%d connections are not given back", n)
			}
		})
	}

	t.Run("PassesErrorsOn", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		l := newLease(pool, "salesforce")
		if ok, err := l.take(t.Context()); !ok {
			t.Fatal(ok, err)
		}
		f := &fence{pool: pool, schema: l.schema, epoch: l.epoch}
		if err := f.QueryRow(t.Context(), "SELECT 1 WHERE false").Scan(new(int)); !errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("no row: %v", err)
		}
		if err := f.QueryRow(t.Context(), "SELECT 1 / (random() * 0)::int").Scan(new(int)); err == nil || isFenced(err) {
			t.Errorf("division by zero: %v", err)
		}
		rows, err := f.Query(t.Context(), "SELECT generate_series(1, 3)")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		rows.Close() // early
		if n := pool.Stat().AcquiredConns(); n != 0 {
			t.Errorf("%d connections are not given back", n)
		}
	})
}

// expire lets the lease run out.
func expire(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), "UPDATE hcbridge.lease SET expires_at = clock_timestamp() - interval '1 second'"); err != nil {
		t.Fatal(err)
	}
}

func TestTakeOver(t *testing.T) {
	t.Parallel()

	t.Run("WaitsForWhatHasBegun", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		if ok, err := a.take(t.Context()); !ok {
			t.Fatal(ok, err)
		}
		f := &fence{pool: pool, schema: a.schema, epoch: a.epoch}
		tx, err := f.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expire(t, pool)
		taken := make(chan error, 1)
		go func() {
			ok, err := b.take(t.Context())
			if err == nil && !ok {
				err = errors.New("not taken")
			}
			taken <- err
		}()
		for n := 0; n == 0; {
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Exec(t.Context(), "SELECT 1"); !isFenced(err) {
			t.Errorf("a transaction that begins during the take-over: %v", err)
		}
		if len(taken) > 0 {
			t.Error("it is taken while a transaction of its holder is open")
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Errorf("what had begun: %v", err)
		}
		if err := <-taken; err != nil {
			t.Error(err)
		}
		if _, err := f.Begin(t.Context()); !isFenced(err) {
			t.Errorf("after the take-over: %v", err)
		}
	})

	t.Run("EndsWhatNeverEnds", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		if ok, err := a.take(t.Context()); !ok {
			t.Fatal(ok, err)
		}
		f := &fence{pool: pool, schema: a.schema, epoch: a.epoch}
		// In the middle of a COPY no time-out of the server's ends a session.
		if _, err := pool.Exec(t.Context(), "CREATE TABLE copied (n int)"); err != nil {
			t.Fatal(err)
		}
		tx, err := f.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		copied := make(chan error, 1)
		go func() {
			_, err := tx.Conn().PgConn().CopyFrom(context.WithoutCancel(ctx), stuck{ctx}, "COPY copied FROM STDIN")
			copied <- err
		}()
		time.Sleep(20 * time.Millisecond) // or it has not begun, which is as good
		expire(t, pool)
		began := time.Now()
		for ok := false; !ok; {
			if ok, err = b.take(t.Context()); err != nil {
				t.Fatal(err)
			}
			if time.Since(began) > 10*time.Second {
				t.Fatal("it cannot be taken")
			}
		}
		if b.epoch != a.epoch+1 {
			t.Errorf("epoch %d after %d", b.epoch, a.epoch)
		}
		cancel()
		if err := <-copied; err == nil {
			t.Error("the COPY of the old holder was committed")
		}
		_ = tx.Rollback(context.WithoutCancel(ctx))
	})

	t.Run("LeavesTheOthersLeaseAlone", func(t *testing.T) {
		t.Parallel()
		pool := migrated(t)
		a, b := newLease(pool, "salesforce"), newLease(pool, "salesforce")
		for _, l := range []*lease{a, b} {
			if ok, err := l.take(t.Context()); !ok {
				t.Fatal(ok, err)
			}
			if l == a {
				expire(t, pool)
			}
		}
		a.release(t.Context())
		if ok, err := newLease(pool, "salesforce").take(t.Context()); ok || err != nil {
			t.Errorf("the release of who had lost it gave it to a third: %v %v", ok, err)
		}
		// Nor does one that runs out give it back to who had it before.
		expire(t, pool)
		if ok, err := a.renew(t.Context()); ok || err != nil {
			t.Errorf("renewed after it was lost: %v %v", ok, err)
		}
	})
}

// stuck is a reader in which nothing arrives, until its context ends.
type stuck struct{ ctx context.Context } //nolint:containedctx // a reader has no other way

func (s stuck) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestTrust(t *testing.T) {
	t.Parallel()
	l := &lease{}
	if err := l.trust(); !errors.Is(err, errLeaseLost) {
		t.Errorf("before it is taken: %v", err)
	}
	now := time.Now()
	for renewed, want := range map[time.Time]error{
		now:                                  nil,
		now.Add(-leaseTrust + time.Second):   nil,
		now.Add(-leaseTrust):                 errLeaseLost,
		now.Round(0).Add(-2 * leaseTrust):    errLeaseLost,
		now.Add(-time.Hour):                  errLeaseLost,
		now.Round(0).Add(time.Hour).Round(0): nil,
	} {
		l.renewed.Store(&renewed)
		if err := l.trust(); !errors.Is(err, want) {
			t.Errorf("renewed %s ago: %v, want %v", now.Sub(renewed), err, want)
		}
	}
}

// Who stands by is ready, whatever had stopped while it worked.
func TestStandbyIsReady(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	if ok, err := newLease(pool, "salesforce").take(t.Context()); !ok {
		t.Fatal(ok, err)
	}
	if _, err := pool.Exec(t.Context(), "UPDATE hcbridge.lease SET expires_at = now() + interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	client, closeIdle, err := clientOf(t.Context(), sf)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	b := New(scheduleConfig(), "test", zerolog.Nop())
	b.stop("stream", "not connected")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.stand(ctx, client, newLease(pool, "salesforce"))
		done <- err
	}()
	becomes := func(state string, ready bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			is, stops := b.board.Ready()
			c := b.board.Snapshot().Connection
			if is == ready && c.Role == "standby" && c.State == state {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("role %s, state %s, stopped %v", c.Role, c.State, stops)
				return
			}
		}
	}
	becomes(status.Standby, true)
	// And again after the database was away.
	for _, step := range []struct {
		do, state string
		ready     bool
	}{
		{"ALTER TABLE hcbridge.lease RENAME TO away", status.DBUnavailable, false},
		{"ALTER TABLE hcbridge.away RENAME TO lease", status.Standby, true},
	} {
		if _, err := pool.Exec(t.Context(), step.do); err != nil {
			t.Fatal(err)
		}
		becomes(step.state, step.ready)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
