package bridge

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What passes by itself is waited out, what a person must change is told (faults 87
// to 92).
func TestTroubleThatPasses(t *testing.T) {
	t.Parallel()
	for code, passes := range map[string]bool{
		"53300": true, "53100": true, "57P01": true, "57P03": true, "08006": true, "40001": true, "55P03": true, "25006": true, "25P03": true,
		"42501": false, "23505": false, "28P01": false, "25P02": false,
	} {
		if got := isDatabaseDown(fmt.Errorf("set up: %w", &pgconn.PgError{Code: code})); got != passes {
			t.Errorf("%s passes by itself: %t", code, got)
		}
	}
}

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
