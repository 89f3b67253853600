package outbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// fieldsOf renders captured values as the fields of a request: only what op may
// write, on an insert only what is not null. The values are Postgres text.
//
// Where both a lookup and the parent's external id are given, Salesforce takes
// one: a reference that is set wins over the id, an id that is set over a
// reference that is cleared.
func fieldsOf(t *Table, op Op, values map[string]*string) (map[string]any, error) {
	fields := map[string]any{}
	for _, c := range t.Columns {
		text, captured := values[c.Name]
		if !captured || c.system() || strings.EqualFold(c.Field, "Id") {
			continue
		}
		if key := op == Upsert && strings.EqualFold(c.Field, t.ExternalID); !key && !c.sendable(op) {
			continue
		}
		if text == nil && op.creates() {
			continue
		}
		if c.Relationship != "" {
			continue // below, when the ids are known
		}
		value, err := renderValue(c.Type, text)
		if err != nil {
			return nil, &Failure{Class: Permanent, Code: CodeBadValue, Message: fmt.Sprintf("column %s: %v", c.Name, err), Fields: []string{c.Field}}
		}
		fields[c.Field] = value
	}
	for _, c := range t.Columns {
		text, captured := values[c.Name]
		if c.Relationship == "" || !captured || !c.sendable(op) || text == nil && op.creates() {
			continue
		}
		if text == nil || *text == "" {
			if fields[c.lookup()] == nil && !op.creates() {
				fields[c.lookup()] = nil
			}
			continue
		}
		value, err := renderValue(c.Type, text)
		if err != nil {
			return nil, &Failure{Class: Permanent, Code: CodeBadValue, Message: fmt.Sprintf("column %s: %v", c.Name, err), Fields: []string{c.lookup()}}
		}
		delete(fields, c.lookup())
		fields[c.Relationship] = map[string]any{c.RelationField: value}
	}
	return fields, nil
}

// sendable reports whether an operation may write the column.
func (c Column) sendable(op Op) bool {
	if op.creates() {
		return c.Createable
	}
	return c.Updateable
}

// renderValue turns a value in Postgres text form (DateStyle ISO) into what
// Salesforce takes in JSON for a field of the given type. Numbers keep every
// digit; date and time are in UTC, cut to milliseconds. A boolean is never null there,
// and one would have the whole call refused.
func renderValue(kind string, text *string) (any, error) {
	if text == nil && strings.EqualFold(kind, "boolean") {
		return false, nil
	}
	if text == nil {
		return nil, nil //nolint:nilnil // null is a value
	}
	switch strings.ToLower(kind) {
	case "boolean":
		return renderBool(*text)
	case "int", "integer", "long":
		number, err := plainNumber(*text)
		if err == nil && strings.Contains(number, ".") {
			return nil, fmt.Errorf("not a whole number")
		}
		return json.Number(number), err
	case "double", "currency", "percent":
		number, err := plainNumber(*text)
		return json.Number(number), err
	case "date":
		day, err := time.Parse(time.DateOnly, *text)
		if err != nil {
			return nil, fmt.Errorf("not a date in ISO form")
		}
		return day.Format(time.DateOnly), nil
	case "datetime":
		return renderDateTime(*text)
	case "time":
		at, err := time.Parse("15:04:05", *text)
		if err != nil {
			return nil, fmt.Errorf("not a time of day in ISO form")
		}
		return at.Format("15:04:05.000Z"), nil
	}
	return *text, nil
}

func renderBool(text string) (any, error) {
	switch strings.ToLower(text) {
	case "t", "true":
		return true, nil
	case "f", "false":
		return false, nil
	}
	return nil, fmt.Errorf("not a boolean")
}

// renderDateTime reads timestamp and timestamptz. One without a zone is UTC.
func renderDateTime(text string) (any, error) {
	for _, layout := range []string{
		"2006-01-02 15:04:05", "2006-01-02 15:04:05-07", "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05-07:00:00",
		"2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00",
	} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC().Format("2006-01-02T15:04:05.000Z"), nil
		}
	}
	return nil, fmt.Errorf("not a date and time in ISO form")
}

// maxShift bounds how many zeros an exponent may stand for; a double needs 324.
const maxShift = 400

// plainNumber checks a decimal number and writes it without exponent, every
// digit kept: 1e+20 is 100000000000000000000.
func plainNumber(text string) (string, error) {
	sign, rest := "", text
	if strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		sign, rest = strings.TrimPrefix(rest[:1], "+"), rest[1:]
	}
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(rest), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", fmt.Errorf("not a number that Salesforce can hold") // NaN and Infinity too
	}
	if scientific {
		shift, err := strconv.Atoi(exponent)
		if err != nil || shift < -maxShift || shift > maxShift {
			return "", fmt.Errorf("not a number that Salesforce can hold")
		}
		if shift > 0 {
			fraction += strings.Repeat("0", max(shift-len(fraction), 0))
			whole, fraction = whole+fraction[:shift], fraction[shift:]
		} else {
			whole = strings.Repeat("0", max(-shift-len(whole), 0)) + whole
			whole, fraction = whole[:len(whole)+shift], whole[len(whole)+shift:]+fraction
		}
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		fraction = "." + fraction
	}
	if whole+fraction == "0" {
		sign = ""
	}
	return sign + whole + fraction, nil
}
