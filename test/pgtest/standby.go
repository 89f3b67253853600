package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"hcbridge/test/freeport"
)

// Standby starts a server that follows s, which must be private, and serves reads.
// It has all databases and roles of s. The caller must Close it.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bin == "" {
		return nil, ErrExternal
	}
	return s.second(ctx, func(b *Server) error { return b.backup(ctx, s.base, "--write-recovery-conf") })
}

// Copy starts a server on a copy of the files of s, which must be private: of a
// stopped one as they are, else by a base backup. It knows nothing of s. The caller
// must Close it.
func (s *Server) Copy(ctx context.Context) (*Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bin == "":
		return nil, ErrExternal
	case s.process != nil:
		return s.second(ctx, func(b *Server) error { return b.backup(ctx, s.base) })
	}
	return s.second(ctx, func(b *Server) error {
		return command(ctx, "/bin", "cp", b.folder, b.user, []string{"-a", s.folder.data(), b.folder.data()})
	})
}

// second starts another server like s, on another port, when fill has given it data.
func (s *Server) second(ctx context.Context, fill func(*Server) error) (*Server, error) {
	b := &Server{options: s.options, bin: s.bin, user: s.user}
	if err := b.begin(ctx, s.base, fill); err != nil {
		b.Close()
		return nil, fmt.Errorf("pgtest: second server: %w", err)
	}
	return b, nil
}

// backup fills the server's folder from a running one.
func (s *Server) backup(ctx context.Context, from *url.URL, options ...string) error {
	// Where the server is linked to, its other programs may not be.
	postgres, err := filepath.EvalSymlinks(filepath.Join(s.bin, "postgres"))
	if err != nil {
		return fmt.Errorf("server binary: %w", err)
	}
	args := append([]string{"--pgdata=" + s.folder.data(), "--dbname=" + from.String(), "--checkpoint=fast", "--no-sync"}, options...)
	return command(ctx, filepath.Dir(postgres), "pg_basebackup", s.folder, s.user, args)
}

func (s *Server) begin(ctx context.Context, first *url.URL, fill func(*Server) error) (err error) {
	if s.folder, err = newFolder(place(s.options), s.user); err != nil {
		return err
	}
	if err := fill(s); err != nil {
		return err
	}
	port, err := freeport.Find()
	if err != nil {
		return err
	}
	base := *first
	base.Host = fmt.Sprintf("127.0.0.1:%d", port)
	s.base = &base
	return s.launch(ctx)
}

// Lag ends what a standby receives: it stays as it is.
func (s *Server) Lag(ctx context.Context) error {
	for _, sql := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		if err := execute(ctx, s.URL(), sql); err != nil {
			return fmt.Errorf("pgtest: lag: %w", err)
		}
	}
	return s.await(ctx, "NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
}

// Promote makes a standby a server that takes writes.
func (s *Server) Promote(ctx context.Context) error {
	if err := execute(ctx, s.URL(), "SELECT pg_promote(true, 30)"); err != nil {
		return fmt.Errorf("pgtest: promote: %w", err)
	}
	return s.await(ctx, "NOT pg_is_in_recovery()")
}

// Has waits until a standby has applied all that primary has written so far.
func (s *Server) Has(ctx context.Context, primary *Server) error {
	lsn, err := text(ctx, primary.URL(), "SELECT pg_current_wal_lsn()::text")
	if err != nil {
		return fmt.Errorf("pgtest: position of the primary: %w", err)
	}
	return s.await(ctx, "pg_last_wal_replay_lsn() >= '"+lsn+"'")
}

// await waits until a condition holds, as long as a start may take.
func (s *Server) await(ctx context.Context, condition string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.ReadyIn, fmt.Errorf("not within %s", s.options.ReadyIn))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := text(ctx, s.URL(), "SELECT ("+condition+")::text")
		if err != nil {
			return fmt.Errorf("pgtest: %s: %w", condition, err)
		}
		if answer == "true" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pgtest: %s: %w", condition, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
