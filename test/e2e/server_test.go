package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/test/pgtest"
)

// apps are writers of an app, each with its own rows.
type apps struct {
	r      *rig
	pool   *pgxpool.Pool
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	done   int
	failed []error
	took   []time.Duration
}

// appsFor starts n writers in all levels of isolation.
//
// Two things fail serializable transactions without anybody's fault, and the
// writers do without them: reading a table as a whole, and changing a row that was
// written after one's snapshot. So rows are changed by those who see them settled,
// and serializable ones are found by their place.
func (r *rig) appsFor(n int) *apps {
	r.T.Helper()
	cfg, err := pgxpool.ParseConfig(r.URL)
	r.Must(err)
	cfg.MaxConns = int32(n)
	cfg.ConnConfig.RuntimeParams["enable_seqscan"] = "off" // or it reads all of a small table
	ctx, cancel := context.WithCancel(r.T.Context())
	pool, err := pgxpool.NewWithConfig(r.T.Context(), cfg)
	r.Must(err)
	a := &apps{r: r, pool: pool, cancel: cancel}
	r.T.Cleanup(pool.Close)
	levels := []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}
	for w := range n {
		a.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				err := pgx.BeginTxFunc(context.WithoutCancel(ctx), pool, pgx.TxOptions{IsoLevel: levels[w%len(levels)]}, func(tx pgx.Tx) error {
					return write(context.WithoutCancel(ctx), tx, levels[w%len(levels)], w, i)
				})
				a.note(time.Since(began), err)
				time.Sleep(time.Duration(300+rand.IntN(300)) * time.Millisecond) // an app's pace
			}
		})
	}
	return a
}

// write is one transaction of writer w.
func write(ctx context.Context, tx pgx.Tx, level pgx.TxIsoLevel, w, i int) error {
	var id int64
	var place string
	err := tx.QueryRow(ctx, `INSERT INTO salesforce.contact (lastname, department, external_id__c) VALUES ($1, $2, $3) RETURNING id, ctid::text`,
		fmt.Sprintf("%d of %d", i, w), fmt.Sprint(w), fmt.Sprintf("app-%d-%d", w, i)).Scan(&id, &place)
	if err != nil {
		return err
	}
	if level == pgx.Serializable {
		_, err = tx.Exec(ctx, `UPDATE salesforce.contact SET title = 'same transaction' WHERE ctid = $1::text::tid`, place)
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE salesforce.contact SET title = 'same transaction' WHERE id = $1`, id); err != nil {
		return err
	}
	// The oldest of the writer's rows that the bridge has done with.
	_, err = tx.Exec(ctx, `UPDATE salesforce.contact SET phone = $2 WHERE id = (
		SELECT id FROM salesforce.contact WHERE department = $1 AND _hc_lastop = 'SYNCED' AND (phone IS NULL OR phone <> $2) ORDER BY id LIMIT 1)`, fmt.Sprint(w), fmt.Sprint(i))
	if err != nil || level != pgx.ReadCommitted {
		return err
	}
	// Who reads what is committed may change any row at any time.
	_, err = tx.Exec(ctx, `UPDATE salesforce.contact SET title = $2 WHERE external_id__c = $1`, fmt.Sprintf("app-%d-%d", w, i-1), fmt.Sprint(i))
	return err
}

func (a *apps) note(took time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done++
	a.took = append(a.took, took)
	if err != nil {
		a.failed = append(a.failed, err)
	}
}

// so returns what has happened since the last call.
func (a *apps) so() (done int, longest time.Duration, failed []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	done, longest, failed = a.done, percentile(a.took, 100), a.failed
	a.done, a.took, a.failed = 0, nil, nil
	return done, longest, failed
}

func (a *apps) stop() {
	a.cancel()
	a.wg.Wait()
}

// No transaction of an app fails, and none waits for longer than a row may be held
// by a process that stands still, while the bridge is killed, stopped, continued and
// started again, in the middle of whatever it does; everything arrives afterwards.
func TestAppsOutliveTheBridge(t *testing.T) {
	t.Parallel()
	r := newRig(t, append([]string{"HC_WRITE_ALGORITHM=merged"}, readWrite...)...)
	b := r.Start()
	r.Synced()
	b.End(syscall.SIGTERM)
	a := r.appsFor(12)
	defer a.stop()
	time.Sleep(2 * time.Second) // the writers alone, with capture
	_, alone, failed := a.so()
	if len(failed) > 0 {
		t.Fatalf("without a bridge: %v", errors.Join(failed...))
	}
	rounds := []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGSTOP, syscall.SIGKILL, syscall.SIGSTOP}
	b = r.Start()
	for n, sig := range rounds {
		r.Eventually("the bridge to work", 30*time.Second, func() error {
			if r.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge' AND query ILIKE '%_trigger_log%'`) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
		time.Sleep(time.Duration(500+rand.IntN(500)) * time.Millisecond) // the moment of the end
		switch sig {
		case syscall.SIGSTOP:
			r.Must(b.Cmd.Process.Signal(sig))
			time.Sleep(7 * time.Second) // longer than the lease and than rows are held
			r.Must(b.Cmd.Process.Signal(syscall.SIGCONT))
		default:
			b.End(sig)
			b = r.Start()
		}
		done, longest, failed := a.so()
		t.Logf("round %d, %v: %d transactions, longest %s, alone %s", n, sig, done, longest, alone)
		if len(failed) > 0 {
			t.Errorf("round %d, %v: %d failed: %v", n, sig, len(failed), failed[0])
		}
		if most := 5*time.Second + 4*max(alone, 500*time.Millisecond); longest > most {
			t.Errorf("round %d, %v: a transaction took %s, more than %s", n, sig, longest, most)
		}
		if done == 0 {
			t.Errorf("round %d, %v: nothing was written", n, sig)
		}
	}
	a.stop()
	r.Equal("Contact")
	r.once("Contact", "contact")
	if n := r.Count(`SELECT count(*) FROM salesforce.contact WHERE sfid IS NULL OR _hc_err IS NOT NULL`); n != 0 {
		t.Errorf("%d rows have not arrived", n)
	}
}

