package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/outbox"
)

var (
	//go:embed sql/inherited.sql
	inheritedSQL string
	//go:embed sql/inherit.sql
	inheritSQL string
)

// belongs tells, before anything is altered, whose rows a schema holds in which no
// bridge has been yet. Rows of one org must never be sent to another: that is an
// error. And what waits in a log that is not ours may be sent by Heroku Connect as
// well, or by the database of which this is a copy: so it waits until a person
// says that nobody else does.
func belongs(ctx context.Context, pool pgPool, schema, orgID string) (unsafe string, err error) {
	m, err := outbox.ReadMarker(ctx, pool, schema)
	if err != nil {
		return "", fmt.Errorf("whose schema this is: %w", err)
	}
	switch {
	case !m.Fits(orgID):
		return "", otherOrg(schema, m.OrgID, orgID)
	case m.Ours:
		return "the rows of this schema come from a bridge whose own schema, hcbridge, is not here: this is a copy, or was restored in part", nil
	case m.Exists:
		return fromHeroku, nil
	}
	return "", nil
}

// fromHeroku is why nothing is sent of a log that Heroku Connect has kept.
const fromHeroku = "the rows of this schema come from Heroku Connect, which may still be at work on it"

func otherOrg(schema, has, wants string) *ConfigError {
	return &ConfigError{Variable: "HC_SCHEMA", Text: fmt.Sprintf("schema %s belongs to org %s, but the user logs in to org %s: use another schema or the other org's user", schema, has, wants)}
}

// inheritance is what a table held before a bridge first came to it.
type inheritance struct {
	rows  int64     // that have a record
	stamp time.Time // the newest
}

// mostly is the share of an object's records that a table must hold for comparing
// to be cheaper than loading: what a comparison misses is read one by one.
const mostly = 0.9

// inherited looks at the table that is there before m's is made. It is nil where
// there are no rows to speak of, or m was mapped before; m is loaded, then.
func (s *session) inherited(ctx context.Context, m *mapping) (*inheritance, error) {
	table := pgx.Identifier{s.cfg.Schema, m.table.Name}.Sanitize()
	var is bool
	if err := s.pool.QueryRow(ctx, inheritedSQL, table, s.cfg.Schema, m.cfg.Name).Scan(&is); err != nil || !is {
		return nil, err
	}
	var in inheritance
	var stamp *time.Time
	err := s.pool.QueryRow(ctx, "SELECT count(*), max(systemmodstamp) AT TIME ZONE 'UTC' FROM "+table+" WHERE sfid IS NOT NULL").Scan(&in.rows, &stamp)
	if err != nil || stamp == nil {
		return nil, err
	}
	in.stamp = *stamp
	records, err := s.sf.Count(ctx, "SELECT COUNT() FROM "+m.cfg.Name)
	if err != nil || float64(in.rows) < mostly*float64(records) {
		return nil, err
	}
	return &in, nil
}

// inherit keeps the rows of m's table instead of loading them, in the transaction
// that makes the table m's.
func (s *session) inherit(ctx context.Context, tx pgx.Tx, m *mapping, in *inheritance) error {
	if _, err := tx.Exec(ctx, inheritSQL, s.cfg.Schema, m.cfg.Name, in.stamp, m.refill); err != nil {
		return fmt.Errorf("keep its rows: %w", err)
	}
	return nil
}
