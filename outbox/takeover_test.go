package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Who was taken over writes nothing more down, not even an answer that it still
// holds: the other may have sent the change again, or have been told otherwise
// (fault 103). A stop for any other reason writes it.
func TestStopAfterATakeOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cause error
		want  string
	}{
		"taken over": {ErrTakenOver, "PENDING"},
		"stopped":    {errors.New("a stop"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			app, err := b.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := app.Exec(t.Context(), `SELECT FROM salesforce.account FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			b.run() // it is answered, and the row is locked
			if err := app.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(b.worker.unsettled) != 1 {
				t.Fatalf("%d answers are held", len(b.worker.unsettled))
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(c.cause)
			b.worker.stop(ctx)
			b.want("log", b.list(`SELECT state FROM salesforce._trigger_log`), c.want)
		})
	}
}

// refusing is a pool that refuses transactions for that.
type refusing struct {
	Pool
	begun int
}

func (r *refusing) Begin(context.Context) (pgx.Tx, error) {
	r.begun++
	return nil, fmt.Errorf("begin: %w", ErrTakenOver)
}

// Nor is it tried again and again by who was taken over while he finished.
func TestTakenOverDuringAStop(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.StopGrace = time.Second })
	pool := &refusing{Pool: b.pool}
	b.worker.pool = pool
	b.worker.unsettled = []*settlement{{attempt: 1}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.worker.stop(ctx)
	if pool.begun != 1 {
		t.Errorf("tried %d times", pool.begun)
	}
}

// What another program had sent cannot be looked for: nothing of it is sent again before
// a person says so, but what can be repeated.
func TestInherited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('plain'); INSERT INTO salesforce.account (name, external_id__c) VALUES ('keyed', 'k')`)
	b.exec(`UPDATE salesforce._trigger_log SET state = 'PENDING', processed_at = now()`)
	if n, err := Inherit(t.Context(), b.pool, testSchema); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	b.restart(b.finding(time.Millisecond), withExternalID)
	if err := b.worker.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other is sent", func() bool { b.tryRun(); return b.live() == "INSERT/FAILED" })
	b.want("calls", b.sf.sent(), "upsert Account 1")
	b.want("row", b.one(`SELECT _hc_lastop || (_hc_err::json->>'code') FROM salesforce.account WHERE name = 'plain'`), "FAILED"+CodeInDoubt)
	if _, err := Retry(t.Context(), b.pool, testSchema, nil); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.want("with all", b.live(), "INSERT/FAILED")
	if _, err := Retry(t.Context(), b.pool, testSchema, []int64{1}); err != nil {
		t.Fatal(err)
	}
	b.done()
	b.want("calls", b.sf.sent(), "upsert Account 1, insert Account 1")
}
