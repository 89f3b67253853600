package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Env returns objects as lines for an environment file, in the order of
// objects: the inverse of [Load] as far as objects are concerned. Settings
// that have their default are left out but for mode and access, which one
// wants to see. A poll interval of zero is the default.
func Env(objects []Object) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HC_OBJECTS=%s\n", strings.Join(objectNames(objects), ","))
	for _, o := range objects {
		line := func(suffix, value string) {
			if value != "" {
				fmt.Fprintf(&b, "%s=%s\n", objectVariable(o.Name, suffix), value)
			}
		}
		line("MODE", o.Mode)
		line("ACCESS", o.Access)
		line("EXTERNAL_ID", o.ExternalID)
		line("INDEXES", strings.Join(o.Indexes, ","))
		line("FIELDS", strings.Join(o.Fields, ","))
		if o.PollInterval > 0 {
			line("POLL_INTERVAL", short(o.PollInterval))
		}
	}
	return b.String()
}

// Export is what a Heroku Connect export says besides its mappings.
type Export struct {
	OrgID          string // of the org; may be empty
	WriteAlgorithm string // WriteOrdered or WriteMerged
}

// Mapping returns objects as a Heroku Connect export, version 1, that
// HC_MAPPING_FILE takes. Objects and keys are in the order of the alphabet, so
// that two exports differ where the mappings do. Fields of parents are written
// as exports have them, Account__r__Code__c; that of a standard lookup, which
// has no such form, as Account.Code__c. A poll interval of zero is 10 minutes.
func Mapping(objects []Object, about Export) ([]byte, error) {
	type object = map[string]any
	mappings := make([]object, 0, len(objects))
	sorted := slices.SortedFunc(slices.Values(objects), func(x, y Object) int { return strings.Compare(x.Name, y.Name) })
	for _, o := range sorted {
		fields := map[string]object{"Id": {}, "SystemModstamp": {}}
		indexes := map[string]object{"Id": {"unique": true}, "SystemModstamp": {"unique": false}}
		for _, name := range o.Fields {
			fields[toExport(name)] = object{}
		}
		for _, name := range o.Indexes {
			indexes[toExport(name)] = object{"unique": false}
		}
		c := object{
			"access": o.Access, "sf_notify_enabled": o.Mode != ModePolling, "sf_polling_seconds": 600,
			"sf_max_daily_api_calls": 30000, "fields": fields, "indexes": indexes,
		}
		if o.PollInterval > 0 {
			c["sf_polling_seconds"] = o.PollInterval.Seconds()
		}
		if o.ExternalID != "" {
			c["upsert_field"] = o.ExternalID
			fields[o.ExternalID] = object{}
			indexes[o.ExternalID] = object{"unique": true}
		}
		mappings = append(mappings, object{"object_name": o.Name, "config": c})
	}
	connection := object{"features": object{"poll_db_no_merge": about.WriteAlgorithm != WriteMerged}}
	if about.OrgID != "" {
		connection["organization_id"] = about.OrgID
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(object{"version": 1, "connection": connection, "mappings": mappings}); err != nil {
		return nil, fmt.Errorf("mapping file: %w", err)
	}
	return b.Bytes(), nil
}

// toExport is the inverse of fromExport.
func toExport(name string) string {
	if relationship, field, ok := strings.Cut(name, "__r."); ok {
		return relationship + "__r__" + field
	}
	return name
}
