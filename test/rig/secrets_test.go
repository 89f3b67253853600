package rig

import (
	"os"
	"strings"
	"testing"

	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// A log is searched for what must not be in it, and its own words are not
// taken for that.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	r := New(t)
	r.Insert("Account", map[string]any{"Name": "flows again", "Description": "a \"quoted\" text"})
	for log, want := range map[string]string{
		`{"event":"flow_resumed","message":"flows again"}`:                       "",
		`{"event":"applied","error":"value flows again is wrong","message":"m"}`: "Account.Name",
		`panic: flows again`:                                  "Account.Name",
		`{"event":"x","url":"` + r.URL + `"}`:                 "DATABASE_URL",
		`{"event":"x","error":"` + org.DefaultPassword + `"}`: "HC_SALESFORCE_PASSWORD",
		`{"event":"x","error":"00D000000000001!AR8AQabc"}`:    "an access token",
	} {
		got := strings.Join(append(r.Secrets(log), r.values(log)...), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: found %q, want %q", log, got, want)
		}
	}
}
