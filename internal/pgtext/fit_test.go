package pgtext

import "testing"

func TestFit(t *testing.T) {
	t.Parallel()
	const text = "Größe “x” … 3 €"
	for encoding, want := range map[string]string{"UTF8": text, "SQL_ASCII": text, "": text, "LATIN1": "Größe ?x? ? 3 ?", "WIN1252": "Gr??e ?x? ? 3 ?"} {
		if got := Fit(encoding, text); got != want {
			t.Errorf("for %s it is %q, want %q", encoding, got, want)
		}
	}
}
