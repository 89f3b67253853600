package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const exported = `{
  "version": 1,
  "connection": {"app_name": "my-app", "organization_id": "00D", "exported_at": "2001-05-24T00:00:00",
    "features": {"poll_db_no_merge": false, "poll_external_ids": false, "rest_count_only": false}},
  "mappings": [
    {"object_name": "Contact", "config": {"access": "read_only", "sf_notify_enabled": true, "sf_polling_seconds": 120,
      "sf_max_daily_api_calls": 30000, "upsert_field": null,
      "fields": {"Name": {}, "Id": {}, "Account__r__Code__c": {}}, "indexes": {"Id": {"unique": true}, "SystemModstamp": {"unique": false}}}},
    {"object_name": "Account", "config": {"access": "read_write", "sf_notify_enabled": false, "sf_polling_seconds": 600,
      "upsert_field": "External_ID__c",
      "fields": {"Id": {}, "IsDeleted": {}, "SystemModstamp": {}, "CreatedDate": {}, "Name": {}, "External_ID__c": {}},
      "indexes": {"Id": {"unique": true}, "SystemModstamp": {"unique": false}, "External_ID__c": {"unique": true}}}}
  ]
}`

func TestMappingFile(t *testing.T) {
	t.Parallel()
	contact := Object{
		Name: "Contact", Mode: ModeStreaming, Access: AccessReadOnly, PollInterval: 2 * time.Minute,
		Fields: []string{"Account__r.Code__c", "Id", "Name"},
	}
	account := Object{
		Name: "Account", Mode: ModePolling, Access: AccessReadWrite, PollInterval: 10 * time.Minute, ExternalID: "External_ID__c",
		Fields: []string{"CreatedDate", "External_ID__c", "Id", "IsDeleted", "Name", "SystemModstamp"},
	}
	hourly := account
	hourly.PollInterval = time.Hour
	lead := Object{Name: "Lead", Mode: ModeStreaming, Access: AccessReadOnly, PollInterval: time.Hour}
	overridden := contact
	overridden.Mode, overridden.Access, overridden.PollInterval, overridden.Fields = ModeCDC, AccessReadWrite, time.Second, []string{"LastName"}

	cases := []struct {
		name      string
		set       []string
		objects   []Object
		algorithm string
	}{
		{"file alone", nil, []Object{contact, account}, WriteMerged},
		{"HC_OBJECTS chooses and orders", []string{"HC_OBJECTS=Account,Lead", "HC_POLL_INTERVAL=1h"}, []Object{hourly, lead}, WriteMerged},
		{"variables beat the file", []string{
			"HC_OBJECT_CONTACT_MODE=cdc", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_POLL_INTERVAL=1s",
			"HC_OBJECT_CONTACT_FIELDS=LastName", "HC_WRITE_ALGORITHM=ordered", "HC_POLL_INTERVAL=1h",
		}, []Object{overridden, hourly}, WriteOrdered},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := mustLoad(t, with(append(c.set, "HC_MAPPING_FILE=/map.json")...), map[string]string{"/map.json": exported})
			if !reflect.DeepEqual(got.Objects, c.objects) {
				t.Errorf("got  %+v\nwant %+v", got.Objects, c.objects)
			}
			if got.WriteAlgorithm != c.algorithm {
				t.Errorf("write algorithm %s, want %s", got.WriteAlgorithm, c.algorithm)
			}
		})
	}
}

// What an export does not say is as in Heroku Connect: read only, polling.
func TestMappingDefaults(t *testing.T) {
	t.Parallel()
	file := `{"version":1,"mappings":[{"object_name":"Account","config":{}}]}`
	got := mustLoad(t, with("HC_MAPPING_FILE=/m"), map[string]string{"/m": file})
	want := []Object{{Name: "Account", Mode: ModePolling, Access: AccessReadOnly, PollInterval: 10 * time.Minute, PollRelaxed: true}}
	if !reflect.DeepEqual(got.Objects, want) || got.WriteAlgorithm != WriteOrdered {
		t.Errorf("got %+v, %s", got.Objects, got.WriteAlgorithm)
	}

	file = `{"version":1,"connection":{"features":{"cdc_for_accelerated_polling":true,"poll_db_no_merge":true}},
		"mappings":[{"object_name":"Account","config":{"sf_notify_enabled":true}}]}`
	got = mustLoad(t, with("HC_MAPPING_FILE=/m"), map[string]string{"/m": file})
	if got.Objects[0].Mode != ModeCDC || got.WriteAlgorithm != WriteOrdered {
		t.Errorf("got %+v, %s", got.Objects, got.WriteAlgorithm)
	}
}

func TestMappingProblems(t *testing.T) {
	t.Parallel()
	one := func(name, config string) string {
		return `{"version":1,"mappings":[{"object_name":"` + name + `","config":` + config + `}]}`
	}
	cases := []struct{ file, problem string }{
		{``, "not a Heroku Connect export"},
		{`[]`, "not a Heroku Connect export"},
		{`{}`, "version 0 is not known"},
		{`{"version":2,"mappings":[]}`, "version 2 is not known"},
		{one("", `{}`), `mapping 1 (""): object_name is not`},
		{one("Account", `{"access":"write"}`), `mapping 1 ("Account"): access "write" is not one of read_only, read_write`},
		{one("Account", `{"sf_polling_seconds":0.5}`), "sf_polling_seconds is not between 1 and 86400"},
		{one("Account", `{"upsert_field":"a b"}`), `upsert_field "a b" is not`},
		{one("Account", `{"fields":{"a b":{}}}`), `field "a b" is not`},
		{one("Account", `{"fields":{"Name":{}},"indexes":{"Phone":{}}}`), `index on "Phone", which is not among its fields`},
		{`{"version":1,"mappings":[{"object_name":"Account","config":{}},{"object_name":"ACCOUNT","config":{}}]}`, "mapped twice"},
	}
	for _, c := range cases {
		_, err := load(with("HC_MAPPING_FILE=/m"), files(map[string]string{"/m": c.file}))
		if err == nil || !strings.HasPrefix(err.Error(), "HC_MAPPING_FILE: ") || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s:\ngot  %v\nwant %s", c.file, err, c.problem)
		}
	}
}
