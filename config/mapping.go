package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// export is the file that "heroku connect:export" writes, version 1. Keys that
// are not here are for Heroku's own bookkeeping.
type export struct {
	Version    int `json:"version"`
	Connection struct {
		Features struct {
			NoMerge *bool `json:"poll_db_no_merge"`
			CDC     bool  `json:"cdc_for_accelerated_polling"`
		} `json:"features"`
	} `json:"connection"`
	Mappings []struct {
		ObjectName string `json:"object_name"`
		Config     struct {
			Access         string                     `json:"access"`
			NotifyEnabled  bool                       `json:"sf_notify_enabled"`
			PollingSeconds float64                    `json:"sf_polling_seconds"`
			UpsertField    string                     `json:"upsert_field"`
			Fields         map[string]json.RawMessage `json:"fields"`
			Indexes        map[string]json.RawMessage `json:"indexes"`
			Mode           string                     `json:"hcbridge_mode"`
		} `json:"config"`
	} `json:"mappings"`
}

// mapping is what the bridge takes from an export. An empty setting of an
// object means that the export does not say.
type mapping struct {
	objects        []Object
	writeAlgorithm string
	text           []byte
	notes          []string
	orgID          string
}

// mappingFile reads the file that HC_MAPPING_FILE names, if it is set.
func (e *environment) mappingFile() mapping {
	const name = "HC_MAPPING_FILE"
	path := e.value(name)
	if path == "" {
		return mapping{}
	}
	text, ok := e.file(name, path)
	if !ok {
		return mapping{}
	}
	m, complaints := parseMapping(text)
	m.text, m.notes, m.orgID = text, notes(text), orgID(text)
	for _, complaint := range complaints {
		e.add(name, "%s", complaint)
	}
	return m
}

// parseMapping reads an export and says everything that is wrong with it.
func parseMapping(text []byte) (m mapping, complaints []string) {
	var x export
	if err := json.Unmarshal(text, &x); err != nil {
		return mapping{}, []string{"not a Heroku Connect export: " + err.Error()}
	}
	if x.Version != 1 {
		return mapping{}, []string{fmt.Sprintf("version %d is not known, only 1 is", x.Version)}
	}
	if no := x.Connection.Features.NoMerge; no != nil {
		m.writeAlgorithm = WriteMerged
		if *no {
			m.writeAlgorithm = WriteOrdered
		}
	}
	for i, entry := range x.Mappings {
		c := entry.Config
		complain := func(format string, args ...any) {
			complaints = append(complaints, fmt.Sprintf("mapping %d (%s): ", i+1, quote(entry.ObjectName))+fmt.Sprintf(format, args...))
		}
		o := Object{Name: entry.ObjectName, Access: c.Access, ExternalID: c.UpsertField, Mode: ModePolling}
		if c.NotifyEnabled {
			o.Mode = ModeStreaming
			if x.Connection.Features.CDC {
				o.Mode = ModeCDC
			}
		}
		switch c.Mode {
		case "":
		case ModeStreaming, ModeCDC, ModePolling:
			o.Mode = c.Mode
		default:
			complain("%s %s is not one of %s, %s, %s", modeKey, quote(c.Mode), ModeStreaming, ModeCDC, ModePolling)
		}
		if !isName(o.Name) {
			complain("object_name is not an object's API name")
		}
		if containsFold(objectNames(m.objects), o.Name) {
			complain("the object is mapped twice")
		}
		if o.Access != "" && o.Access != AccessReadOnly && o.Access != AccessReadWrite {
			complain("access %s is not one of %s, %s", quote(o.Access), AccessReadOnly, AccessReadWrite)
		}
		if o.ExternalID != "" && !isName(o.ExternalID) {
			complain("upsert_field %s is not a field's API name", quote(o.ExternalID))
		}
		if s := c.PollingSeconds; s != 0 {
			if s < minPoll.Seconds() || s > maxPoll.Seconds() {
				complain("sf_polling_seconds is not between %g and %g", minPoll.Seconds(), maxPoll.Seconds())
			}
			o.PollInterval = time.Duration(math.Round(s * float64(time.Second)))
		}
		for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
			field := fromExport(name)
			if !isField(field) {
				complain("field %s is not a field's API name", quote(name))
			}
			o.Fields = append(o.Fields, field)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Indexes)) {
			field := fromExport(name)
			switch {
			case containsFold([]string{"Id", "SystemModstamp", o.ExternalID}, field): // always indexed
			case !containsFold(o.Fields, field) && !alwaysMapped(field):
				complain("index on %s, which is not among its fields", quote(name))
			default:
				o.Indexes = append(o.Indexes, field)
			}
		}
		m.objects = append(m.objects, o)
	}
	return m, complaints
}

// fromExport writes a parent's field as we do: exports join the relationship
// and the field by two underscores, Account__r__Code__c. That of a standard lookup,
// Account__Code__c, cannot be told from a namespaced field without asking the org,
// and stays as it is.
func fromExport(name string) string {
	if relationship, field, ok := strings.Cut(name, "__r__"); ok && !strings.Contains(name, ".") {
		return relationship + "__r." + field
	}
	return name
}
