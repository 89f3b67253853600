package sobject

import "strings"

func (t *txn) remove(ob *Object, op *Op) Result {
	if !ob.Deletable {
		return Result{Err: fail(400, "INSUFFICIENT_ACCESS_OR_READONLY", none(), "entity type cannot be deleted: %s", ob.Label)}
	}
	before, err := t.target(ob, op.ID)
	if err != nil {
		if err.Code == "MALFORMED_ID" && op.Object == "" {
			err = fail(400, "MALFORMED_ID", none(), "malformed id %s", op.ID)
		}
		return Result{Err: err}
	}
	if err := t.org.trigger(&Draft{Tx: t.pending, Object: ob, Kind: Delete, Before: *before, after: before, frozen: true}); err != nil {
		return Result{ID: before.ID, Err: err}
	}
	if op.Into != "" {
		winner, err := t.target(ob, op.Into)
		if err != nil {
			return Result{ID: before.ID, Err: err}
		}
		t.merge(ob, before, winner)
		return Result{ID: before.ID}
	}
	t.bin(ob, before, "")
	return Result{ID: before.ID}
}

// bin moves a record and its cascading children to the recycle bin. root is
// the id of the record whose deletion takes this one along, "" for itself.
func (t *txn) bin(ob *Object, before *Record, root string) {
	after := t.next(ob, before)
	after.Deleted, after.cascade = true, root
	if i := ob.Index("IsDeleted"); i >= 0 {
		after.Values[i] = true
	}
	t.stage(staged{object: ob, kind: Delete, before: before, after: after, cascade: root != ""})
	after.emptied = t.repoint(ob, before.ID, nil, (*Field).clears)
	if root == "" {
		root = before.ID
	}
	t.children(ob, before.ID, func(child *Object, r *Record) {
		if !r.Deleted {
			t.bin(child, r, root)
		}
	})
}

// merge deletes a record in favour of another. Its children follow. (SOAP API
// Developer Guide, "merge()".)
func (t *txn) merge(ob *Object, loser, winner *Record) {
	t.repoint(ob, loser.ID, winner.ID, func(f *Field) bool { return f.clears() || f.CascadeDelete })
	after := t.next(ob, loser)
	after.Deleted = true
	for field, v := range map[string]any{"IsDeleted": true, "MasterRecordId": winner.ID} {
		if i := ob.Index(field); i >= 0 {
			after.Values[i] = v
		}
	}
	t.stage(staged{object: ob, kind: Delete, before: loser, after: after})
	t.stage(staged{object: ob, kind: Update, before: winner, after: t.next(ob, winner)})
}

// repoint has the lookups that name id hold another value, nil or an id. No
// document says that the children get a new stamp or an event by that, so here
// they do not, which is the harder case for a client. It returns those lookups.
func (t *txn) repoint(ob *Object, id string, to any, which func(*Field) bool) (refs []ref) {
	for _, c := range ob.Children {
		child := t.org.store.Object(c.Object)
		i := child.Index(c.Field)
		if !which(child.Fields[i]) {
			continue
		}
		for _, r := range t.find(child, child.Fields[i], id, func(r *Record) bool { return !r.Deleted }) {
			t.point(child, r, i, to)
			refs = append(refs, ref{child.Name, r.ID, c.Field})
		}
	}
	return refs
}

// point has a lookup hold another value, and nobody is told.
func (t *txn) point(child *Object, r *Record, field int, to any) {
	after := t.next(child, r)
	after.Values[field] = to
	t.stage(staged{object: child, kind: Update, before: r, after: after, quiet: true})
}

// children visits the records that cascade with id, deleted ones included.
func (t *txn) children(ob *Object, id string, fn func(*Object, *Record)) {
	for _, c := range ob.Children {
		if !c.Cascade {
			continue
		}
		child := t.org.store.Object(c.Object)
		for _, r := range t.find(child, child.Field(c.Field), id, func(*Record) bool { return true }) {
			fn(child, r)
		}
	}
}

