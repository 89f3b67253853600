package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"hcbridge/test/pgtest"
)

// disk is that of a server, which can be full.
type disk struct {
	t    *testing.T
	flag string
}

// smallDisk makes a server on a disk that a test can fill up. A file system that is
// really full would need root to be made, so what Postgres asks the system for is
// answered as by one (testdata/fulldisk.c).
func smallDisk(t *testing.T) (*disk, *pgtest.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hcbridge-disk-") //nolint:usetesting // of t.TempDir the server's user sees nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	library, d := filepath.Join(dir, "fulldisk.so"), &disk{t: t, flag: filepath.Join(dir, "full")}
	compiler := os.Getenv("CC")
	for _, name := range []string{"cc", "gcc", "clang"} {
		if _, err := exec.LookPath(name); err == nil && compiler == "" {
			compiler = name
		}
	}
	if out, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-o", library, "testdata/fulldisk.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("a C compiler is needed, as for the race detector: %v\n%s", err, out)
	}
	if err := os.Chmod(library, 0o755); err != nil {
		t.Fatal(err)
	}
	return d, pgtest.Private(t, pgtest.Options{Env: []string{"LD_PRELOAD=" + library, "FULL_DISK=" + d.flag}})
}

func (d *disk) fill() {
	d.t.Helper()
	if err := os.WriteFile(d.flag, nil, 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(d.flag); err != nil {
		d.t.Fatal(err)
	}
}

// While the disk of Postgres is full the app's inserts fail, as they would without a
// bridge; the bridge says what is wrong, goes on trying and does not end. When the log
// of Postgres itself can grow no more, the server gives up. Once there is room
// again everything arrives, on both sides and once (fault 91).
func TestFullDisk(t *testing.T) {
	t.Parallel()
	d, server := smallDisk(t)
	address, err := server.CreateDatabase(t.Context(), "disk")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, readWrite...)
	r.URL, r.Env["DATABASE_URL"] = address, address
	r.Pool = pgtest.Open(t, address)
	b := r.Start()
	r.Synced()
	written := 0
	write := func() error {
		_, err := r.Pool.Exec(t.Context(), "INSERT INTO salesforce.contact (lastname, external_id__c, department) VALUES ($1, $1, 'app')", fmt.Sprint(written))
		if err == nil {
			written++
		}
		return err
	}
	for range 50 {
		r.Must(write())
	}
	r.Equal("Account", "Contact")

	d.fill()
	for err = write(); err == nil && written < 5000; err = write() {
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "53100" {
		t.Fatalf("%d rows written to a full disk: %v", written, err)
	}
	for n := range 300 {
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("meanwhile %d", n), "Description": strings.Repeat("long ", 100)})
	}
	before := len(b.Log.String())
	r.Eventually("the bridge to tell of it", 30*time.Second, func() error {
		if !strings.Contains(b.Log.String()[before:], "No space left on device") {
			return errors.New("it does not")
		}
		return nil
	})
	before = len(b.Log.String())
	time.Sleep(5 * time.Second) // while nothing can be written
	if lines := strings.Count(b.Log.String()[before:], "\n"); lines > 100 {
		t.Errorf("%d lines in 5 s", lines)
	}
	var rows int
	if err := r.Pool.QueryRow(t.Context(), "SELECT count(*) FROM salesforce.account").Scan(&rows); err != nil || rows >= 300 {
		t.Fatalf("%d accounts fit on a full disk: %v", rows, err)
	}
	select {
	case <-b.Done:
		t.Fatal("the bridge has ended")
	default:
	}
	t.Logf("%d rows of the app and %d of %d accounts on the full disk", written, rows, 300)
	d.free()
	r.Equal("Account", "Contact")

	// Now it is the log of Postgres that needs another file.
	d.fill()
	for n := 0; r.Pool.Ping(t.Context()) == nil; n++ {
		if n == 100 {
			t.Fatal("the log can grow on a full disk")
		}
		_ = write() // it may be refused
		_, err = r.Pool.Exec(t.Context(), "SELECT pg_switch_wal()")
	}
	t.Logf("the server has given up: %v", err)
	for n := range 20 {
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("while it is down %d", n)})
	}
	time.Sleep(time.Second) // in which the bridge finds no server
	d.free()
	r.Eventually("a connection", 20*time.Second, func() error { // it may be about to give up once more
		r.Must(server.Resume(t.Context()))
		return r.Pool.Ping(t.Context())
	})
	r.Must(write())
	r.Equal("Account", "Contact")
	r.once("Contact", "contact")
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE department = 'app'"); n < written {
		t.Errorf("%d rows of the app, %d were committed", n, written)
	}
}