// asRole makes the bridge log in as a role of its own, which owns the database.
func (r *rig) asRole() (role string) {
	r.T.Helper()
	u, err := url.Parse(r.URL)
	r.Must(err)
	role = "bridge_" + u.Path[len(u.Path)-12:]
	name := pgx.Identifier{role}.Sanitize()
	r.Exec("CREATE ROLE " + name + " LOGIN PASSWORD 'secret'")
	r.Exec("ALTER DATABASE " + pgx.Identifier{u.Path[1:]}.Sanitize() + " OWNER TO " + name)
	u.User = url.UserPassword(role, "secret")
	r.Env["DATABASE_URL"] = u.String()
	r.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		pool, err := pgxpool.New(ctx, r.URL)
		if err != nil {
			r.T.Error(err)
			return
		}
		defer pool.Close()
		if _, err := pool.Exec(ctx, "REASSIGN OWNED BY "+name+" TO CURRENT_USER; DROP OWNED BY "+name+"; DROP ROLE "+name); err != nil {
			r.T.Error(err)
		}
	})
	return role
}

// counted has the bridge connect through a relay that counts how often it does.
func (r *rig) counted() (attempts func() int64) {
	r.T.Helper()
	u, err := url.Parse(r.Env["DATABASE_URL"])
	r.Must(err)
	server := u.Host
	in, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	r.Must(err)
	r.T.Cleanup(func() { _ = in.Close() })
	u.Host = in.Addr().String()
	r.Env["DATABASE_URL"] = u.String()
	var n atomic.Int64
	go func() {
		for {
			from, err := in.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			go relay(from, server)
		}
	}()
	return n.Load
}

// relay carries bytes both ways until one side ends.
func relay(from net.Conn, server string) {
	defer func() { _ = from.Close() }()
	to, err := net.Dial("tcp", server) //nolint:noctx // at once, or refused
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

// sessions is how many connections the bridge has.
func (r *rig) sessions(role string) int {
	r.T.Helper()
	return r.Count("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", role)
}

// The bridge takes seven connections at the most, whatever there is to do. Where there
// are none left for it, at its start or later, it waits, tries a few times a second and
// no more often, does not end, and does what has piled up when there are some again
// (fault 92).
func TestNoConnectionsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	role := r.asRole()
	attempts := r.counted()
	limit := func(n int) {
		r.Exec(fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", pgx.Identifier{role}.Sanitize(), n))
	}
	limit(0)
	b := r.Start()
	r.Eventually("a refusal", 20*time.Second, func() error {
		if !strings.Contains(b.Log.String(), "too many connections") {
			return errors.New("none")
		}
		return nil
	})
	limit(-1)
	r.Synced()

	most := 0
	for i := range 100 {
		r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $1)", fmt.Sprint(i))
		r.Insert("Account", map[string]any{"Name": fmt.Sprint(i)})
		most = max(most, r.sessions(role))
	}
	r.Equal("Account", "Contact")
	if most > 7 {
		t.Errorf("%d connections", most)
	}

	limit(0)
	r.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
	before, began := attempts(), time.Now()
	for i := range 20 {
		r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $1)", fmt.Sprintf("meanwhile %d", i))
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("meanwhile %d", i)})
		time.Sleep(400 * time.Millisecond) // longer than the lease in all
	}
	if n := r.sessions(role); n != 0 {
		t.Errorf("%d connections beyond the limit", n)
	}
	select {
	case <-b.Done:
		t.Fatal("the bridge has ended")
	default:
	}
	n, took := attempts()-before, time.Since(began)
	t.Logf("%d connections at the most, %d attempts in %s without any", most, n, took)
	if n > int64(8*took.Seconds()) || n == 0 {
		t.Errorf("%d attempts in %s", n, took)
	}
	limit(-1)
	r.Equal("Account", "Contact")
	r.once("Contact", "contact")
}

