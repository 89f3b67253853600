package config

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var orgSettings = []string{"DATABASE_URL=postgres://localhost/db", "HC_SALESFORCE_CLIENT_ID=id", "HC_SALESFORCE_CLIENT_SECRET=secret", "HC_SALESFORCE_LOGIN_URL=https://acme.my.salesforce.com"}

// drawMapping draws objects with every setting that they can have, their fields in
// any order.
func drawMapping(t *rapid.T) []Object {
	field := rapid.OneOf(
		rapid.StringMatching(`[A-Z][A-Za-z0-9]{1,8}(__c)?`),
		rapid.StringMatching(`ns[0-9]__[A-Z][a-z]{1,5}__c`),
		rapid.StringMatching(`[A-Z][a-z]{1,6}__r\.[A-Z][a-z]{1,6}__c`),
	)
	var objects []Object
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`(ns__)?[A-Z][a-z]{2,8}(__c)?`), 1, 5, strings.ToLower).Draw(t, "objects") {
		o := Object{
			Name:         name,
			Mode:         rapid.SampledFrom([]string{ModeStreaming, ModeCDC, ModePolling}).Draw(t, "mode"),
			Access:       rapid.SampledFrom([]string{AccessReadOnly, AccessReadWrite}).Draw(t, "access"),
			Fields:       rapid.SliceOfNDistinct(field, 1, 8, strings.ToLower).Draw(t, "fields"),
			PollInterval: time.Duration(rapid.IntRange(1000, 86_400_000).Draw(t, "milliseconds")) * time.Millisecond,
		}
		o.Fields = slices.DeleteFunc(o.Fields, alwaysMapped)
		o.Fields = append(o.Fields, "IsDeleted")
		for _, f := range o.Fields {
			if rapid.Bool().Draw(t, "indexed") {
				o.Indexes = append(o.Indexes, f)
			}
		}
		if rapid.Bool().Draw(t, "upsert") {
			o.ExternalID = "Key__c"
			o.Fields = append(slices.DeleteFunc(o.Fields, func(f string) bool { return strings.EqualFold(f, "Key__c") }), "Key__c")
			o.Indexes = slices.DeleteFunc(o.Indexes, func(f string) bool { return strings.EqualFold(f, "Key__c") })
		}
		objects = append(objects, o)
	}
	return objects
}

// meaning is what a mapping comes to: the order in which its objects and fields are
// named means nothing, nor whether fields that are always mapped are.
func meaning(c *Config) ([]Object, string) {
	objects := slices.Clone(c.Objects)
	for i, o := range objects {
		o.Fields = slices.DeleteFunc(slices.Clone(o.Fields), alwaysMapped)
		o.Indexes = append([]string{}, o.Indexes...)
		slices.Sort(o.Fields)
		slices.Sort(o.Indexes)
		objects[i] = o
	}
	slices.SortFunc(objects, func(x, y Object) int { return strings.Compare(x.Name, y.Name) })
	return objects, c.WriteAlgorithm
}

func loadFile(t *rapid.T, file []byte) *Config {
	c, err := load(append(slices.Clone(orgSettings), "HC_MAPPING_FILE=x.json"), func(string) ([]byte, error) { return file, nil })
	if err != nil {
		t.Fatalf("%v in\n%s", err, file)
	}
	return c
}

// A file means what the equivalent variables mean, and written, read and written
// again it is the same byte by byte.
func TestExportRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		objects := drawMapping(t)
		algorithm := rapid.SampledFrom([]string{WriteOrdered, WriteMerged}).Draw(t, "algorithm")
		about := Export{OrgID: "00D000000000001EAA", WriteAlgorithm: algorithm}
		if rapid.Bool().Draw(t, "like") {
			about.Like = []byte(exported)
		}
		file, err := Mapping(objects, about)
		if err != nil {
			t.Fatal(err)
		}
		fromFile := loadFile(t, file)
		env := append(slices.Clone(orgSettings), strings.Split(strings.TrimSpace(Env(objects)), "\n")...)
		fromEnv, err := Load(append(env, "HC_WRITE_ALGORITHM="+algorithm))
		if err != nil {
			t.Fatal(err)
		}
		gotObjects, gotAlgorithm := meaning(fromFile)
		wantObjects, wantAlgorithm := meaning(fromEnv)
		if !reflect.DeepEqual(gotObjects, wantObjects) || gotAlgorithm != wantAlgorithm {
			t.Fatalf("the file gives\n%+v %s, the variables\n%+v %s\n%s", gotObjects, gotAlgorithm, wantObjects, wantAlgorithm, file)
		}
		fromBlock, err := Load(append(slices.Clone(orgSettings), strings.Split(strings.TrimSpace(fromFile.Env(fromFile.Objects)), "\n")...))
		if err != nil {
			t.Fatal(err)
		}
		if blockObjects, blockAlgorithm := meaning(fromBlock); !reflect.DeepEqual(blockObjects, gotObjects) || blockAlgorithm != gotAlgorithm {
			t.Fatalf("the file gives\n%+v %s, the block in its place\n%+v %s\n%s", gotObjects, gotAlgorithm, blockObjects, blockAlgorithm, file)
		}
		again, err := Mapping(fromFile.Objects, Export{OrgID: about.OrgID, WriteAlgorithm: fromFile.WriteAlgorithm, Like: fromFile.MappingFile})
		if err != nil || string(again) != string(file) {
			t.Fatalf("%v\n%s\nbecomes\n%s", err, file, again)
		}
	})
}

