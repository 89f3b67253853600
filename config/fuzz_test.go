package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever the environment holds, Load returns a configuration within its
// bounds or a sorted list of problems, and tells no secret.
func FuzzLoad(f *testing.F) {
	f.Add(strings.Join(with("HC_OBJECTS=Account,Invoice__c", "HC_OBJECT_INVOICE__C_MODE=cdc"), "\x00"))
	f.Add(strings.Join(with("HC_MAPPING_FILE=/m", "HC_API_DAILY_BUDGET=12.5%", "HC_HTTP_ADDR=:1"), "\x00"))
	f.Add("HC_OBJECT_=\x00HC_OBJECT__MODE=x\x00HC_=\x00=\x00HC_X")
	f.Add("DATABASE_URL_FILE=/s\x00HC_SALESFORCE_JWT_KEY=-----BEGIN X-----\\n-----END X-----")
	read := files(map[string]string{"/m": exported, "/s": "S3CR3T"})
	f.Fuzz(func(t *testing.T, joined string) {
		environ := strings.Split(joined, "\x00")
		for _, v := range Reference() {
			if v.Secret && strings.Contains(joined, v.Name+"=") {
				environ = append([]string{v.Name + "=S3CR3T"}, environ...)
			}
		}
		c, err := load(environ, read)
		if err != nil {
			checkError(t, c, err)
			return
		}
		if c.DatabaseURL == "" || c.ListenDatabaseURL == "" || c.Schema == "" || c.Salesforce.Auth == "" || c.Salesforce.ClientID == "" {
			t.Errorf("incomplete: %+v", c)
		}
		if b := c.APIDailyBudget; (b.Share > 0) == (b.Calls > 0) || b.Share > 1 || b.Calls < 0 {
			t.Errorf("budget %+v", b)
		}
		for _, o := range c.Objects {
			if !isName(o.Name) || o.Mode == "" || o.Access == "" || o.PollInterval < time.Second || o.PollInterval > 24*time.Hour {
				t.Errorf("object %+v", o)
			}
			for _, field := range slices.Concat(o.Fields, o.Indexes) {
				if !isField(field) {
					t.Errorf("field %q of %+v", field, o)
				}
			}
		}
	})
}

func checkError(t *testing.T, c *Config, err error) {
	t.Helper()
	var ce *Error
	if c != nil || !errors.As(err, &ce) || len(ce.Problems) == 0 {
		t.Fatalf("config %v with error %v", c, err)
	}
	if !slices.IsSortedFunc(ce.Problems, func(a, b Problem) int { return strings.Compare(a.Variable, b.Variable) }) {
		t.Errorf("problems are not sorted: %v", err)
	}
	for _, p := range ce.Problems {
		if p.Variable == "" || p.Text == "" || strings.Contains(p.Text, "S3CR3T") {
			t.Errorf("problem %q", p)
		}
	}
}

// An export is refused with reasons, or gives objects that need no more checks.
func FuzzMapping(f *testing.F) {
	f.Add([]byte(exported))
	f.Add([]byte(`{"version":1,"mappings":[{"object_name":"A","config":{"sf_polling_seconds":1e300}}]}`))
	f.Add([]byte(`{"version":1,"mappings":null,"connection":{"features":{"poll_db_no_merge":null}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = notes(text)
		m, complaints := parseMapping(text)
		if len(complaints) > 0 {
			return
		}
		var names []string
		for _, o := range m.objects {
			if !isName(o.Name) || containsFold(names, o.Name) || o.ExternalID != "" && !isName(o.ExternalID) {
				t.Errorf("object %+v", o)
			}
			if o.PollInterval != 0 && (o.PollInterval < minPoll || o.PollInterval > maxPoll) {
				t.Errorf("poll interval %s", o.PollInterval)
			}
			for _, field := range o.Fields {
				if !isField(field) {
					t.Errorf("field %q", field)
				}
			}
			names = append(names, o.Name)
		}
	})
}
