package pgtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A copier makes the databases of a test binary, most of which are alike: to copy the
// files of one takes a fraction of what it takes to make its contents again.
type copier struct {
	*Server
	admin    *pgxpool.Pool // on the maintenance database
	strategy string        // of CREATE DATABASE

	mu        sync.Mutex
	templates map[string]*template
}

// template is a database that nobody is connected to.
type template struct {
	once sync.Once
	name string
	err  error
}

func startCopier(ctx context.Context) (*copier, error) {
	server, err := Start(ctx, Options{})
	if err != nil {
		return nil, err
	}
	c := &copier{Server: server, templates: map[string]*template{}}
	if c.admin, err = pgxpool.New(ctx, server.URL()); err != nil {
		server.Close()
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	var version int
	if err := c.admin.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		c.close()
		return nil, fmt.Errorf("pgtest: version of the server: %w", err)
	}
	if version >= 150000 { // before that it is the only one, and has no name
		c.strategy = " STRATEGY file_copy"
	}
	return c, nil
}

// close drops the templates and stops the server, unless it is not ours.
func (c *copier) close() {
	c.admin.Close()
	if c.External() {
		for _, t := range c.templates {
			_ = c.DropDatabase(context.Background(), t.name) // nothing can be done about it
		}
	}
	c.Close()
}

// copy makes the database name as a copy of what prepare makes, which is asked for that
// once for each template.
func (c *copier) copy(ctx context.Context, name, of string, prepare func(context.Context, *pgx.Conn) error) (string, error) {
	c.mu.Lock()
	t := c.templates[of]
	if t == nil {
		t = &template{name: databaseName("template " + of)}
		c.templates[of] = t
	}
	c.mu.Unlock()
	// The template outlives the test that happens to need it first.
	t.once.Do(func() { t.err = c.prepare(context.WithoutCancel(ctx), t.name, prepare) })
	if t.err != nil {
		return "", t.err
	}
	create := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE " + pgx.Identifier{t.name}.Sanitize() + c.strategy
	if _, err := c.admin.Exec(ctx, create); err != nil {
		return "", fmt.Errorf("pgtest: create database %s: %w", name, err)
	}
	return c.DatabaseURL(name), nil
}

func (c *copier) prepare(ctx context.Context, name string, fill func(context.Context, *pgx.Conn) error) error {
	address, err := c.CreateDatabase(ctx, name)
	if err != nil || fill == nil {
		return err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("pgtest: template %s: %w", name, err)
	}
	defer conn.Close(ctx)
	return fill(ctx, conn)
}

func (c *copier) drop(ctx context.Context, name string) error {
	drop := "DROP DATABASE IF EXISTS " + pgx.Identifier{name}.Sanitize() + " WITH (FORCE)"
	if _, err := c.admin.Exec(ctx, drop); err != nil {
		return fmt.Errorf("pgtest: drop database %s: %w", name, err)
	}
	return nil
}
