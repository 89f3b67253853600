package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// memoryGate is a Gate that outlives workers, as the database's does.
type memoryGate struct{ holds map[string]Hold }

func (g *memoryGate) Holds(context.Context) (map[string]Hold, error) {
	out := map[string]Hold{}
	for table, h := range g.holds {
		out[table] = h
	}
	return out, nil
}

func (g *memoryGate) Hold(_ context.Context, table, _ string) error {
	g.holds[table] = Hold{Held: true, Approved: g.holds[table].Approved}
	return nil
}

// guarded makes a worker that allows ten deletes and twenty updates.
func guarded(g *memoryGate) func(*Config) {
	return func(c *Config) {
		c.Gate = g
		c.Limits = Limits{Deletes: 10, DeleteShare: 0.05, Updates: 20, UpdateShare: 0.1, Within: 30 * time.Minute}
		c.Window = 25
	}
}

// now makes the worker ask the gate again at its next look.
func (b *bundle) now() { b.worker.guard.asked = time.Time{} }

// approve releases what is held, as `hcbridge approve` does.
func (b *bundle) approve(g *memoryGate) {
	b.Helper()
	var id int64
	if err := b.pool.QueryRow(b.Context(), "SELECT max(id) FROM salesforce._trigger_log").Scan(&id); err != nil {
		b.Fatal(err)
	}
	g.holds["account"] = Hold{Approved: id}
	b.now()
}

// wantDone compares a count.
func (b *bundle) wantDone(what string, n int, sql string) {
	b.Helper()
	b.want(what, b.one(sql), fmt.Sprint(n))
}

const (
	sentDeletes = "SELECT count(*) FROM salesforce._trigger_log_archive WHERE action = 'DELETE' AND state IN ('SUCCESS', 'MERGED')"
	sentUpdates = "SELECT count(*) FROM salesforce._trigger_log_archive WHERE action = 'UPDATE' AND state IN ('SUCCESS', 'MERGED')"
	stillNew    = "SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW' AND table_name = 'account'"
)

