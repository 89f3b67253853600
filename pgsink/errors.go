package pgsink

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrFenced reports that the statement of [Sink.Fence] refused a transaction:
// somebody else works on the schema now, and nothing was written.
var ErrFenced = errors.New("fenced")

// Mismatch reports a table that cannot be used as it is. Nothing was altered.
// It needs a person: the table or the mapping must change.
type Mismatch struct {
	Table       string   // schema.table
	Differences []string // one sentence each
}

func (e *Mismatch) Error() string {
	return fmt.Sprintf("pgsink: table %s does not fit its mapping: %s", e.Table, strings.Join(e.Differences, "; "))
}

// RecordError reports a record that is not one: no JSON object, no id, no
// stamp. It never holds a value of the record.
type RecordError struct {
	Object string
	Reason string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("pgsink: record of %s: %s", e.Object, e.Reason)
}

// SQLSTATE classes and codes that say nothing about the record being written
// (PostgreSQL documentation, Appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeLockTimeout   = "55P03"
	codeUnique        = "23505"
	codeForeignKey    = "23503"
	codeTriggered     = "27000" // triggered data change violation

	// A character that the database's encoding lacks.
	codeUntranslatable = "22P05"
)

// isConflict reports an error that heals when the transaction is run again.
func isConflict(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case codeSerialization, codeDeadlock, codeLockTimeout:
		return true
	}
	return false
}

// waitedInVain reports a lock that somebody else did not give up in time.
func waitedInVain(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeLockTimeout
}

// IsLocked reports that somebody else has kept a table locked for longer than is waited for.
func IsLocked(err error) bool { return waitedInVain(err) }

// dataError returns Postgres's error if it is about the record: its value, a
// constraint, or the app's own trigger. Everything else is about the
// connection, the server or the schema, and would hit the next record too.
func dataError(err error) (*pgconn.PgError, bool) {
	var pg *pgconn.PgError
	if errors.Is(err, ErrFenced) || !errors.As(err, &pg) || len(pg.Code) < 2 || pg.Code == codeLockTimeout {
		return nil, false
	}
	switch pg.Code[:2] {
	case "08", "40", "53", "57", "58":
		return nil, false
	case "0B", "25", "26", "28", "3D", "3F", "42", "55", "F0", "XX":
		// A column, right or state that is missing to us stops everything, and so
		// does what breaks the status trigger; what is missing to the app's
		// trigger is a matter of this row.
		ours := strings.Contains(pg.Where, ".hc_") && strings.Contains(pg.Where, "_status()")
		return pg, strings.Contains(pg.Where, "function") && !ours
	}
	return pg, true
}
