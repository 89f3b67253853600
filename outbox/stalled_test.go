package outbox

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Where nothing can be written down, somebody is told soon, and that it goes on.
func TestStalledIsTold(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []error
	last := func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(told) == 0 {
			return errors.New("nothing is told")
		}
		return told[len(told)-1]
	}
	b := setup(t)
	b.apart(nil, func(c *Config) {
		c.IdlePoll, c.Backoff = 10*time.Millisecond, func(int) time.Duration { return 10 * time.Millisecond }
		c.Stalled = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
		}
	})
	stop := b.runs()
	defer stop()
	b.exec(`ALTER TABLE salesforce._trigger_log_archive RENAME TO elsewhere;
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'worker' AND datname = current_database()`) // new connections know no statement
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	eventually(t, "it is told", func() bool {
		e, ok := errors.AsType[*pgconn.PgError](last())
		return ok && e.Code == "42P01" && strings.Contains(e.Message, "_trigger_log_archive")
	})
	b.exec(`ALTER TABLE salesforce.elsewhere RENAME TO _trigger_log_archive`)
	eventually(t, "it goes on", func() bool { return last() == nil })
	b.want("log", b.live(), "")
	b.want("calls", b.sf.sent(), "insert Account 1")
	stop()
}
