package pgtext

import "testing"

func TestFit(t *testing.T) {
	t.Parallel()
	const text = "Größe “x” … 3 € \x7f\u0080ÿĀ" // in the end the characters at the bounds
	for encoding, want := range map[string]string{"UTF8": text, "SQL_ASCII": text, "": text, "LATIN1": "Größe ?x? ? 3 ? \x7f\u0080ÿ?", "WIN1252": "Gr??e ?x? ? 3 ? \x7f???"} {
		if got := Fit(encoding, text); got != want {
			t.Errorf("for %s it is %q, want %q", encoding, got, want)
		}
	}
}
