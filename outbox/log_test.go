package outbox

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// An id that was drawn before others and is committed after they were sent is
// sent too (fault 81).
func TestLateCommit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2 * glanceMost} { // a short log is read in another way
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			late, err := b.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			insert := `INSERT INTO salesforce.account (name) SELECT $1 FROM generate_series(1, $2::int)`
			if _, err := late.Exec(t.Context(), insert, "late", n); err != nil {
				t.Fatal(err)
			}
			b.exec(insert, "soon", 1)
			b.drain()
			b.want("first", b.sf.sent(), "insert Account 1")
			if err := late.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.drain()
			b.want("ids", b.list(`SELECT concat_ws('|', min(id), max(id), state, "values"::hstore->'name') FROM salesforce._trigger_log_archive GROUP BY state, "values"::hstore->'name' ORDER BY min(id)`),
				fmt.Sprintf("1|%d|SUCCESS|late %d|%d|SUCCESS|soon", n, n+1, n+1))
		})
	}
}

// A sequence that caches ids, is narrow, or was left behind by a restore is put
// right at the start (fault 82).
func TestSequenceIsPutRight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO salesforce.account (name) SELECT i FROM generate_series(1, 5) AS i`)
	b.drain()
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('waits')`)
	for _, spoil := range []string{
		`ALTER SEQUENCE salesforce._trigger_log_id_seq CACHE 32`,
		`ALTER SEQUENCE salesforce._trigger_log_id_seq AS integer MAXVALUE 2147483647`,
		`SELECT setval('salesforce._trigger_log_id_seq', 1, false)`,
		`UPDATE salesforce._trigger_log_archive SET id = 3000000000 WHERE id = 1; SELECT setval('salesforce._trigger_log_id_seq', 2)`,
	} {
		b.exec(spoil)
		b.install(testTables())
		b.want(spoil, b.one(`SELECT concat_ws('|', data_type, cache_size, max_value, last_value >= (SELECT max(id) FROM (SELECT id FROM salesforce._trigger_log UNION ALL SELECT id FROM salesforce._trigger_log_archive) AS l)) FROM pg_sequences WHERE sequencename = '_trigger_log_id_seq'`),
			"bigint|1|9223372036854775807|t")
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('another')`)
	}
}

// A transaction that has been open for long, and with it an old snapshot, holds
// nothing up (fault 83).
func TestOldSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, err := b.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Rollback(context.WithoutCancel(t.Context())) }()
	var n int
	if err := old.QueryRow(t.Context(), `SELECT count(*) FROM salesforce.account`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(t.Context(), `INSERT INTO salesforce."user" (name) VALUES ('holds an xid')`); err != nil {
		t.Fatal(err)
	}
	b.exec(`INSERT INTO salesforce.account (name) SELECT i FROM generate_series(1, 500) AS i; UPDATE salesforce.account SET industry = 'x'`)
	b.drain()
	b.want("sent", b.one(`SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'`), "1000")
}

// Nothing that is stored depends on transaction ids, which a restore or an
// upgrade makes those of a future (fault 101).
func TestTransactionIDsOfTheFuture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b'); UPDATE salesforce.account SET name = 'c' WHERE id = 1; UPDATE salesforce._trigger_log SET txid = 9000000000000000000 - id, processed_tx = 9000000000000000000`)
	b.exec(`DELETE FROM salesforce.account WHERE id = 2`)
	b.restart(merged)
	b.drain()
	b.want("left", b.live(), "")
	b.want("records", b.one(`SELECT count(*) FROM salesforce.account WHERE sfid IS NOT NULL`), "1")
}

// hole is a connection from which nothing comes any more once it is shut, and
// no error either.
type hole struct {
	net.Conn
	shut *atomic.Bool
}

func (h hole) Read(p []byte) (int, error) {
	for {
		n, err := h.Conn.Read(p)
		if err != nil || !h.shut.Load() {
			return n, err //nolint:wrapcheck // it is the connection
		}
	}
}

// A listener whose connection is dead on the other side finds out, and listens
// anew (fault 85).
func TestHalfOpenListener(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shut := &atomic.Bool{}
	var connections atomic.Int64
	l := NewListener(func(ctx context.Context) (*pgx.Conn, error) {
		cfg := b.pool.Config().ConnConfig.Copy()
		mine := &atomic.Bool{}
		if connections.Add(1) == 1 {
			mine = shut
		}
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return hole{conn, mine}, err
		}
		return pgx.ConnectConfig(ctx, cfg)
	}, Channel(testSchema), zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "healthy", l.Healthy)
	before := connections.Load()
	shut.Store(true)
	began := time.Now()
	for connections.Load() == before || !l.Healthy() {
		if time.Since(began) > heartbeatEvery+2*answerWithin+10*time.Second {
			t.Fatal("a dead connection is not noticed")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for len(l.Wake()) > 0 {
		<-l.Wake()
	}
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	select {
	case <-l.Wake():
	case <-time.After(10 * time.Second):
		t.Error("not woken")
	}
}
