package outbox

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

func TestListener(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, connect func(context.Context) (*pgx.Conn, error)) *Listener {
		t.Helper()
		l := NewListener(connect, Channel(testSchema), zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		return l
	}
	woken := func(t *testing.T, l *Listener) {
		t.Helper()
		select {
		case <-l.Wake():
		case <-time.After(10 * time.Second):
			t.Fatal("not woken")
		}
	}

	t.Run("wakes after connecting, after a commit, and after a reconnect", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		l := start(t, func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, b.pool.Config().ConnString()) })
		woken(t, l)
		eventually(t, "healthy", l.Healthy)
		if l.Failed() {
			t.Error("failed, though it has only begun")
		}
		b.exec(`INSERT INTO salesforce."user" (name) VALUES ('nobody waits for this')`)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		woken(t, l)
		b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_backend_pid%' AND pid <> pg_backend_pid()`)
		woken(t, l)
		eventually(t, "healthy again", func() bool { return l.Healthy() && !l.Failed() })
		for range 3 { // one may be woken by the new connection itself
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('b')`)
			woken(t, l)
		}
	})

	t.Run("is not healthy where notifications do not arrive, and goes on waking", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		other := setup(t)
		var n atomic.Int64
		l := start(t, func(ctx context.Context) (*pgx.Conn, error) {
			if n.Add(1)%2 == 0 { // what it sends itself goes astray, as behind a pooler
				return pgx.Connect(ctx, other.pool.Config().ConnString())
			}
			return pgx.Connect(ctx, b.pool.Config().ConnString())
		})
		for range 2 {
			woken(t, l)
			if l.Healthy() {
				t.Error("healthy")
			}
		}
		eventually(t, "failed", l.Failed)
	})

	t.Run("the gate lets one transaction notify and never makes another wait", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		conn, err := pgx.Connect(t.Context(), b.pool.Config().ConnString())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
		if _, err := conn.Exec(t.Context(), `LISTEN "salesforce.hc_trigger_log"`); err != nil {
			t.Fatal(err)
		}
		first, err := b.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Exec(t.Context(), `INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`); err != nil {
			t.Fatal(err)
		}
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('skips the notification')`)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if n, err := conn.WaitForNotification(short); err == nil {
			t.Errorf("notified: %v", n)
		}
		if err := first.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := conn.WaitForNotification(t.Context())
		if err != nil || n.Channel != "salesforce.hc_trigger_log" || n.Payload != "ping" {
			t.Errorf("got %v, %v", n, err)
		}
	})
}
