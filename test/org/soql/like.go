package soql

import "strings"

// likeRune is one element of a LIKE pattern: a character, or one of the
// wildcards.
type likeRune struct {
	r    rune
	one  bool // _
	many bool // %
}

// compileLike reads a pattern in which \ escapes \, _ and %. Matching is
// without regard to case.
func compileLike(pattern string) []likeRune {
	var out []likeRune
	escaped := false
	for _, r := range strings.ToLower(pattern) {
		switch {
		case escaped:
			out = append(out, likeRune{r: r})
			escaped = false
		case r == '\\':
			escaped = true
		case r == '_':
			out = append(out, likeRune{one: true})
		case r == '%':
			out = append(out, likeRune{many: true})
		default:
			out = append(out, likeRune{r: r})
		}
	}
	return out
}

// like matches s against a pattern in time proportional to the product of
// their lengths at most.
func like(pattern []likeRune, s string) bool {
	text := []rune(strings.ToLower(s))
	p, i := 0, 0
	star, from := -1, 0 // the last % and where its match ends so far
	for i < len(text) {
		switch {
		case p < len(pattern) && pattern[p].many:
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p].one || pattern[p].r == text[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p].many {
		p++
	}
	return p == len(pattern)
}
