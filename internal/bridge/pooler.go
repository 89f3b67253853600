package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pooler finds out, once, whether a pooler stands before the server. It is safe
// for concurrent use.
type pooler struct {
	mu     sync.Mutex
	known  bool
	before bool
}

// found reports whether there is one. A pooler makes up the process id that it
// tells its clients, so it is not the one that the server knows.
func (p *pooler) found(ctx context.Context, cfg *pgconn.Config) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known {
		return p.before, nil
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	results, err := conn.Exec(ctx, "SELECT pg_backend_pid()").ReadAll()
	if err != nil {
		return false, fmt.Errorf("look for a pooler: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return false, errors.New("look for a pooler: no answer")
	}
	p.before, p.known = string(results[0].Rows[0][0]) != strconv.FormatUint(uint64(conn.PID()), 10), true
	return p.before, nil
}

// prepareNothing makes connections through a pooler do without prepared
// statements: the next statement may meet another session of the server.
func (p *pooler) prepareNothing(ctx context.Context, cfg *pgx.ConnConfig) error {
	before, err := p.found(ctx, &cfg.Config)
	if before {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return err
}

// malformed says why something is no connection string, as far as that cannot show a
// password: of TLS there are names of files, and fixed texts.
func malformed(err error) string {
	const text = "not a Postgres connection string"
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) && parse.Unwrap() != nil && strings.Contains(err.Error(), ": failed to configure TLS (") {
		return text + ": " + parse.Unwrap().Error()
	}
	return text
}

// connectToListen opens a connection for LISTEN. It prepares nothing, should a
// pooler be on the way after all.
func connectToListen(ctx context.Context, url string) (*pgx.Conn, error) {
	pc, err := pgxpool.ParseConfig(url) // which takes pool_max_conns and the like for its own: the server would refuse them
	if err != nil {
		return nil, errors.New(malformed(err))
	}
	cfg := pc.ConnConfig
	asUTF8(&cfg.Config)
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, cfg)
}

// asUTF8 has the server speak UTF-8, as we do, whatever the encoding of the database is
// and whatever the connection string says: else it would take the bytes for other
// characters.
func asUTF8(cfg *pgconn.Config) {
	maps.DeleteFunc(cfg.RuntimeParams, func(name, _ string) bool { return strings.EqualFold(name, "client_encoding") })
	cfg.RuntimeParams["client_encoding"] = "UTF8"
}