func (t *txn) undelete(ob *Object, op *Op) Result {
	id, malformed := NormalizeID(op.ID)
	if malformed != nil || !strings.HasPrefix(id, ob.KeyPrefix) {
		return Result{Err: ErrMalformedID(op.ID)}
	}
	before := t.get(ob, id)
	if before == nil {
		return Result{Err: ErrMissing()}
	}
	if !before.Deleted || !ob.Undeletable {
		return Result{ID: id, Err: fail(400, "UNDELETE_FAILED", none(), "Entity is not in the recycle bin")}
	}
	for _, f := range ob.Fields {
		if parent, ok := before.Get(ob, f.Name).(string); ok && f.CascadeDelete {
			if p := t.get(t.org.store.ObjectOf(parent), parent); p == nil || p.Deleted {
				return Result{ID: id, Err: fail(400, "UNDELETE_FAILED", none(), "Undelete failed: the parent record is deleted: %s", parent)}
			}
		}
	}
	if err := t.checkRestorable(ob, before); err != nil {
		return Result{ID: id, Err: err}
	}
	if err := t.org.trigger(&Draft{Tx: t.pending, Object: ob, Kind: Undelete, Before: *before, after: before, frozen: true}); err != nil {
		return Result{ID: id, Err: err}
	}
	t.restore(ob, before, id, false)
	return Result{ID: id}
}

// checkRestorable refuses an undelete whose unique values, or those of the
// children that come along, have been taken since.
func (t *txn) checkRestorable(ob *Object, r *Record) *Error {
	if err := t.checkUnique(ob, t.next(ob, r)); err != nil {
		return err
	}
	var refused *Error
	t.children(ob, r.ID, func(child *Object, c *Record) {
		if c.Deleted && refused == nil && (c.cascade == r.ID || c.cascade == r.cascade && r.cascade != "") {
			refused = t.checkRestorable(child, c)
		}
	})
	return refused
}

// restore brings back a record, the children that root's deletion took, and the lookups
// that it has emptied and that have not been replaced since. (Salesforce Help, "View,
// Restore, and Manage the Recycle Bin": of custom lookups all, of standard ones some;
// here all.)
func (t *txn) restore(ob *Object, before *Record, root string, cascade bool) {
	after := t.next(ob, before)
	after.Deleted, after.cascade, after.emptied = false, "", nil
	if i := ob.Index("IsDeleted"); i >= 0 {
		after.Values[i] = false
	}
	t.stage(staged{object: ob, kind: Undelete, before: before, after: after, cascade: cascade})
	t.children(ob, before.ID, func(child *Object, r *Record) {
		if r.Deleted && r.cascade == root {
			t.restore(child, r, root, true)
		}
	})
	for _, ref := range before.emptied {
		child := t.org.store.Object(ref.object)
		if child == nil {
			continue
		}
		i := child.Index(ref.field)
		if r := t.get(child, ref.id); i >= 0 && r != nil && !r.Deleted && r.At(child, i) == nil {
			t.point(child, r, i, before.ID)
		}
	}
}

func (t *txn) purge(ob *Object, op *Op) Result {
	if !ob.Deletable {
		return Result{Err: fail(400, "INSUFFICIENT_ACCESS_OR_READONLY", none(), "entity type cannot be deleted: %s", ob.Label)}
	}
	id, err := NormalizeID(op.ID)
	if err != nil || !strings.HasPrefix(id, ob.KeyPrefix) {
		return Result{Err: ErrMalformedID(op.ID)}
	}
	before := t.get(ob, id)
	if before == nil {
		return Result{Err: ErrMissing()}
	}
	t.destroy(ob, before, false)
	return Result{ID: id}
}

func (t *txn) destroy(ob *Object, before *Record, cascade bool) {
	t.children(ob, before.ID, func(child *Object, r *Record) { t.destroy(child, r, true) })
	after := t.next(ob, before)
	after.Purged, after.Deleted = true, true
	t.stage(staged{object: ob, kind: Purge, before: before, after: after, cascade: cascade})
}
