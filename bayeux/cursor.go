package bayeux

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
	"unsafe"
)

// Members iterates over the members of a JSON object in their order, without
// decoding them. The object must be valid JSON, as the Data of a delivered
// [Message] is; anything but an object has no members. Keys and values share
// the memory of object.
func Members(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		c := cursor{b: object}
		if c.space(); c.i == len(c.b) || c.b[c.i] != '{' {
			return
		}
		for more := c.enter(); more; more = c.next() {
			if !yield(c.key(), json.RawMessage(c.value())) {
				return
			}
		}
	}
}

// cursor walks over JSON that is known to be valid.
type cursor struct {
	b []byte
	i int
}

func (c *cursor) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// enter steps into the array or object at c, to its first element or key.
// It returns false, and steps over it, if it is empty.
func (c *cursor) enter() bool {
	c.i++
	c.space()
	if c.b[c.i] == ']' || c.b[c.i] == '}' {
		c.i++
		return false
	}
	return true
}

// next steps from the end of an element to the next one, or over the closing
// bracket and returns false.
func (c *cursor) next() bool {
	c.space()
	more := c.b[c.i] == ','
	c.i++
	if more {
		c.space()
	}
	return more
}

// key reads a key and steps to its value.
func (c *cursor) key() string {
	raw := c.value()
	c.space()
	c.i++ // the colon
	c.space()
	if bytes.IndexByte(raw, '\\') >= 0 {
		return text(raw)
	}
	// Only compared, never kept.
	return unsafe.String(unsafe.SliceData(raw[1:]), len(raw)-2)
}

// value steps over the value at c and returns it.
func (c *cursor) value() []byte {
	start := c.i
	switch c.b[c.i] {
	case '"':
		c.quoted()
	case '{', '[':
		c.nested()
	default:
		c.literal()
	}
	return c.b[start:c.i:c.i]
}

// nested steps over the array or object at c.
func (c *cursor) nested() {
	for depth := 0; ; {
		switch c.b[c.i] {
		case '"':
			c.quoted()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		c.i++
		if depth == 0 {
			return
		}
	}
}

// literal steps over the number, true, false or null at c.
func (c *cursor) literal() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return
		}
		c.i++
	}
}

// quoted steps over the string at c.
func (c *cursor) quoted() {
	for c.i++; ; c.i++ {
		switch c.b[c.i] {
		case '\\':
			c.i++ // whatever it escapes
		case '"':
			c.i++
			return
		}
	}
}

// text is the value of a quoted string.
func text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // raw is valid
	return s
}
