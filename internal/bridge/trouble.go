package bridge

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"hcbridge/internal/salesforce"
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
