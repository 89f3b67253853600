package outbox

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// The log tells at once that an object's changes are refused, and then of all that
// were refused since, once a minute.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		w := &Worker{log: zerolog.New(&text), refusals: map[string]*refusals{}}
		expect := func(when string, want ...string) {
			t.Helper()
			w.tellRefused(time.Now())
			lines := strings.Split(strings.TrimSpace(text.String()), "\n")
			text.Reset()
			if len(want) == 0 {
				want = []string{""}
			}
			for i, line := range want {
				if i >= len(lines) || !strings.Contains(lines[i], line) {
					t.Fatalf("%s: %q, want %q", when, lines, want)
				}
			}
			if len(lines) != len(want) {
				t.Fatalf("%s: %q, want %q", when, lines, want)
			}
		}
		expect("before any", "")
		w.refuse("Account", "REQUIRED_FIELD_MISSING")
		w.refuse("Account", "STRING_TOO_LONG")
		w.refuse("Contact", "DUPLICATE_VALUE")
		expect("at once", `"level":"warn","event":"writes_refused","object":"Account","rows":2,"error":"STRING_TOO_LONG"`, `"object":"Contact","rows":1`)
		w.refuse("Account", "STRING_TOO_LONG")
		time.Sleep(59 * time.Second)
		w.refuse("Account", "DUPLICATE_VALUE")
		expect("within the minute", "")
		time.Sleep(time.Second)
		expect("after it", `"object":"Account","rows":2,"error":"DUPLICATE_VALUE"`)
		time.Sleep(time.Hour)
		expect("of none since", "")
	})
}

func TestWorkerTellsOfRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var text bytes.Buffer
	b.restart(func(c *Config) { c.Log = zerolog.New(&text).Level(zerolog.InfoLevel) })
	b.sf.script(refuse(1, Failure{Class: Permanent, Code: "REQUIRED_FIELD_MISSING", Message: "Required fields are missing: [LastName]"}, any1))
	b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('a')`)
	b.drain()
	if want := `"event":"writes_refused","object":"Contact","rows":1,"error":"REQUIRED_FIELD_MISSING"`; strings.Count(text.String(), want) != 1 || strings.Contains(text.String(), "write_failed") {
		t.Errorf("the log says\n%swant %s", text.String(), want)
	}
}
