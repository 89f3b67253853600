package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Whoever writes to the log wakes the bridge: the app's statements, the capture
// functions, and a user by hand. Of transactions that are open at once the first
// does, so that the others' commits need not queue up behind its own (fault 84).
func TestWake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ear, err := pgx.Connect(t.Context(), b.pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close(context.WithoutCancel(t.Context())) }()
	if _, err := ear.Exec(t.Context(), "LISTEN "+ident(Channel(testSchema))); err != nil {
		t.Fatal(err)
	}
	// heard counts what came before a notification of our own.
	heard := func() (n int) {
		t.Helper()
		if _, err := b.pool.Exec(t.Context(), "SELECT pg_notify($1, 'end')", Channel(testSchema)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			got, err := ear.WaitForNotification(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got.Payload == "end" {
				return n
			}
			n++
		}
	}
	for _, sql := range []string{
		`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`,
		`UPDATE salesforce.account SET name = 'c'`,
		`UPDATE salesforce.account SET name = 'd' WHERE id = (SELECT min(id) FROM salesforce.account)`,
		`SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`,
		`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`,
		`DELETE FROM salesforce.account`,
		`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) VALUES ('NEW', 'UPDATE', 'account', 1)`,
	} {
		b.exec(sql)
		if n := heard(); n != 1 {
			t.Errorf("%d notifications of %s", n, sql)
		}
	}
	b.exec(`UPDATE salesforce.account SET name = 'nobody' WHERE id < 0`)
	b.hex(`INSERT INTO salesforce.account (name) VALUES ('e')`)
	if n := heard(); n != 0 {
		t.Errorf("%d notifications of nothing", n)
	}

	var open []pgx.Tx
	for _, name := range []string{"first", "second"} {
		tx, err := b.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `INSERT INTO salesforce.account (name) VALUES ($1)`, name); err != nil {
			t.Fatal(err)
		}
		open = append(open, tx)
	}
	for i, want := range []int{1, 0} {
		if err := open[i].Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := heard(); n != want {
			t.Errorf("%d notifications of transaction %d, want %d", n, i+1, want)
		}
	}
}
