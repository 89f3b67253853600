package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/internal/status"
	"hcbridge/test/compare"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// rig is an org, a database, and what connects them.
type rig struct {
	t    *testing.T
	sf   *org.Server
	pool *pgxpool.Pool
	url  string
	env  map[string]string
}

// newRig returns an org and an empty database, with settings for a bridge
// between them; settings are added as NAME=value and override.
func newRig(t *testing.T, settings ...string) *rig {
	t.Helper()
	url := pgtest.URL(t)
	sf := org.New(org.Options{DailyLimit: 1_000_000}).Start()
	t.Cleanup(sf.Close)
	r := &rig{t: t, sf: sf, url: url, pool: pgtest.Open(t, url)}
	r.env = map[string]string{
		"DATABASE_URL":                url,
		"HC_SALESFORCE_LOGIN_URL":     sf.URL(),
		"HC_SALESFORCE_CLIENT_ID":     org.DefaultClientID,
		"HC_SALESFORCE_CLIENT_SECRET": org.DefaultClientSecret,
		"HC_SALESFORCE_USERNAME":      org.DefaultUsername,
		"HC_SALESFORCE_PASSWORD":      org.DefaultPassword,
		"HC_OBJECTS":                  "Account,Contact",
		"HC_LOG_LEVEL":                "debug",
		"HC_HTTP_ADDR":                "",
		"PATH":                        os.Getenv("PATH"),
		"GORACE":                      "halt_on_error=1 exitcode=66",
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		r.env[name] = value
	}
	return r
}

func (r *rig) environ() []string {
	var list []string
	for name, value := range r.env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// command runs one command to its end and returns its exit code and output.
func (r *rig) command(args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = r.environ()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		r.t.Fatalf("hcbridge %v: %v\n%s", args, err, errOut.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// bridge is a running `hcbridge run`.
type bridge struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *buffer
	done chan struct{}
	stop sync.Once
}

// start runs the bridge until the test ends.
func (r *rig) start() *bridge {
	r.t.Helper()
	b := &bridge{t: r.t, cmd: exec.Command(binary, "run"), log: &buffer{}, done: make(chan struct{})} //nolint:noctx // it is ended by signals
	b.cmd.Env = r.environ()
	b.cmd.Stderr = b.log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.done)
	}()
	r.t.Cleanup(func() {
		b.end(syscall.SIGTERM)
		if code := b.cmd.ProcessState.ExitCode(); code > 0 {
			r.t.Errorf("the bridge exited with %d", code)
		}
		if r.t.Failed() {
			r.t.Logf("log of the bridge:\n%s", b.log.tail(20_000))
		}
	})
	return b
}

// end sends the process a signal and waits until it is gone.
func (b *bridge) end(sig syscall.Signal) {
	b.t.Helper()
	b.stop.Do(func() {
		_ = b.cmd.Process.Signal(sig)
		select {
		case <-b.done:
		case <-time.After(40 * time.Second):
			_ = b.cmd.Process.Signal(syscall.SIGQUIT)
			<-b.done
			b.t.Errorf("the bridge did not end on %v", sig)
		}
	})
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
}

// status asks the database for what the bridge last showed of itself.
func (r *rig) status() (status.Status, bool) {
	var st status.Status
	var body *string
	err := r.pool.QueryRow(r.t.Context(), "SELECT status::text FROM hcbridge.instance WHERE status_at > now() - interval '15 seconds'").Scan(&body)
	if err != nil || body == nil {
		return st, false
	}
	return st, json.Unmarshal([]byte(*body), &st) == nil
}

// synced waits until every object is loaded and polled once.
func (r *rig) synced() {
	r.t.Helper()
	r.eventually("first load", 60*time.Second, func() error {
		var n int
		if err := r.pool.QueryRow(r.t.Context(), "SELECT count(*) FROM hcbridge.object WHERE loaded_at IS NOT NULL AND last_poll_at IS NOT NULL").Scan(&n); err != nil {
			return err
		}
		if want := len(strings.Split(r.env["HC_OBJECTS"], ",")); n < want {
			return fmt.Errorf("%d of %d objects are loaded", n, want)
		}
		return nil
	})
}

// equal waits until both sides hold the same, nothing waits to be sent, and
// nothing waits to be read back.
func (r *rig) equal(objects ...string) {
	r.t.Helper()
	r.eventually("both sides equal", 60*time.Second, func() error {
		var pending, marks int
		err := r.pool.QueryRow(r.t.Context(), "SELECT (SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')), (SELECT count(*) FROM hcbridge.mark)").Scan(&pending, &marks)
		if err != nil {
			return err
		}
		if pending+marks > 0 {
			return fmt.Errorf("%d writes and %d reads wait", pending, marks)
		}
		for _, o := range objects {
			diff, err := compare.Sides(r.t.Context(), r.pool, "salesforce", r.sf, o)
			if err != nil {
				return err
			}
			if len(diff) > 0 {
				return errors.New(strings.Join(diff, "\n"))
			}
		}
		return nil
	})
}

// patience is how many times as long as it should take a test waits for what
// nobody promises: several bridges under the race detector share few cores, and
// what is late there is only logged.
const patience = 4

// eventually tries until what holds, or fails with why it does not. within is
// how long it should take on a machine that has nothing else to do.
func (r *rig) eventually(what string, within time.Duration, try func() error) {
	r.t.Helper()
	within = max(within, time.Second)
	if took := r.until(what, patience*within, try); took > within {
		r.t.Logf("%s: late, after %s instead of %s", what, took.Round(time.Millisecond), within)
	}
}

// promised is eventually for what the bridge promises, on any machine: limit is
// how long it may take.
func (r *rig) promised(what string, limit time.Duration, try func() error) (took time.Duration) {
	r.t.Helper()
	took = r.until(what, limit, try)
	r.t.Logf("%s: after %s of %s", what, took.Round(time.Millisecond), limit)
	return took
}

func (r *rig) until(what string, limit time.Duration, try func() error) (took time.Duration) {
	r.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		took = time.Since(began)
		switch {
		case took > limit:
			r.t.Fatalf("%s: not within %s but after %s: %v", what, limit, took.Round(time.Millisecond), err)
		case err == nil:
			return took
		}
	}
}

// exec runs SQL as the app would.
func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// count runs a query that answers one number.
func (r *rig) count(sql string, args ...any) int {
	r.t.Helper()
	var n int
	if err := r.pool.QueryRow(r.t.Context(), sql, args...).Scan(&n); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// insert makes a record in the org as another user.
func (r *rig) insert(object string, fields map[string]any) string {
	r.t.Helper()
	id, err := r.sf.Insert(object, fields)
	if err != nil {
		r.t.Fatalf("insert %s: %v", object, err)
	}
	return id
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// freeAddr finds a loopback address that is free now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// percentile returns the p-th percentile of the samples.
func percentile(samples []time.Duration, p int) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
