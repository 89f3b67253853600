// Package out measures the way of a change from the app's commit to the request
// that carries it, and how fast a backlog drains: beside the bounds of the same
// run, which are a plain NOTIFY and the least program that sends batches, and
// beside one row per call. It measures only if HCBRIDGE_BENCH is set, as "make
// bench" does; otherwise it runs a small part of each, to see that it works.
//
// The worker and its listener are a process of their own, with the bridge's
// client over HTTP. Salesforce is the least server that answers it, so that the
// figures are the worker's. What else the bridge does when it writes an answer
// down (Config.Settle) and jobs (Config.Bulk) are left out. Postgres writes to
// disk as in production (fsync on).
package out

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/test/pgtest"
)

// What makes this binary the worker: the database, and the sink's address.
const (
	asWorker = "HCBRIDGE_BENCH_WORKER"
	asSink   = "HCBRIDGE_BENCH_SINK"
	profile  = "HCBRIDGE_BENCH_PROFILE" // a file for the worker's CPU profile, which lists the server's statements, too; none if empty
)

func TestMain(m *testing.M) {
	if url := os.Getenv(asWorker); url != "" {
		if err := work(url, os.Getenv(asSink)); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(pgtest.Main(m))
}

// measuring reports whether figures are wanted, and not only a try.
func measuring() bool { return os.Getenv("HCBRIDGE_BENCH") != "" }

const schema = "salesforce"

func table() outbox.Table {
	t := outbox.Table{Object: "Contact", Name: "contact", ReadWrite: true}
	for _, name := range []string{"name", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"} {
		t.Columns = append(t.Columns, outbox.Column{Name: name, Field: name, Type: "string", Createable: true, Updateable: true})
	}
	return t
}

const ddl = `CREATE TABLE salesforce.contact (name varchar(255), f1 varchar(80), f2 varchar(80), f3 varchar(80), f4 varchar(80), f5 varchar(80), f6 varchar(80),
	f7 varchar(80), f8 varchar(80), systemmodstamp timestamp, isdeleted boolean, sfid varchar(18), id bigserial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX ON salesforce.contact (sfid);
CREATE INDEX ON salesforce.contact (systemmodstamp);
INSERT INTO salesforce.contact (name, f1, f2, f3, f4, systemmodstamp, isdeleted, sfid, _hc_lastop)
SELECT 'name ' || i, md5(i::text), md5(i::text), left(md5(i::text), 10), left(md5(i::text), 10), '2020-01-01', false, '003' || lpad(i::text, 12, '0') || 'AAA', 'SYNCED'
FROM generate_series(1, %d) AS i;
ANALYZE salesforce.contact`

// bench is a database with a mapped table, and a sink.
type bench struct {
	*testing.T

	url  string
	pool *pgxpool.Pool
	sink *sink
}

// setup makes the table with n records, all of them synced.
func setup(t *testing.T, n int) *bench {
	t.Helper()
	settings := map[string]string{"shared_buffers": "512MB", "max_wal_size": "8GB", "jit": "off"}
	if os.Getenv(profile) != "" {
		settings["shared_preload_libraries"] = "pg_stat_statements"
	}
	server := pgtest.Private(t, pgtest.Options{Fsync: true, Settings: settings})
	url, err := server.CreateDatabase(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 24
	b := &bench{T: t, url: url, sink: newSink(t)}
	if b.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.pool.Close)
	b.exec("CREATE SCHEMA salesforce")
	b.exec(fmt.Sprintf(ddl, n))
	err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		return outbox.Install(t.Context(), tx, schema, []outbox.Table{table()}, nil, "")
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) exec(sql string) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		b.Fatalf("%v\n%.300s", err, sql)
	}
}

// start runs the worker in a process of its own and waits until it listens. The
// function ends it and returns the processor time that it used.
func (b *bench) start() (stop func() time.Duration) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe) //nolint:noctx // it is ended by a signal
	cmd.Env = []string{asWorker + "=" + b.url, asSink + "=" + b.sink.url, profile + "=" + os.Getenv(profile)}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := false
	stop = func() time.Duration {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	b.Cleanup(func() { stop() })
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		b.Fatal("the worker does not start")
	}
	return stop
}

// work is the worker's process. It says on standard output that it listens, and
// ends with a signal.
func work(url, sink string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if name := os.Getenv(profile); name != "" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	sf, err := salesforce.New(salesforce.Config{LoginURL: sink, Auth: salesforce.AuthClientCredentials, ClientID: "id", ClientSecret: "secret"})
	if err != nil {
		return err
	}
	listener := outbox.NewListener(func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, url) }, outbox.Channel(schema), zerolog.Nop())
	worker, err := outbox.New(pool, outbox.Config{
		Schema: schema, Algorithm: outbox.Merged, Tables: []outbox.Table{table()}, Sender: sender{sf}, Wake: listener.Wake(),
		BatchSize: salesforce.MaxRecords, // as the bridge has it
		Log:       zerolog.New(os.Stderr).Level(zerolog.WarnLevel),
	})
	if err != nil {
		return err
	}
	done := make(chan error, 2)
	go func() { done <- listener.Run(ctx) }()
	for !listener.Healthy() && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	fmt.Print("+")
	go func() { done <- worker.Run(ctx) }()
	return errors.Join(<-done, <-done)
}

// sender is the bridge's, without its bookkeeping.
type sender struct{ sf *salesforce.Client }

func (s sender) Send(ctx context.Context, call outbox.Call) ([]outbox.Outcome, error) {
	records := make([]map[string]any, len(call.Records))
	for i, r := range call.Records {
		records[i] = r.Fields
		records[i]["id"] = r.SFID
	}
	results, err := s.sf.UpdateAll(ctx, call.Object, records)
	if err != nil {
		return nil, &outbox.Failure{Class: outbox.Transient, Message: err.Error()}
	}
	out := make([]outbox.Outcome, len(results))
	for i, r := range results {
		out[i] = outbox.Outcome{SFID: r.ID}
		if !r.Success {
			out[i].Failure = &outbox.Failure{Class: outbox.Permanent, Code: "REFUSED"}
		}
	}
	return out, nil
}

// percentile returns the p-th percentile of the samples.
func percentile(samples []time.Duration, p int) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(time.Microsecond)
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return string(text[:min(len(text), 14)])
}
