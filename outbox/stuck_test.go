package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// refusing gives the org a rule: what it names is refused for good.
func (b *bundle) refusing(object string, f Failure) {
	b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
		if c.Object != object {
			return nil, nil, false
		}
		list := make([]Outcome, len(c.Records))
		for n := range list {
			list[n].Failure = &f
		}
		return list, nil, false
	})
}

// contacts is how many are in Salesforce.
func (b *bundle) contacts() string { return fmt.Sprint(b.sf.count("Contact")) }

// looks runs n times, as far as there is something to send.
func (b *bundle) looks(n int) {
	b.Helper()
	for range n {
		b.run()
	}
}

// Updates of rows whose insert was refused wait for a person, however many there
// are, and all that is behind them goes. Then what became of the inserts is seen at
// once.
func TestBehindRefusedInserts(t *testing.T) {
	t.Parallel()
	rule := Failure{Class: Permanent, Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "no"}
	for name, options := range map[string]func(*Config){"plain": func(*Config) {}, "with an external id": withExternalID} {
		for _, rows := range []int{300, 900} {
			t.Run(fmt.Sprint(name, " ", rows), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options, func(c *Config) { c.Window = 50 })
				b.refusing("Account", rule)
				b.exec(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'a' || n, 'x' || n FROM generate_series(1, $1::int) AS n`, rows)
				b.drain()
				b.want("refused", b.one(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'`), fmt.Sprint(rows))
				b.exec(`UPDATE salesforce.account SET industry = 'i'`)
				b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('behind')`)
				b.looks(rows/50 + 10)
				b.want("behind", b.contacts(), "1")
				b.want("waiting", b.one(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW'`), fmt.Sprint(rows))

				// What comes later goes at once.
				b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('later')`)
				b.looks(2)
				b.want("later", b.contacts(), "2")

				// A child of one of them waits, wherever it stands.
				b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', 'x1')`)
				b.looks(5)
				b.want("child", b.contacts(), "2")

				b.sf.script(nil)
				last := fmt.Sprint("a", rows)
				if _, err := Retry(t.Context(), b.pool, testSchema, b.failed(last)); err != nil {
					t.Fatal(err)
				}
				b.looks(rows/50 + 5)
				b.want("the last one, and its update", b.one(`SELECT count(*) FROM salesforce.account WHERE name = $1 AND sfid IS NOT NULL`, last), "1")
				b.want("of which nothing is left", b.one(`SELECT count(*) FROM salesforce._trigger_log WHERE record_id = $1 AND table_name = 'account'`, rows), "0")

				if _, err := Ignore(t.Context(), b.pool, testSchema, b.failed("a2")); err != nil {
					t.Fatal(err)
				}
				b.looks(rows/50 + 5)
				b.want("a dismissed insert", b.one(`SELECT _hc_err::json->>'code' FROM salesforce.account WHERE name = 'a2'`), CodeNoSFID)

				if _, err := Retry(t.Context(), b.pool, testSchema, nil); err != nil {
					t.Fatal(err)
				}
				b.drain()
				b.want("all went but one", fmt.Sprint(b.sf.count("Account")), fmt.Sprint(rows-1))
				b.want("the child too", b.contacts(), "3")
				b.want("left", b.one(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW'`), "0")
				for id, list := range b.sf.history {
					if strings.HasPrefix(id, "acc") && (len(list) != 2 || !strings.HasPrefix(list[1], "update map[Industry:i")) {
						t.Fatalf("%s: %v", id, list)
					}
				}
			})
		}
	}
}

// failed are the log's refused inserts of accounts of a name.
func (b *bundle) failed(name string) (ids []int64) {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), `SELECT l.id FROM salesforce._trigger_log AS l JOIN salesforce.account AS a ON a.id = l.record_id
		WHERE l.state = 'FAILED' AND l.table_name = 'account' AND a.name = $1`, name)
	if err != nil {
		b.Fatal(err)
	}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// However many records back off, all are tried and what is behind them goes; the
