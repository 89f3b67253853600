package sobject

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Field is the metadata of one field, with the facts that a describe reports.
// A Field is immutable once its object is defined.
type Field struct {
	Name  string // API name in canonical case
	Label string // what error messages call the field
	Type  string // as describe spells it: "string", "textarea", "reference", ...

	Length    int // characters of text types; 18 for ids; else 0
	Precision int // total digits of double, currency, percent
	Scale     int // digits after the point
	Digits    int // digits of int

	Nillable           bool
	Createable         bool
	Updateable         bool
	Calculated         bool // formula or roll-up
	AutoNumber         bool
	ExternalID         bool
	IDLookup           bool
	Unique             bool
	CaseSensitive      bool
	Custom             bool
	DefaultedOnCreate  bool
	NameField          bool
	RestrictedPicklist bool
	Encrypted          bool
	HTMLFormatted      bool

	ReferenceTo       []string // objects a reference may name
	RelationshipName  string   // parent path of a reference: "Account", "Account__r"; "" cannot be traversed
	ChildRelationship string   // name of the reverse relationship on the parent: "Contacts"
	MasterDetail      bool     // the child belongs to the parent; reparenting depends on Updateable
	CascadeDelete     bool     // deleting the parent deletes the child

	Picklist         []string // values in definition order
	Default          any      // stored when a create leaves the field out
	Compound         string   // the compound field this one is a part of: "BillingAddress", "Name"
	AutoNumberFormat string   // "L-{00000}"

	// Converted says that the field was of another type once. Values of then
	// are converted when they are read.
	Converted bool

	// Formula computes the value at read time from other fields of the
	// record. It must return a value of the kinds that Record lists.
	Formula func(get func(field string) any) any
}

// LongText reports whether f is a long or rich text area, which cannot be
// filtered or sorted on.
func (f *Field) LongText() bool { return f.Type == "textarea" && f.Length > 255 }

// IsCompound reports whether f is an address or a geolocation, whose value is
// assembled from its parts.
func (f *Field) IsCompound() bool { return f.Type == "address" || f.Type == "location" }

// Numeric reports whether values of f are numbers.
func (f *Field) Numeric() bool {
	switch f.Type {
	case "int", "double", "currency", "percent":
		return true
	}
	return false
}

// Filterable reports whether f may stand in a WHERE clause.
func (f *Field) Filterable() bool {
	switch f.Type {
	case "base64", "encryptedstring", "location":
		return false
	}
	return !f.LongText()
}

// Sortable reports whether f may stand in an ORDER BY clause.
func (f *Field) Sortable() bool {
	switch f.Type {
	case "multipicklist", "address":
		return false
	}
	return f.Filterable()
}

// indexed reports whether the store keeps an index of the field's values.
func (f *Field) indexed() bool {
	return f.ExternalID || f.Unique || (f.IDLookup && f.Type != "id") || f.CascadeDelete || f.clears()
}

// clears reports whether f is a lookup that is emptied when its parent is
// deleted.
func (f *Field) clears() bool {
	return f.Type == "reference" && f.ChildRelationship != "" && f.Nillable && !f.CascadeDelete
}

// key is the form in which a value of f is indexed and compared for
// uniqueness: text without case unless the field is case-sensitive.
func (f *Field) key(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		if f.CaseSensitive || f.Type == "reference" {
			return v, true
		}
		return strings.ToLower(v), true
	case interface{ String() string }: // json.Number and time.Time
		return v.String(), true
	}
	return "", false
}

// convert brings a value that was stored under another type into the form of
// f's type; nil if it has none.
func (f *Field) convert(v any) any {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	case bool:
		text = strconv.FormatBool(v)
	case time.Time:
		text = v.UTC().Format(time.RFC3339)
	default:
		return nil
	}
	switch f.Type {
	case "boolean":
		return text == "true"
	case "date", "datetime", "time", "reference", "id", "address", "location", "base64":
		if _, same := v.(string); same && f.Type != "datetime" {
			return v
		}
		if _, same := v.(time.Time); same && f.Type == "datetime" {
			return v
		}
		return nil
	}
	if !f.Numeric() {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil || strings.ContainsAny(text, "eExXnNpP_") {
		return nil
	}
	return json.Number(text)
}
