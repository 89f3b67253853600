package takeover

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hcbridge/test/rig"
)

// from is a file as `heroku connect:export` writes it.
const from = `{"version": 1, "connection": {"app_name": "my-app", "organization_id": "00D000000000001", "exported_at": "2025-07-01T00:00:00",
	"features": {"poll_db_no_merge": false, "use_assignment_rules": true}},
  "mappings": [
	{"object_name": "Contact", "config": {"access": "read_write", "sf_notify_enabled": true, "sf_polling_seconds": 120, "sf_max_daily_api_calls": 30000, "upsert_field": "External_Id__c",
	  "fields": {"Id": {}, "IsDeleted": {}, "SystemModstamp": {}, "LastName": {}, "AccountId": {}, "Account__External_Id__c": {}, "External_Id__c": {}},
	  "indexes": {"Id": {"unique": true}, "SystemModstamp": {"unique": false}, "External_Id__c": {"unique": true}, "LastName": {"unique": false}, "Account__External_Id__c": {"unique": false}}}},
	{"object_name": "Account", "config": {"access": "read_only", "sf_notify_enabled": false, "sf_polling_seconds": 600, "sf_max_daily_api_calls": 30000, "upsert_field": null, "revision": 3,
	  "fields": {"Id": {}, "IsDeleted": {}, "SystemModstamp": {}, "Name": {}}, "indexes": {"Id": {"unique": true}, "SystemModstamp": {"unique": false}}}}
  ]}`

// What is exported is imported and exported again byte by byte, and is what the
// variables that mean the same export. The columns are those of Heroku Connect.
func TestExport(t *testing.T) {
	t.Parallel()
	r := old{rig.New(t)}
	delete(r.Env, "HC_OBJECTS")
	variables := maps.Clone(r.Env)
	file := func(text string) {
		path := filepath.Join(t.TempDir(), "mapping.json")
		r.Must(os.WriteFile(path, []byte(text), 0o600))
		r.Env["HC_MAPPING_FILE"] = path
	}
	file(from)
	r.ran(0, []string{"check"}, "! HC_MAPPING_FILE: connection.features.use_assignment_rules: not done")
	first := r.ran(0, []string{"export"}, "use_assignment_rules", `"app_name": "my-app"`, `"revision": 3`, `"Account__External_Id__c": {}`, `"organization_id": "`+r.SF.ID())
	file(first)
	if second := r.ran(0, []string{"export"}); second != first {
		t.Errorf("exported\n%s\nbecomes\n%s", first, second)
	}
	r.Env = variables
	maps.Copy(r.Env, map[string]string{
		"HC_OBJECTS": "Contact,Account", "HC_WRITE_ALGORITHM": "merged", "HC_OBJECT_ACCOUNT_MODE": "polling", "HC_OBJECT_ACCOUNT_FIELDS": "Name",
		"HC_OBJECT_CONTACT_ACCESS": "read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID": "External_Id__c", "HC_OBJECT_CONTACT_POLL_INTERVAL": "2m",
		"HC_OBJECT_CONTACT_FIELDS": "Account.External_Id__c,LastName,AccountId", "HC_OBJECT_CONTACT_INDEXES": "LastName,Account.External_Id__c",
	})
	delete(r.Env, "HC_MAPPING_FILE")
	plain := r.ran(0, []string{"export"})
	for _, other := range []string{`      "app_name": "my-app",`, `    "app_name": "my-app",`, `    "exported_at": "2025-07-01T00:00:00",`, `        "revision": 3,`} {
		first = strings.Replace(first, other+"\n", "", 1)
	}
	first = strings.Replace(first, "\"poll_db_no_merge\": false,\n      \"use_assignment_rules\": true", "\"poll_db_no_merge\": false", 1)
	if plain != first {
		t.Errorf("the variables give\n%s\nthe file\n%s", plain, first)
	}
	delete(r.Env, "HC_OBJECTS")
	for name := range r.Env {
		if strings.HasPrefix(name, "HC_OBJECT_") {
			delete(r.Env, name)
		}
	}
	file(plain)
	r.Start()
	r.is("column of a parent's key", 1, `SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('salesforce.contact') AND attname = 'account__external_id__c'`)
}
