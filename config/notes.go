package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// tree is a JSON object of which only some keys are known.
type tree = map[string]any

// decodeTree reads a JSON object and keeps numbers as they are written.
func decodeTree(text []byte) (t tree, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return t, d.Decode(&t)
}

// modeKey is ours: the mode of an object where accelerated objects of one file have
// several, which Heroku Connect knows for all together only.
const modeKey = "hcbridge_mode"

// The keys of an export that mean something to us, or only to Heroku's books.
var (
	exportKeys     = []string{"version", "connection", "mappings"}
	connectionKeys = []string{"app_name", "organization_id", "exported_at", "features", "id", "name", "resource_name", "schema_name", "db_key"}
	mappingKeys    = []string{"object_name", "config", "id"}
	configKeys     = []string{"access", "sf_notify_enabled", "sf_polling_seconds", "sf_max_daily_api_calls", "upsert_field", "fields", "indexes", "revision", "applied_at", modeKey}
)

// features are the switches of a connection that are not ours to follow: what is so
// here when one is on, "" if that is no difference.
var features = map[string]string{
	"poll_db_no_merge": "", "cdc_for_accelerated_polling": "", "poll_external_ids": "", "rest_count_only": "",
	"get_deleted_latest_date_check": "", "sync_repair_unlimited_query_all": "", "drift_max_batches_in_parallel_override": "",
	"ucs_basic_collation_index": "", "increased_query_cursor_limit": "", "retry_failed_create_soap_call": "",
	"retry_get_query_batch_result_ids": "", "temp_tables_in_transactions": "", "early_sf_api_access": "", "log_memory_usage": "",
	"verbose_sfnotifier_logging": "", "testing_flag_only": "",
	"use_assignment_rules":              "assignment rules do not run",
	"disable_bulk_writes":               "runs of 2,000 and more like changes go by the Bulk API",
	"force_picklist_255":                "new picklist columns are as long as Salesforce says",
	"mtls_shield_connection":            "a client certificate comes with DATABASE_URL: sslcert, sslkey, sslrootcert",
	"set_odata_extra_float_digits_to_0": "External Objects are not served",
}

// narrows are words in keys that would leave records out.
var narrows = regexp.MustCompile(`(?i)filter|where|criteria|condition|query|record_?type`)

// notes lists what an export asks for that is not done, and its keys that nobody
// here knows. A mapping is right without it, but perhaps not what was meant.
func notes(text []byte) (list []string) {
	file, err := decodeTree(text)
	if err != nil {
		return nil // a complaint already
	}
	note := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	unknown := func(where string, t tree, known []string) {
		for _, key := range slices.Sorted(maps.Keys(t)) {
			switch lower := strings.ToLower(key); {
			case slices.Contains(known, key):
			case strings.Contains(lower, "odata"), strings.Contains(lower, "external_object"):
				note("%s%s: External Objects are not served", where, key)
			case narrows.MatchString(key):
				note("%s%s: not done, all records of an object are synced", where, key)
			default:
				note("%s%s: not known, and without effect", where, key)
			}
		}
	}
	unknown("", file, exportKeys)
	connection := sub(file, "connection")
	unknown("connection.", connection, connectionKeys)
	for name, value := range sorted(sub(connection, "features")) {
		text, known := features[name]
		switch {
		case value != true:
		case !known:
			note("connection.features.%s: not known, and without effect", name)
		case text != "":
			note("connection.features.%s: not done, %s", name, text)
		}
	}
	mappings, _ := file["mappings"].([]any)
	for _, entry := range mappings {
		m, _ := entry.(tree)
		name, _ := m["object_name"].(string)
		c := sub(m, "config")
		unknown(name+": ", m, mappingKeys)
		unknown(name+": config.", c, configKeys)
		if strings.HasSuffix(strings.ToLower(name), "__x") {
			note("%s: External Objects cannot be synced", name)
		}
		if n, ok := c["sf_max_daily_api_calls"].(json.Number); ok && n != "30000" {
			note("%s: config.sf_max_daily_api_calls: without effect, HC_API_DAILY_BUDGET is for all objects", name)
		}
		for field, options := range sorted(sub(c, "fields")) {
			if t, ok := options.(tree); !ok || len(t) > 0 {
				note("%s: options of field %s: not known, and without effect", name, field)
			}
		}
		for field, options := range sorted(sub(c, "indexes")) {
			key, _ := c["upsert_field"].(string)
			if t, _ := options.(tree); t["unique"] == true && !strings.EqualFold(field, key) && !strings.EqualFold(field, "Id") {
				note("%s: the index on %s is made, but not as a unique one", name, field)
			}
		}
	}
	return list
}

// orgID is that of the org that an export was made of, "" if it does not say.
func orgID(text []byte) string {
	file, _ := decodeTree(text) // what is no object has been complained about
	id, _ := sub(file, "connection")["organization_id"].(string)
	return id
}

// sub is the object under a key, nil if there is none.
func sub(t tree, key string) tree {
	s, _ := t[key].(tree)
	return s
}

// sorted goes through t in the order of its keys.
func sorted(t tree) func(func(string, any) bool) {
	return func(yield func(string, any) bool) {
		for _, key := range slices.Sorted(maps.Keys(t)) {
			if !yield(key, t[key]) {
				return
			}
		}
	}
}
