package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
)

// isDatabase reports whether err came from Postgres or the way to it.
func isDatabase(err error) bool {
	var pg *pgconn.PgError
	var ce *pgconn.ConnectError
	return errors.As(err, &pg) || errors.As(err, &ce) || pgconn.Timeout(err) && !errors.As(err, new(*salesforce.Error))
}

// isDatabaseDown reports trouble with Postgres that passes: no connection, a
// restart, too many connections, a full disk, a primary that another has taken over
// from, a transaction that we left idle because this machine stood still.
func isDatabaseDown(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "40", "55":
			return true
		}
		return pg.Code == "25006" || pg.Code == "25P03"
	}
	var se *salesforce.Error
	var ce *ConfigError
	return !errors.As(err, &se) && !errors.As(err, &ce)
}

// stalled shows that the outbox cannot work. What Salesforce refuses it, the sender shows.
func (s *session) stalled(err error) {
	var f *outbox.Failure
	switch {
	case err == nil:
		s.resume("outbound")
	case errors.As(err, &f) && f.Code != outbox.CodeInternal:
	default:
		s.falter("outbound", stallReason(err), err)
	}
}

// stallReason says why the outbox cannot work, without what Postgres may quote of a row.
func stallReason(err error) string {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
		return err.Error()
	case strings.HasPrefix(pg.Code, "42"): // a name, or a privilege
		return fmt.Sprintf("Postgres refuses: %s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	return fmt.Sprintf("Postgres refuses with SQLSTATE %s, see the log", pg.Code)
}

// unanswered shows that calls of an object are not answered.
func (s *session) unanswered(object string, calls int) {
	part := "answers of " + object
	if calls == 0 {
		s.resume(part)
		return
	}
	s.stop(part, "Salesforce does not answer a write; its records wait, the others go on")
}

// ownTables are those of the schema that are Heroku Connect's, too.
var ownTables = []string{"_hcmeta", "_trigger_log", "_trigger_log_archive"}

// missing reports a table that somebody has dropped, without which nothing is kept. It is
// asked often, and so in one query.
func (s *session) missing(ctx context.Context) error {
	var table *string
	err := s.pool.QueryRow(ctx, "SELECT (SELECT name FROM unnest($2::text[]) AS name WHERE to_regclass($1 || name) IS NULL LIMIT 1)",
		pgx.Identifier{s.cfg.Schema}.Sanitize()+".", ownTables).Scan(&table)
	switch {
	case err != nil:
		return fmt.Errorf("look for tables of our own: %w", err)
	case table != nil:
		return fmt.Errorf("the table %s.%s is missing: %w", s.cfg.Schema, *table, errMissing)
	}
	return nil
}

var errMissing = errors.New("it is made again, without what was in it")

// doubtTables has the tables looked at, and made again as they were, where Postgres
// says that one lacks something: somebody has dropped a table, a column or an index.
// It reports whether that is so.
func (s *session) doubtTables(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "42P01", "42703", "42P10": // table, column; a unique index that ON CONFLICT names
		s.schema.ask()
		return true
	}
	return false
}

// isRefused reports that Postgres answered, and that no retry will change what
// it said: wrong password, no such role or database.
func isRefused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code[:2] == "28" || pg.Code == "3D000")
}

// remedied adds to what Postgres says of rights that are missing who tells which they are.
func remedied(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42501" {
		return fmt.Errorf("%w: `hcbridge check` says what to GRANT", err)
	}
	return err
}
