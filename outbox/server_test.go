package outbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/test/pgtest"
)

// apart gives the worker a pool of its own, named "worker" in pg_stat_activity,
// and through dial if it is not nil.
func (b *bundle) apart(dial pgconn.DialFunc, change ...func(*Config)) {
	b.Helper()
	cfg := b.pool.Config()
	cfg.ConnConfig.RuntimeParams["application_name"] = "worker"
	if dial != nil {
		cfg.ConnConfig.DialFunc = dial
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // so that each request has its text
	}
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	doomed := *b
	doomed.pool = pool
	doomed.restart(change...)
	b.worker = doomed.worker
}

// runs is a Run in the background, until the returned function is called.
func (b *bundle) runs() (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- b.worker.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// severance cuts a connection at the n-th request to the server from now on that
// holds a text: before the server gets it, or after the server has carried it out
// and before anybody hears of that.
type severance struct {
	mu     sync.Mutex
	text   []byte
	left   int // requests until the cut; it is over below 0
	before bool
}

func (s *severance) arm(n int, before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.before = n, before
}

// over reports whether the cut has happened.
func (s *severance) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left < 0
}

func (s *severance) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &severed{Conn: conn, by: s}, err
}

type severed struct {
	net.Conn
	by   *severance
	dead atomic.Bool
}

func (c *severed) Write(p []byte) (int, error) {
	c.by.mu.Lock()
	cut := false
	if bytes.Contains(p, c.by.text) && c.by.left >= 0 {
		c.by.left--
		cut = c.by.left < 0
	}
	before := c.by.before
	c.by.mu.Unlock()
	if cut && before {
		_ = c.Close()
		return 0, io.ErrClosedPipe
	}
	c.dead.Store(cut || c.dead.Load())
	return c.Conn.Write(p)
}

func (c *severed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p) // the server answers when it has committed
	if c.dead.Load() {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Whatever request to Postgres is cut off, before or after it took effect, the
// worker does not know which, and neither loses nor repeats anything: a claim that
// may have been committed is taken back before it is made again, and an answer of
// Salesforce is kept until it is known to be written (fault 88).
func TestCommitsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		for _, text := range []string{"state = 'PENDING'", "noted AS", "commit"} {
			t.Run(fmt.Sprintf("%s/before %t", text, before), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				cut := &severance{text: []byte(text), left: -1}
				b.apart(cut.dial, withExternalID)
				for n := 0; ; n++ {
					if n > 100 {
						t.Fatal("there is no end")
					}
					cut.arm(n, before)
					b.exec(fmt.Sprintf(`INSERT INTO salesforce.account (name) VALUES ('plain %d'); UPDATE salesforce.account SET industry = 'i%[1]d';
						INSERT INTO salesforce.account (name, external_id__c) VALUES ('key %[1]d', 'k%[1]d');
						INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('c', 'k%[1]d'); DELETE FROM salesforce.account WHERE name = 'key %d'`, n, n-1))
					eventually(t, "all is sent", func() bool {
						_, _ = b.worker.RunOnce(t.Context())
						return b.live() == ""
					})
					if !cut.over() {
						break
					}
				}
				b.want("left over", b.one(`SELECT count(*) FROM salesforce.account WHERE sfid IS NULL OR _hc_err IS NOT NULL`), "0")
				b.want("records", fmt.Sprint(b.sf.count("Account")), b.one(`SELECT count(*) FROM salesforce.account`))
				b.want("children", fmt.Sprint(b.sf.count("Contact")), b.one(`SELECT count(*) FROM salesforce.contact`))
				sent := 0
				for _, c := range b.sf.calls {
					sent += len(c.Records)
				}
				b.want("sent as often as captured", fmt.Sprint(sent), b.one(`SELECT count(*) FROM salesforce._trigger_log_archive`))
			})
		}
	}
}

