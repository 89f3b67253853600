package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/config"
	"hcbridge/test/pgtest"
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

// However much there is to do at once, the bridge takes six connections and leaves
// the others to the app; the rest of it waits and is served (fault 92).
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	watch := pgtest.Open(t, url)
	pool, err := OpenPool(t.Context(), &config.Config{DatabaseURL: config.Secret(url)})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var wg sync.WaitGroup
	let := make(chan struct{})
	var held atomic.Int64
	for range 40 {
		wg.Go(func() {
			if err := pool.AcquireFunc(t.Context(), func(*pgxpool.Conn) error {
				held.Add(1)
				<-let
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); held.Load() < 6 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // a seventh would come by then
	var n int
	if err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if held.Load() != 6 || n != 6 {
		t.Errorf("%d in use of %d connections, want 6", held.Load(), n)
	}
	close(let)
	wg.Wait()
	if held.Load() != 40 {
		t.Errorf("%d of 40 were served", held.Load())
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
