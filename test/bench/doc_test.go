// Package bench measures the real program against what the machine can do at
// best: each figure is a ratio to a bound, to the naive way, or to both,
// measured in the same run. It measures only if HCBRIDGE_BENCH is set, as
// "make bench" does; otherwise it runs a small part of each, to see that it
// works.
//
// The bridge is a process of its own. Salesforce is the simulated org, but for
// the stream: that is the least server that speaks long-polling, so that the
// figures are the bridge's and not the org's. Postgres writes to disk as in
// production (fsync on).
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

var (
	binary string         // the program under test
	server *pgtest.Server // a database server that writes to disk
)

// asPoller makes this binary the client that measures the delivery bound.
const asPoller = "HCBRIDGE_BENCH_POLL"

func TestMain(m *testing.M) {
	if url := os.Getenv(asPoller); url != "" {
		pollFor(url)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hcbridge-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "hcbridge")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "hcbridge/cmd/hcbridge").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build hcbridge: %v\n%s", err, out)
		return 1
	}
	server, err = pgtest.Start(context.Background(), pgtest.Options{Fsync: true, Settings: map[string]string{
		"shared_buffers": "512MB", "max_wal_size": "8GB", "jit": "off",
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	server.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintf(os.Stderr, "goroutines left: %v\n", err)
			return 1
		}
	}
	return code
}

// measuring reports whether figures are wanted, and not only a try.
func measuring() bool { return os.Getenv("HCBRIDGE_BENCH") != "" }

// bridge is a running hcbridge on an org and a database of its own.
type bridge struct {
	t    *testing.T
	sf   *org.Server
	feed *feed
	url  string
	pool *pgxpool.Pool
	cmd  *exec.Cmd
}

// start runs the bridge for Contact until the test ends, and waits until it has
// subscribed.
func start(t *testing.T, feed *feed) *bridge {
	t.Helper()
	name := fmt.Sprintf("bench_%d", time.Now().UnixNano())
	url, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	sf := org.New(org.Options{DailyLimit: 1_000_000}).Start()
	t.Cleanup(sf.Close)
	sf.Handle("/cometd/", feed)
	b := &bridge{t: t, sf: sf, feed: feed, url: url, pool: pgtest.Open(t, url)}
	b.cmd = exec.Command(binary, "run") //nolint:noctx // it is ended by a signal
	b.cmd.Env = []string{
		"DATABASE_URL=" + url, "HC_SALESFORCE_LOGIN_URL=" + sf.URL(), "HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID,
		"HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret, "HC_SALESFORCE_USERNAME=" + org.DefaultUsername,
		"HC_SALESFORCE_PASSWORD=" + org.DefaultPassword, "HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_FIELDS=" + fields,
		"HC_HTTP_ADDR=", "HC_LOG_LEVEL=warn", "PATH=" + os.Getenv("PATH"),
	}
	b.cmd.Stderr = os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		_ = b.cmd.Wait()
	})
	feed.await(t)
	return b
}

// memory is the most that the bridge has had resident, in MB.
func (b *bridge) memory() float64 {
	b.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	var kb float64
	for line := range slices.Values(splitLines(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kb); err == nil {
			return kb / 1024
		}
	}
	b.t.Fatal("no VmHWM")
	return 0
}

// cpu is the processor time that the bridge has used.
func (b *bridge) cpu() time.Duration {
	b.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	var user, system int64
	if _, err := fmt.Sscanf(string(bytes.Join(bytes.Fields(rest)[11:13], []byte(" "))), "%d %d", &user, &system); err != nil {
		b.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// pollFor is the least client of the feed: it reads answers and prints how old
// each event was, as JSON, until standard input is closed.
func pollFor(url string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	out := json.NewEncoder(os.Stdout)
	for {
		_, sent, err := poll(context.Background(), url)
		now := time.Now()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, at := range sent {
			_ = out.Encode(now.Sub(at))
		}
	}
}

// percentile returns the p-th percentile of the samples.
func percentile(samples []time.Duration, p int) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
