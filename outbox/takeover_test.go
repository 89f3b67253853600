package outbox

import (
	"context"
	"errors"
	"testing"
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
