package sobject

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// decode turns an incoming value into the stored kind and normalises it as
// Salesforce does: white space around text is dropped, ” is null, decimals
// beyond the scale are cut off, datetimes are whole seconds of UTC.
func (f *Field) decode(v any) (any, *Error) {
	if t, ok := v.(time.Time); ok {
		return f.decodeTime(t)
	}
	switch f.Type {
	case "boolean":
		return f.decodeBool(v)
	case "int", "double", "currency", "percent":
		return f.decodeNumber(v)
	}
	if v == nil {
		return nil, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, f.typeError(v)
	}
	s = trim(s)
	if s == "" {
		return nil, nil
	}
	switch f.Type {
	case "date":
		t, err := time.Parse(time.DateOnly, s)
		if err != nil || outOfCalendar(t) {
			return nil, f.typeError(v)
		}
		return s, nil
	case "datetime":
		t, ok := ParseDatetime(s)
		if !ok || outOfCalendar(t) {
			return nil, f.typeError(v)
		}
		return t, nil
	case "time":
		t, err := time.Parse("15:04:05.999", strings.TrimSuffix(s, "Z"))
		if err != nil {
			return nil, f.typeError(v)
		}
		return t.Format("15:04:05.000Z"), nil
	case "id", "reference":
		id, err := NormalizeID(s)
		if err != nil {
			return nil, f.badID(s)
		}
		return id, nil
	case "base64":
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return nil, f.typeError(v)
		}
	}
	return s, nil
}

// trim drops what Java's String.trim drops.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

func outOfCalendar(t time.Time) bool { return t.Year() < 1700 || t.Year() > 4000 }

// ParseDatetime reads a datetime in any form the API takes,
// yyyy-MM-ddTHH:mm:ss[.SSS] with Z, +hh:mm or +hhmm, and cuts it to the
// second of UTC.
func ParseDatetime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999-0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(time.Second), true
		}
	}
	return time.Time{}, false
}

func (f *Field) decodeTime(t time.Time) (any, *Error) {
	switch f.Type {
	case "datetime":
		return t.UTC().Truncate(time.Second), nil
	case "date":
		return t.UTC().Format(time.DateOnly), nil
	}
	return nil, f.typeError(t.Format(EventTime))
}

func (f *Field) decodeBool(v any) (any, *Error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(trim(v)) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return nil, f.typeError(v)
}

func (f *Field) decodeNumber(v any) (any, *Error) {
	var s string
	switch v := v.(type) {
	case nil:
		return nil, nil
	case json.Number:
		s = string(v)
	case string:
		if s = trim(v); s == "" {
			return nil, nil
		}
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		s = fmt.Sprint(v)
	case float64, float32:
		s = fmt.Sprintf("%v", v)
	default:
		return nil, f.typeError(v)
	}
	d, ok := parseDecimal(s)
	if !ok {
		if len(s) > 0 && strings.ContainsAny(s, "eE") && strings.ContainsAny(s[:1], "+-.0123456789") {
			return nil, f.outOfRange(s)
		}
		return nil, f.typeError(v)
	}
	if f.Type == "int" && d.frac != "" {
		return nil, f.typeError(v)
	}
	return json.Number(d.truncate(f.Scale).String()), nil
}

func (f *Field) typeError(v any) *Error {
	token := "VALUE_STRING"
	switch v := v.(type) {
	case nil:
		return errType(f.Type, "VALUE_NULL", "null")
	case bool:
		token = "VALUE_FALSE"
		if v {
			token = "VALUE_TRUE"
		}
	case json.Number:
		token = "VALUE_NUMBER_INT"
		if strings.ContainsAny(string(v), ".eE") {
			token = "VALUE_NUMBER_FLOAT"
		}
	case map[string]any:
		return errType(f.Type, "START_OBJECT", "{")
	case []any:
		return errType(f.Type, "START_ARRAY", "[")
	}
	return errType(f.Type, token, fmt.Sprint(v))
}

func (f *Field) badID(id string) *Error {
	if f.Type == "id" {
		return ErrMalformedID(id)
	}
	return fail(400, "MALFORMED_ID", []string{f.Name}, "%s: id value of incorrect type: %s", f.Label, id)
}

func (f *Field) outOfRange(s string) *Error {
	return fail(400, "NUMBER_OUTSIDE_VALID_RANGE", []string{f.Name}, "%s: value outside of valid range on numeric field: %s", f.Label, s)
}
