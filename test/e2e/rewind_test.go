package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// Postgres ends as in a crash, and with it goes what was applied but not yet on
// disk: rows and positions together. The stream must begin again where the table
// stands. Polls are a day apart, so nothing else would bring the change. A bridge
// that trusts what it remembers of its own commits loses it.
func TestPostgresLosesItsLastMoment(t *testing.T) {
	t.Parallel()
	r := streamRig(t, org.Options{})
	// Nothing but a commit that waits writes the log for ten seconds.
	server := pgtest.Private(t, pgtest.Options{Settings: map[string]string{"wal_writer_delay": "10s"}})
	url, err := server.CreateDatabase(t.Context(), "rewind")
	r.Must(err)
	r.URL, r.Env["DATABASE_URL"], r.Pool = url, url, pgtest.Open(t, url)
	b := r.Start()
	id := r.streaming()
	lost := func() int { return strings.Count(b.Log.String(), `"database_went_back"`) }
	for n := 1; ; n++ {
		r.set(id, n)
		r.arrives(id, n, 10*time.Second)
		r.Must(server.Stop(pgtest.Immediate))
		r.Must(server.Resume(t.Context()))
		r.Pool.Reset()
		r.arrives(id, n, 20*time.Second)
		r.Eventually("stream", 20*time.Second, func() error {
			if n := r.SF.StreamClients(); n != 1 {
				return fmt.Errorf("%d clients", n)
			}
			return nil
		})
		if lost() > 0 {
			return
		}
		// Another commit, such as the lease's, took the change to the disk.
		if n == 20 {
			t.Fatal("no crash has lost anything, so this shows nothing")
		}
	}
}