// worker does not look without a pause; and once their time has come they go.
func TestBehindBackOffs(t *testing.T) {
	t.Parallel()
	b := setup(t, withExternalID, func(c *Config) {
		c.Window, c.IdlePoll = 50, time.Hour
		c.Backoff = func(int) time.Duration { return time.Hour }
	})
	b.refusing("Account", Failure{Class: Transient, Code: codeLocked, Message: "locked"})
	b.exec(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'a' || n, 'x' || n FROM generate_series(1, 900) AS n`)
	b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('behind')`)
	b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', 'x800')`)
	b.looks(100)
	b.want("tried", fmt.Sprint(len(b.worker.retries)), "900")
	b.want("behind", b.contacts(), "1")
	r := runner{Worker: b.worker}
	b.worker.governor.again = 0
	for range 40 {
		n := b.run()
		if wait := r.next(n); wait < 100*time.Millisecond {
			t.Fatalf("%d entries, and the next look after %s", n, wait)
		}
	}
	b.want("no longer than they are there", fmt.Sprint(len(b.worker.window.stuck) <= 901), "true")

	b.sf.script(nil)
	for k, again := range b.worker.retries {
		again.due = time.Now()
		b.worker.retries[k] = again
	}
	b.looks(100)
	b.want("all went", fmt.Sprint(b.sf.count("Account")), "900")
	b.want("the child after its parent", b.contacts(), "2")
	b.want("left", b.live(), "")
	b.want("remembered", fmt.Sprint(len(b.worker.window.stuck), len(b.worker.retries)), "0 0")
}

// Of more records than are remembered, what may depend on them waits, and nothing
// else.
func TestMoreStuckThanRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t, withExternalID, func(c *Config) {
		c.Window = 10
		c.Backoff = func(int) time.Duration { return time.Hour }
	})
	b.refusing("Account", Failure{Class: Transient, Code: codeLocked, Message: "locked"})
	b.exec(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'a' || n, 'x' || n FROM generate_series(1, 600) AS n`)
	b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', 'x500'); INSERT INTO salesforce.contact (lastname) VALUES ('behind')`)
	for range 300 {
		b.run()
		if n := b.worker.window.traces; n > tracesMost*10 {
			t.Fatalf("%d traces", n)
		}
	}
	b.want("behind", b.contacts(), "1")
	b.sf.script(nil)
	for k, again := range b.worker.retries {
		again.due = time.Now()
		b.worker.retries[k] = again
	}
	for n := 0; n < 3000 && b.live() != ""; n++ { // far more than it takes, as a table may be left alone for a while
		b.run()
	}
	b.want("all went", fmt.Sprint(b.sf.count("Account")), "600")
	b.want("the child after its parent", b.contacts(), "2")
	b.want("left", b.live(), "")
}

// A delete waits for what mentions the record, be it passed over or not: else Salesforce
// would delete that along with it.
func TestDeleteBehindStuck(t *testing.T) {
	t.Parallel()
	for change, update := range map[string]string{"taken out": `lastname = 'x', accountid = NULL`, "brought in": `lastname = 'x', accountid = CASE WHEN id = 120 THEN '001000000000002AAA' END`} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *Config) {
				c.Window = 50
				c.Backoff = func(int) time.Duration { return time.Hour }
			})
			b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('1', '001000000000001AAA'), ('2', '001000000000002AAA'), ('3', '001000000000003AAA')`)
			b.hex(`INSERT INTO salesforce.contact (lastname, sfid, accountid) SELECT 'c', 'con' || lpad(n::text, 12, '0') || 'AAA', CASE WHEN n = 120 THEN '001000000000001AAA' END FROM generate_series(1, 500) AS n`)
			for n := range 500 {
				b.sf.records[fmt.Sprintf("con%012dAAA", n+1)] = map[string]any{}
			}
			for n := range 3 {
				b.sf.records[fmt.Sprintf("00100000000000%dAAA", n+1)] = map[string]any{}
			}
			b.refusing("Contact", Failure{Class: Transient, Code: codeLocked, Message: "locked"})
			b.exec(`UPDATE salesforce.contact SET ` + update)
			b.exec(`DELETE FROM salesforce.account WHERE name IN ('1', '3')`)
			if change == "brought in" {
				b.exec(`DELETE FROM salesforce.account WHERE name = '2'`)
			}
			b.looks(60)
			deletes := `SELECT string_agg(l.sfid, ' ' ORDER BY l.id) FROM salesforce._trigger_log AS l WHERE action = 'DELETE'`
			want := "001000000000001AAA"
			if change == "brought in" {
				want += " 001000000000002AAA"
			}
			b.want("deletes that wait", b.one(deletes), want)
			b.sf.script(nil)
			for k, again := range b.worker.retries {
				again.due = time.Now()
				b.worker.retries[k] = again
			}
			b.looks(60)
			b.want("left", b.live(), "")
			b.want("the last call", b.sf.sent()[strings.LastIndex(b.sf.sent(), ", ")+2:], "delete Account "+fmt.Sprint(len(strings.Fields(want))))
		})
	}
}
