package bridge

import (
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hcbridge/config"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

var update = flag.Bool("update", false, "write what is printed to testdata/setup")

// What is printed is what a person acts on, so each change of it is looked at.
func TestSetupIsAsKept(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	mapping := []string{
		"HC_OBJECTS=Account,Contact,Lead,Invoice__c",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Industry,OwnerId,CreatedDate,Rating",
		"HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c", "HC_OBJECT_CONTACT_FIELDS=LastName,Title,Account.External_Id__c",
		"HC_OBJECT_LEAD_MODE=cdc", "HC_OBJECT_INVOICE__C_MODE=polling",
	}
	for _, c := range []struct {
		name     string
		settings []string
	}{
		{"salesforce_jwt.txt", nil},
		{"salesforce_client_credentials.txt", []string{"HC_SALESFORCE_CLIENT_ID=x", "HC_SALESFORCE_CLIENT_SECRET=hush-hush", "HC_SALESFORCE_LOGIN_URL=https://acme.invalid", "HC_OBJECTS=Account"}},
		{"salesforce_described.txt", []string{
			"HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID, "HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret, "HC_SALESFORCE_USERNAME=" + org.DefaultUsername,
			"HC_SALESFORCE_PASSWORD=" + org.DefaultPassword, "HC_SALESFORCE_LOGIN_URL=" + sf.URL(),
		}},
		{"postgres.sql", []string{"DATABASE_URL=postgres://bridge:hush-hush@db.example:5432/shop", "HC_SCHEMA=sf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			environ := append(append([]string{}, c.settings...), mapping...)
			if c.name == "salesforce_client_credentials.txt" {
				environ = c.settings
			}
			cfg, err := config.LoadSetup(environ)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if strings.HasSuffix(c.name, ".sql") {
				got, err = PostgresSetup(cfg)
			} else {
				got, err = SalesforceSetup(t.Context(), cfg)
			}
			if err != nil {
				t.Fatal(err)
			}
			got = strings.ReplaceAll(got, sf.URL(), "https://acme.my.salesforce.com")
			path := filepath.Join("testdata", "setup", c.name)
			if *update {
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what is printed; look at the difference and run with -update:\n%s", path, got)
			}
			if strings.Contains(got, "hush-hush") || strings.Contains(got, org.DefaultPassword) {
				t.Error("a secret is printed")
			}
			for _, doc := range regexp.MustCompile(`(?s)<\?xml.*?</(?:PermissionSet|PlatformEventChannelMember)>`).FindAllString(got, -1) {
				if err := xml.Unmarshal([]byte(doc), new(struct{})); err != nil {
					t.Errorf("not XML: %v\n%s", err, doc)
				}
			}
		})
	}
}

// On a server of somebody else's the owner of the database is no superuser. What makes
// the role leaves nobody a member of it.
func TestPostgresSetupByTheOwner(t *testing.T) {
	t.Parallel()
	x := newChecked(t, pgtest.URL(t))
	owner := x.as("ALTER ROLE @ CREATEROLE")
	bridge, app := "own_"+owner, "app_"+owner
	x.exec(fmt.Sprintf("CREATE ROLE %s; ALTER DATABASE %s OWNER TO %s", app, strings.TrimPrefix(owner, "role_"), owner))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), x.url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		// One after the other, as the default privileges are of both.
		if _, err := conn.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %s CASCADE; DROP OWNED BY %s; DROP ROLE %[1]s, %[2]s", bridge, app)); err != nil {
			t.Error(err)
		}
	})
	setup, err := PostgresSetup(&config.Config{DatabaseURL: config.Secret(strings.Replace(x.env["DATABASE_URL"], owner+":", bridge+":", 1)), Schema: "sf"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), x.env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), strings.ReplaceAll(setup, `"app"`, app)); err != nil {
		t.Fatal(err)
	}
	var schemas, granted, members int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_namespace WHERE nspowner = $1::regrole),
		(SELECT count(*) FROM pg_default_acl WHERE defaclrole = $1::regrole), (SELECT count(*) FROM pg_auth_members WHERE roleid = $1::regrole AND NOT admin_option)`, bridge).
		Scan(&schemas, &granted, &members)
	if err != nil || schemas != 2 || granted != 1 || members != 0 {
		t.Errorf("%d schemas, %d default privileges, %d members, %v", schemas, granted, members, err)
	}
}

// An export joins the relationship and the field of a parent. What is to be granted is
// the lookup.
func TestSetupOfAnExport(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	export := filepath.Join(t.TempDir(), "export.json")
	text := `{"version": 1, "mappings": [{"object_name": "Contact", "config": {"access": "read_write",
		"fields": {"LastName": {}, "Account__External_Id__c": {}, "pkg__Code__c": {}}}}]}`
	if err := os.WriteFile(export, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, login := range map[string][]string{
		"by the org": {
			"HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID, "HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret, "HC_SALESFORCE_USERNAME=" + org.DefaultUsername,
			"HC_SALESFORCE_PASSWORD=" + org.DefaultPassword, "HC_SALESFORCE_LOGIN_URL=" + sf.URL(),
		},
		"before it can log in": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.LoadSetup(append(login, "HC_MAPPING_FILE="+export))
			if err != nil {
				t.Fatal(err)
			}
			got, err := SalesforceSetup(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"<field>Contact.AccountId</field>", "<field>Contact.pkg__Code__c</field>", "grant Read on External_Id__c of the object that Contact.Account refers to"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in:\n%s", want, got)
				}
			}
			if strings.Contains(got, "Account__External_Id__c") {
				t.Errorf("the parent's field is granted on Contact:\n%s", got)
			}
		})
	}
}