// What is not used of a real file comes out as it went in.
func TestExportKeeps(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, with("HC_MAPPING_FILE=/m", "HC_OBJECTS=Account"), map[string]string{"/m": seen2025})
	file, err := Mapping(c.Objects, Export{WriteAlgorithm: c.WriteAlgorithm, Like: c.MappingFile})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(file, &got); err != nil {
		t.Fatal(err)
	}
	kept := strings.Replace(seen2025, `, {"object_name": "Lead", "config": {"access": "read_only"}}`, "", 1)
	if err := json.Unmarshal([]byte(kept), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant what is in\n%s", file, kept)
	}
}

// seen2025 has keys that we have no use for, as connections of 2025 have them.
const seen2025 = `{
  "version": 1, "odata": {"enabled": true},
  "connection": {"app_name": "my-app", "organization_id": "00D000000000001EAA", "exported_at": "2025-07-01T00:00:00",
    "features": {"poll_db_no_merge": true, "cdc_for_accelerated_polling": false, "use_assignment_rules": true, "something_new": true, "rest_count_only": true}},
  "mappings": [
    {"object_name": "Account", "config": {"access": "read_write", "sf_notify_enabled": false, "sf_polling_seconds": 600, "revision": 7,
      "sf_max_daily_api_calls": 500, "upsert_field": "External_ID__c", "row_filter": "Type = 'Customer'",
      "fields": {"Id": {}, "IsDeleted": {}, "SystemModstamp": {}, "Name": {"mask": true}, "External_ID__c": {}},
      "indexes": {"Id": {"unique": true}, "SystemModstamp": {"unique": false}, "Name": {"unique": true}, "External_ID__c": {"unique": true}}}}, {"object_name": "Lead", "config": {"access": "read_only"}}
  ]
}`

// What a file asks for that is not done is said, and what means nothing is not.
func TestMappingNotes(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, with("HC_MAPPING_FILE=/m"), map[string]string{"/m": seen2025})
	want := []string{
		"odata: External Objects are not served",
		"connection.features.something_new: not known, and without effect",
		"connection.features.use_assignment_rules: not done, assignment rules do not run",
		"Account: config.row_filter: not done, all records of an object are synced",
		"Account: config.sf_max_daily_api_calls: without effect, HC_API_DAILY_BUDGET is for all objects",
		"Account: options of field Name: not known, and without effect",
		"Account: the index on Name is made, but not as a unique one",
	}
	if !slices.Equal(c.MappingNotes, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(c.MappingNotes, "\n"), strings.Join(want, "\n"))
	}
	if c.MappingOrgID != "00D000000000001EAA" {
		t.Errorf("it is of org %q", c.MappingOrgID)
	}
	for _, text := range []string{`{"version": 1, "connection": {"organization_id": 7}}`, `{"version": 1}`} {
		if c := mustLoad(t, with("HC_MAPPING_FILE=/m"), map[string]string{"/m": text}); c.MappingOrgID != "" {
			t.Errorf("%s is of org %q", text, c.MappingOrgID)
		}
	}
	if c := mustLoad(t, with("HC_MAPPING_FILE=/m"), map[string]string{"/m": exported}); len(c.MappingNotes) > 0 {
		t.Errorf("an ordinary file has notes: %q", c.MappingNotes)
	}
	c = mustLoad(t, with("HC_MAPPING_FILE=/m"), map[string]string{"/m": `{"version":1,"mappings":[{"object_name":"Order__x","config":{}}]}`})
	if want := []string{"Order__x: External Objects cannot be synced"}; !slices.Equal(c.MappingNotes, want) {
		t.Errorf("got %q, want %q", c.MappingNotes, want)
	}
}
