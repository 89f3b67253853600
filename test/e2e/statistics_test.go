package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A log that was counted when it was empty, as autovacuum does it, is counted anew when
// there is much in it, and what a process before has left is vacuumed.
func TestLogIsCountedAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_LOG_LEVEL=debug")
	for i := range 300 {
		r.Insert("Account", map[string]any{"Name": fmt.Sprint(i)})
	}
	b := r.Start()
	r.Synced()
	r.Until("the log to be vacuumed", 20*time.Second, func() error {
		if !strings.Contains(b.Log.String(), `"event":"swept"`) {
			return errors.New("it is not")
		}
		return nil
	})
	for line := range strings.Lines(b.Log.String()) {
		if strings.Contains(line, `"event":"swept"`) && strings.Contains(line, `"error"`) {
			t.Errorf("swept: %s", line)
		}
	}
	if n := r.Count("SELECT vacuum_count FROM pg_stat_user_tables WHERE relid = 'salesforce._trigger_log'::regclass"); n != 1 {
		t.Errorf("%d vacuums of the log, want 1", n)
	}
	r.Exec("ALTER TABLE salesforce._trigger_log SET (autovacuum_enabled = off)")
	r.Exec("INSERT INTO salesforce._trigger_log (state, table_name) SELECT 'none', 'none' FROM generate_series(1, 2000)")
	r.Exec("DELETE FROM salesforce._trigger_log")
	r.Exec("VACUUM (TRUNCATE FALSE) salesforce._trigger_log")
	counted := func() int {
		return r.Count("SELECT reltuples::int FROM pg_class WHERE oid = 'salesforce._trigger_log'::regclass")
	}
	if n := counted(); n != 0 {
		t.Fatalf("%d entries are counted in an empty log", n)
	}
	r.Exec("UPDATE salesforce.account SET site = 's'")
	r.Equal("Account")
	if n := counted(); n == 0 {
		t.Error("Postgres still takes the log for empty")
	}
}
