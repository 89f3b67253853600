package salesforce

import "strings"

// idForm reports whether s can be a record id: 15 or 18 letters and digits.
func idForm(s string) bool {
	if len(s) != 15 && len(s) != 18 {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') {
			return false
		}
	}
	return true
}

// nameForm reports whether s can be an API name of an object or field.
func nameForm(s string) bool {
	for i := range len(s) {
		b := s[i]
		letter := b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		if !letter && (i == 0 || b != '_' && (b < '0' || b > '9')) {
			return false
		}
	}
	return s != ""
}

// suffixes are the last characters of ids: of each five before, which are in upper case.
const suffixes = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

// CanonicalID returns an id as Salesforce writes it: 18 characters, with the case that the
// last three tell where somebody changed it. It is false for what can be the id of no record, and
// of which Salesforce would refuse the whole query (MALFORMED_ID).
func CanonicalID(s string) (id string, ok bool) {
	if !idForm(s) {
		return "", false
	}
	if len(s) == 15 {
		return ID18(s), true
	}
	out := []byte(strings.ToLower(s[:15]) + strings.ToUpper(s[15:]))
	for i := range 15 {
		bits := strings.IndexByte(suffixes, out[15+i/5])
		switch upper := bits>>(i%5)&1 == 1; {
		case bits < 0, upper && out[i] < 'a': // a digit has no upper case
			return "", false
		case upper:
			out[i] -= 'a' - 'A'
		}
	}
	return string(out), true
}

// ID18 gives an id of 15 characters the three that make it safe to compare
// without case; all others are returned as they are.
//
// Object Reference, "ID Field Type".
func ID18(s string) string {
	if len(s) != 15 {
		return s
	}
	out := []byte(s)
	for group := 0; group < 15; group += 5 {
		bits := 0
		for i := range 5 {
			if b := s[group+i]; b >= 'A' && b <= 'Z' {
				bits |= 1 << i
			}
		}
		out = append(out, suffixes[bits])
	}
	return string(out)
}
