package bridge

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// A primary that became read only, as one that another has taken over from, is
// left: every connection is replaced, so that the next ones find the new primary,
// and the lease can be taken again without a restart (fault 90).
func TestLeaseLeavesAReadOnlyServer(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	admin, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	readOnly := func(value string) {
		t.Helper()
		_, err := admin.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+value+`', current_database()); END $$`)
		if err != nil {
			t.Fatal(err)
		}
	}

	l := newLease(pool, "salesforce")
	readOnly("on") // for connections made from now on, as those to a standby
	pool.Reset()
	if _, err := l.take(t.Context()); err == nil {
		t.Fatal("the lease was taken on a read-only server")
	}
	readOnly("off") // as a name that leads to the new primary
	if ok, err := l.take(t.Context()); err != nil || !ok {
		t.Errorf("the lease on the new primary: %t, %v", ok, err)
	}
}