// A server that crashes and comes back, again and again, while apps write and the
// worker sends: what was committed is in Salesforce once (fault 88).
func TestServerCrashes(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Options{})
	url, err := server.CreateDatabase(t.Context(), "crashes")
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{TB: t, pool: pgtest.Open(t, url), sf: newFakeOrg()}
	b.exec(testDDL)
	b.install(testTables())
	b.apart(nil, func(c *Config) { c.IdlePoll = 10 * time.Millisecond })
	stop := b.runs()
	defer stop()
	var writers sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// An app hears of a crash too, and not always what became of its commit.
				_, _ = b.pool.Exec(ctx, `INSERT INTO salesforce.account (name) VALUES ($1)`, fmt.Sprintf("%d of %d", n, w))
				_, _ = b.pool.Exec(ctx, `UPDATE salesforce.account SET industry = $2 WHERE name = $1`, fmt.Sprintf("%d of %d", n-1, w), fmt.Sprint(n))
			}
		})
	}
	random := rand.New(rand.NewPCG(88, 0))
	for range 10 {
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond) // the moment of the crash
		if err := server.Stop(pgtest.Immediate); err != nil {
			t.Fatal(err)
		}
		if err := server.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	writers.Wait()
	eventually(t, "all is sent", func() bool {
		var left int
		err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM salesforce._trigger_log`).Scan(&left)
		return err == nil && left == 0
	})
	stop()
	b.want("left over", b.one(`SELECT count(*) FROM salesforce.account WHERE sfid IS NULL OR _hc_err IS NOT NULL`), "0")
	b.want("records", fmt.Sprint(b.sf.count("Account")), b.one(`SELECT count(DISTINCT sfid) FROM salesforce.account`))
	for id, record := range b.sf.records {
		b.want("row of "+id, b.one(`SELECT concat(name, '|', coalesce(industry, '<nil>')) FROM salesforce.account WHERE sfid = $1`, id), fmt.Sprintf("%v|%v", record["Name"], record["Industry"]))
	}
	t.Logf("%s rows, %d calls", b.one(`SELECT count(*) FROM salesforce.account`), len(b.sf.calls))
}

// The worker's sessions are ended by somebody, all of them and all the time: it
// goes on, and no app is told of it (fault 87).
func TestSessionsEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.apart(nil, func(c *Config) { c.IdlePoll = 10 * time.Millisecond })
	b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
		time.Sleep(5 * time.Millisecond) // a call takes its time, and sessions end meanwhile
		return nil, nil, false
	})
	stop := b.runs()
	defer stop()
	random := rand.New(rand.NewPCG(87, 0))
	ended := 0
	for n := 0; ended < 60; n++ {
		if n > 500 {
			t.Fatalf("the worker has had only %d sessions", ended)
		}
		b.exec(fmt.Sprintf(`INSERT INTO salesforce.account (name) VALUES ('a%d'); UPDATE salesforce.account SET industry = 'i%[1]d' WHERE id %% 7 = %[1]d %% 7`, n))
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		var some int
		if err := b.pool.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'worker'`).Scan(&some); err != nil {
			t.Fatal(err)
		}
		ended += some
	}
	for deadline := time.Now().Add(time.Minute); b.live() != ""; time.Sleep(10 * time.Millisecond) { // ordered changes are many calls
		if time.Now().After(deadline) {
			t.Fatal("never: all is sent")
		}
	}
	stop()
	b.want("left over", b.one(`SELECT count(*) FROM salesforce.account WHERE sfid IS NULL OR _hc_err IS NOT NULL`), "0")
	b.want("no twin", fmt.Sprint(b.sf.count("Account")), b.one(`SELECT count(*) FROM salesforce.account`))
	for id, record := range b.sf.records {
		b.want("row of "+id, b.one(`SELECT concat(name, '|', coalesce(industry, '<nil>')) FROM salesforce.account WHERE sfid = $1`, id), fmt.Sprintf("%v|%v", record["Name"], record["Industry"]))
	}
}

// fullDisk makes a table refuse what grows it, with the error of a server whose
// disk is full. The app's appends to the log go on: they are not what is tried here.
const fullDisk = `CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
	CREATE TRIGGER full_disk BEFORE UPDATE OR DELETE ON salesforce.%s FOR EACH STATEMENT EXECUTE FUNCTION public.full();`

// On a disk that is full nothing is sent that could not be claimed, an answer that
// cannot be written down is kept and not asked for again, no row is blamed, and the
// tries grow rare; with space again everything goes on by itself (fault 91).
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]struct {
		table string // that cannot grow
		sent  bool   // when it is found full, the call has been made
		calls string
	}{
		"before the claim":        {"_trigger_log", false, ""},
		"before the answer":       {"_trigger_log", true, "insert Account 1"},
		"for the row of a record": {"account", true, "insert Account 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var waits []int
			b.restart(func(c *Config) {
				c.IdlePoll = time.Millisecond
				c.Backoff = func(n int) time.Duration {
					b.sf.Lock()
					defer b.sf.Unlock()
					waits = append(waits, n)
					return time.Millisecond
				}
			})
			if when.sent {
				b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
					b.exec(fmt.Sprintf(fullDisk, when.table))
					return nil, nil, false
				})
			} else {
				b.exec(fmt.Sprintf(fullDisk, when.table))
			}
			stop := b.runs()
			defer stop()
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			eventually(t, "several tries", func() bool { b.sf.Lock(); defer b.sf.Unlock(); return len(waits) >= 5 })
			b.want("calls", b.sf.sent(), when.calls)
			b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err, sfid) FROM salesforce.account`), "PENDING")
			b.sf.script(nil)
			b.exec(`DROP FUNCTION public.full() CASCADE`)
			eventually(t, "sent", func() bool { return b.live() == "" })
			stop()
			b.want("calls", b.sf.sent(), "insert Account 1")
			b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err, sfid) FROM salesforce.account`), "INSERTED|acc000000000001AAA")
			for i, n := range waits {
				if n != i+1 {
					t.Fatalf("waits are for the failures %v: they do not grow", waits)
				}
			}
		})
	}
}

