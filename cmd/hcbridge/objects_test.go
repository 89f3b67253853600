package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hcbridge/test/org"
)

// What is printed takes the place of what is set: of the other objects all stays
// as it is, and nothing is set that nobody has set.
func TestObjectsEnv(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	login := []string{
		"HC_SALESFORCE_LOGIN_URL=" + sf.URL(), "HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID, "HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret,
		"HC_SALESFORCE_USERNAME=" + org.DefaultUsername, "HC_SALESFORCE_PASSWORD=" + org.DefaultPassword,
	}
	const contact = "HC_OBJECT_CONTACT_MODE=streaming\nHC_OBJECT_CONTACT_ACCESS=read_only\nHC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c\n"
	const account = "HC_OBJECT_ACCOUNT_MODE=streaming\nHC_OBJECT_ACCOUNT_ACCESS=read_only\n"
	merged := filepath.Join(t.TempDir(), "mapping.json")
	const file = `{"version": 1, "connection": {"features": {"poll_db_no_merge": false}}, "mappings": [{"object_name": "Account", "config": {"fields": {"Name": {}}}}]}`
	if err := os.WriteFile(merged, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set    []string
		object string
		want   string
	}{
		{nil, "contact", "HC_OBJECTS=Contact\n" + contact},
		{[]string{"HC_OBJECTS=Account"}, "Contact", "HC_OBJECTS=Account,Contact\n" + account + contact},
		{
			[]string{"HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone", "HC_OBJECT_ACCOUNT_POLL_INTERVAL=10m"},
			"Contact",
			"HC_OBJECTS=Account,Contact\n" + strings.Replace(account, "read_only", "read_write", 1) + "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone\nHC_OBJECT_ACCOUNT_POLL_INTERVAL=10m\n" + contact,
		},
		{[]string{"HC_OBJECTS=Account"}, "account", "HC_OBJECTS=Account\n" + account},
		{[]string{"HC_OBJECTS=Account", "HC_POLL_INTERVAL=2m"}, "Account", "HC_OBJECTS=Account\n" + account},
		{[]string{"HC_MAPPING_FILE=" + merged}, "contact", "HC_WRITE_ALGORITHM=merged\nHC_OBJECTS=Account,Contact\n" + strings.Replace(account, "streaming", "polling", 1) + "HC_OBJECT_ACCOUNT_FIELDS=Name\n" + contact},
	} {
		code, stdout, stderr := command(t, slices.Concat(login, c.set), "objects", c.object, "--env")
		if code != 0 || stdout != c.want {
			t.Errorf("%q, %s: exit code %d, %s\n%swant\n%s", c.set, c.object, code, stderr, stdout, c.want)
		}
	}
	_, stdout, _ := command(t, append(login, "HC_OBJECTS=Account"), "objects", "Account", "--mapping")
	if !strings.Contains(stdout, `"Phone": {}`) {
		t.Errorf("the export does not name every field:\n%s", stdout)
	}
}

// An export that names a file's field, which is not synced, comes back byte by byte.
func TestExportKeepsFiles(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	path := filepath.Join(t.TempDir(), "mapping.json")
	environ := []string{
		"HC_SALESFORCE_LOGIN_URL=" + sf.URL(), "HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID, "HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret,
		"HC_SALESFORCE_USERNAME=" + org.DefaultUsername, "HC_SALESFORCE_PASSWORD=" + org.DefaultPassword, "HC_MAPPING_FILE=" + path,
	}
	file := `{"version": 1, "mappings": [{"object_name": "Every__c", "config": {"fields": {"Blob__c": {}, "Text__c": {}}}}]}`
	for i := range 2 {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := command(t, environ, "export")
		if code != 0 || !strings.Contains(stdout, `"Blob__c": {}`) || i > 0 && stdout != file {
			t.Fatalf("export exits with %d: %s%s", code, stderr, stdout)
		}
		file = stdout
	}
}
