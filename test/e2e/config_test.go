package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
)

// What only a person can mend ends the program with code 2 and a text that
// names the setting.
func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, setting string
		want          []string
	}{
		{"WrongPassword", "HC_SALESFORCE_PASSWORD=wrong", []string{"HC_SALESFORCE_PASSWORD", "invalid_grant"}},
		{"WrongClient", "HC_SALESFORCE_CLIENT_ID=unknown", []string{"HC_SALESFORCE_CLIENT_ID", "invalid_client_id"}},
		{"NoDatabaseURL", "DATABASE_URL=", []string{"DATABASE_URL"}},
		{"UnknownVariable", "HC_POLL_INTERVALL=5m", []string{"HC_POLL_INTERVALL", "HC_POLL_INTERVAL"}},
		{"UnknownMode", "HC_OBJECT_ACCOUNT_MODE=steaming", []string{"HC_OBJECT_ACCOUNT_MODE", "streaming"}},
		{"NoObjects", "HC_OBJECTS=", []string{"HC_OBJECTS"}},
		{"NoSuchDatabase", "DATABASE_URL=" + "nowhere", []string{"DATABASE_URL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.setting)
			if c.name == "NoSuchDatabase" {
				r.Env["DATABASE_URL"] = r.URL[:strings.LastIndex(r.URL, "/")] + "/nowhere?" + afterQuestion(r.URL)
			}
			code, _, stderr := r.Command("run")
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "correct-horse") {
				t.Error("the password is in the output")
			}
		})
	}
}

func afterQuestion(url string) string {
	_, query, _ := strings.Cut(url, "?")
	return query
}

// What is wrong with one object stops that object and no other.
func TestMappingErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Nonsense__c,Contact,Lead", "HC_OBJECT_CONTACT_FIELDS=LastName,Favourite__c", "HC_OBJECT_LEAD_EXTERNAL_ID=LastName")
	r.Insert("Account", map[string]any{"Name": "Good"})
	r.Start()
	r.Eventually("status", 30*time.Second, func() error {
		st, ok := r.Status()
		if !ok {
			return fmt.Errorf("no status")
		}
		for _, o := range st.Objects {
			want, text := status.MappingError, ""
			switch o.Object {
			case "Account":
				want = status.DataSynced
			case "Nonsense__c":
				text = "HC_OBJECTS"
			case "Contact":
				text = "Favourite__c"
			case "Lead":
				text = "HC_OBJECT_LEAD_EXTERNAL_ID"
			}
			if o.State != want || !strings.Contains(o.Message, text) {
				return fmt.Errorf("%s is %s: %s", o.Object, o.State, o.Message)
			}
		}
		return nil
	})
	r.Equal("Account")
	code, out, _ := r.Command("check")
	if code != 1 || !strings.Contains(out, "✗ Nonsense__c") || !strings.Contains(out, "✓ Account") {
		t.Errorf("check exits with %d:\n%s", code, out)
	}
}

// check says what is good and what is not, and how to mend it.
func TestCheck(t *testing.T) {
	t.Parallel()

	t.Run("GoodSetupIsAllGood", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, readWrite...)
		code, out, stderr := r.Command("check")
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "✓") {
				t.Errorf("not good: %s", line)
			}
		}
		if code != 0 {
			t.Errorf("exit code %d\n%s%s", code, out, stderr)
		}
	})

	t.Run("DatabaseDown", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.Env["DATABASE_URL"] = "postgres://nobody@" + freeAddr(t) + "/none"
		code, out, _ := r.Command("check")
		if code != 1 || !strings.Contains(out, "✗ Postgres: no connection") || !strings.Contains(out, "✓ Salesforce") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	})

	t.Run("LoginRefused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "HC_SALESFORCE_PASSWORD=wrong")
		code, out, _ := r.Command("check")
		if code != 1 || !strings.Contains(out, "✗ Salesforce: HC_SALESFORCE_USERNAME, HC_SALESFORCE_PASSWORD") || !strings.Contains(out, "✓ Postgres") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	})

	t.Run("NoExternalID", func(t *testing.T) { // of an object that is written, or not a unique one (fault 57)
		t.Parallel()
		r := newRig(t, "HC_OBJECTS=Contact,Every__c", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_EVERY__C_ACCESS=read_write", "HC_OBJECT_EVERY__C_EXTERNAL_ID=Legacy_Key__c")
		code, out, _ := r.Command("check")
		for _, want := range []string{
			"! Contact: no external id", "HC_OBJECT_CONTACT_EXTERNAL_ID=HC_Key__c", "<length>36</length>", "<externalId>true</externalId>", "<unique>true</unique>",
			"<caseSensitive>true</caseSensitive>", "! Every__c: Legacy_Key__c is not unique",
		} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("exit code %d, want %q in:\n%s", code, want, out)
			}
		}
	})

	t.Run("NoPushTopicPermission", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.SF.DenyPushTopics(true)
		code, out, _ := r.Command("check")
		if code != 0 || !strings.Contains(out, "! Streaming: no permission for PushTopics") || !strings.Contains(out, "grant the user Read and Create on PushTopic") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, args := range [][]string{{"nonsense"}, {"status", "--nonsense"}, {"run", "extra"}, {"retry"}} {
		if code, _, stderr := r.Command(args...); code != 2 || stderr == "" {
			t.Errorf("hcbridge %v exits with %d and says %q, want 2 and why", args, code, stderr)
		}
	}
	if code, out, _ := r.Command("version"); code != 0 || !strings.Contains(out, "go1.") {
		t.Errorf("version exits with %d and prints %q", code, out)
	}
	if code, _, stderr := r.Command("status"); code != 1 || !strings.Contains(stderr, "no bridge has run") {
		t.Errorf("status without a bridge exits with %d and says %q", code, stderr)
	}
	r.Env["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/none"
	if code, _, stderr := r.Command("verify"); code != 1 || strings.Count(stderr, "failed to connect") != 1 {
		t.Errorf("verify without Postgres exits with %d and says %q", code, stderr)
	}
}

// An object that cannot be described for a while goes on being captured, and
// what was written meanwhile is sent once it can.
func TestCaptureOutlivesAMappingError(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	first := r.Start()
	r.Synced()
	first.End(syscall.SIGTERM)

	r.SF.DenyObject("Contact", true)
	second := r.Start()
	r.Eventually("mapping error", 30*time.Second, func() error {
		st, ok := r.Status()
		if !ok {
			return fmt.Errorf("no status")
		}
		for _, o := range st.Objects {
			if o.Object == "Contact" && o.State != status.MappingError {
				return fmt.Errorf("Contact is %s", o.State)
			}
		}
		return nil
	})
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('Meanwhile', 'm-1')")
	second.End(syscall.SIGTERM)
	r.SF.DenyObject("Contact", false)
	r.Start()
	r.Equal("Contact")
	if n := len(r.SF.Records("Contact")); n != 1 {
		t.Errorf("%d contacts in Salesforce, want the one written meanwhile", n)
	}
}
