package outbox

import (
	"bytes"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A burst leaves nothing behind that later looks at the log would have to walk; and
// nothing waits for whoever works on the table meanwhile.
func TestSweep(t *testing.T) {
	t.Parallel()
	swept := make(sweeps, 100)
	b := setup(t, merged, func(c *Config) { c.Log = zerolog.New(swept) })
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
	vacuums := "SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 'salesforce._trigger_log'::regclass"
	stop := b.runs()
	defer stop()
	until("sweeps of what another process left", vacuums, "1")
	burst()
	until("sweeps", vacuums, "2")
	until("dead entries", "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = 'salesforce._trigger_log'::regclass", "0")
	stop()
	if size := b.one("SELECT pg_relation_size('salesforce._trigger_log')"); size == "0" {
		t.Error("the log was cut short, for which it has to be locked")
	}
	swept.drop()

	// While somebody else is at work on the table nothing waits, the sweep neither.
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
	swept.await(t)
	burst() // what comes next is sent, too
	until("entries", "SELECT count(*) FROM salesforce._trigger_log", "0")
	stop()
	if n := b.one(vacuums); n != "2" {
		t.Errorf("%s sweeps, want 2", n)
	}
}

// sweeps is a log that passes on each sweep that is over.
type sweeps chan struct{}

func (s sweeps) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"event":"swept"`)) {
		s <- struct{}{}
	}
	return len(line), nil
}

// drop forgets those until now.
func (s sweeps) drop() {
	for len(s) > 0 {
		<-s
	}
}

func (s sweeps) await(t *testing.T) {
	t.Helper()
	select {
	case <-s:
	case <-time.After(20 * time.Second):
		t.Fatal("no sweep came to its end")
	}
}
