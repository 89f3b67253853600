// Package rawjson walks over JSON without decoding it. Events are cut from
// megabytes of replies, and most of what decoders do is not wanted there:
// [Valid] looks at every byte once, and everything else trusts it.
package rawjson

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
	"unsafe"
)

// Members iterates over the members of a JSON object in their order, without
// decoding them. The object must be valid JSON; anything but an object has no
// members. Keys and values share the memory of object; a key that is no UTF-8 is as it came.
func Members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		c := Cursor{b: object}
		if c.space(); c.i == len(c.b) || c.b[c.i] != '{' {
			return
		}
		for more := c.Enter(); more; more = c.Next() {
			if !yield(c.Key(), json.RawMessage(c.Value())) {
				return
			}
		}
	}
}

// Cursor walks over JSON that is known to be valid.
type Cursor struct {
	b []byte
	i int
}

// Over returns a cursor at the beginning of b.
func Over(b []byte) *Cursor { return &Cursor{b: b} }

// At is where the cursor is.
func (c *Cursor) At() int { return c.i }

// Peek is the byte at the cursor.
func (c *Cursor) Peek() byte { return c.b[c.i] }

// Since is what the cursor has gone over since it was at from.
func (c *Cursor) Since(from int) []byte { return c.b[from:c.i:c.i] }

func (c *Cursor) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// Enter steps into the array or object at c, to its first element or key.
// It returns false, and steps over it, if it is empty.
func (c *Cursor) Enter() bool {
	c.i++
	c.space()
	if c.b[c.i] == ']' || c.b[c.i] == '}' {
		c.i++
		return false
	}
	return true
}

// Next steps from the end of an element to the next one, or over the closing
// bracket and returns false.
func (c *Cursor) Next() bool {
	c.space()
	more := c.b[c.i] == ','
	c.i++
	if more {
		c.space()
	}
	return more
}

// Key reads a key and steps to its value.
func (c *Cursor) Key() string {
	raw := c.Value()
	c.space()
	c.i++ // the colon
	c.space()
	if bytes.IndexByte(raw, '\\') >= 0 {
		return Text(raw)
	}
	// Only compared, never kept.
	return unsafe.String(unsafe.SliceData(raw[1:]), len(raw)-2)
}

// Value steps over the value at c and returns it.
func (c *Cursor) Value() []byte {
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
func (c *Cursor) nested() {
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
func (c *Cursor) literal() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return
		}
		c.i++
	}
}

// quoted steps over the string at c.
func (c *Cursor) quoted() {
	for {
		c.i = special(c.b, c.i+1)
		if c.b[c.i] == '"' {
			c.i++
			return
		}
		c.i++ // what the backslash escapes
	}
}

// Text is the value of a quoted string.
func Text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // raw is valid
	return s
}
