package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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

// While somebody holds a whole table locked, as a migration does, its records wait, both
// what was answered of them and what is not planned yet; all other tables go on. In the
// end all is sent and written down once (fault 49).
func TestLockedTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		answer    bool // it is locked while an answer is on its way
		connected bool // the connection has its statements
	}{
		{"before an answer", true, false},
		{"before a plan", false, false},
		{"before a plan, all statements known", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.apart(nil, withExternalID, func(c *Config) { c.IdlePoll = 10 * time.Millisecond })
			if c.connected {
				b.exec(`INSERT INTO salesforce.account (name) VALUES ('before'); INSERT INTO salesforce.contact (lastname) VALUES ('before')`)
				b.drain()
			}
			var tx pgx.Tx
			lock := func() (err error) {
				if tx, err = b.pool.Begin(b.Context()); err == nil {
					_, err = tx.Exec(b.Context(), `LOCK TABLE salesforce.account IN ACCESS EXCLUSIVE MODE`)
				}
				return err
			}
			insert := func() { b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x'), ('b', 'y')`) }
			locked := make(chan struct{})
			if insert(); c.answer {
				b.sf.script(func(_ context.Context, call Call) (_ []Outcome, err error, _ bool) {
					if call.Object == "Account" && tx == nil {
						err = lock()
						close(locked)
					}
					return nil, err, false
				})
			} else if err := lock(); err != nil {
				t.Fatal(err)
			} else {
				close(locked)
			}
			stop := b.runs()
			defer stop()
			<-locked
			done := func(what string) int {
				n := 0
				for _, entry := range strings.Fields(b.archived()) {
					if entry == what {
						n++
					}
				}
				return n
			}
			before := done("INSERT/SUCCESS")
			for n := range 3 {
				began := time.Now()
				b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ($1)`, fmt.Sprint(n))
				eventually(t, "the contact is settled", func() bool { return done("INSERT/SUCCESS") == before+n+1 })
				t.Logf("contact %d after %s", n, time.Since(began))
			}
			b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', 'x')`)
			b.want("what waits", b.list(`SELECT table_name::text FROM salesforce._trigger_log WHERE table_name = 'account'`), "account account")
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all is settled", func() bool { return b.live() == "" })
			stop()
			b.want("rows", b.list(`SELECT DISTINCT _hc_lastop FROM (SELECT _hc_lastop FROM salesforce.account UNION ALL SELECT _hc_lastop FROM salesforce.contact) AS x`), "INSERTED")
			b.want("records", fmt.Sprint(b.sf.count("Account")), b.one(`SELECT count(*) FROM salesforce.account`))
			sent := 0
			for _, call := range b.sf.calls {
				sent += len(call.Records)
			}
			b.want("sent once", fmt.Sprint(sent), b.one(`SELECT count(*) FROM salesforce._trigger_log_archive`))
		})
	}
}
