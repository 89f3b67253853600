package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/config"
	"hcbridge/internal/status"
	"hcbridge/outbox"
	"hcbridge/pgsink"
)

var (
	//go:embed sql/hold.sql
	holdSQL string
	//go:embed sql/approve.sql
	approveSQL string
)

// gate keeps in hcbridge.hold which tables wait for `hcbridge approve`, and shows
// it.
type gate struct{ s *session }

var _ outbox.Gate = gate{}

// Holds implements outbox.Gate.
func (g gate) Holds(ctx context.Context) (map[string]outbox.Hold, error) {
	rows, err := g.s.pool.Query(ctx, `SELECT table_name, held, reason, approved_to FROM hcbridge.hold WHERE schema = $1`, g.s.cfg.Schema)
	if err != nil {
		return nil, err
	}
	holds := map[string]outbox.Hold{}
	var table, reason string
	var h outbox.Hold
	_, err = pgx.ForEachRow(rows, []any{&table, &h.Held, &reason, &h.Approved}, func() error {
		holds[table] = h
		part := "writes of " + table
		o, held := g.s.byTable[table], ""
		if h.Held && o != nil {
			held = fmt.Sprintf("%s: nothing of this object is sent until `hcbridge approve %s`", reason, o.cfg.Name)
			g.s.stop(part, held)
		} else {
			g.s.resume(part)
		}
		if o != nil {
			g.s.board.Object(o.cfg.Name, func(b *status.Object) { b.Held = held })
		}
		return nil
	})
	return holds, err
}

// Hold implements outbox.Gate.
func (g gate) Hold(ctx context.Context, table, reason string) error {
	_, err := g.s.pool.Exec(ctx, holdSQL, g.s.cfg.Schema, table, reason)
	return err
}

// Approved is what [Approve] released of one table.
type Approved struct {
	Table   string `json:"table"`
	Reason  string `json:"reason"`
	Entries int64  `json:"entries"`
}

// Approve releases what is held now: of object, or of all if it is "". What is
// captured later is judged anew. An object of which nothing is held must be mapped,
// or it is an error: it is more likely misspelt than meant.
func Approve(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, object string) ([]Approved, error) {
	table := ""
	if object != "" {
		table = pgsink.TableName(object)
	}
	log := pgx.Identifier{cfg.Schema, "_trigger_log"}.Sanitize()
	rows, err := pool.Query(ctx, strings.ReplaceAll(approveSQL, "{log}", log), cfg.Schema, table)
	if err != nil {
		return nil, commandError("approve", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Approved])
	if err != nil {
		return nil, commandError("approve", err)
	}
	if len(list) > 0 || object == "" {
		return list, nil
	}
	return list, Mapped(ctx, pool, cfg, object)
}

// Mapped returns an error that names the objects that are mapped, unless object is one
// of them.
func Mapped(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, object string) error {
	known, err := knownObjects(ctx, pool, cfg)
	if err != nil {
		return commandError(object, err)
	}
	if len(known) == 0 {
		return ErrNeverRan
	}
	if !slices.ContainsFunc(known, func(name string) bool { return pgsink.TableName(name) == pgsink.TableName(object) }) {
		return notMapped(object, known)
	}
	return nil
}

// notMapped is the error of a command about an object that is none of the known ones.
func notMapped(object string, known []string) error {
	return &ConfigError{Variable: "HC_OBJECTS", Text: fmt.Sprintf("%s is not mapped: mapped are %s", object, strings.Join(known, ", "))}
}

// knownObjects are the objects that are mapped: by the settings, or where these name
// none, those that a bridge has mapped.
func knownObjects(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config) (known []string, err error) {
	for _, o := range cfg.Objects {
		known = append(known, o.Name)
	}
	if len(known) > 0 {
		return known, nil
	}
	rows, err := pool.Query(ctx, `SELECT object FROM hcbridge.object WHERE schema = $1 ORDER BY object`, cfg.Schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Held lists of which tables something is held.
func Held(ctx context.Context, pool *pgxpool.Pool, schema string) ([]string, error) {
	rows, err := pool.Query(ctx, `SELECT table_name FROM hcbridge.hold WHERE schema = $1 AND held ORDER BY table_name`, schema)
	if err != nil {
		return nil, commandError("approve", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, commandError("approve", err)
	}
	return list, nil
}

// commandError explains why a command that runs beside the bridge failed.
func commandError(what string, err error) error {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42703") {
		return ErrNeverRan
	}
	return fmt.Errorf("%s: %w", what, err)
}
