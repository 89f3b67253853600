package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_CHILD") != "" {
		child()
	}
	os.Exit(pgtest.Main(m))
}

// child starts a server, prints its address, and waits to be killed.
func child() {
	server, err := pgtest.Start(context.Background(), pgtest.Options{Private: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(server.URL())
	select {}
}

func query[T any](t *testing.T, address, sql string, args ...any) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var value T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// A database is prepared once for all that ask for it, and none sees what another does
// with its copy.
func TestCopy(t *testing.T) {
	t.Parallel()
	var prepared atomic.Int32
	prepare := func(ctx context.Context, conn *pgx.Conn) error {
		prepared.Add(1)
		_, err := conn.Exec(ctx, "CREATE TABLE mine (name text); INSERT INTO mine VALUES ('of all')")
		return err
	}
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Copy(t, "mine", prepare)
			var got string
			if _, err := pool.Exec(t.Context(), "INSERT INTO mine VALUES ($1)", name); err != nil {
				t.Fatal(err)
			}
			if err := pool.QueryRow(t.Context(), "SELECT string_agg(name, ' ') FROM mine").Scan(&got); err != nil {
				t.Fatal(err)
			}
			if want := "of all " + name; got != want || prepared.Load() != 1 {
				t.Errorf("got %q, want %q; prepared %d times", got, want, prepared.Load())
			}
		})
	}
}

// Tests that run side by side must not see each other's tables.
func TestNewIsolates(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			if _, err := pool.Exec(t.Context(), `CREATE TABLE mine (name text); INSERT INTO mine VALUES ('`+name+`')`); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := pool.QueryRow(t.Context(), `SELECT hstore('name', name) -> 'name' FROM mine`).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != name {
				t.Errorf("read %q, want %q", got, name)
			}
		})
	}
}

func TestDatabaseGoesWithItsTest(t *testing.T) { //nolint:tparallel // what is left after the inner test is looked at
	t.Parallel()
	var address, name string
	t.Run("inner", func(t *testing.T) {
		address = pgtest.URL(t)
		name = query[string](t, address, "SELECT current_database()")
		conn, err := pgx.Connect(t.Context(), address) // somebody who stays connected
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
	})
	maintenance := strings.Replace(address, "/"+name, "/postgres", 1)
	if n := query[int](t, maintenance, "SELECT count(*) FROM pg_database WHERE datname = $1", name); n != 0 {
		t.Errorf("database %s is still there", name)
	}
}

func TestStopAndResume(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgtest.Mode{pgtest.Fast, pgtest.Immediate} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			t.Parallel()
			server := pgtest.Private(t, pgtest.Options{})
			address, err := server.CreateDatabase(t.Context(), "kept")
			if err != nil {
				t.Fatal(err)
			}
			query[bool](t, address, "SELECT set_config('application_name', 'x', false) = 'x'")
			conn, err := pgx.Connect(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.WithoutCancel(t.Context()))
			if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
				t.Fatal(err)
			}

			if err := server.Stop(mode); err != nil {
				t.Fatal(err)
			}
			if err := server.Stop(mode); err != nil {
				t.Errorf("second stop: %v", err)
			}
			if conn, err := pgx.Connect(t.Context(), address); err == nil {
				conn.Close(t.Context())
				t.Fatal("a stopped server takes connections")
			}
			if err := server.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := server.Resume(t.Context()); err != nil {
				t.Errorf("second resume: %v", err)
			}
			if n := query[int](t, address, "SELECT n FROM kept"); n != 42 {
				t.Errorf("n = %d after the restart, want 42", n)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Options{Fsync: true, Settings: map[string]string{"work_mem": "5MB"}})
	for setting, want := range map[string]string{"fsync": "on", "work_mem": "5MB", "max_connections": "200", "server_encoding": "UTF8"} {
		if got := query[string](t, server.URL(), "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	// What is measured with fsync is of a disk.
	if data := query[string](t, server.URL(), "SELECT current_setting($1)", "data_directory"); strings.HasPrefix(data, "/dev/shm/") {
		t.Errorf("its data is in %s", data)
	}
}

func TestStartFailsWithTheLog(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), pgtest.Options{Private: true, Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("error %v does not quote the server's log", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	temp, err := os.MkdirTemp("", "pgtest") //nolint:usetesting // t.TempDir is closed to the user nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	before := goleak.IgnoreCurrent()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Private: true})
	if err != nil {
		t.Fatal(err)
	}
	if used, err := os.ReadDir(temp); err != nil || len(used) == 0 {
		t.Errorf("TMPDIR is not used (%v)", err)
	}
	server.Close()
	server.Close()
	goleak.VerifyNone(t, before)
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the temporary folder: %v (%v)", left, err)
	}
}

func TestMissingBinariesSayHow(t *testing.T) {
	t.Setenv(pgtest.EnvBin, t.TempDir())
	_, err := pgtest.Start(t.Context(), pgtest.Options{Private: true})
	if !errors.Is(err, pgtest.ErrNoBinaries) || !strings.Contains(err.Error(), pgtest.EnvBin) {
		t.Errorf("error %v", err)
	}
}

func TestExternalServer(t *testing.T) {
	owner := pgtest.Private(t, pgtest.Options{})
	t.Setenv(pgtest.EnvURL, owner.URL())
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	address, err := server.CreateDatabase(t.Context(), "guest")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(pgtest.Fast); !errors.Is(err, pgtest.ErrExternal) {
		t.Errorf("stop: %v, want ErrExternal", err)
	}
	server.Close()
	if got := query[string](t, address, "SELECT current_database()"); got != "guest" {
		t.Errorf("database %q, want guest: was the server stopped?", got)
	}
	if err := server.DropDatabase(t.Context(), "guest"); err != nil {
		t.Error(err)
	}
}

func TestExternalURLWithoutItsPassword(t *testing.T) {
	t.Setenv(pgtest.EnvURL, "postgres://me:hunter2@host:port/db")
	_, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

// When we are killed there is nobody left to stop the server.
func TestServerDiesWithItsParent(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var address string
	if _, err := fmt.Fscanln(out, &address); err != nil {
		t.Fatal(err)
	}
	query[int](t, address, "SELECT 1")
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for range 200 {
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			return
		}
		conn.Close(t.Context())
		time.Sleep(10 * time.Millisecond) // polling a condition of another process
	}
	t.Error("the server lives 2 s after its parent")
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		server, err := pgtest.Start(b.Context(), pgtest.Options{Private: true})
		if err != nil {
			b.Fatal(err)
		}
		server.Close()
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		pgtest.New(b)
	}
}
