package salesforce

import (
	"fmt"
	"testing"
)

// A refusal of a token that has been replaced meanwhile, as by the slowest of many
// requests, is no refusal of the new one (fault 69).
func TestALateRefusalOfAnOldToken(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.token = func(n int) string { return fmt.Sprintf("%s%d", canaryToken, n) }
	c := o.client()
	first, err := c.Token(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Token(t.Context(), first.Token)
	if err != nil || second.Token == first.Token {
		t.Fatalf("%v, the same token: %t", err, second.Token == first.Token)
	}
	for range 3 {
		if s, err := c.Token(t.Context(), first.Token); err != nil || s.Token != second.Token {
			t.Errorf("%v, another token: %t", err, s.Token != second.Token)
		}
	}
	if n := o.loginCount(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}
