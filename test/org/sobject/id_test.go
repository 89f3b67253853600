package sobject

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSuffix(t *testing.T) {
	t.Parallel()
	vectors := map[string]string{
		"a01M00000062mPg": "IAI", "001M000000qfPyS": "IAU", "a0FE000000D6r3F": "MAR", "0F9E000000092w2": "KAA",
		"a0RE000000IJmcN": "MAT", "001D000000IqhSL": "IAZ", "00D30000000ehjI": "EAQ", "aaaaaaaaaaaaaaa": "AAA",
		"AbCdEfGhIjKlMnO": "VKV", "aBcDEfgHIJKLMNO": "025",
	}
	for id, want := range vectors {
		if got := Suffix(id); got != want {
			t.Errorf("Suffix(%s) = %s, want %s", id, got, want)
		}
		if got, err := NormalizeID(id + want); err != nil || got != id+want {
			t.Errorf("NormalizeID(%s) = %s, %v", id+want, got, err)
		}
	}
	if got, err := NormalizeID(EmptyID[:15]); err != nil || got != EmptyID {
		t.Errorf("empty id is %s, %v", got, err)
	}
}

func TestNormalizeIDRefuses(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"", "001", "001M000000qfPySIAV", "001m000000qfPySIAU", "001M000000qfPySiau", "001M000000qfPyS ", "001M000000qf-yS", "001M000000qfPySI", "001M000000qfPySIAU0", "ééééééééé",
	} {
		if got, err := NormalizeID(id); err == nil {
			t.Errorf("NormalizeID(%q) = %q, want an error", id, got)
		}
	}
}

func TestMintID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 1<<50).Draw(t, "n")
		a, b := MintID("001", n), MintID("001", n+1)
		if a >= b {
			t.Fatalf("id %d %s does not sort before %s", n, a, b)
		}
		if got, err := NormalizeID(a[:15]); err != nil || got != a {
			t.Fatalf("NormalizeID(%s) = %s, %v, want %s", a[:15], got, err, a)
		}
		// Any change of case is noticed by the check characters.
		i := rapid.IntRange(0, 14).Draw(t, "i")
		c := a[i : i+1]
		other := strings.ToUpper(c)
		if other == c {
			other = strings.ToLower(c)
		}
		if bad := a[:i] + other + a[i+1:]; other != c {
			if _, err := NormalizeID(bad); err == nil {
				t.Fatalf("%s passed, though %s is the id", bad, a)
			}
		}
	})
}
