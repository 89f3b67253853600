package pgsink

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// maxName is Postgres's limit for an identifier, in bytes (NAMEDATALEN - 1).
// Postgres cuts what is longer without a word, which can make two names one.
const maxName = 63

// columnName is the column of a Salesforce field: lower case, and a parent's
// field given as Account__r.External_Id__c is account__r__external_id__c, as
// Heroku Connect names it.
func columnName(field string) string {
	return short(strings.ReplaceAll(strings.ToLower(field), ".", "__"))
}

// TableName returns the table of a Salesforce object, by its API name in any
// case.
func TableName(object string) string { return short(strings.ToLower(object)) }

// short cuts a name that is too long and ends it in a hash of the whole, so
// that the same name is always cut alike and different names stay different.
func short(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	suffix := "_" + hex.EncodeToString(sum[:4])
	cut := maxName - len(suffix)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + suffix
}

// indexName is hc_idx_<table>_<column>, or hcu_idx_… for a unique one.
func indexName(table, column string, unique bool) string {
	if unique {
		return short("hcu_idx_" + table + "_" + column)
	}
	return short("hc_idx_" + table + "_" + column)
}

// quote makes an identifier safe. Everything is quoted, so reserved words
// such as user need no list.
func quote(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// usable reports whether a name can be a Postgres identifier at all.
func usable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// literal makes a text constant that reads the same whatever
// standard_conforming_strings says.
func literal(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	if strings.Contains(text, `\`) {
		return "E'" + strings.ReplaceAll(text, `\`, `\\`) + "'"
	}
	return "'" + text + "'"
}
