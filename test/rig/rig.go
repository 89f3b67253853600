package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"hcbridge/test/freeport"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// Rig is an org, a database, and what connects them.
type Rig struct {
	T    *testing.T
	SF   *org.Server
	Pool *pgxpool.Pool
	URL  string            // of the database
	Env  map[string]string // of each process; change it before Start

	program string // what runs
}

// Raced has everything that is started from now on run under the race detector, unless
// something is measured.
func (r *Rig) Raced() {
	r.T.Helper()
	if os.Getenv("HCBRIDGE_BENCH") != "" {
		return
	}
	program, err := raced()
	r.Must(err)
	r.program = program
}

// New returns an org and an empty database, with settings for a bridge
// between them; settings are added as NAME=value and override.
func New(t *testing.T, settings ...string) *Rig {
	t.Helper()
	return NewWith(t, org.Options{}, settings...)
}

// NewWith is New with an org of the caller's choice.
func NewWith(t *testing.T, opt org.Options, settings ...string) *Rig {
	t.Helper()
	if opt.DailyLimit == 0 {
		opt.DailyLimit = 1_000_000
	}
	sf := org.New(opt).Start()
	t.Cleanup(sf.Close)
	return Between(t, sf, pgtest.URL(t), settings...)
}

// Between is New for an org and an empty database that are there. url goes straight
// to the database; the bridge may take another way by DATABASE_URL.
func Between(t *testing.T, sf *org.Server, url string, settings ...string) *Rig {
	t.Helper()
	r := &Rig{T: t, SF: sf, URL: url, Pool: pgtest.Open(t, url), program: binary}
	r.Env = map[string]string{
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
		r.Env[name] = value
	}
	return r
}

// Environ is what each process gets, sorted, as NAME=value.
func (r *Rig) Environ() []string {
	var list []string
	for name, value := range r.Env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// Command runs one command to its end and returns its exit code and output.
func (r *Rig) Command(args ...string) (code int, stdout, stderr string) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, args...)
	cmd.Env = r.Environ()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		r.T.Fatalf("hcbridge %v: %v\n%s", args, err, errOut.String())
	}
	for _, what := range r.Secrets(out.String() + errOut.String()) {
		r.T.Errorf("hcbridge %v says %s", args, what)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// Bridge is a running `hcbridge run`.
type Bridge struct {
	Cmd  *exec.Cmd
	Log  *Buffer
	Done chan struct{} // closed when it is gone

	t    *testing.T
	stop sync.Once
}

// Start runs the bridge until the test ends.
func (r *Rig) Start() *Bridge {
	r.T.Helper()
	b := &Bridge{t: r.T, Cmd: exec.Command(r.program, "run"), Log: &Buffer{}, Done: make(chan struct{})} //nolint:noctx // it is ended by signals
	b.Cmd.Env = r.Environ()
	b.Cmd.Stderr = b.Log
	b.Cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.Cmd.Start(); err != nil {
		r.T.Fatal(err)
	}
	go func() {
		_ = b.Cmd.Wait()
		close(b.Done)
	}()
	r.T.Cleanup(func() {
		b.End(syscall.SIGTERM)
		if code := b.Cmd.ProcessState.ExitCode(); code > 0 {
			r.T.Errorf("the bridge exited with %d", code)
		}
		log := b.Log.String()
		for _, what := range append(r.Secrets(log), r.values(log)...) {
			r.T.Errorf("the log at %s holds %s", r.Env["HC_LOG_LEVEL"], what)
		}
		if r.T.Failed() {
			r.T.Logf("log of the bridge:\n%s", b.Log.Tail(20_000))
		}
	})
	return b
}

// End sends the process a signal and waits until it is gone.
func (b *Bridge) End(sig syscall.Signal) {
	b.t.Helper()
	b.stop.Do(func() {
		_ = b.Cmd.Process.Signal(sig)
		select {
		case <-b.Done:
		case <-time.After(40 * time.Second):
			_ = b.Cmd.Process.Signal(syscall.SIGQUIT)
			<-b.Done
			b.t.Errorf("the bridge did not end on %v", sig)
		}
	})
}

// Buffer is a log that can be read while it is written.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Tail is at most the last n bytes.
func (b *Buffer) Tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
}

// Status asks the database for what the bridge last showed of itself.
func (r *Rig) Status() (status.Status, bool) {
	var st status.Status
	var body *string
	err := r.Pool.QueryRow(r.T.Context(), "SELECT status::text FROM hcbridge.instance WHERE status_at > now() - interval '15 seconds'").Scan(&body)
	if err != nil || body == nil {
		return st, false
	}
	return st, json.Unmarshal([]byte(*body), &st) == nil
}

