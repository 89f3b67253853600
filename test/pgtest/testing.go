package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

// shared is the one server of a test binary. Go gives TestMain no other way to
// hand something to tests than a package variable.
var shared struct {
	sync.Mutex
	server *copier
	err    error
}

// Main runs the tests of a package that uses New or URL, stops their server,
// and then fails if the tests left goroutines behind, except those that
// options ignore. The server starts with the first test that needs it.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M, options ...goleak.Option) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.close()
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(options...); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: goroutines left after the tests: %v\n", err)
		return 1
	}
	return 0
}

// New returns a pool of up to 10 connections on an empty database of the
// test's own, in which hstore is installed. Both go when the test ends; a test
// that has not returned all connections by then fails.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return Open(t, URL(t))
}

// Open returns a pool of up to 10 connections on address, closed when the test
// ends.
func Open(t testing.TB, address string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	config.MaxConns = 10
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("pgtest: pool: %v", err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { defer close(closed); pool.Close() }()
		timer := time.NewTimer(10 * time.Second)
		defer timer.Stop()
		select {
		case <-closed:
		case <-timer.C:
			t.Errorf("pgtest: %d connections were not returned to the pool", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

// URL returns the address of an empty database of the test's own, in which
// hstore is installed. It is dropped when the test ends, whoever uses it.
func URL(t testing.TB) string {
	t.Helper()
	return copied(t, "", nil)
}

// EncodedURL is URL for a database in another encoding than UTF8.
func EncodedURL(t testing.TB, encoding string) string {
	t.Helper()
	server, name := sharedServer(t), databaseName(t.Name())
	address, err := server.CreateEncoded(t.Context(), name, encoding)
	if err != nil {
		t.Fatal(err)
	}
	dropAfter(t, server, name)
	return address
}

// Speaking is address for clients that speak encoding, whatever that of the database is.
func Speaking(t testing.TB, address, encoding string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	query := u.Query()
	query.Set("client_encoding", encoding)
	u.RawQuery = query.Encode()
	return u.String()
}

// Copy returns a pool as [New] does, on a database that prepare has filled: once for
// all tests of the binary that give the same name, each of which gets a copy. The
// connection that prepare gets is closed after it.
func Copy(t testing.TB, name string, prepare func(context.Context, *pgx.Conn) error) *pgxpool.Pool {
	t.Helper()
	return Open(t, copied(t, name, prepare))
}

func copied(t testing.TB, template string, prepare func(context.Context, *pgx.Conn) error) string {
	t.Helper()
	server := sharedServer(t)
	name := databaseName(t.Name())
	address, err := server.copy(t.Context(), name, template, prepare)
	if err != nil {
		t.Fatal(err)
	}
	dropAfter(t, server, name)
	return address
}

func dropAfter(t testing.TB, server *copier, name string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.drop(ctx, name); err != nil {
			t.Error(err)
		}
	})
}

// Private returns a server that only this test uses, and so may stop and
// start. It goes when the test ends.
func Private(t testing.TB, o Options) *Server {
	t.Helper()
	o.Private = true
	server, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

func sharedServer(t testing.TB) *copier {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		// The server outlives the test that happens to need it first.
		shared.server, shared.err = startCopier(context.WithoutCancel(t.Context()))
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// databaseName makes a unique name that tells which test a database left on an
// external server belongs to. PostgreSQL cuts names after 63 bytes.
func databaseName(test string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return fmt.Sprintf("hcb_%.40s_%s", clean, strings.ToLower(rand.Text()[:12]))
}