// More deletes than anybody means wait for a person, all of them, while other
// tables go on; what is approved goes, and what comes later is judged anew (faults
// 98 and note g).
func TestGuard(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, rows int) (*bundle, *memoryGate) {
		t.Helper()
		g := &memoryGate{holds: map[string]Hold{}}
		b := setup(t, guarded(g))
		b.exec(fmt.Sprintf("INSERT INTO salesforce.account (name) SELECT 'a' || n FROM generate_series(1, %d) AS n", rows))
		b.drain() // a first load is never held
		b.want("loaded", b.one("SELECT count(*) FROM salesforce.account WHERE sfid IS NOT NULL"), fmt.Sprint(rows))
		return b, g
	}

	t.Run("MassDelete", func(t *testing.T) {
		t.Parallel()
		b, g := begin(t, 60)
		b.exec("DELETE FROM salesforce.account WHERE id <= 50")
		b.exec("INSERT INTO salesforce.contact (lastname) VALUES ('goes on')")
		b.drain()
		b.wantDone("deletes before approval", 0, sentDeletes)
		b.wantDone("held", 50, stillNew)
		b.want("contact", b.one("SELECT sfid IS NOT NULL FROM salesforce.contact"), "true")
		b.exec("INSERT INTO salesforce.account (name) VALUES ('waits too')")
		b.restart(guarded(g))
		b.drain()
		b.wantDone("held through a restart", 51, stillNew)
		b.approve(g)
		b.exec("DELETE FROM salesforce.account WHERE id = 51")
		b.drain()
		b.wantDone("deletes after approval", 51, sentDeletes)
		b.wantDone("left", 0, stillNew)
		b.exec("DELETE FROM salesforce.account WHERE id IN (52, 53, 54, 55, 56, 57, 58, 59)")
		b.drain()
		b.wantDone("a few more", 59, sentDeletes)
		if g.holds["account"].Held {
			t.Error("what was approved counts against what comes later")
		}
	})

	// The way past what is held is remembered, however much it is.
	t.Run("BehindManyHeld", func(t *testing.T) {
		t.Parallel()
		b, _ := begin(t, 300)
		b.exec("DELETE FROM salesforce.account")
		b.exec("INSERT INTO salesforce.contact (lastname) VALUES ('first')")
		b.drain()
		b.exec("INSERT INTO salesforce.contact (lastname) VALUES ('second')")
		b.drain()
		b.want("others", b.one("SELECT count(*) FROM salesforce.contact WHERE sfid IS NOT NULL"), "2")
		b.wantDone("held", 300, stillNew)
		if b.worker.window.ahead == 0 {
			t.Error("the log is read from its beginning at each look")
		}
	})

	// Salesforce deletes a record's children along with it, also those that held changes
	// take away from it.
	t.Run("Cascade", func(t *testing.T) {
		t.Parallel()
		g := &memoryGate{holds: map[string]Hold{}}
		refers := func(c *Config) { c.Tables[1].Columns[1].References = []string{"Account"} }
		b := setup(t, guarded(g), refers)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('old'), ('new'); INSERT INTO salesforce."user" (name) VALUES ('u')`)
		b.drain()
		b.exec(`INSERT INTO salesforce.contact (lastname, accountid) SELECT 'c', sfid FROM salesforce.account, generate_series(1, 20) WHERE name = 'old'`)
		b.drain()
		b.exec(`DELETE FROM salesforce.contact WHERE id <= 15`)
		b.drain()
		b.exec(`UPDATE salesforce.contact SET accountid = (SELECT sfid FROM salesforce.account WHERE name = 'new')`)
		b.exec(`DELETE FROM salesforce.account WHERE name = 'old'`)
		b.exec(`UPDATE salesforce.account SET industry = 'i' WHERE name = 'new'`)
		b.drain()
		b.want("the delete waits, the update went", b.list(`SELECT action FROM salesforce._trigger_log WHERE state = 'NEW' AND table_name = 'account'`), "DELETE")
		b.restart(guarded(g), refers)
		b.drain()
		b.want("it waits after a restart", b.list(`SELECT action FROM salesforce._trigger_log WHERE state = 'NEW' AND table_name = 'account'`), "DELETE")
		g.holds["contact"] = Hold{Approved: 1 << 40}
		b.now()
		b.drain()
		b.want("log", b.live(), "")
		calls := b.sf.sent()
		if !strings.HasSuffix(calls, "update Contact 5, delete Account 1") {
			t.Errorf("calls: %s", calls)
		}
	})

	// What is looked at at once is less than the limit, and more is behind it.
	t.Run("FullWindow", func(t *testing.T) {
		t.Parallel()
		b, g := begin(t, 60)
		b.restart(guarded(g), func(c *Config) { c.Limits.Deletes, c.Limits.Updates = 30, 30 })
		b.exec("DELETE FROM salesforce.account WHERE id <= 31")
		b.drain()
		b.wantDone("deletes before approval", 0, sentDeletes)
		b.wantDone("held", 31, stillNew)
		b.approve(g)
		b.drain()
		b.wantDone("deletes after approval", 31, sentDeletes)
		b.exec("UPDATE salesforce.account SET industry = 'x'")
		b.drain()
		b.wantDone("as many updates as may", 29, sentUpdates)
		b.restart(guarded(g), func(c *Config) { c.Limits.Updates = 57 })
		b.exec("UPDATE salesforce.account SET industry = 'y'")
		b.drain()
		b.wantDone("updates, and those sent before", 29, sentUpdates)
		b.wantDone("held", 29, stillNew)
	})

	t.Run("ManyTransactions", func(t *testing.T) {
		t.Parallel()
		b, g := begin(t, 60)
		for id := 1; id <= 8; id++ {
			b.exec(fmt.Sprintf("DELETE FROM salesforce.account WHERE id = %d", id))
			b.drain()
		}
		b.restart(guarded(g)) // which must not forget what was sent
		for id := 9; id <= 20; id++ {
			b.exec(fmt.Sprintf("DELETE FROM salesforce.account WHERE id = %d", id))
			b.now()
			b.drain()
		}
		b.wantDone("deletes", 10, sentDeletes)
		b.wantDone("held", 10, stillNew)
	})

	t.Run("ShareOfLargeTables", func(t *testing.T) {
		t.Parallel()
		b, _ := begin(t, 1000)
		b.exec("ANALYZE salesforce.account")
		b.exec("DELETE FROM salesforce.account WHERE id <= 50")
		b.drain()
		b.wantDone("deletes", 50, sentDeletes)
		b.exec("DELETE FROM salesforce.account WHERE id = 51")
		b.drain()
		b.wantDone("one too many", 50, sentDeletes)
	})

	t.Run("MassUpdate", func(t *testing.T) {
		t.Parallel()
		b, g := begin(t, 60)
		b.exec("UPDATE salesforce.account SET industry = 'x' WHERE id <= 20")
		b.drain()
		b.wantDone("as many as may", 20, sentUpdates)
		b.restart(guarded(g))
		b.exec("UPDATE salesforce.account SET industry = 'y'")
		b.drain()
		b.wantDone("more", 20, sentUpdates)
		b.wantDone("held", 60, stillNew)
		b.approve(g)
		b.drain()
		b.wantDone("approved", 80, sentUpdates)
	})
}

// Two automations that undo each other cost a few calls, not all of them; the
// record is parked, others go on, and a retry is heard (faults 61 and 80).
func TestPingPong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("INSERT INTO salesforce.account (name, industry) VALUES ('loops', 'ours'), ('other', 'ours')")
	b.drain()
	turn := func() {
		b.hex("UPDATE salesforce.account SET industry = 'theirs' WHERE name = 'loops'")
		b.exec("UPDATE salesforce.account SET industry = 'ours' WHERE name = 'loops'")
		b.drain()
	}
	for range 20 {
		turn()
		if b.one("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'") != "0" {
			break // the app would see theirs now
		}
	}
	b.wantDone("sent", 6, sentUpdates)
	b.want("code", b.one("SELECT _hc_err::jsonb ->> 'code' FROM salesforce.account WHERE name = 'loops'"), CodePingPong)
	b.want("fields", b.one("SELECT _hc_err::jsonb ->> 'fields' FROM salesforce.account WHERE name = 'loops'"), `["Industry"]`)
	for range 10 { // nobody has told them
		turn()
	}
	for n, entry := range strings.Fields(b.list("SELECT replace(substring(sf_message FROM '\\d+ times within \\d+ seconds?'), ' ', '_') FROM salesforce._trigger_log WHERE state = 'FAILED' ORDER BY id")) {
		if !strings.HasPrefix(entry, fmt.Sprint(n+6, "_times_within_")) {
			t.Errorf("refusal %d says %q", n, entry)
		}
	}
	for d, want := range map[time.Duration]string{0: "1 second", 119 * time.Second: "119 seconds", turnsWithin: "10 minutes"} {
		b.want("in words", inWords(d), want)
	}
	b.wantDone("no more of them", 6, sentUpdates)
	b.exec("UPDATE salesforce.account SET industry = 'else' WHERE name = 'other'")
	b.drain()
	b.wantDone("others go on", 7, sentUpdates)
	if _, err := Ignore(b.Context(), b.pool, testSchema, nil); err != nil {
		t.Fatal(err)
	}
	turn()
	b.wantDone("a new change is refused, too", 7, sentUpdates)
	if _, err := Retry(b.Context(), b.pool, testSchema, nil); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.wantDone("retried", 8, sentUpdates)
}

// What Salesforce rounds, and an app that changes its mind, are no loop.
func TestNoPingPong(t *testing.T) {
	t.Parallel()
	for name, turn := range map[string]string{
		"rounded": "UPDATE salesforce.account SET annualrevenue = %d + 0.123; BEGIN; SELECT set_config('xmlbinary', 'hex', true); UPDATE salesforce.account SET annualrevenue = %[1]d; COMMIT",
		"toggled": "UPDATE salesforce.account SET active__c = (%d %% 2 = 0)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec("INSERT INTO salesforce.account (name) VALUES ('one')")
			b.drain()
			for n := range 20 {
				b.exec(fmt.Sprintf(turn, n))
				b.drain()
			}
			b.wantDone("sent", 20, sentUpdates)
		})
	}
}
