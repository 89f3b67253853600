package sobject

import (
	"slices"
	"strings"
)

// run executes one operation: it stages all of its changes or none.
func (t *txn) run(op *Op) Result {
	ob := t.org.store.Object(op.Object)
	if op.Object == "" && op.ID != "" {
		id, err := NormalizeID(op.ID)
		if ob = t.org.store.ObjectOf(id); err != nil || ob == nil {
			return Result{Err: fail(400, "MALFORMED_ID", none(), "malformed id %s", op.ID)}
		}
	}
	if ob == nil {
		return Result{Err: ErrNotFound()}
	}
	switch op.Kind {
	case Insert:
		return t.insert(ob, op)
	case Update:
		return t.update(ob, op, op.ID)
	case Upsert:
		return t.upsert(ob, op)
	case Delete:
		return t.remove(ob, op)
	case Undelete:
		return t.undelete(ob, op)
	case Purge:
		return t.purge(ob, op)
	}
	return Result{Err: fail(400, "UNKNOWN_EXCEPTION", nil, "no operation %d", op.Kind)}
}

func (t *txn) insert(ob *Object, op *Op) Result {
	if !ob.Createable && !t.internal {
		return Result{Err: fail(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", none(), "entity type cannot be inserted: %s", ob.Label)}
	}
	in, err := t.read(ob, op, Insert)
	if err != nil {
		return Result{Err: err}
	}
	if names := missing(ob, in, true); names != nil {
		return Result{Err: errRequired(names)}
	}
	if err := t.checkReferences(ob, in); err != nil {
		return Result{Err: err}
	}
	r := &Record{ID: t.org.mint(ob.KeyPrefix), Values: make([]any, len(ob.Fields)), Nonce: t.org.nonce()}
	for i, f := range ob.Fields {
		v, given := in.get(i)
		if v == nil && (!given || !f.Nillable) {
			v = t.initial(ob, f, r)
		}
		r.Values[i] = v
	}
	if err := t.store(ob, Insert, nil, r); err != nil {
		return Result{Err: err}
	}
	return Result{ID: r.ID, Created: true}
}

// initial is the value of a field that a create leaves out.
func (t *txn) initial(ob *Object, f *Field, r *Record) any {
	switch {
	case f.Type == "id":
		return r.ID
	case f.AutoNumber:
		return t.org.number(ob, f)
	case f.Formula != nil:
		return nil
	case f.Default != nil:
		return f.Default
	case f.Name == "OwnerId":
		return t.pending.Origin.UserID
	case f.Name == "Name" && f.DefaultedOnCreate:
		return r.ID[:15]
	}
	return nil
}

func (t *txn) update(ob *Object, op *Op, id string) Result {
	if !ob.Updateable {
		return Result{Err: fail(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", none(), "entity type cannot be updated: %s", ob.Label)}
	}
	kind := Update
	if op.Kind == Upsert {
		kind = Upsert
	}
	in, err := t.read(ob, op, kind)
	if err != nil {
		return Result{Err: err}
	}
	before, err := t.target(ob, id)
	if err != nil {
		return Result{Err: err}
	}
	known := Result{ID: before.ID}
	if names := missing(ob, in, false); names != nil {
		known.Err = errRequired(names)
		return known
	}
	if known.Err = t.checkReferences(ob, in); known.Err != nil {
		return known
	}
	after := t.next(ob, before)
	for _, g := range in {
		after.Values[g.index] = g.value
	}
	known.Err = t.store(ob, Update, before, after)
	return known
}

// target returns the record an operation names, which must be live.
func (t *txn) target(ob *Object, id string) (*Record, *Error) {
	id18, err := NormalizeID(id)
	if err != nil || !strings.HasPrefix(id18, ob.KeyPrefix) {
		return nil, ErrMalformedID(id)
	}
	r := t.get(ob, id18)
	switch {
	case r == nil:
		return nil, ErrMissing()
	case r.Deleted:
		return nil, ErrDeleted()
	}
	return r, nil
}

// next is a copy of r to be changed.
func (t *txn) next(ob *Object, r *Record) *Record {
	after := *r
	after.Values = make([]any, len(ob.Fields))
	for i := range ob.Fields {
		if i < len(r.Values) {
			after.Values[i] = r.Values[i]
		} else {
			after.Values[i] = t.initialStored(ob.Fields[i])
		}
	}
	return &after
}

// initialStored is what a field added later holds in records from before.
func (t *txn) initialStored(f *Field) any {
	if f.Type == "boolean" && f.Formula == nil {
		return f.Default == true
	}
	return nil
}

// store runs the triggers on a create or update and stages it if they and the
// constraints of the whole record allow.
func (t *txn) store(ob *Object, kind OpKind, before, after *Record) *Error {
	d := &Draft{Tx: t.pending, Object: ob, Kind: kind, after: after}
	if before != nil {
		d.Before = *before
	}
	if err := t.org.trigger(d); err != nil {
		return err
	}
	composeName(ob, after)
	if err := checkLocations(ob, after); err != nil {
		return err
	}
	if err := t.checkUnique(ob, after); err != nil {
		return err
	}
	t.stage(staged{object: ob, kind: kind, before: before, after: after})
	return nil
}

// composeName fills the compound name of a person from its parts.
func composeName(ob *Object, r *Record) {
	parts := ob.Parts("Name")
	if parts == nil {
		return
	}
	var words []string
	for _, name := range []string{"Salutation", "FirstName", "LastName"} {
		if s, ok := r.Get(ob, name).(string); ok {
			words = append(words, s)
		}
	}
	r.Values[ob.Index("Name")] = strings.Join(words, " ")
}

// checkLocations refuses half a geolocation.
func checkLocations(ob *Object, r *Record) *Error {
	for _, f := range ob.Fields {
		if f.Type != "location" {
			continue
		}
		parts := ob.Parts(f.Name)
		for _, p := range parts {
			if (r.Get(ob, p.Name) == nil) != (r.Get(ob, parts[0].Name) == nil) {
				return fail(400, "FIELD_INTEGRITY_EXCEPTION", []string{p.Name}, "%s: latitude and longitude must both have a value or both be empty", f.Label)
			}
		}
	}
	return nil
}

func (t *txn) checkUnique(ob *Object, r *Record) *Error {
	for i, f := range ob.Fields {
		if !f.Unique || r.Values[i] == nil {
			continue
		}
		for _, other := range t.lookup(ob, f, r.Values[i]) {
			if other.ID != r.ID {
				return errDuplicate(f.Name, other.ID)
			}
		}
	}
	return nil
}

func (t *txn) upsert(ob *Object, op *Op) Result {
	if strings.EqualFold(op.ExternalID, "Id") {
		return t.upsertID(ob, op)
	}
	f := ob.Field(op.ExternalID)
	if f == nil || (!f.ExternalID && !f.IDLookup) {
		return Result{Err: ErrExternalIDField(op.ExternalID)}
	}
	if readable, _ := t.org.allowed(t.pending.Origin.UserID, ob, f); !readable {
		return Result{Err: ErrExternalIDField(op.ExternalID)}
	}
	if op.field("Id") != nil {
		return Result{Err: ErrIDInBody("Id")}
	}
	value, err := f.decode(op.field(f.Name))
	if err != nil {
		return Result{Err: err}
	}
	if value == nil {
		return Result{Err: fail(400, "MISSING_ARGUMENT", none(), "%s not specified", f.Name)}
	}
	found := t.lookup(ob, f, value)
	switch {
	case len(found) > 1:
		return Result{Err: errManyMatches(f, found)}
	case len(found) == 1:
		return t.update(ob, op, found[0].ID)
	case op.UpdateOnly:
		return Result{Err: ErrNotFound()}
	}
	return t.insert(ob, op)
}

func errManyMatches(f *Field, found []*Record) *Error {
	var ids []string
	for _, r := range found {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	err := fail(300, "DUPLICATE_EXTERNAL_ID", none(), "%s: more than one record found for external id field: [%s]", f.Name, strings.Join(ids, ", "))
	err.Matches = ids
	return err
}

func (t *txn) upsertID(ob *Object, op *Op) Result {
	id := op.ID
	if s, ok := op.field("Id").(string); ok && id == "" {
		id = s
	}
	if id == "" {
		fresh := *op
		fresh.Fields = make(map[string]any, len(op.Fields))
		for name, v := range op.Fields {
			if !strings.EqualFold(name, "Id") {
				fresh.Fields[name] = v
			}
		}
		return t.insert(ob, &fresh)
	}
	return t.update(ob, op, id)
}

// field returns the value of a body by field name in any case.
func (op *Op) field(name string) any {
	if v, ok := op.Fields[name]; ok {
		return v
	}
	for key, v := range op.Fields {
		if strings.EqualFold(key, name) {
			return v
		}
	}
	return nil
}
