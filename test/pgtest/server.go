package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"hcbridge/test/freeport"
)

// EnvURL is the environment variable that names a running server to use
// instead of a private one. The database in it is only used to create others.
const EnvURL = "HCBRIDGE_TEST_DATABASE_URL"

// ErrExternal reports an attempt to stop or start a server that
// HCBRIDGE_TEST_DATABASE_URL names: it is not ours.
var ErrExternal = errors.New("server of " + EnvURL + " is not ours to stop or start")

// Options tune a server. The zero value is what tests want.
type Options struct {
	// Private starts a server of our own even where HCBRIDGE_TEST_DATABASE_URL
	// is set, for callers that stop it or change its settings.
	Private bool

	// Fsync makes a private server write to disk as in production, for
	// measurements. The default is off.
	Fsync bool

	// Settings are added to a private server's configuration, for example
	// "log_statement": "all". They override ours.
	Settings map[string]string

	// Env is added to the environment of a private server, as "NAME=value".
	Env []string

	// ReadyIn bounds how long a start may take; the default is 30 s.
	ReadyIn time.Duration
}

func (o Options) withDefaults() Options {
	if o.ReadyIn <= 0 {
		o.ReadyIn = 30 * time.Second
	}
	return o
}

// Mode says how a server is stopped.
type Mode int

const (
	// Fast disconnects everybody, writes a checkpoint and ends.
	Fast Mode = iota
	// Immediate ends at once, as in a crash: open transactions are lost, and
	// the next start recovers from the log.
	Immediate
)

// A Server is one PostgreSQL server, private or external.
type Server struct {
	base *url.URL // of database "postgres", or what EnvURL says

	mu      sync.Mutex
	options Options
	bin     string   // folder of the binaries
	user    runAs    // who runs the server
	folder  *folder  // nil if external or closed
	process *process // nil while stopped
}

// Start returns a running server; see the package comment for which. ctx
// bounds the start only. The caller must Close it.
func Start(ctx context.Context, o Options) (*Server, error) {
	if external := os.Getenv(EnvURL); external != "" && !o.Private {
		base, err := url.Parse(external)
		if err != nil || base.Scheme == "" || base.Host == "" && base.RawQuery == "" {
			// The URL holds a password, and so may the parser's error.
			return nil, fmt.Errorf("pgtest: %s is not a URL like postgres://user:password@host:5432/postgres", EnvURL)
		}
		return &Server{base: base}, nil
	}
	s := &Server{options: o.withDefaults()}
	if err := s.create(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return s, nil
}

// create makes the folder, the cluster in it, and starts it.
func (s *Server) create(ctx context.Context) (err error) {
	if s.bin, err = findBinaries(); err != nil {
		return err
	}
	if s.user, err = unprivileged(); err != nil {
		return err
	}
	in := place(s.options)
	sweep(in)
	if s.folder, err = newFolder(in, s.user); err != nil {
		return err
	}
	password := rand.Text()
	if err := initdb(ctx, s.bin, s.folder, s.user, password); err != nil {
		return err
	}
	s.base = &url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", password),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	// Somebody may take the free port before the server does.
	for range 5 {
		port, err := freeport.Find()
		if err != nil {
			return err
		}
		s.base.Host = fmt.Sprintf("127.0.0.1:%d", port)
		err = s.launch(ctx)
		if !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return errPortTaken
}

// External reports whether the server is one that the environment names.
func (s *Server) External() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bin == ""
}

// Stop ends a private server and keeps its data. Stopping a stopped server
// does nothing.
func (s *Server) Stop(mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bin == "" {
		return ErrExternal
	}
	return s.stop(mode)
}

// Resume starts a stopped server again, on the same port and data. Resuming a
// running server does nothing.
func (s *Server) Resume(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bin == "":
		return ErrExternal
	case s.folder == nil:
		return errors.New("pgtest: server is closed")
	case s.process != nil && s.process.running():
		return nil
	}
	if err := s.launch(ctx); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	return nil
}

// Close stops a private server and removes its folder; an external one it
// leaves alone. A second call does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folder == nil {
		return
	}
	_ = s.stop(Immediate) // the data goes anyway
	s.folder.remove()
	s.folder = nil
}

func (s *Server) stop(mode Mode) error {
	if s.process == nil {
		return nil
	}
	err := s.process.stop(mode)
	s.process = nil
	return err
}
