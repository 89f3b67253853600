package config

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a string that does not print: not with any verb of package fmt,
// not as JSON or text. The empty secret prints as nothing, so that a log can
// tell whether there is one.
//
// Two places ask nobody: fmt prints unexported fields as they are, and
// encoding/json the keys of a map. Keep secrets in exported fields.
type Secret string

// Reveal returns the value, for the place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, for the verb %#v.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Format covers every verb, %x and %d among them.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	switch {
	case verb == 'v' && f.Flag('#'):
		text = s.GoString()
	case verb == 'q':
		text = fmt.Sprintf("%q", text)
	}
	_, _ = io.WriteString(f, text) // a State reports errors to nobody
}

// MarshalText keeps the value out of text formats.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON keeps the value out of JSON, and so out of zerolog's Interface.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }
