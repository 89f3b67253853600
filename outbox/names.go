package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// maxName is what Postgres keeps of an identifier, in bytes.
const maxName = 63

// Channel is the notification channel of a mapped schema. It contains a dot
// and must be quoted in LISTEN.
func Channel(schema string) string { return schema + ".hc_trigger_log" }

// attemptTable holds what is on its way.
const attemptTable = "_trigger_log_attempt"

// echoTable names entries of which an event was seen before their answer, see echo.go.
const echoTable = "_trigger_log_echo"

// The names of what Install makes for a table.
func statusTrigger(table string) string   { return shorten("hc_" + table + "_status_trigger") }
func statusFunction(table string) string  { return shorten("hc_" + table + "_status") }
func logTrigger(table string) string      { return shorten("hc_" + table + "_logtrigger") }
func insertTrigger(table string) string   { return shorten("hc_" + table + "_logtrigger_insert") }
func deleteTrigger(table string) string   { return shorten("hc_" + table + "_logtrigger_delete") }
func logFunction(table string) string     { return shorten("hc_" + table + "_logger") }
func truncateTrigger(table string) string { return shorten("hc_" + table + "_truncate_trigger") }

// shorten cuts a name that Postgres would cut, but so that two names which
// differ only in what is cut off stay different.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	keep := maxName - 9
	for !utf8.RuneStart(name[keep]) {
		keep--
	}
	return name[:keep] + "_" + hex.EncodeToString(sum[:4])
}

// ident quotes a name, or a name qualified by a schema.
func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// literal quotes a string constant. It holds under any setting of
// standard_conforming_strings, which function bodies meet at run time.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// textArray is an array constant of strings.
func textArray(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = literal(s)
	}
	return "ARRAY[" + strings.Join(quoted, ", ") + "]::pg_catalog.text[]"
}

// lockKey makes the second key of an advisory lock from a name.
func lockKey(name string) int32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int32(h.Sum32()) //nolint:gosec // any 32 bits will do
}
