package migrate

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// lockKey is the advisory lock of all migrations: "hcbridge" in ASCII.
const lockKey int64 = 0x6863627269646765

//go:embed sql/*.sql
var files embed.FS

// NewerError reports a schema that a newer binary has upgraded. It does not
// heal by itself: run that binary, or a newer one.
type NewerError struct {
	Found int // highest version in the ledger
	Known int // highest version this binary carries
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("migrate: schema hcbridge has version %d, this binary knows up to %d", e.Found, e.Known)
}

// migration is one numbered file.
type migration struct {
	version int
	sql     string
}

// Up brings schema hcbridge of conn's database to this binary's version. A
// second call does nothing. It needs the right to create schemas only where
// hcbridge does not exist yet. conn must not be inside a transaction.
func Up(ctx context.Context, conn *pgx.Conn) error {
	all, err := load()
	if err != nil {
		return err
	}
	version, err := current(ctx, conn)
	if err != nil {
		return fmt.Errorf("migrate: ledger: %w", err)
	}
	known := all[len(all)-1].version
	switch {
	case version == known:
		return nil
	case version > known:
		return &NewerError{Found: version, Known: known}
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return upgrade(ctx, tx, all) })
}

// load returns the embedded migrations in order; their numbers have no holes.
func load() ([]migration, error) {
	names, err := fs.Glob(files, "sql/*.sql")
	if err != nil {
		return nil, fmt.Errorf("migrate: files: %w", err)
	}
	slices.Sort(names)
	all := make([]migration, 0, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "sql/"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migrate: file %s is not number %d", name, i+1)
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("migrate: file %s: %w", name, err)
		}
		all = append(all, migration{version: version, sql: string(text)})
	}
	return all, nil
}

// querier is what a connection and a transaction share.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// current is the highest version in the ledger, 0 without one. It asks the
// catalog's tables: to_regclass may answer from a cache that is older than the
// lock we have just waited for.
func current(ctx context.Context, db querier) (int, error) {
	var found bool
	err := db.QueryRow(ctx, `SELECT EXISTS (
		SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = 'hcbridge' AND c.relname = 'migration')`).Scan(&found)
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, nil
	}
	var version int
	err = db.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM hcbridge.migration`).Scan(&version)
	return version, err
}

// upgrade runs what is missing. It asks for the version again, because another
// bridge may have done the work while we waited for the lock.
func upgrade(ctx context.Context, tx pgx.Tx, all []migration) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockKey); err != nil {
		return fmt.Errorf("migrate: lock: %w", err)
	}
	version, err := current(ctx, tx)
	if err != nil {
		return fmt.Errorf("migrate: ledger: %w", err)
	}
	if known := all[len(all)-1].version; version > known {
		return &NewerError{Found: version, Known: known}
	}
	if version == 0 {
		if err := bootstrap(ctx, tx); err != nil {
			return fmt.Errorf("migrate: schema: %w", err)
		}
	}
	for _, m := range all[version:] {
		// The simple protocol takes a file of several statements.
		if _, err := tx.Exec(ctx, m.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("migrate: version %d: %w", m.version, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO hcbridge.migration (version) VALUES ($1)`, m.version); err != nil {
			return fmt.Errorf("migrate: version %d: %w", m.version, err)
		}
	}
	return nil
}

// bootstrap makes the schema and its ledger. CREATE SCHEMA asks for the right
// even where the schema exists, so an administrator may have made it for us.
func bootstrap(ctx context.Context, tx pgx.Tx) error {
	var found bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'hcbridge')`).Scan(&found); err != nil {
		return err
	}
	if !found {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA hcbridge`); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS hcbridge.migration (
		version integer PRIMARY KEY,
		applied_at timestamptz NOT NULL DEFAULT now()
	)`)
	return err
}
