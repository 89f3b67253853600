package bridge

import (
	"strings"
	"testing"

	"hcbridge/pgsink"
)

func TestInvisibleMessage(t *testing.T) {
	t.Parallel()
	for total, want := range map[int64]string{0: "", 1: "1 row whose record Salesforce does not show, of which 0 for more ", 2: "2 rows whose record Salesforce does not show, of which 1 for more "} {
		got := invisibleMessage(pgsink.Invisible{Total: total, Confirmed: total / 2})
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") || want != "" && !strings.HasSuffix(got, invisibleRemedy) {
			t.Errorf("%d: %q", total, got)
		}
	}
}
