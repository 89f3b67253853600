package sobject

import (
	"maps"
	"slices"
	"strings"
)

// input is the decoded body of one operation, in field order once read.
type input []given

type given struct {
	index int
	value any
}

// set gives a field a value, the last one counts.
func (in *input) set(index int, value any) {
	for n := range *in {
		if (*in)[n].index == index {
			(*in)[n].value = value
			return
		}
	}
	*in = append(*in, given{index, value})
}

func (in input) get(index int) (any, bool) {
	for _, g := range in {
		if g.index == index {
			return g.value, true
		}
	}
	return nil, false
}

// read decodes and checks the fields of op against the object, in name order
// so that the first error does not depend on chance.
func (t *txn) read(ob *Object, op *Op, kind OpKind) (input, *Error) {
	in := make(input, 0, len(op.Fields))
	names := t.names[:0]
	for name := range op.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	t.names = names
	var forbidden []string
	for _, name := range names {
		v := op.Fields[name]
		if name == "attributes" {
			continue
		}
		i := ob.Index(name)
		if i < 0 {
			if err := t.readParent(ob, name, v, kind, &in); err != nil {
				return nil, err
			}
			continue
		}
		f := ob.Fields[i]
		readable, writable := t.org.allowed(t.pending.Origin.UserID, ob, f)
		if !readable {
			return nil, ErrNoColumn(name, ob.Name)
		}
		if f.Type == "id" {
			if kind == Upsert {
				continue
			}
			return nil, ErrIDInBody("Id")
		}
		if !writable || (kind == Insert && !f.Createable) || (kind != Insert && !f.Updateable) {
			if !t.internal {
				forbidden = append(forbidden, f.Name)
				continue
			}
		}
		value, err := f.decode(v)
		if err != nil {
			return nil, err
		}
		in.set(i, value)
	}
	if forbidden != nil {
		return nil, ErrReadOnly(forbidden)
	}
	slices.SortFunc(in, func(a, b given) int { return a.index - b.index })
	for n := range in {
		value, err := ob.Fields[in[n].index].check(in[n].value)
		if err != nil {
			return nil, err
		}
		in[n].value = value
	}
	return in, nil
}

// readParent resolves {"Account__r": {"External_Id__c": "x"}}.
func (t *txn) readParent(ob *Object, name string, v any, kind OpKind, in *input) *Error {
	ref := ob.Relationship(name)
	if ref == nil {
		return ErrNoColumn(name, ob.Name)
	}
	if readable, _ := t.org.allowed(t.pending.Origin.UserID, ob, ref); !readable {
		return ErrNoColumn(name, ob.Name)
	}
	if v == nil {
		return nil
	}
	keys, ok := v.(map[string]any)
	if !ok {
		return errType(name, "VALUE_STRING", "")
	}
	if (kind == Insert && !ref.Createable) || (kind != Insert && !ref.Updateable) {
		return ErrReadOnly([]string{ref.Name})
	}
	parent := t.parentType(ref, keys)
	if parent == nil {
		return ErrNoColumn(name, ob.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "attributes" {
			continue
		}
		f := parent.Field(key)
		if f == nil || (!f.ExternalID && !f.IDLookup) {
			return fail(400, "INVALID_FIELD", nil, "%s is not an External ID or indexed field for %s", key, parent.Name)
		}
		value, err := f.decode(keys[key])
		if err != nil {
			return err
		}
		found := t.lookup(parent, f, value)
		if len(found) != 1 {
			return fail(400, "INVALID_FIELD", nil, "Foreign key external ID: %s not found for field %s in entity %s", f.CSV(value), f.Name, parent.Name)
		}
		in.set(ob.Index(ref.Name), found[0].ID)
		return nil
	}
	return nil
}

// parentType is the object a parent reference means: the only one, or of a
// polymorphic field the one that attributes.type names, or the last.
func (t *txn) parentType(ref *Field, keys map[string]any) *Object {
	name := ref.ReferenceTo[len(ref.ReferenceTo)-1]
	if attributes, ok := keys["attributes"].(map[string]any); ok {
		if typ, ok := attributes["type"].(string); ok {
			if !slices.ContainsFunc(ref.ReferenceTo, func(s string) bool { return strings.EqualFold(s, typ) }) {
				return nil
			}
			name = typ
		}
	}
	return t.org.store.Object(name)
}

// checkReferences makes sure that the records named by the references of in
// exist and are of the right type.
func (t *txn) checkReferences(ob *Object, in input) *Error {
	for _, g := range in {
		f := ob.Fields[g.index]
		id, ok := g.value.(string)
		if !ok || f.Type != "reference" {
			continue
		}
		parent := t.org.store.ObjectOf(id)
		if parent == nil || !slices.Contains(f.ReferenceTo, parent.Name) {
			return f.badID(id)
		}
		if r := t.get(parent, id); r == nil || r.Deleted {
			return errBadReference(f.Name)
		}
	}
	return nil
}

// missing lists the required fields that a create leaves out or an update
// sets to null.
func missing(ob *Object, in input, create bool) []string {
	var out []string
	for i, f := range ob.Fields {
		if f.Nillable || f.Type == "boolean" || (create && !f.Createable) {
			continue
		}
		v, given := in.get(i)
		if v == nil && (given || (create && !f.DefaultedOnCreate)) {
			if given && create && f.DefaultedOnCreate {
				continue
			}
			out = append(out, f.Name)
		}
	}
	return out
}
