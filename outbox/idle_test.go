package outbox

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What needs no sync leaves no row PENDING: an update of columns that are not mapped, or
// of the bridge's own. A row for which something else is open, that is not in Salesforce,
// or that the app holds locked is left alone, and a row that refuses it is in nobody's way.
func TestPendingEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := func() string {
		t.Helper()
		return b.list(`SELECT name || '=' || _hc_lastop FROM salesforce.account ORDER BY id`)
	}
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b'), ('c')`)
	b.drain()
	b.want("written", rows(), "a=INSERTED b=INSERTED c=INSERTED")

	b.exec(`UPDATE salesforce.account SET unmapped = 'u' WHERE name <> 'b'; UPDATE salesforce.account SET sfid = 'acc000000000009AAA' WHERE name = 'b'`)
	b.want("captured", rows(), "a=PENDING b=PENDING c=PENDING")
	b.drain()
	b.want("archived", rows(), "a=SYNCED b=SYNCED c=SYNCED")
	b.want("log", b.live(), "")
	b.want("archive", b.archived(), strings.Repeat("INSERT/SUCCESS ", 3)+"UPDATE/IGNORE UPDATE/IGNORE UPDATE/IGNORE")

	b.exec(`UPDATE salesforce.account SET unmapped = 'v'`)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE salesforce.account SET name = 'a2' WHERE name = 'a'`); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.want("while one is locked", rows(), "a=PENDING b=SYNCED c=SYNCED")
	b.want("its entry", b.live(), "UPDATE/IGNORE")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.worker.TidyUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want("with another change", rows(), "a2=PENDING b=SYNCED c=SYNCED")
	b.want("that is in the log", b.live(), "UPDATE/NEW")
	b.drain()
	b.want("which is sent", rows(), "a2=UPDATED b=SYNCED c=SYNCED")

	b.hex(`INSERT INTO salesforce.account (name) VALUES ('new')`)
	b.exec(`CREATE FUNCTION salesforce.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF NEW._hc_lastop = 'SYNCED' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END$$;
		CREATE TRIGGER zz BEFORE UPDATE ON salesforce.account FOR EACH ROW WHEN (NEW.name = 'b') EXECUTE FUNCTION salesforce.refuse();
		UPDATE salesforce.account SET unmapped = 'w'`)
	b.drain()
	b.want("one refuses, one is new", rows(), "a2=SYNCED b=PENDING c=SYNCED new=PENDING")
	b.want("log in the end", b.live(), "")
}

// A table that is locked as a whole keeps its entries, and stops nothing.
func TestPendingBehindLockedTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`ALTER TABLE salesforce.contact ADD unmapped text; INSERT INTO salesforce.account (name) VALUES ('a'); INSERT INTO salesforce.contact (lastname) VALUES ('c')`)
	b.drain()
	b.exec(`UPDATE salesforce.account SET unmapped = 'u'; UPDATE salesforce.contact SET unmapped = 'u'`)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE salesforce.account`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other table's is archived", func() bool { b.run(); return b.one(`SELECT _hc_lastop FROM salesforce.contact`) == "SYNCED" })
	b.want("while it is locked", b.list(`SELECT table_name || '/' || state FROM salesforce._trigger_log`), "account/IGNORE")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "archived", func() bool { b.run(); return b.live() == "" })
	b.want("row", b.one(`SELECT _hc_lastop FROM salesforce.account`), "SYNCED")
}

