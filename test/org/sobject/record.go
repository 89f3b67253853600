package sobject

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Record is one version of a record. It is immutable: a change makes a new
// one, so a Record may be kept and read without a lock.
//
// A value is nil, string (also date "2006-01-02" and time "15:04:05.000Z"),
// bool, [json.Number] in plain decimal notation, [time.Time] (datetime, UTC,
// whole seconds) or, computed at read time, [Compound].
type Record struct {
	ID      string // 18 characters
	Values  []any  // aligned with Object.Fields; shorter if fields were added since; read through Get
	Deleted bool   // in the recycle bin
	Purged  bool   // gone for good; only seen in a [Change]
	Created time.Time
	Stamp   time.Time // SystemModstamp

	Nonce   uint64 // unique per created record, never shown by an API
	Writes  int    // successful DML operations on this record so far, its creation included
	cascade string // id of the record whose deletion took this one along
	emptied []ref  // lookups to it that its deletion has emptied
}

// ref is a lookup of a record.
type ref struct{ object, id, field string }

// Get returns the value of a field by name, computing formulas and compound
// fields; nil if there is no such field.
func (r Record) Get(o *Object, field string) any {
	if i := o.Index(field); i >= 0 {
		return r.At(o, i)
	}
	return nil
}

// At is Get for the field at position i of o.
func (r Record) At(o *Object, i int) any {
	f := o.Fields[i]
	switch {
	case f.Formula != nil:
		return f.Formula(func(name string) any { return r.Get(o, name) })
	case f.IsCompound():
		return r.compound(o, f)
	case i < len(r.Values) && f.Converted:
		return f.convert(r.Values[i])
	case i < len(r.Values):
		return r.Values[i]
	case f.Type == "boolean":
		return f.Default == true
	}
	return nil
}

func (r Record) compound(o *Object, f *Field) any {
	c := Compound{}
	null := true
	for _, p := range o.Parts(f.Name) {
		v := r.Get(o, p.Name)
		if v != nil {
			null = false
			v = p.JSON(v)
		}
		c = append(c, Part{Key: partKey(f, p), Field: p.Name, Value: v})
	}
	if null {
		return nil
	}
	return c
}

// partKey derives the key of a part inside its compound: "street" for
// BillingStreet of BillingAddress, "latitude" for Loc__Latitude__s of Loc__c.
func partKey(f, p *Field) string {
	key := strings.TrimPrefix(p.Name, strings.TrimSuffix(f.Name, "Address"))
	if f.Type == "location" {
		key = strings.TrimSuffix(strings.TrimPrefix(p.Name, strings.TrimSuffix(f.Name, "c")), "__s")
	}
	first, n := utf8.DecodeRuneInString(key)
	return string(unicode.ToLower(first)) + key[n:]
}

// Compound is the value of an address or geolocation field.
type Compound []Part

// Part is one member of a Compound.
type Part struct {
	Key   string // as REST names it: "street"
	Field string // as a PushTopic event names it: "BillingStreet"
	Value any    // JSON-ready
}

// MarshalJSON renders the form of the REST API: {"city":null,...}.
func (c Compound) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range c {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(p.Key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.Value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
