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

// Env is [Env] with what the mapping file sets besides objects: the lines are to take
// its place.
func (c *Config) Env(objects []Object) string {
	if c.MappingFile == nil || c.WriteAlgorithm == WriteOrdered {
		return Env(objects)
	}
	return "HC_WRITE_ALGORITHM=" + c.WriteAlgorithm + "\n" + Env(objects)
}

// Export is what a Heroku Connect export says besides its mappings.
type Export struct {
	OrgID          string // of the org; may be empty
	WriteAlgorithm string // WriteOrdered or WriteMerged
	Like           []byte // an export whose other keys are kept, those of its mappings too; may be empty
}

// Mapping returns objects as a Heroku Connect export, version 1, that
// HC_MAPPING_FILE takes. Objects and keys are in the order of the alphabet, so
// that two exports differ where the mappings do. Fields of parents are written
// as exports have them, Account__r__Code__c and, for a standard lookup,
// Account__Code__c. A poll interval of zero is 10 minutes. Where accelerated
// objects have several modes, those in cdc mode say so in a key of our own.
func Mapping(objects []Object, about Export) ([]byte, error) {
	file := tree{}
	if len(about.Like) > 0 {
		var err error
		if file, err = decodeTree(about.Like); err != nil {
			return nil, fmt.Errorf("mapping file: %w", err)
		}
	}
	before, _ := file["mappings"].([]any)
	mappings := make([]any, 0, len(objects))
	streaming := slices.ContainsFunc(objects, func(o Object) bool { return o.Mode == ModeStreaming })
	cdc := slices.ContainsFunc(objects, func(o Object) bool { return o.Mode == ModeCDC })
	sorted := slices.SortedFunc(slices.Values(objects), func(x, y Object) int { return strings.Compare(x.Name, y.Name) })
	for _, o := range sorted {
		mapping := tree{}
		for _, entry := range before {
			m, _ := entry.(tree)
			if name, _ := m["object_name"].(string); strings.EqualFold(name, o.Name) {
				mapping = m
			}
		}
		mapping["object_name"] = o.Name
		mapping["config"] = configOf(o, sub(mapping, "config"), streaming && cdc)
		mappings = append(mappings, mapping)
	}
	connection := orNew(sub(file, "connection"))
	features := orNew(sub(connection, "features"))
	features["poll_db_no_merge"] = about.WriteAlgorithm != WriteMerged
	if _, said := features["cdc_for_accelerated_polling"]; said || cdc && !streaming {
		features["cdc_for_accelerated_polling"] = cdc && !streaming
	}
	connection["features"] = features
	if about.OrgID != "" {
		connection["organization_id"] = about.OrgID
	}
	file["version"], file["connection"], file["mappings"] = 1, connection, mappings
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(file); err != nil {
		return nil, fmt.Errorf("mapping file: %w", err)
	}
	return b.Bytes(), nil
}

// configOf is what a mapping says of o, with the other keys of before.
func configOf(o Object, before tree, mixed bool) tree {
	c := orNew(before)
	fieldOptions, indexOptions := sub(c, "fields"), sub(c, "indexes")
	fields, indexes := tree{}, tree{}
	field := func(name string) {
		fields[name] = tree{}
		if options, ok := fieldOptions[name].(tree); ok {
			fields[name] = options
		}
	}
	index := func(name string, unique bool) {
		options := orNew(sub(indexOptions, name))
		if _, said := options["unique"]; !said || unique {
			options["unique"] = unique
		}
		indexes[name] = options
	}
	field("Id")
	field("SystemModstamp")
	index("Id", true)
	index("SystemModstamp", false)
	for _, name := range o.Fields {
		if !strings.EqualFold(name, "Id") && !strings.EqualFold(name, "SystemModstamp") {
			field(toExport(name))
		}
	}
	for _, name := range o.Indexes {
		index(toExport(name), false)
	}
	c["upsert_field"] = nil
	if o.ExternalID != "" {
		c["upsert_field"] = o.ExternalID
		field(o.ExternalID)
		index(o.ExternalID, true)
	}
	c["access"], c["sf_notify_enabled"] = o.Access, o.Mode != ModePolling
	c["sf_polling_seconds"] = 600
	if o.PollInterval > 0 {
		c["sf_polling_seconds"] = o.PollInterval.Seconds()
	}
	if _, said := c["sf_max_daily_api_calls"]; !said {
		c["sf_max_daily_api_calls"] = 30000
	}
	delete(c, modeKey)
	if mixed && o.Mode == ModeCDC {
		c[modeKey] = o.Mode
	}
	c["fields"], c["indexes"] = fields, indexes
	return c
}

func orNew(t tree) tree {
	if t == nil {
		return tree{}
	}
	return t
}

// toExport is the inverse of fromExport, where that has one.
func toExport(name string) string { return strings.Replace(name, ".", "__", 1) }