// A row of which something stands refused says so again, whatever is changed of it that is
// not mapped, until that is dismissed.
func TestRefusalOutlastsAnUnmappedChange(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{Ordered, Merged} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(func(c *Config) { c.Algorithm = algorithm })
			rows := func() string {
				t.Helper()
				return b.list(`SELECT concat_ws('|', name, _hc_lastop, _hc_err::json ->> 'code', _hc_err::json ->> 'message', (_hc_err::json ->> 'at')::timestamptz > now() - interval '1 hour')
					FROM salesforce.account ORDER BY id`)
			}
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			b.drain()
			b.sf.script(refuse(1, Failure{Class: Permanent, Code: "SOME_CODE", Message: "Who is it?"}, any1))
			b.exec(`UPDATE salesforce.account SET name = 'a2'`)
			b.drain()
			b.sf.script(refuse(1, Failure{Class: Permanent, Code: "SOME_CODE"}, any1))
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('b')`)
			b.drain()
			b.want("refused", rows(), "a2|FAILED|SOME_CODE|Who is it?|t b|FAILED|SOME_CODE||t")

			b.exec(`UPDATE salesforce.account SET unmapped = 'u'`)
			b.want("captured", rows(), "a2|PENDING b|PENDING")
			b.drain()
			b.want("archived", rows(), "a2|FAILED||Who is it?|t b|FAILED|SOME_CODE|SOME_CODE|t")
			b.want("log", b.live(), "UPDATE/FAILED INSERT/FAILED")

			if _, err := Ignore(t.Context(), b.pool, "salesforce", nil); err != nil {
				t.Fatal(err)
			}
			b.exec(`UPDATE salesforce.account SET unmapped = 'v'`)
			b.drain()
			b.want("dismissed", rows(), "a2|SYNCED b|PENDING")
		})
	}
}

// A row of which a refused change was dismissed, by whatever means, waits to be read back,
// unless something else of it is open or it is not in Salesforce.
func TestDismissedIsReadBack(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"by hand", "by the command"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var told []string
			b.restart(func(c *Config) {
				c.Settle = func(_ context.Context, _ pgx.Tx, done []Settled) error {
					for _, d := range done {
						if d.Dismissed {
							told = append(told, d.SFID)
						}
					}
					return nil
				}
			})
			rows := func() string {
				t.Helper()
				return b.list(`SELECT concat_ws('|', name, _hc_lastop, _hc_err::json ->> 'message') FROM salesforce.account ORDER BY id`)
			}
			dismiss := func(which string) {
				t.Helper()
				if way == "by hand" {
					b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED' WHERE state = 'FAILED' AND ` + which)
					return
				}
				var ids []int64
				if err := b.pool.QueryRow(t.Context(), `SELECT array_agg(id) FROM salesforce._trigger_log WHERE state = 'FAILED' AND `+which).Scan(&ids); err != nil {
					t.Fatal(err)
				}
				if _, err := Ignore(t.Context(), b.pool, "salesforce", ids); err != nil {
					t.Fatal(err)
				}
			}
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`)
			b.drain()
			b.sf.script(refuse(-1, Failure{Class: Permanent, Code: "RULE", Message: "no"}, any1))
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('new')`)
			b.exec(`UPDATE salesforce.account SET name = 'a1', industry = 'i' WHERE name = 'a'; UPDATE salesforce.account SET name = 'b1' WHERE name = 'b'`)
			b.exec(`UPDATE salesforce.account SET founded__c = '2020-01-01' WHERE name = 'b1'`)
			b.drain()
			b.want("refused", rows(), "a1|FAILED|no b1|FAILED|no new|FAILED|no")
			dismiss(`"values" LIKE '%"name"=>%'`)

			tx, err := b.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `SELECT FROM salesforce.account WHERE name = 'a1' FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			b.drain()
			b.want("one is locked", rows(), "a1|FAILED|no b1|FAILED|no new|FAILED|no")
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			told = nil
			b.drain()
			b.want("dismissed", rows(), "a1|PENDING b1|FAILED|no new|FAILED|no")
			b.want("told", strings.Join(told, " "), "acc000000000001AAA")
			dismiss("true")
			b.drain()
			b.want("all are", rows(), "a1|PENDING b1|PENDING new|FAILED|no")
			b.want("told", strings.Join(told, " "), "acc000000000001AAA acc000000000002AAA")
			b.want("log", b.live(), "")
		})
	}
}
