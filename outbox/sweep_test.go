package outbox

import (
	"testing"
	"time"
)

// A burst leaves nothing behind that later looks at the log would have to walk; and
// nothing waits for whoever works on the table meanwhile.
func TestSweep(t *testing.T) {
	t.Parallel()
	b := setup(t, merged)
	b.exec("ALTER TABLE salesforce._trigger_log SET (autovacuum_enabled = off)")
	b.accounts(1)
	burst := func() {
		b.exec(`INSERT INTO salesforce._trigger_log (txid, state, action, table_name, record_id, sfid, old, "values")
			SELECT 1, 'NEW', 'UPDATE', 'account', 1, 'acc000000000001AAA', '"name"=>"a"', '"name"=>"' || n || '"' FROM generate_series(1, $1::int) AS n`, sweepFrom)
	}
	until := func(what, sql, want string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); b.one(sql) != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, want %s", what, b.one(sql), want)
			}
		}
	}
	sweeps := "SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 'salesforce._trigger_log'::regclass"
	stop := b.runs()
	defer stop()
	until("sweeps of what another process left", sweeps, "1")
	burst()
	until("sweeps", sweeps, "2")
	until("dead entries", "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = 'salesforce._trigger_log'::regclass", "0")
	stop()

	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE salesforce._trigger_log IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	stop = b.runs()
	defer stop()
	burst()
	until("entries", "SELECT count(*) FROM salesforce._trigger_log", "0")
	burst() // what comes next is sent, too
	until("entries", "SELECT count(*) FROM salesforce._trigger_log", "0")
	stop()
	if n := b.one(sweeps); n != "2" {
		t.Errorf("%s sweeps, want 2", n)
	}
}
