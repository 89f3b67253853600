package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/test/check"
	"hcbridge/test/freeport"
	"hcbridge/test/org"
	"hcbridge/test/org/truth"
	"hcbridge/test/pgtest"
)

// soon bounds what should be over in a moment, on a machine that does much else.
const soon = 2 * time.Minute

// world is a database, an org, and a bridge between them that can die at any
// effect.
type world struct {
	server *pgtest.Server
	base   string // name of the database
	pool   *pgxpool.Pool
	sf     *org.Server
	log    *truth.Log
	fate   *fate
	pg     *postgresDoor
	http   *salesforceDoor
	env    map[string]string
	app    *check.App
	check  *check.Checker

	objects []string
	n       int // for names that nobody has had

	bridge *exec.Cmd
	gone   chan struct{}
	said   *lines
	status string // address of /readyz
}

// lines is what bridges have logged, the last of it.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 1<<20 {
		l.b.Reset()
	}
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// settings are those of all bridges; scenarios add to them.
var settings = map[string]string{
	"HC_SALESFORCE_CLIENT_ID":         org.DefaultClientID,
	"HC_SALESFORCE_CLIENT_SECRET":     org.DefaultClientSecret,
	"HC_SALESFORCE_USERNAME":          org.DefaultUsername,
	"HC_SALESFORCE_PASSWORD":          org.DefaultPassword,
	"HC_OBJECTS":                      "Account,Contact,Invoice__c",
	"HC_OBJECT_ACCOUNT_ACCESS":        "read_write", // without external id: an insert cannot be repeated
	"HC_OBJECT_ACCOUNT_FIELDS":        "Name,Phone,Industry,External_Id__c",
	"HC_OBJECT_CONTACT_ACCESS":        "read_write",
	"HC_OBJECT_CONTACT_EXTERNAL_ID":   "External_Id__c",
	"HC_OBJECT_CONTACT_FIELDS":        "LastName,Title,AccountId,External_Id__c",
	"HC_OBJECT_INVOICE__C_FIELDS":     "Name,External_Id__c,Account__c,Status__c,Notes__c",
	"HC_POLL_INTERVAL":                "1h", // what a scenario is about is not mended by a poll meanwhile
	"HC_LOG_LEVEL":                    "info",
	"GOMAXPROCS":                      "1",
	"HC_OBJECT_CONTACT_POLL_INTERVAL": "1h",
}

func newWorld(ctx context.Context, server *pgtest.Server, more map[string]string) (w *world, err error) {
	w = &world{server: server, base: "crash_" + strings.ToLower(rand.Text()), fate: &fate{}, said: &lines{}}
	defer func() {
		if err != nil {
			w.close()
			w = nil
		}
	}()
	if w.status, err = freeport.Addr(); err != nil {
		return w, err
	}
	if w.http, err = openSalesforce(w.fate); err != nil {
		return w, err
	}
	w.newOrg()
	address, err := server.CreateDatabase(ctx, w.base)
	if err != nil {
		return w, err
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return w, err
	}
	config.MaxConns = 6
	if w.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return w, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return w, err
	}
	if w.pg, err = openPostgres(u.Host, w.fate); err != nil {
		return w, err
	}
	u.Host = w.pg.Addr().String()
	q := u.Query()
	q.Set("application_name", "hcbridge")
	u.RawQuery = q.Encode()
	w.env = maps.Clone(settings)
	w.env["DATABASE_URL"] = u.String()
	w.env["HC_SALESFORCE_LOGIN_URL"] = w.http.url
	maps.Copy(w.env, more)
	maps.DeleteFunc(w.env, func(_, value string) bool { return value == "" })
	w.objects = strings.Split(w.env["HC_OBJECTS"], ",")
	w.begin()
	return w, nil
}

func (w *world) newOrg() {
	w.sf = org.New(org.Options{DailyLimit: 10_000_000, InstanceURL: w.http.url}).Start()
	w.http.org.Store(w.sf.URL())
	w.log = truth.Listen(w.sf)
}

// renew makes it a world as of the first day: an empty database and a new org. It
// costs a third of another one.
func (w *world) renew(ctx context.Context) error {
	w.end(syscall.SIGKILL)
	w.sf.Close()
	w.newOrg()
	w.said = &lines{}
	if err := w.silent(ctx); err != nil {
		return err
	}
	return w.exec(ctx, `DROP SCHEMA IF EXISTS hcbridge CASCADE; DROP SCHEMA IF EXISTS salesforce CASCADE; DROP FUNCTION IF EXISTS public.get_xmlbinary`)
}

// begin makes a new history: what happened before is over.
func (w *world) begin() {
	w.log.Forget()
	w.app = &check.App{Pool: w.pool, Schema: "salesforce", Mark: map[string]string{"Account": "name", "Contact": "lastname"}, Bridge: "hcbridge", Patience: 2 * time.Second}
	w.check = &check.Checker{Pool: w.pool, Schema: "salesforce", Org: check.Local(w.log), Objects: w.objects, App: w.app}
}

