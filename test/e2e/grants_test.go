package e2e

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"hcbridge/test/pgtest"
)

// The bridge runs with exactly the rights that check --postgres-setup prints,
// and the app beside it with a role of its own that owns nothing (T11 of docs/threat-model.md).
func TestExactGrants(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c", "HC_SYNCHRONOUS_COMMIT=on")
	own, app := "own_"+r.database(), "app_"+r.database()
	as := func(role string) string {
		u, err := url.Parse(r.URL)
		r.Must(err)
		u.User = url.UserPassword(role, "choose-one")
		return u.String()
	}
	r.Env["DATABASE_URL"] = as(own)
	code, sql, stderr := r.Command("check", "--postgres-setup")
	if code != 0 || !strings.Contains(sql, own) {
		t.Fatalf("exit code %d: %s%s", code, sql, stderr)
	}
	// A database of one's own has an app role before; nobody else may do anything here.
	r.Exec(`REVOKE ALL ON DATABASE ` + quoted(r.database()) + ` FROM PUBLIC; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
		CREATE ROLE ` + quoted(app) + ` LOGIN PASSWORD 'choose-one'; GRANT CONNECT ON DATABASE ` + quoted(r.database()) + ` TO ` + quoted(app))
	t.Cleanup(func() {
		for _, role := range []string{own, app} {
			if _, err := r.Pool.Exec(context.Background(), "DROP OWNED BY "+quoted(role)+" CASCADE; DROP ROLE "+quoted(role)); err != nil {
				t.Error(err)
			}
		}
	})
	r.Exec(strings.ReplaceAll(sql, `"app"`, quoted(app)))

	if code, out, stderr := r.Command("check"); code != 0 || strings.Contains(out, "!") || strings.Contains(out, "✗") {
		t.Errorf("check exits with %d:\n%s%s", code, out, stderr)
	}
	r.Insert("Account", map[string]any{"Name": "Theirs"})
	b := r.Start()
	r.Synced()
	pool := pgtest.Open(t, as(app))
	_, err := pool.Exec(t.Context(), "INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('Ours', 'k-1')")
	r.Must(err)
	_, err = pool.Exec(t.Context(), "UPDATE salesforce.contact SET title = 'Dr.' WHERE external_id__c = 'k-1'")
	r.Must(err)
	r.Insert("Account", map[string]any{"Name": "Theirs, too"})
	r.Equal("Account", "Contact")
	if n := len(r.SF.Records("Contact")); n != 1 {
		t.Errorf("%d contacts in Salesforce, want 1", n)
	}
	if code, out, stderr := r.Command("reload", "Account"); code != 0 {
		t.Errorf("reload: %s%s", out, stderr)
	}
	for _, sql := range []string{
		"SELECT * FROM salesforce._hcmeta", "SELECT state, sf_message FROM salesforce._trigger_log",
		"UPDATE salesforce._trigger_log_archive SET state = 'REQUEUE' WHERE false", "UPDATE salesforce._trigger_log SET state = 'NEW' WHERE false",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Errorf("the app may not %s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"UPDATE salesforce._hcmeta SET org_id = org_id", "DELETE FROM salesforce._hcmeta WHERE false", "DELETE FROM salesforce._trigger_log_attempt WHERE false",
		"INSERT INTO salesforce._trigger_log_echo VALUES (1)", "TRUNCATE salesforce.contact", "DROP TABLE salesforce.contact", "SELECT * FROM hcbridge.mark", "ALTER TABLE salesforce.contact DISABLE TRIGGER ALL",
	} {
		if _, err := pool.Exec(t.Context(), sql); err == nil {
			t.Errorf("the app may %s", sql)
		}
	}
	if log := b.Log.String(); strings.Contains(log, "permission denied") || strings.Contains(log, `"level":"error"`) {
		t.Errorf("the log complains:\n%s", log)
	}
}

func quoted(name string) string { return `"` + name + `"` }

// database is the name of the rig's database.
func (r *rig) database() string {
	u, err := url.Parse(r.URL)
	r.Must(err)
	return strings.TrimPrefix(u.Path, "/")
}