// Any session of the bridge may end at any time: of the lease, the listener, what
// sends and what receives. Both directions go on (fault 87).
func TestSessionsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	r.Raced()
	r.Start()
	r.Synced()
	ended := 0
	for i := 0; ended < 40; i++ {
		if i > 400 {
			t.Fatalf("the bridge has had only %d sessions", ended)
		}
		key := fmt.Sprint(i)
		r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $1)", key)
		r.Insert("Account", map[string]any{"Name": key})
		ended += r.Count("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge' ORDER BY random() LIMIT 3) AS chosen")
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	}
	r.Equal("Account", "Contact")
	r.once("Contact", "contact")
}

// After a fail-over to a standby that has not got the last commits, Salesforce has
// what Postgres has forgotten: records whose rows are not sent, answers, positions.
// Upserts adopt what is there, updates say the same again, inbound changes come
// again, and what was sent without a key and is known to have been is looked for
// (fault 89).
func TestLostCommits(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c", "HC_OBJECT_CONTACT_ACCESS=read_write",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Industry,External_Id__c", "HC_OBJECT_CONTACT_FIELDS=LastName,Title", "HC_POLL_INTERVAL=2s")
	old := r.Insert("Account", map[string]any{"Name": "old", "External_Id__c": "old"})
	b := r.Start()
	r.Synced()
	r.Equal("Account", "Contact")
	b.End(syscall.SIGKILL)
	r.Exec(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'new ' || n, 'key ' || n FROM generate_series(1, 20) AS n`)
	r.Exec(`UPDATE salesforce.account SET industry = 'Banking' WHERE external_id__c = 'old'`)
	r.Exec(`INSERT INTO salesforce.contact (lastname) SELECT 'plain ' || n FROM generate_series(1, 20) AS n`)
	b = r.Start()
	// The standby has got the claims, and nothing of what came after.
	r.Eventually("everything sent", 60*time.Second, func() error {
		if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log`); n > 0 {
			return fmt.Errorf("%d entries are left", n)
		}
		return nil
	})
	r.Insert("Account", map[string]any{"Name": "theirs", "External_Id__c": "theirs"})
	r.arrived("account", 22)
	b.End(syscall.SIGKILL)
	r.Exec(`DO $$ BEGIN
		SET LOCAL session_replication_role = replica;
		INSERT INTO salesforce._trigger_log (id, txid, created_at, updated_at, processed_at, state, action, table_name, record_id, sfid, old, "values")
			SELECT id, txid, created_at, updated_at, processed_at, 'PENDING', action, table_name, record_id, CASE action WHEN 'UPDATE' THEN sfid END, old, "values" FROM salesforce._trigger_log_archive;
		DELETE FROM salesforce._trigger_log_archive;
		UPDATE salesforce.account SET sfid = NULL, systemmodstamp = NULL, _hc_lastop = 'PENDING' WHERE external_id__c LIKE 'key %';
		UPDATE salesforce.contact SET sfid = NULL, systemmodstamp = NULL, _hc_lastop = 'PENDING';
		DELETE FROM salesforce.account WHERE external_id__c = 'theirs';
		DELETE FROM hcbridge.mark;
		UPDATE hcbridge.object SET poll_mark = poll_mark - interval '1 hour', late_mark = late_mark - interval '1 hour';
		END $$`)
	r.Start()
	r.Equal("Account", "Contact")
	r.once("Account", "account")
	if n, m := len(r.SF.Records("Account")), len(r.SF.Records("Contact")); n != 22 || m != 20 {
		t.Errorf("%d accounts and %d contacts, want 22 and 20", n, m)
	}
	if record, _ := r.SF.Get("Account", old); r.value("Account", record, "Industry") != "Banking" {
		t.Error("the update is gone")
	}
}

// A server that stops and comes back, in the middle of both directions (fault 88).
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Options{})
	address, err := server.CreateDatabase(t.Context(), "restarts")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, readWrite...)
	r.URL, r.Env["DATABASE_URL"] = address, address
	r.Pool = pgtest.Open(t, address)
	r.Start()
	r.Synced()
	for n := range 5 {
		for i := range 40 {
			key := fmt.Sprintf("%d of %d", i, n)
			r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $1)", key)
			r.Insert("Account", map[string]any{"Name": key})
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // the moment of the crash
		r.Must(server.Stop(pgtest.Immediate))
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("meanwhile %d", n)})
		r.Must(server.Resume(t.Context()))
		r.Eventually("a connection", 20*time.Second, func() error { return r.Pool.Ping(t.Context()) })
	}
	r.Equal("Account", "Contact")
	r.once("Contact", "contact")
}
