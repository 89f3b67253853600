// Package pgtext makes text for people fit for databases that cannot hold all of
// Unicode. The values of records are never changed like that: Postgres refuses what it
// cannot hold of them, and the record is parked.
package pgtext

import "strings"

// Fit returns text with a question mark for each character that a database in
// encoding, as its setting server_encoding names it, perhaps cannot hold.
func Fit(encoding, text string) string {
	most := rune(0x7F) // all of them hold ASCII
	switch encoding {
	case "UTF8", "SQL_ASCII", "":
		return text
	case "LATIN1":
		most = 0xFF
	}
	return strings.Map(func(r rune) rune {
		if r > most {
			return '?'
		}
		return r
	}, text)
}