func (w *world) close() {
	w.end(syscall.SIGKILL)
	if w.pool != nil {
		w.pool.Close()
	}
	if w.pg != nil {
		_ = w.pg.Close()
		w.fate.kill()
		w.pg.open.Wait()
	}
	if w.http != nil {
		w.http.close()
	}
	if w.sf != nil {
		w.sf.Close()
	}
	_ = w.server.DropDatabase(context.Background(), w.base) // the server goes soon as well
}

// name is one that nothing in this world has had.
func (w *world) name(kind string) string {
	w.n++
	return fmt.Sprintf("%s %d", kind, w.n)
}

// start starts a bridge. It is ready later, see ready.
func (w *world) start() error {
	w.bridge = exec.Command(program, "run") //nolint:noctx // it is ended by signals
	w.bridge.Env = []string{"HC_HTTP_ADDR=" + w.status, "PATH=" + os.Getenv("PATH")}
	for _, name := range slices.Sorted(maps.Keys(w.env)) {
		w.bridge.Env = append(w.bridge.Env, name+"="+w.env[name])
	}
	w.bridge.Stderr = w.said
	w.bridge.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	w.gone = make(chan struct{})
	if err := w.bridge.Start(); err != nil {
		return err
	}
	w.fate.lives(w.bridge.Process)
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // how it ended is in its state
		close(gone)
	}(w.bridge, w.gone)
	return nil
}

// end ends the bridge, if one runs.
func (w *world) end(sig syscall.Signal) {
	if w.bridge == nil {
		return
	}
	_ = w.bridge.Process.Signal(sig)
	select {
	case <-w.gone:
	case <-time.After(40 * time.Second):
		_ = w.bridge.Process.Kill()
		<-w.gone
	}
	w.bridge = nil
	w.fate.kill() // what is left of its connections
}

// ready waits until the bridge says that both directions flow.
func (w *world) ready(ctx context.Context) error {
	return w.await(ctx, "the bridge to be ready", func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.status+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
}

// await tries until what is waited for is there.
func (w *world) await(ctx context.Context, what string, try func() error) error {
	for began := time.Now(); ; {
		err := try()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Since(began) > soon:
			return fmt.Errorf("%s: not within %s: %w", what, soon, err)
		}
		time.Sleep(15 * time.Millisecond) // others need the processor
	}
}

// is waits until a query answers true.
func (w *world) is(ctx context.Context, sql string, args ...any) error {
	return w.await(ctx, sql, func() error {
		var yes bool
		err := w.pool.QueryRow(ctx, sql, args...).Scan(&yes)
		if err == nil && !yes {
			return errors.New("it is not so")
		}
		return err
	})
}

// exec runs SQL that is not the app's.
func (w *world) exec(ctx context.Context, sql string, args ...any) error {
	_, err := w.pool.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// age lets an hour pass for what a dead bridge has left: its lease is over, and
// what it had sent without an answer cannot take effect any more.
const age = `
	UPDATE hcbridge.lease SET expires_at = clock_timestamp() - interval '1 second';
	UPDATE salesforce._trigger_log SET processed_at = processed_at - interval '1 hour', updated_at = updated_at - interval '1 hour' WHERE state = 'PENDING';
	UPDATE salesforce._trigger_log_attempt SET sent_at = sent_at - interval '1 hour'`

// over ends only the lease.
const over = `UPDATE hcbridge.lease SET expires_at = clock_timestamp() - interval '1 second'`

// revive starts a new bridge after the death of one, and returns what the dead one
// has left that must not be.
func (w *world) revive(ctx context.Context, meanwhile string) ([]check.Violation, error) {
	<-w.gone
	w.bridge = nil
	err := w.silent(ctx)
	if err != nil {
		return nil, err
	}
	var left []check.Violation
	var has bool
	err = w.pool.QueryRow(ctx, `SELECT to_regclass('hcbridge.purse') IS NOT NULL AND to_regclass('salesforce._trigger_log_attempt') IS NOT NULL`).Scan(&has)
	if err == nil && has {
		if err = w.mapped(ctx); err == nil {
			left, err = w.check.Cut(ctx)
		} else {
			err = nil // no tables yet
		}
		if err == nil {
			err = w.exec(ctx, meanwhile)
		}
	}
	if err != nil {
		return left, err
	}
	return left, w.start()
}

// silent waits until Postgres has ended what it was doing for the dead.
func (w *world) silent(ctx context.Context) error {
	return w.is(ctx, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge')`)
}

// mapped reports whether all tables are there.
func (w *world) mapped(ctx context.Context) error {
	for _, object := range w.objects {
		if err := w.exec(ctx, "SELECT FROM salesforce."+object+" LIMIT 0"); err != nil {
			return err
		}
	}
	return nil
}
