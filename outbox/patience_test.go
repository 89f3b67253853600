package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A refusal that may heal by itself is one only after several attempts, and then
// with what Salesforce said.
func TestPatience(t *testing.T) {
	t.Parallel()
	missing := &Failure{Class: Permanent, Code: "INVALID_FIELD", Message: "Foreign key external ID: x not found", Retries: 3}
	for name, heals := range map[string]int{"never": 0, "in time": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			asked := 0
			b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
				if asked++; asked == heals {
					return nil, nil, false
				}
				return []Outcome{{Failure: missing}}, nil, false
			})
			b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('child')`)
			for range 10 {
				b.run()
				time.Sleep(2 * time.Millisecond) // Backoff is 1 ms
			}
			if heals > 0 {
				b.want("log", b.live(), "")
				b.want("attempts", fmt.Sprint(asked), fmt.Sprint(heals))
				return
			}
			b.want("log", b.live(), "INSERT/FAILED")
			b.want("attempts", fmt.Sprint(asked), "4")
			b.want("message", b.one(`SELECT sf_message FROM salesforce._trigger_log`), missing.Message)
		})
	}
}

// Waits double up to a minute, and no two records that failed together, such as for
// the lock of one parent, come back together (fault 65).
func TestBackoffJitters(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 4: 4 * time.Second, 8: time.Minute, 1000: time.Minute} {
		seen := map[time.Duration]bool{}
		least := most
		for range 200 {
			d := backoff(n)
			if d > most || d < most*3/4 {
				t.Errorf("attempt %d waits %s, not between %s and %s", n, d, most*3/4, most)
			}
			seen[d], least = true, min(least, d)
		}
		if len(seen) < 190 || least > most*4/5 {
			t.Errorf("attempt %d: %d different waits of 200, the shortest %s of %s", n, len(seen), least, most)
		}
	}
}

// When the purse is empty nothing is sent, nothing fails and nothing counts as an
// attempt; deletes go in their turn, and many rows at once.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Budget = func() (int, int) { return 100, 0 } })
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('first')`)
	b.run()
	b.want("the first row", b.sf.sent(), "insert Account 1")
	for n := range 20 {
		b.exec(`INSERT INTO salesforce.account (name) VALUES ($1)`, fmt.Sprint(n))
		b.run()
	}
	// What the purse holds down to where it is spared, at a call and a read each.
	easy := outboundShare * purseShare * (1 - easyShare) * 100 / (callCost + readCost)
	if n := len(b.sf.calls); n < int(easy) || n > int(easy)+2 { // a slow machine earns another
		t.Errorf("%d calls, want %v and a bit", n, easy)
	}
	b.want("waiting", b.list(`SELECT DISTINCT state FROM salesforce._trigger_log`), "NEW")
	if wait := b.worker.Spaced(); wait <= 0 || wait > 10*time.Minute || len(b.worker.retries) > 0 {
		t.Errorf("kept back for %s, attempts %v", wait, b.worker.retries)
	}
	b.worker.cfg.BatchSize, b.worker.planner.batch = fullCall, fullCall
	b.exec(`INSERT INTO salesforce.account (name) SELECT 'many' FROM generate_series(1, 1000 - (SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW'))`)
	b.run()
	b.want("full calls do not wait", b.live(), "")
	b.exec(`DELETE FROM salesforce.account WHERE name = 'first'`)
	b.run()
	b.want("a delete waits", b.live(), "DELETE/NEW")
	g := &b.worker.governor
	g.filled, g.spent = g.filled.Add(-time.Hour), g.spent.Add(-time.Hour)
	b.run()
	b.want("for its turn", b.live(), "")
	if b.worker.Spaced() > 0 {
		t.Error("kept back after it went")
	}
}

// What Config.Settle writes to may be locked for longer than the app's rows may be:
// the answer is written down all the same, without a stall.
func TestSettleWaitsForOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) {
		c.Settle = func(ctx context.Context, tx pgx.Tx, _ []Settled) error {
			_, err := tx.Exec(ctx, `UPDATE busy SET n = n + 1`)
			return err
		}
	})
	b.exec(`CREATE TABLE busy (n int); INSERT INTO busy VALUES (0); INSERT INTO salesforce.account (name) VALUES ('a')`)
	tx, err := b.pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `UPDATE busy SET n = 10`)
	}
	if err != nil {
		t.Fatal(err)
	}
	held := time.AfterFunc(7*time.Second, func() { _ = tx.Commit(context.WithoutCancel(t.Context())) })
	defer held.Stop()
	b.run()
	b.want("log", b.live(), "")
	b.want("settled", b.one(`SELECT n FROM busy`), "11")
	b.want("calls", b.sf.sent(), "insert Account 1")
}

// While Config.Settle waits for others no row is locked for which an app would wait,
// and one that Postgres ends as half of a deadlock is tried again without a stall.
func TestSettleLocksNoRows(t *testing.T) {
	t.Parallel()
	var b *bundle
	tries := 0
	b = setup(t, func(c *Config) {
		c.Settle = func(ctx context.Context, _ pgx.Tx, _ []Settled) error {
			if tries++; tries == 1 {
				return &pgconn.PgError{Code: "40P01", Message: "deadlock detected"}
			}
			_, err := b.pool.Exec(ctx, `SELECT FROM salesforce.account FOR UPDATE NOWAIT`)
			return err
		}
	})
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`)
	b.run()
	b.want("log", b.live(), "")
	b.want("tries", fmt.Sprint(tries), "2")
	b.want("calls", b.sf.sent(), "insert Account 2")
}

// Config.Settle is told of what is written, and not each time that a row is found locked.
func TestSettleOfLockedRows(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) {
		c.Settle = func(ctx context.Context, tx pgx.Tx, done []Settled) error {
			for _, d := range done {
				if _, err := tx.Exec(ctx, `INSERT INTO told VALUES ($1)`, d.SFID); err != nil {
					return err
				}
			}
			return nil
		}
	})
	b.exec(`CREATE TABLE told (sfid text); INSERT INTO salesforce.account (name) VALUES ('a'), ('b'), ('c')`)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM salesforce.account WHERE name = 'b' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.run()
		b.want("told", b.list(`SELECT a.name FROM told JOIN salesforce.account AS a USING (sfid) ORDER BY 1`), "a c")
		b.want("all told", b.one(`SELECT count(*) FROM told`), "2")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.want("all told in the end", b.list(`SELECT a.name FROM told JOIN salesforce.account AS a USING (sfid) ORDER BY 1`), "a b c")
	b.want("calls", b.sf.sent(), "insert Account 3")
	b.want("log", b.live(), "")
}
