package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deep JSON may be nested, as in encoding/json.
const maxDepth = 10000

// Valid is json.Valid at several times its speed. Every byte that comes in is
// looked at here, so this is what the rate of events hangs on.
func Valid(b []byte) bool {
	i, ok := validValue(b, validSpace(b, 0), 0)
	return ok && validSpace(b, i) == len(b)
}

func validSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// validValue returns the end of the value that begins at i, and whether there
// is one.
func validValue(b []byte, i, depth int) (int, bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"':
		return validString(b, i)
	case '{':
		return validMembers(b, i, depth+1)
	case '[':
		return validElements(b, i, depth+1)
	case 't':
		return validWord(b, i, "true")
	case 'f':
		return validWord(b, i, "false")
	case 'n':
		return validWord(b, i, "null")
	default:
		return validNumber(b, i)
	}
}

func validMembers(b []byte, i, depth int) (int, bool) {
	if depth > maxDepth {
		return i, false
	}
	if i = validSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	var ok bool
	for {
		if i >= len(b) || b[i] != '"' {
			return i, false
		}
		if i, ok = validString(b, i); !ok {
			return i, false
		}
		if i = validSpace(b, i); i >= len(b) || b[i] != ':' {
			return i, false
		}
		if i, ok = validValue(b, validSpace(b, i+1), depth); !ok {
			return i, false
		}
		switch i = validSpace(b, i); {
		case i < len(b) && b[i] == ',':
			i = validSpace(b, i+1)
		case i < len(b) && b[i] == '}':
			return i + 1, true
		default:
			return i, false
		}
	}
}

func validElements(b []byte, i, depth int) (int, bool) {
	if depth > maxDepth {
		return i, false
	}
	if i = validSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, true
	}
	var ok bool
	for {
		if i, ok = validValue(b, i, depth); !ok {
			return i, false
		}
		switch i = validSpace(b, i); {
		case i < len(b) && b[i] == ',':
			i = validSpace(b, i+1)
		case i < len(b) && b[i] == ']':
			return i + 1, true
		default:
			return i, false
		}
	}
}

func validString(b []byte, i int) (int, bool) {
	for i = special(b, i+1); i < len(b); i = special(b, i+1) {
		c := b[i]
		if c == '"' {
			return i + 1, true
		}
		if c != '\\' || i+1 >= len(b) {
			return i, false // a control character must be escaped
		}
		i++
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if i+4 >= len(b) || !hex(b[i+1]) || !hex(b[i+2]) || !hex(b[i+3]) || !hex(b[i+4]) {
				return i, false
			}
			i += 4
		default:
			return i, false
		}
	}
	return i, false
}

// special returns where the first quote, backslash or control character from i
// on is, or the end. It looks at eight bytes at a time: of a word, the bytes that
// are less than n have their highest bit set in (w - n of each) &^ w, and perhaps
// some after the first such byte, which is the one that counts.
func special(b []byte, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^each*'"', w^each*'\\'
		found := ((w-each*' ')&^w | (quote-each)&^quote | (slash-each)&^slash) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}

func hex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func validWord(b []byte, i int, word string) (int, bool) {
	end := i + len(word)
	return end, end <= len(b) && string(b[i:end]) == word
}

func validNumber(b []byte, i int) (int, bool) {
	if b[i] == '-' {
		i++
	}
	whole := i
	if i = digits(b, i); i == whole || b[whole] == '0' && i > whole+1 {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = digits(b, fraction); i == fraction {
			return i, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		if i = digits(b, i); i == exponent {
			return i, false
		}
	}
	return i, true
}

// digits returns the end of the digits that begin at i.
func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
