package outbox

import (
	"hash/fnv"
	"strings"

	"hcbridge/internal/pgname"
)

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

func shorten(name string) string { return pgname.Short(name) }

func ident(parts ...string) string { return pgname.Quote(parts...) }

func literal(s string) string { return pgname.Literal(s) }

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
