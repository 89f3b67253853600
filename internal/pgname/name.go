// Package pgname writes the names and constants that stand in SQL: whoever makes
// a table, its triggers or its indexes, and whoever looks for them, must cut and
// quote alike.
//
//	"hc_…_logtrigger", too long ─▶ Short ─▶ 63 bytes, a hash at the end
//	name ─▶ Quote ─▶ "name"       text ─▶ Literal ─▶ 'text'
//
// It knows no table and does no I/O. Its functions may be called from any
// goroutine.
package pgname

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Max is Postgres's limit for an identifier, in bytes (NAMEDATALEN - 1).
// Postgres cuts what is longer without a word, which can make two names one.
const Max = 63

// Short cuts a name that is too long and ends it in a hash of the whole, so
// that the same name is always cut alike and different names stay different.
// Databases hold such names: the rule can never change.
func Short(name string) string {
	if len(name) <= Max {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	suffix := "_" + hex.EncodeToString(sum[:4])
	cut := Max - len(suffix)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + suffix
}

// Quote quotes a name, or a name qualified by a schema. Everything is quoted, so
// reserved words such as user need no list.
func Quote(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// Literal quotes a string constant. It reads the same whatever
// standard_conforming_strings says, which function bodies meet at run time.
func Literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