// Synced waits until every object is loaded and polled once.
func (r *Rig) Synced() {
	r.T.Helper()
	r.Eventually("first load", 60*time.Second, func() error {
		var n int
		if err := r.Pool.QueryRow(r.T.Context(), "SELECT count(*) FROM hcbridge.object WHERE loaded_at IS NOT NULL AND last_poll_at IS NOT NULL").Scan(&n); err != nil {
			return err
		}
		if want := len(strings.Split(r.Env["HC_OBJECTS"], ",")); n < want {
			return fmt.Errorf("%d of %d objects are loaded", n, want)
		}
		return nil
	})
}

// Equal waits until both sides hold the same, nothing waits to be sent, and
// nothing waits to be read back.
func (r *Rig) Equal(objects ...string) {
	r.T.Helper()
	r.Eventually("both sides equal", 60*time.Second, func() error { return r.Unequal(objects...) })
}

// Unequal tells how the two sides differ now, or what waits; nil if they are equal
// and nothing does.
func (r *Rig) Unequal(objects ...string) error {
	var pending, marks int
	err := r.Pool.QueryRow(r.T.Context(), "SELECT (SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')), (SELECT count(*) FROM hcbridge.mark)").Scan(&pending, &marks)
	if err != nil {
		return err
	}
	if pending+marks > 0 {
		return fmt.Errorf("%d writes and %d reads wait", pending, marks)
	}
	for _, o := range objects {
		diff, err := compare.Sides(r.T.Context(), r.Pool, "salesforce", r.SF, o)
		if err != nil {
			return err
		}
		if len(diff) > 0 {
			return errors.New(strings.Join(diff, "\n"))
		}
	}
	return nil
}

// patience is how many times as long as it should take a test waits for what
// nobody promises: several bridges share few cores, and
// what is late there is only logged.
const patience = 4

// Eventually tries until what holds, or fails with why it does not. within is
// how long it should take on a machine that has nothing else to do.
func (r *Rig) Eventually(what string, within time.Duration, try func() error) {
	r.T.Helper()
	within = max(within, time.Second)
	if took := r.Until(what, patience*within, try); took > within {
		r.T.Logf("%s: late, after %s instead of %s", what, took.Round(time.Millisecond), within)
	}
}

// Promised is Eventually for what the bridge promises, on any machine: limit is
// how long it may take.
func (r *Rig) Promised(what string, limit time.Duration, try func() error) (took time.Duration) {
	r.T.Helper()
	took = r.Until(what, limit, try)
	r.T.Logf("%s: after %s of %s", what, took.Round(time.Millisecond), limit)
	return took
}

// Until tries until what holds, and fails the test after limit. It returns how
// long it took.
func (r *Rig) Until(what string, limit time.Duration, try func() error) (took time.Duration) {
	r.T.Helper()
	for began := time.Now(); ; time.Sleep(min(max(took/20, 20*time.Millisecond), 200*time.Millisecond)) {
		err := try()
		took = time.Since(began)
		switch {
		case took > limit:
			r.T.Fatalf("%s: not within %s but after %s: %v", what, limit, took.Round(time.Millisecond), err)
		case err == nil:
			return took
		}
	}
}

// Exec runs SQL as the app would.
func (r *Rig) Exec(sql string, args ...any) {
	r.T.Helper()
	if _, err := r.Pool.Exec(r.T.Context(), sql, args...); err != nil {
		r.T.Fatalf("%s: %v", sql, err)
	}
}

// Count runs a query that answers one number.
func (r *Rig) Count(sql string, args ...any) int {
	r.T.Helper()
	var n int
	if err := r.Pool.QueryRow(r.T.Context(), sql, args...).Scan(&n); err != nil {
		r.T.Fatalf("%s: %v", sql, err)
	}
	return n
}

// Insert makes a record in the org as another user.
func (r *Rig) Insert(object string, fields map[string]any) string {
	r.T.Helper()
	id, err := r.SF.Insert(object, fields)
	if err != nil {
		r.T.Fatalf("insert %s: %v", object, err)
	}
	return id
}

// Must fails the test on an error.
func (r *Rig) Must(err error) {
	r.T.Helper()
	if err != nil {
		r.T.Fatal(err)
	}
}

// FreeAddr finds a loopback address that is free now.
func FreeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Percentile returns the p-th percentile of the samples.
func Percentile(samples []time.Duration, p int) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
