package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// An app may change a row's primary key at any moment, and the record is still the row's: there
// is one, it is sent what was committed in that order, and the row shows what became of it.
func TestRowHasAnotherKey(t *testing.T) {
	t.Parallel()
	const (
		insert = `INSERT INTO salesforce.account (id, name) VALUES (1, 'a')`
		change = `UPDATE salesforce.account SET id = id + 100`
	)
	once := func(b *bundle, do func(Call) ([]Outcome, error, bool)) {
		done := false
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if done {
				return nil, nil, false
			}
			done = true
			return do(c)
		})
	}
	for _, c := range []struct {
		name    string
		do      func(*bundle)
		rows    string // id:name:sfid's number:_hc_lastop
		names   string // what the record was given; merged may do with the last
		records int
	}{
		{"before anything is sent", func(b *bundle) {
			b.exec(insert)
			b.exec(change)
		}, "101:a:1:INSERTED", "a", 1},
		{"twice, with other changes", func(b *bundle) {
			b.exec(insert)
			b.exec(`UPDATE salesforce.account SET name = 'b'`)
			b.exec(change)
			b.exec(`UPDATE salesforce.account SET name = 'c', id = 7`)
			b.exec(`UPDATE salesforce.account SET name = 'd'`)
		}, "7:d:1:UPDATED", "a b c d", 1},
		{"in the same transaction", func(b *bundle) {
			b.exec("BEGIN; " + insert + "; " + change + "; COMMIT")
		}, "101:a:1:INSERTED", "a", 1},
		{"of two rows at a time", func(b *bundle) {
			b.exec(`INSERT INTO salesforce.account (id, name) VALUES (2, 'b'), (1, 'a')`)
			b.exec(change)
		}, "101:a:2:INSERTED 102:b:1:INSERTED", "b", 2},
		{"and another row gets the old one", func(b *bundle) {
			b.exec(insert)
			b.exec(change)
			b.exec(`INSERT INTO salesforce.account (id, name) VALUES (1, 'b')`)
			b.exec(`UPDATE salesforce.account SET id = 201 WHERE id = 1`)
			b.exec(`INSERT INTO salesforce.account (id, name) VALUES (1, 'c')`)
		}, "1:c:3:INSERTED 101:a:1:INSERTED 201:b:2:INSERTED", "a", 3},
		{"while the insert is on its way", func(b *bundle) {
			b.exec(insert)
			once(b, func(Call) ([]Outcome, error, bool) { b.exec(change); return nil, nil, false })
		}, "101:a:1:INSERTED", "a", 1},
		{"and a third one while the insert is on its way", func(b *bundle) {
			b.exec(insert)
			once(b, func(Call) ([]Outcome, error, bool) {
				b.exec(change)
				b.exec(`UPDATE salesforce.account SET id = 7, name = 'b'`)
				return nil, nil, false
			})
		}, "7:b:1:UPDATED", "a b", 1},
		{"and is deleted while the insert is on its way", func(b *bundle) {
			b.exec(insert)
			once(b, func(Call) ([]Outcome, error, bool) {
				b.exec(change)
				b.exec(`DELETE FROM salesforce.account`)
				return nil, nil, false
			})
		}, "", "a", 0},
		{"and is deleted before anything is sent", func(b *bundle) {
			b.exec(insert)
			b.exec(change)
			b.exec(`DELETE FROM salesforce.account`)
		}, "", "", 0},
		{"once the answer to the insert is lost", func(b *bundle) {
			b.restart(b.finding(time.Hour))
			b.exec(insert)
			once(b, func(Call) ([]Outcome, error, bool) { return nil, errLost, true })
			b.tryRun()
			b.exec(change)
			b.exec(`UPDATE salesforce.account SET name = 'b'`)
		}, "101:b:1:UPDATED", "a b", 1},
		{"and the process dies while the insert is on its way", func(b *bundle) {
			b.restart(b.finding(time.Hour))
			b.exec(insert)
			once(b, func(Call) ([]Outcome, error, bool) { return nil, errLost, true })
			b.tryRun()
			b.exec(change)
			b.restart(b.finding(time.Hour))
			if err := b.worker.Recover(b.Context()); err != nil {
				b.Fatal(err)
			}
		}, "101:a:1:INSERTED", "a", 1},
		{"after the insert was refused", func(b *bundle) {
			b.exec(insert)
			b.sf.script(refuse(1, Failure{Class: Permanent, Code: "NO"}, any1))
			b.drain()
			b.exec(change)
			b.drain()
			if _, err := Retry(b.Context(), b.pool, testSchema, nil); err != nil {
				b.Fatal(err)
			}
		}, "101:a:1:INSERTED", "a", 1},
		{"of a record that exists, and no more", func(b *bundle) {
			b.exec(insert)
			b.drain()
			b.exec(change)
			b.drain()
			b.want("calls", b.sf.sent(), "insert Account 1")
			b.want("archive", b.archived(), "INSERT/SUCCESS UPDATE/IGNORE")
		}, "101:a:1:SYNCED", "a", 1},
		{"of a record that exists", func(b *bundle) {
			b.exec(insert)
			b.drain()
			b.exec(`UPDATE salesforce.account SET name = 'b'`)
			b.exec(change)
			b.exec(`UPDATE salesforce.account SET name = 'c'`)
		}, "101:c:1:UPDATED", "a b c", 1},
		{"of a record that exists, while an update is on its way", func(b *bundle) {
			b.exec(insert)
			b.drain()
			b.exec(`UPDATE salesforce.account SET name = 'b'`)
			once(b, func(Call) ([]Outcome, error, bool) {
				b.exec(change)
				b.exec(`UPDATE salesforce.account SET name = 'c'`)
				return nil, nil, false
			})
		}, "101:c:1:UPDATED", "a b c", 1},
	} {
		for _, algorithm := range []string{Ordered, Merged} {
			t.Run(c.name+", "+algorithm, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.restart(func(cfg *Config) { cfg.Algorithm = algorithm })
				c.do(b)
				eventually(b, "all is settled", func() bool { b.tryRun(); return b.live() == "" })
				rows, row := c.rows, `concat_ws(':', id, name, substring(sfid, 15, 1), _hc_lastop)`
				if algorithm == Merged { // an update may have gone with the insert
					row = `concat_ws(':', id, name, substring(sfid, 15, 1), replace(_hc_lastop, 'INSERTED', 'UPDATED'))`
					rows = strings.ReplaceAll(rows, "INSERTED", "UPDATED")
				}
				b.want("rows", b.list(`SELECT `+row+` FROM salesforce.account ORDER BY id`), rows)
				b.want("records", fmt.Sprint(b.sf.count("Account")), fmt.Sprint(c.records))
				names := b.sf.values("acc000000000001AAA", "Name")
				if given := strings.Fields(c.names); algorithm == Merged && len(names) > 0 && len(given) > 0 {
					b.want("last name", names[len(names)-1], given[len(given)-1])
				} else {
					b.want("names", strings.Join(names, " "), c.names)
				}
			})
		}
	}
}

// An app that holds the row locked under its new key gets the answer when it lets go.
func TestRowWithAnotherKeyIsLocked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO salesforce.account (id, name) VALUES (1, 'a')`)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
		b.sf.script(nil)
		b.exec(`UPDATE salesforce.account SET id = 101`)
		if _, err := tx.Exec(t.Context(), `SELECT FROM salesforce.account FOR UPDATE`); err != nil {
			t.Error(err)
		}
		return nil, nil, false
	})
	b.drain()
	b.want("kept", b.one(`SELECT sfid FROM salesforce._trigger_log WHERE action = 'INSERT'`), "acc000000000001AAA")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.want("row", b.list(`SELECT concat_ws(':', id, sfid) FROM salesforce.account`), "101:acc000000000001AAA")
	b.want("log", b.live(), "")
	b.want("calls", b.sf.sent(), "insert Account 1")
}
