package pgsink

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
	"unsafe"

	"hcbridge/internal/rawjson"
)

// Decode reads one record of the REST API as JSON. Members that are not mapped are
// passed over. The error is a *RecordError.
//
// Names are looked up as the mapping spells them, and without regard to case
// only if that finds nothing. The parts of an address or location are taken
// from their compound if they are not there themselves. What is no Unicode, such
// as half of a surrogate pair, becomes U+FFFD. U+0000 stays in the value: it is
// Postgres that refuses it, and then only this record is parked.
func (t *Table) Decode(record []byte) (Row, error) {
	if !rawjson.Valid(record) {
		return Row{}, &RecordError{Object: t.Object, Reason: "not a JSON object"}
	}
	return t.decode(record, false)
}

// DecodeEvent is Decode of an event's record, which is known to be valid JSON:
// checking it again would cost as much as all the rest.
//
// Events have some fields, such as Opportunity.Fiscal, as an object where REST has a
// single value (as seen in the events of real orgs). That is not what the column
// holds, so such fields are missing, and named in Row.Nested.
func (t *Table) DecodeEvent(record []byte) (Row, error) { return t.decode(record, true) }

// decode reads valid JSON, of an event or of REST.
func (t *Table) decode(record []byte, event bool) (Row, error) {
	if utf8.Valid(record) {
		record = bytes.Clone(record) // the values are parts of it
	} else {
		record = []byte(wellFormed(string(record)))
	}
	record = bytes.TrimSpace(record)
	if len(record) == 0 || record[0] != '{' {
		return Row{}, &RecordError{Object: t.Object, Reason: "not a JSON object"}
	}
	var few [32]json.RawMessage // of most tables, on the stack
	var id json.RawMessage
	values := append(few[:0], make([]json.RawMessage, len(t.Columns))...)
	next := 0 // fields mostly come in the order of the mapping
	for name, value := range rawjson.Members(record) {
		i, ok := next, next < len(t.Columns) && t.Columns[next].Field == name
		if !ok {
			i, ok = t.fields[name]
		}
		if ok {
			values[i], next = value, i+1
		} else if name == "Id" {
			id = value
		}
	}
	d := decoder{record: record}
	if id == nil {
		id, _ = d.find("Id")
	}
	if id == nil {
		return Row{}, &RecordError{Object: t.Object, Reason: "no Id"}
	}
	sfid, ok := canonID(plain(id))
	if !ok {
		return Row{}, &RecordError{Object: t.Object, Reason: "Id is not a Salesforce id"}
	}
	row := Row{SFID: sfid, Values: make([]*string, len(t.Columns))}
	cells := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		value := values[i]
		if value == nil {
			if value, ok = d.field(c.Field); !ok {
				row.Missing = append(row.Missing, c.Field)
				continue
			}
		}
		if event && c.kind != kindAny && (value[0] == '{' || value[0] == '[') {
			row.Missing, row.Nested = append(row.Missing, c.Field), append(row.Nested, c.Field)
			continue
		}
		if cells[i] = canonText(c.kind, plain(value)); cells[i] != "" {
			row.Values[i] = &cells[i]
		}
	}
	t.finish(&row)
	return row, nil
}

// finish fills in what the row's own columns say.
func (t *Table) finish(row *Row) {
	if v := row.Values[t.stamp]; v != nil {
		row.Stamp, _ = parseDatetime(*v)
	}
	if t.deleted >= 0 {
		v := row.Values[t.deleted]
		row.Deleted = v != nil && *v == "true"
	}
}

// decoder looks up members that a record does not have under the very name of a
// field. All it needs is made when that happens.
type decoder struct {
	record  []byte                     // valid JSON
	members map[string]json.RawMessage // of an object
	folded  map[string]json.RawMessage // lower-case names
	parts   map[string]json.RawMessage // lower-case names of compound parts
	parents map[string]*decoder
}

// open reads the members. Null has none, and neither has what is no object.
func (d *decoder) open() {
	if d.members == nil && d.record != nil && json.Unmarshal(d.record, &d.members) != nil {
		d.record = nil
	}
}

// find looks a member up by its exact name, then by its letters.
func (d *decoder) find(name string) (json.RawMessage, bool) {
	d.open()
	if raw, ok := d.members[name]; ok {
		return raw, true
	}
	if d.folded == nil {
		d.folded = make(map[string]json.RawMessage, len(d.members))
		for name, raw := range d.members {
			d.folded[strings.ToLower(name)] = raw
		}
	}
	raw, ok := d.folded[strings.ToLower(name)]
	return raw, ok
}

// field looks up a field, a parent's field or a part of a compound.
func (d *decoder) field(name string) (json.RawMessage, bool) {
	if parent, rest, dotted := strings.Cut(name, "."); dotted {
		return d.parentField(parent, rest)
	}
	if raw, ok := d.find(name); ok {
		return raw, true
	}
	if d.parts == nil {
		d.parts = compoundParts(d.members)
	}
	raw, ok := d.parts[strings.ToLower(name)]
	return raw, ok
}

// parentField looks into a nested parent. A parent that is null has null
// fields (Salesforce REST API Developer Guide, "Query").
func (d *decoder) parentField(parent, rest string) (json.RawMessage, bool) {
	p, seen := d.parents[parent]
	if !seen {
		raw, ok := d.find(parent)
		if !ok {
			return nil, false
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, false
		}
		p = &decoder{members: members}
		if d.parents == nil {
			d.parents = make(map[string]*decoder)
		}
		d.parents[parent] = p
	}
	if p.members == nil {
		return json.RawMessage("null"), true
	}
	return p.field(rest)
}

// compoundParts names the parts of every compound value. Events name the parts
// in full ("BillingCity"), REST by their role ("city"); a compound that is
// null has null parts.
func compoundParts(members map[string]json.RawMessage) map[string]json.RawMessage {
	parts := make(map[string]json.RawMessage)
	for name, raw := range members {
		name = strings.ToLower(name)
		address, isAddress := strings.CutSuffix(name, "address")
		custom, isCustom := strings.CutSuffix(name, "__c")
		isNull := string(raw) == "null"
		if (raw[0] != '{' && !isNull) || (!isAddress && !isCustom) {
			continue
		}
		var inner map[string]json.RawMessage
		switch {
		case isNull:
			inner = make(map[string]json.RawMessage)
			for _, role := range roles() {
				inner[role] = raw
			}
		case json.Unmarshal(raw, &inner) != nil:
			continue
		}
		for role, raw := range inner {
			role = strings.ToLower(role)
			switch {
			case isCustom && strings.HasSuffix(role, "__s"), isAddress && strings.HasPrefix(role, address):
				parts[role] = raw
			case isCustom:
				parts[custom+"__"+role+"__s"] = raw
			default:
				parts[address+role] = raw
			}
		}
	}
	return parts
}

// roles are the parts that addresses and locations have.
func roles() []string {
	return []string{
		"street", "city", "state", "postalcode", "country", "statecode", "countrycode",
		"latitude", "longitude", "geocodeaccuracy",
	}
}

// plain is the text of a JSON value: a string's content, the digits of a
// number, the JSON of anything larger. Null and the empty string are "". It may
// share the memory of raw, which nobody may change.
func plain(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		if bytes.IndexByte(raw, '\\') < 0 {
			return share(raw[1 : len(raw)-1])
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "" // not reached: raw has been scanned as part of the record
		}
		return s
	case 'n':
		return ""
	case '{', '[':
		var b bytes.Buffer
		if json.Compact(&b, raw) == nil {
			return b.String()
		}
	}
	return share(raw)
}

// share makes a string of bytes without copying them.
func share(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
