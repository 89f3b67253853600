package outbox

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// While an app holds rows locked, what was answered of them is neither written to the
// log again and again, nor told to Config.Settle.
func TestLockedRowsCostNothing(t *testing.T) {
	t.Parallel()
	told := 0
	b := setup(t, func(c *Config) {
		c.Settle = func(_ context.Context, _ pgx.Tx, done []Settled) error {
			told += len(done)
			return nil
		}
	})
	var tx pgx.Tx
	b.sf.script(func(context.Context, Call) (_ []Outcome, err error, _ bool) {
		if tx, err = b.pool.Begin(b.Context()); err == nil {
			_, err = tx.Exec(b.Context(), `SELECT FROM salesforce.account FOR UPDATE`)
		}
		return nil, err, false
	})
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`)
	b.run()
	b.run()
	before, version := told, `SELECT string_agg(xmin::text || ' ' || sfid, ', ' ORDER BY id) FROM salesforce._trigger_log`
	kept := b.one(version)
	for range 5 {
		b.run()
	}
	b.want("entries", b.one(version), kept)
	if told != before {
		t.Errorf("Settle was told of %d rows that are locked", told-before)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.want("log", b.live(), "")
	b.want("rows", b.list(`SELECT _hc_lastop FROM salesforce.account`), "INSERTED INSERTED")
	b.want("told in the end", b.one(`SELECT $1::int`, told-before), "2")
}
