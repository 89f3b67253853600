package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawObjects(t *rapid.T) []Object {
	field := rapid.StringMatching(`[A-Z][A-Za-z0-9]{1,8}(__c)?`)
	parent := rapid.StringMatching(`[A-Z][a-z]{1,6}__r\.[A-Z][a-z]{1,6}__c`)
	var objects []Object
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z][a-z]{2,8}(__c)?`), 1, 4, strings.ToLower).Draw(t, "objects") {
		o := Object{
			Name:         name,
			Mode:         rapid.SampledFrom([]string{ModeStreaming, ModePolling}).Draw(t, "mode"),
			Access:       rapid.SampledFrom([]string{AccessReadOnly, AccessReadWrite}).Draw(t, "access"),
			Fields:       rapid.SliceOfNDistinct(rapid.OneOf(field, parent), 1, 5, strings.ToLower).Draw(t, "fields"),
			PollInterval: time.Duration(rapid.IntRange(1, 86400).Draw(t, "seconds")) * time.Second,
		}
		// However they are written, they are the same two fields.
		o.Fields = slices.DeleteFunc(o.Fields, func(f string) bool { return strings.EqualFold(f, "Id") || strings.EqualFold(f, "SystemModstamp") })
		o.Fields = append(o.Fields, "Id", "SystemModstamp")
		slices.Sort(o.Fields)
		objects = append(objects, o)
	}
	slices.SortFunc(objects, func(x, y Object) int { return strings.Compare(x.Name, y.Name) })
	return objects
}

// What is written is read back as it was.
func TestWriteRoundTrips(t *testing.T) {
	t.Parallel()
	needed := []string{"DATABASE_URL=postgres://localhost/db", "HC_SALESFORCE_CLIENT_ID=id", "HC_SALESFORCE_CLIENT_SECRET=secret", "HC_SALESFORCE_LOGIN_URL=https://acme.my.salesforce.com"}
	rapid.Check(t, func(t *rapid.T) {
		objects := drawObjects(t)
		cfg, err := Load(append(slices.Clone(needed), strings.Split(strings.TrimSpace(Env(objects)), "\n")...))
		if err != nil {
			t.Fatalf("%v in\n%s", err, Env(objects))
		}
		if !reflect.DeepEqual(cfg.Objects, objects) {
			t.Errorf("the environment gives\n%+v, want\n%+v", cfg.Objects, objects)
		}
		file, err := Mapping(objects, Export{OrgID: "00D000000000001", WriteAlgorithm: WriteMerged})
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Mapping(objects, Export{OrgID: "00D000000000001", WriteAlgorithm: WriteMerged})
		if string(file) != string(again) {
			t.Error("two exports of one mapping differ")
		}
		cfg, err = load(append(slices.Clone(needed), "HC_MAPPING_FILE=x.json"), func(string) ([]byte, error) { return file, nil })
		if err != nil {
			t.Fatalf("%v in\n%s", err, file)
		}
		for i := range cfg.Objects {
			slices.Sort(cfg.Objects[i].Fields)
		}
		if !reflect.DeepEqual(cfg.Objects, objects) || cfg.WriteAlgorithm != WriteMerged {
			t.Errorf("the file gives\n%+v, want\n%+v\n%s", cfg.Objects, objects, file)
		}
	})
}

// Exploring an org needs no database, and everything else as always.
func TestLoadWithoutDatabase(t *testing.T) {
	t.Parallel()
	cfg, err := LoadOrg([]string{"HC_SALESFORCE_CLIENT_ID=id", "HC_SALESFORCE_CLIENT_SECRET=secret", "HC_SALESFORCE_LOGIN_URL=https://acme.my.salesforce.com"})
	if err != nil || cfg.Salesforce.ClientID != "id" {
		t.Errorf("%+v, %v", cfg, err)
	}
	_, err = LoadOrg([]string{"HC_SALESFORCE_CLIENT_SECRET=secret", "HC_OBJECTS=1"})
	var problems *Error
	if !errors.As(err, &problems) || strings.Contains(err.Error(), "DATABASE_URL") || !strings.Contains(err.Error(), "HC_SALESFORCE_CLIENT_ID") {
		t.Errorf("got %v", err)
	}
}
