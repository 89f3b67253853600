package soql

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind int

const (
	end     kind = iota
	word         // identifier or dotted path
	literal      // unquoted number, date, datetime
	quoted       // string
	symbol
)

type token struct {
	kind kind
	pos  int    // byte offset
	text string // as written; a string decoded
	// pattern is a string with the escapes that LIKE wants kept: \\ \_ \%.
	pattern string
	wild    bool // has \_ or \%, which only LIKE may
}

// is reports whether the token is the keyword or symbol s.
func (t token) is(s string) bool {
	return (t.kind == word || t.kind == symbol) && strings.EqualFold(t.text, s)
}

// lex cuts a query into tokens, the last of which is end.
func lex(s string) ([]token, *Error) {
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
			continue
		case isLetter(c):
			for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '.') {
				i++
			}
			out = append(out, token{kind: word, pos: start, text: s[start:i]})
		case isDigit(c) || ((c == '-' || c == '+' || c == '.') && i+1 < len(s) && (isDigit(s[i+1]) || s[i+1] == '.')):
			for i++; i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || strings.IndexByte(".:+-", s[i]) >= 0); {
				i++
			}
			out = append(out, token{kind: literal, pos: start, text: s[start:i]})
		case c == '\'':
			t, n, err := lexString(s, start)
			if err != nil {
				return nil, err
			}
			i = n
			out = append(out, t)
		default:
			n := 1
			if i+1 < len(s) && strings.Contains("<= >= != <>", s[i:i+2]) && s[i] != ' ' && s[i+1] != ' ' {
				n = 2
			} else if strings.IndexByte("()=<>,;", c) < 0 {
				r, _ := utf8.DecodeRuneInString(s[i:])
				row := 1 + strings.Count(s[:i], "\n")
				return nil, malformed("line %d:%d no viable alternative at character '%c'", row, i-strings.LastIndexByte(s[:i], '\n')-1, r)
			}
			i += n
			out = append(out, token{kind: symbol, pos: start, text: s[start:i]})
		}
	}
	return append(out, token{kind: end, pos: len(s), text: "<EOF>"}), nil
}

func isLetter(c byte) bool { return c == '_' || (c|0x20) >= 'a' && (c|0x20) <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// lexString reads the quoted string at start and returns the offset behind it
// (SOQL and SOSL Reference, "Quoted String Escape Sequences").
func lexString(s string, start int) (token, int, *Error) {
	t := token{kind: quoted, pos: start}
	var text, pattern strings.Builder
	put := func(v string) {
		text.WriteString(v)
		pattern.WriteString(v)
	}
	for i := start + 1; i < len(s); i++ {
		switch s[i] {
		case '\'':
			t.text, t.pattern = text.String(), pattern.String()
			return t, i + 1, nil
		case '\\':
			i++
			if i == len(s) {
				return t, 0, malformed("unexpected char: '\\'")
			}
			switch c := s[i]; c {
			case 'n', 'N':
				put("\n")
			case 'r', 'R':
				put("\r")
			case 't', 'T':
				put("\t")
			case 'b', 'B':
				put("\b")
			case 'f', 'F':
				put("\f")
			case '"', '\'':
				put(string(c))
			case '\\':
				text.WriteByte('\\')
				pattern.WriteString(`\\`)
			case '_', '%':
				t.wild = true
				text.WriteByte(c)
				pattern.WriteByte('\\')
				pattern.WriteByte(c)
			case 'u', 'U':
				if i+4 >= len(s) {
					return t, 0, illegalEscape(s, start, c)
				}
				n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
				if err != nil {
					return t, 0, illegalEscape(s, start, c)
				}
				put(string(rune(n)))
				i += 4
			default:
				return t, 0, illegalEscape(s, start, c)
			}
		default:
			put(s[i : i+1])
		}
	}
	return t, 0, malformed("unexpected char: '''")
}

func illegalEscape(s string, start int, c byte) *Error {
	shown, _, _ := strings.Cut(s[start+1:], "'")
	return malformed("Invalid string literal '%s'. Illegal character sequence '\\%c' in string literal.", shown, c)
}
