package outbox

import (
	"fmt"
	"strings"
)

// parsePairs reads the text form of hstore, as the log columns old and values
// hold it: "key"=>"value", "other"=>NULL. A nil value is NULL. Keys and values
// without quotes are taken as hstore itself takes them, because users write log
// rows too (PostgreSQL, F.18 hstore, "hstore External Representation").
//
// Of a key given twice the first wins, as in hstore. Keys that keep says no to are
// left out; nil keeps all. Keys and values share the memory of text wherever
// nothing is escaped.
func parsePairs(text string, keep func(key string) bool) (map[string]*string, error) {
	p := hstoreParser{rest: text}
	n := 4 // about as many as are kept
	if keep == nil {
		n = strings.Count(text, "=>")
	}
	pairs := make(map[string]*string, n)
	values := make([]string, 0, n) // what pairs point to: they need no allocation each
	p.space()
	for p.rest != "" {
		key, _, err := p.word("=,")
		if err != nil {
			return nil, err
		}
		p.space()
		if !strings.HasPrefix(p.rest, "=>") {
			return nil, p.fail("=> expected")
		}
		p.rest = p.rest[2:]
		p.space()
		value, quoted, err := p.word(",")
		if err != nil {
			return nil, err
		}
		if _, twice := pairs[key]; !twice && (keep == nil || keep(key)) {
			if !quoted && strings.EqualFold(value, "null") {
				pairs[key] = nil
			} else {
				values = append(values, value)
				pairs[key] = &values[len(values)-1]
			}
		}
		p.space()
		if p.rest == "" {
			break
		}
		if p.rest[0] != ',' {
			return nil, p.fail("comma expected")
		}
		p.rest = p.rest[1:]
		p.space()
	}
	return pairs, nil
}

// formatHStore is the inverse: the text that hstore itself would write, but for
// the order of keys.
func formatHStore(pairs map[string]*string) string {
	quote := func(b *strings.Builder, s string) {
		b.WriteByte('"')
		for i := range len(s) {
			if s[i] == '"' || s[i] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		}
		b.WriteByte('"')
	}
	var b strings.Builder
	for key, value := range pairs {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		quote(&b, key)
		b.WriteString("=>")
		if value == nil {
			b.WriteString("NULL")
			continue
		}
		quote(&b, *value)
	}
	return b.String()
}

type hstoreParser struct{ rest string }

func (p *hstoreParser) fail(what string) error {
	return fmt.Errorf("hstore: %s, %d bytes before the end", what, len(p.rest))
}

func (p *hstoreParser) space() {
	for p.rest != "" && isSpace(p.rest[0]) {
		p.rest = p.rest[1:]
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// word takes a quoted or bare word. A bare one ends at white space or at one of
// the bytes of stop.
func (p *hstoreParser) word(stop string) (word string, quoted bool, err error) {
	if p.rest == "" {
		return "", false, p.fail("a word expected")
	}
	if p.rest[0] == '"' {
		p.rest = p.rest[1:]
		quoted = true
		if end := strings.IndexByte(p.rest, '"'); end >= 0 && strings.IndexByte(p.rest[:end], '\\') < 0 {
			word, p.rest = p.rest[:end], p.rest[end+1:]
			return word, true, nil
		}
	}
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\':
			if i++; i == len(p.rest) {
				return "", false, p.fail("the text ends within an escape")
			}
			b.WriteByte(p.rest[i])
		case quoted && c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true, nil
		case !quoted && (isSpace(c) || strings.IndexByte(stop, c) >= 0):
			if b.Len() == 0 {
				return "", false, p.fail("a word expected")
			}
			p.rest = p.rest[i:]
			return b.String(), false, nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", false, p.fail("the text ends within quotes")
	}
	p.rest = ""
	return b.String(), false, nil
}
