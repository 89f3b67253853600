package pgname

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Databases hold these names: they are as they always were.
func TestShort(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                      "",
		strings.Repeat("a", 63): strings.Repeat("a", 63),
		strings.Repeat("a", 64): strings.Repeat("a", 54) + "_ffe054fe",
		"hc_" + strings.Repeat("x", 70) + "_logtrigger": "hc_" + strings.Repeat("x", 51) + "_4936ecb7",
		strings.Repeat("ü", 32):                         strings.Repeat("ü", 27) + "_18e2d438",
	} {
		if got := Short(name); got != want {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(1, 100, 200).Draw(t, "a"), rapid.StringN(1, 100, 200).Draw(t, "b")
		if x := Short(a); len(x) > Max || Short(a) != x || Short(x) != x {
			t.Errorf("Short(%q) is %q", a, x)
		}
		if a != b && Short(a) == Short(b) {
			t.Errorf("%q and %q are both %q", a, b, Short(a))
		}
	})
}

func TestQuotes(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		Quote("user"):          `"user"`,
		Quote("s", `x"y`):      `"s"."x""y"`,
		Literal("it's"):        `'it''s'`,
		Literal(""):            `''`,
		Literal(`a\'b`):        `E'a\\''b'`,
		Literal("two\nlines;"): "'two\nlines;'",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
