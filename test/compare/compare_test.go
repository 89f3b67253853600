package compare

import (
	"encoding/json"
	"testing"
	"time"
)

func TestEqual(t *testing.T) {
	t.Parallel()
	s := func(v string) *string { return &v }
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		typ  string
		want any
		got  *string
		ok   bool
	}{
		{"string", nil, nil, true},
		{"string", nil, s(""), false},
		{"string", "a", s("a"), true},
		{"string", "a", s("A"), false},
		{"string", "a", nil, false},
		{"boolean", true, s("true"), true},
		{"boolean", true, s("false"), false},
		{"currency", json.Number("12.50"), s("12.5"), true},
		{"currency", json.Number("12345678901234.5678"), s("12345678901234.568"), true}, // the nearest double
		{"currency", json.Number("12.51"), s("12.5"), false},
		{"datetime", noon, s("2026-01-02 12:00:00"), true},
		{"datetime", noon, s("2026-01-02 13:00:00"), false},
		{"time", "13:30:00.000Z", s("13:30:00"), true},
		{"time", "13:30:00.5Z", s("13:30:00"), false},
	} {
		if ok := Equal(c.typ, c.want, c.got); ok != c.ok {
			t.Errorf("%s: Equal(%v, %s) is %v", c.typ, c.want, show(c.got), ok)
		}
	}
}