// While Salesforce takes its time, however long, no connection is held and no
// transaction is open, not even by what comes before and after the call; apps write
// and others read meanwhile (fault 78).
func TestNothingIsHeldDuringACall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.apart(nil, withExternalID)
	ops := map[Op]int{}
	b.sf.script(func(ctx context.Context, c Call) ([]Outcome, error, bool) {
		ops[c.Op]++
		if n := b.worker.pool.(*pgxpool.Pool).Stat().AcquiredConns(); n != 0 {
			t.Errorf("%s: %d connections are held", c.Op, n)
		}
		var open int
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'worker' AND state <> 'idle'`).Scan(&open); err != nil {
			return nil, fmt.Errorf("open transactions: %w", err), false
		}
		if open != 0 {
			t.Errorf("%s: %d sessions are busy or in a transaction", c.Op, open)
		}
		// An app writes the very rows that travel, and nobody waits.
		err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'; UPDATE salesforce.account SET industry = 'while ' || id WHERE industry IS NULL`)
			return err
		})
		if err != nil {
			t.Errorf("an app waits for a call: %v", err)
		}
		return nil, nil, false
	})
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('plain'); INSERT INTO salesforce.account (name, external_id__c) VALUES ('key', 'x')`)
	b.drain()
	b.exec(`UPDATE salesforce.account SET name = 'b' WHERE name = 'plain'; DELETE FROM salesforce.account WHERE name = 'key'`)
	b.drain()
	if len(ops) != 4 || b.live() != "" {
		t.Errorf("calls %v, log %q", ops, b.live())
	}
}

// A process that stands still in the middle of writing an answer down, as in a
// machine that is suspended, keeps apps from the rows it has locked for seconds only.
// When it goes on it finds its session ended, and writes the answer all the same
// (faults 87 and 103).
func TestStandsStill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	locked, goOn := make(chan struct{}), make(chan struct{})
	still := sync.OnceFunc(func() {
		close(locked)
		<-goOn
	})
	b.apart(nil, func(c *Config) {
		c.IdlePoll = 10 * time.Millisecond
		c.Settle = func(context.Context, pgx.Tx, []Settled) error { return nil }
		c.Spent = func(*pgx.Batch) { still() }
	})
	stop := b.runs()
	defer stop()
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	<-locked
	began := time.Now()
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SET LOCAL lock_timeout = '20s'; UPDATE salesforce.account SET industry = 'i'`)
		return err
	})
	close(goOn)
	if err != nil {
		t.Fatalf("the app after %s: %v", time.Since(began), err)
	}
	t.Logf("the app waited for %s", time.Since(began))
	eventually(t, "sent", func() bool { return b.live() == "" })
	stop()
	b.want("calls", b.sf.sent(), "insert Account 1, update Account 1")
	b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err, sfid) FROM salesforce.account`), "UPDATED|acc000000000001AAA")
}

// Refusals for load are an outage, not the records' fault: however many calls there
// are to be made, one or two are spent to see that it goes on, and where it is a limit
// no attempt is counted (fault 78).
func TestRefusedForLoad(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]struct {
		f       Failure
		calls   int // of five looks
		retries int
	}{
		"429": {Failure{Class: Limit, Message: "too many requests"}, 5, 0},
		"503": {Failure{Class: Transient, Code: "SERVER_UNAVAILABLE", Message: "server too busy"}, 6, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *Config) {
				c.BatchSize = 1
				c.Backoff = func(int) time.Duration { return time.Hour }
			})
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) { return nil, &as.f, false })
			b.exec(`INSERT INTO salesforce.account (name) SELECT 'a' || n FROM generate_series(1, 50) AS n`)
			for range 5 {
				if _, err := b.worker.RunOnce(t.Context()); !isFailure(err) {
					t.Fatalf("got %v", err)
				}
			}
			b.want("calls", fmt.Sprint(len(b.sf.calls)), fmt.Sprint(as.calls))
			b.want("records that wait", fmt.Sprint(len(b.worker.retries)), fmt.Sprint(as.retries))
			b.sf.script(nil)
			b.restart()
			b.drain()
			b.want("records", fmt.Sprint(b.sf.count("Account")), "50")
			b.want("left over", b.one(`SELECT count(*) FROM salesforce.account WHERE _hc_err IS NOT NULL OR sfid IS NULL`), "0")
		})
	}
}
