package outbox

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// counting is a pool that counts the looks at the log, and what else is asked.
type counting struct {
	Pool

	queries, batches atomic.Int64
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.queries.Add(1)
	return c.Pool.Query(ctx, sql, args...)
}

func (c *counting) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	c.batches.Add(1)
	return c.Pool.SendBatch(ctx, b)
}

// A flood of notifications, which any role may send, costs a bounded number of
// looks, and changes go out all the same (T23 of docs/threat-model.md). Once it is over, the worker is idle.
func TestNotifyFlood(t *testing.T) {
	t.Parallel()
	wake := make(chan struct{})
	b := setup(t)
	pool := &counting{Pool: b.pool}
	w, err := New(pool, Config{Schema: testSchema, Tables: testTables(), Sender: b.sf, Wake: wake})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, flood, over := make(chan error), make(chan struct{}), make(chan struct{})
	go func() { done <- w.Run(ctx) }()
	go func() {
		defer close(flood)
		for {
			select {
			case wake <- struct{}{}:
			case <-over:
				return
			}
		}
	}()
	eventually(t, "looks", func() bool { return pool.queries.Load() > vainMost })
	before, began := pool.queries.Load(), time.Now()
	time.Sleep(time.Second)
	// Each look is one query while nothing is there.
	if n, most := pool.queries.Load()-before, int64(time.Since(began)/vainPause)+vainMost+10; n > most {
		t.Errorf("%d looks in a second, want at most %d", n, most)
	}
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	eventually(t, "the change is sent", func() bool {
		b.sf.Lock()
		defer b.sf.Unlock()
		return len(b.sf.calls) == 1
	})
	sent := pool.queries.Load()
	eventually(t, "looks for nothing again", func() bool { return pool.queries.Load() > sent+2*vainMost })
	close(over)
	<-flood
	before = pool.queries.Load()
	time.Sleep(time.Second)
	if n := pool.queries.Load() - before; n > 20 { // one a second, and those that follow the last wake-up
		t.Errorf("%d looks in a second after the flood", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
