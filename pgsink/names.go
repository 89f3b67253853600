package pgsink

import (
	"strings"
	"unicode/utf8"

	"hcbridge/internal/pgname"
)

const maxName = pgname.Max

// ColumnName is the column of a Salesforce field: lower case, and a parent's
// field given as Account__r.External_Id__c is account__r__external_id__c, as
// Heroku Connect names it.
func ColumnName(field string) string {
	return short(strings.ReplaceAll(strings.ToLower(field), ".", "__"))
}

// TableName returns the table of a Salesforce object, by its API name in any
// case.
func TableName(object string) string { return short(strings.ToLower(object)) }

func short(name string) string { return pgname.Short(name) }

// indexName is hc_idx_<table>_<column>, or hcu_idx_… for a unique one.
func indexName(table, column string, unique bool) string {
	if unique {
		return short("hcu_idx_" + table + "_" + column)
	}
	return short("hc_idx_" + table + "_" + column)
}

func quote(parts ...string) string { return pgname.Quote(parts...) }

// usable reports whether a name can be a Postgres identifier at all.
func usable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

func literal(text string) string { return pgname.Literal(text) }
