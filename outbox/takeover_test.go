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
