package pushtopic

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrUnsupported reports an object that has no PushTopics.
var ErrUnsupported = errors.New("object not supported by PushTopics")

const (
	maxQuery    = 1300 // "Object Reference, PushTopic, Query"
	maxObject   = 100  // no API name is longer; leaves a Description of 400 room for a bridge
	maxTextArea = 255  // a longer textarea is a long or rich text area
	minVersion  = 37   // first with replay ids
)

// Supported reports whether PushTopics can be made for object. All custom
// objects can be streamed; of the standard ones only some ("Streaming API
// Developer Guide, Supported PushTopic Queries").
func Supported(object string, custom bool) bool {
	lower := strings.ToLower(object)
	if custom {
		// Custom metadata, platform events, big and external objects count as
		// custom in a describe, but are no custom objects.
		return strings.HasSuffix(lower, "__c")
	}
	switch lower {
	case "account", "campaign", "case", "contact", "contractlineitem",
		"entitlement", "lead", "livechattranscript", "messagingsession",
		"opportunity", "quote", "quotelineitem", "serviceappointment",
		"servicecontract", "task", "userservicepresence", "workorder",
		"workorderlineitem":
		return true
	}
	return false
}

// Field is a mapped field, as describe tells it.
type Field struct {
	Name     string // or a path as "Owner.Name", which no topic can carry
	Type     string // in lower case, for example "textarea"
	Length   int    // characters; 0 if not a text
	Compound string // the compound field it is part of, "" if none
}

// Spec is a topic as it should be.
type Spec struct {
	Object, Name, Query string
	Carried             []string // fields of the query, in its order
	Left                []string // mapped fields that are not in it, in their order
	APIVersion          string   // for example "64.0"
}

// Plan makes the spec of the topic of object that carries as many of fields as
// it can: in their order, up to the first that makes the query too long. Id
// and SystemModstamp come first, whether in fields or not.
func Plan(object string, custom bool, fields []Field, apiVersion string) (Spec, error) {
	if !Supported(object, custom) {
		return Spec{}, fmt.Errorf("plan topic of %s: %w", object, ErrUnsupported)
	}
	if v, err := strconv.ParseFloat(apiVersion, 64); err != nil || !(v >= minVersion && v < 1000) {
		return Spec{}, fmt.Errorf("plan topic of %s: API version %q: must be %d.0 or later", object, apiVersion, minVersion)
	}
	s := Spec{Object: object, Name: Name(object), Carried: []string{"Id", "SystemModstamp"}, APIVersion: apiVersion}
	if len(object) > maxObject || len(query(object, s.Carried)) > maxQuery {
		return Spec{}, fmt.Errorf("plan topic of an object whose name has %d characters: %w", len(object), ErrUnsupported)
	}
	full := false
	for _, f := range fields {
		same := func(name string) bool { return strings.EqualFold(name, f.Name) }
		if slices.ContainsFunc(s.Carried, same) || slices.ContainsFunc(s.Left, same) {
			continue
		}
		if !carries(f) {
			s.Left = append(s.Left, f.Name)
			continue
		}
		next := append(slices.Clip(s.Carried), f.Name)
		if full = full || len(query(object, next)) > maxQuery; full {
			s.Left = append(s.Left, f.Name)
			continue
		}
		s.Carried = next
	}
	s.Query = query(object, s.Carried)
	return s, nil
}

// carries reports whether a topic can hold f. Parts of compound fields can be
// held, the compounds themselves come in a form that differs from REST.
func carries(f Field) bool {
	switch strings.ToLower(f.Type) {
	case "base64", "encryptedstring", "address", "location", "anytype", "complexvalue":
		return false
	case "textarea":
		return f.Length <= maxTextArea && plain(f.Name)
	}
	return plain(f.Name)
}

// plain reports whether name is that of a field of the object itself: paths to
// parents are refused ("Unsupported PushTopic Queries"). It also keeps anything
// that is not a name at all out of the query.
func plain(name string) bool {
	for _, r := range name {
		if r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return name != ""
}

func query(object string, fields []string) string {
	return "SELECT " + strings.Join(fields, ",") + " FROM " + object
}

// without is the spec when the org refuses field, false if it cannot do without.
func (s Spec) without(field string) (Spec, bool) {
	i := slices.IndexFunc(s.Carried, func(name string) bool { return strings.EqualFold(name, field) })
	if i < 2 { // not in the query, Id or SystemModstamp
		return s, false
	}
	s.Left = append(slices.Clip(s.Left), s.Carried[i])
	s.Carried = slices.Delete(slices.Clone(s.Carried), i, i+1)
	s.Query = query(s.Object, s.Carried)
	return s, true
}
