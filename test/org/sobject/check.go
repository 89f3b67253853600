package sobject

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// email is about as strict as Salesforce: one @, a domain with a dot.
var email = regexp.MustCompile(`^[^@\s<>(),;:"]+@[^@\s<>(),;:".]+(\.[^@\s<>(),;:".]+)+$`)

// check validates a decoded value and puts picklist values into their
// canonical spelling and order.
func (f *Field) check(v any) (any, *Error) {
	switch v := v.(type) {
	case nil:
		if f.Type == "picklist" && f.RestrictedPicklist && !f.Nillable && !f.DefaultedOnCreate {
			return nil, f.badPick("null")
		}
	case string:
		return f.checkText(v)
	case json.Number:
		d, _ := parseDecimal(string(v))
		room := f.Precision - f.Scale
		if f.Type == "int" {
			room = min(f.Digits, 9)
		}
		if len(d.whole) > room || (f.coordinate() && d.compare(f.maxCoordinate()) > 0) {
			return nil, f.outOfRange(double(string(v)))
		}
	}
	return v, nil
}

func (f *Field) checkText(s string) (any, *Error) {
	switch f.Type {
	case "picklist":
		canonical, known := f.pick(s)
		if !known && f.RestrictedPicklist {
			return nil, f.badPick(s)
		}
		s = canonical
	case "multipicklist":
		joined, bad := f.pickMany(s)
		if bad != "" && f.RestrictedPicklist {
			return nil, f.badPick(bad)
		}
		if s = joined; s == "" {
			return nil, nil
		}
	case "email":
		if !email.MatchString(s) {
			return nil, fail(400, "INVALID_EMAIL_ADDRESS", []string{f.Name}, "%s: invalid email address: %s", f.Label, s)
		}
	}
	if f.Length > 0 && len(s) > f.Length && utf8.RuneCountInString(s) > f.Length {
		return nil, fail(400, "STRING_TOO_LONG", []string{f.Name}, "%s: data value too large: %s (max length=%d)", f.Label, s, f.Length)
	}
	return s, nil
}

func (f *Field) badPick(s string) *Error {
	return fail(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", []string{f.Name}, "%s: bad value for restricted picklist field: %s", f.Label, s)
}

// pick finds s among the picklist's values without regard to case.
func (f *Field) pick(s string) (canonical string, known bool) {
	for _, v := range f.Picklist {
		if strings.EqualFold(v, s) {
			return v, true
		}
	}
	return s, false
}

// pickMany puts a;b;c into definition order, unknown values last, each once.
// bad is the first unknown value.
func (f *Field) pickMany(s string) (joined, bad string) {
	chosen := map[string]bool{}
	var unknown []string
	for _, v := range strings.Split(s, ";") {
		if v = trim(v); v == "" {
			continue
		}
		canonical, known := f.pick(v)
		switch {
		case known:
			chosen[canonical] = true
		case !slices.ContainsFunc(unknown, func(u string) bool { return strings.EqualFold(u, v) }):
			unknown = append(unknown, v)
		}
	}
	var out []string
	for _, v := range f.Picklist {
		if chosen[v] {
			out = append(out, v)
		}
	}
	if len(unknown) > 0 {
		bad = unknown[0]
	}
	return strings.Join(append(out, unknown...), ";"), bad
}

func (f *Field) coordinate() bool {
	return f.Compound != "" && (strings.Contains(f.Name, "Latitude") || strings.Contains(f.Name, "Longitude"))
}

func (f *Field) maxCoordinate() decimal {
	if strings.Contains(f.Name, "Latitude") {
		return decimal{whole: "90"}
	}
	return decimal{whole: "180"}
}
