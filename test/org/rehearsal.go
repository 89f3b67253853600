package org

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hcbridge/test/org/sobject"
)

// rehearse runs subrequests against a copy of the org that is thrown away, so
// that a composite request whose parts depend on each other is all or nothing
// although each of them is a transaction of its own. The caller holds
// s.writing.
func (c *call) rehearse(subs []subrequest) []subresult {
	next := *c
	layer := newOverlay(c.s.store)
	org := layer.make(c.s.opt.Now)
	org.SetAccess(c.s.access)
	for _, fn := range c.s.triggerList() {
		org.Before(fn)
	}
	next.store, next.org = layer, rehearsal{org, layer}
	return next.perform(subs)
}

// mark before an object's name asks an overlay for the version of the object
// whose records are new.
const mark = "new "

// rehearsal is an org on an overlay. Records made in it get ids that no real
// record has: their objects have key prefixes of their own.
type rehearsal struct {
	org   *sobject.Org
	layer *overlay
}

// Commit carries out ops with each object in the version that its record needs.
func (r rehearsal) Commit(origin sobject.Origin, allOrNone bool, ops []sobject.Op) []sobject.Result {
	ops = slices.Clone(ops)
	for i := range ops {
		op := &ops[i]
		id := op.ID
		if op.Kind == sobject.Upsert && id == "" {
			for name, value := range op.Fields {
				if strings.EqualFold(name, op.ExternalID) {
					if found := r.layer.Lookup(op.Object, name, value); len(found) > 0 {
						id = found[0].ID
					}
				}
			}
		}
		if op.Object != "" && (id == "" || strings.HasPrefix(id, "z")) {
			op.Object = mark + op.Object
		}
	}
	return r.org.Commit(origin, allOrNone, ops)
}

// overlay is a store whose changes cover those of another and never reach it.
// It serves one goroutine.
type overlay struct {
	sobject.Store
	fresh   map[string]*sobject.Object           // by name: objects with a key prefix of their own
	minted  map[string]*sobject.Object           // the same by that prefix
	changed map[string]map[string]sobject.Record // object → id → record
	empty   bool                                 // has no objects: being made
}

func newOverlay(base sobject.Store) *overlay {
	o := &overlay{
		Store: base, fresh: map[string]*sobject.Object{}, minted: map[string]*sobject.Object{},
		changed: map[string]map[string]sobject.Record{},
	}
	for i, ob := range base.Objects() {
		again := ob.With()
		again.KeyPrefix = fmt.Sprintf("z%c%c", 'A'+i/26%26, 'A'+i%26) // no org has such a prefix
		o.fresh[ob.Name], o.minted[again.KeyPrefix] = again, again
	}
	return o
}

// make returns an org on o without the users and the organization that a new
// org is born with: o has them.
func (o *overlay) make(now func() time.Time) *sobject.Org {
	o.empty = true
	defer func() { o.empty = false }()
	return sobject.NewOrg(o, now)
}

// Object returns an object, in the version for new records if it is marked so.
func (o *overlay) Object(name string) *sobject.Object {
	if o.empty {
		return nil
	}
	plain, marked := strings.CutPrefix(name, mark)
	ob := o.Store.Object(plain)
	if ob != nil && marked {
		return o.fresh[ob.Name]
	}
	return ob
}

// ObjectOf knows real ids and those of the rehearsal.
func (o *overlay) ObjectOf(id string) *sobject.Object {
	if ob := o.minted[id[:min(3, len(id))]]; ob != nil {
		return ob
	}
	return o.Store.ObjectOf(id)
}

// Apply keeps the writes.
func (o *overlay) Apply(writes []sobject.Write) {
	for _, w := range writes {
		m := o.changed[w.Object.Name]
		if m == nil {
			m = map[string]sobject.Record{}
			o.changed[w.Object.Name] = m
		}
		m[w.Record.ID] = w.Record
	}
}

func (o *overlay) of(object string) map[string]sobject.Record {
	if ob := o.Object(object); ob != nil {
		return o.changed[ob.Name]
	}
	return nil
}

// Get returns the covering record.
func (o *overlay) Get(object, id string) (sobject.Record, bool) {
	if rec, covered := o.of(object)[id]; covered {
		return rec, !rec.Purged
	}
	return o.Store.Get(object, id)
}

// Lookup is LookupAll without deleted records.
func (o *overlay) Lookup(object, field string, value any) []sobject.Record {
	return slices.DeleteFunc(o.LookupAll(object, field, value), func(r sobject.Record) bool { return r.Deleted })
}

// LookupAll merges both layers in id order.
func (o *overlay) LookupAll(object, field string, value any) []sobject.Record {
	layer := o.of(object)
	ob := o.Object(object)
	out := slices.DeleteFunc(slices.Clone(o.Store.LookupAll(object, field, value)), func(r sobject.Record) bool {
		_, covered := layer[r.ID]
		return covered
	})
	for _, rec := range layer {
		if !rec.Purged && same(ob.Field(field), rec.Get(ob, field), value) {
			out = append(out, rec)
		}
	}
	slices.SortFunc(out, byID)
	return out
}

func same(f *sobject.Field, a, b any) bool {
	x, isText := a.(string)
	y, other := b.(string)
	if isText && other && f != nil && !f.CaseSensitive && f.Type != "reference" {
		return strings.EqualFold(x, y)
	}
	return a != nil && a == b
}

// Scan passes both layers in id order.
func (o *overlay) Scan(object string, from sobject.Cursor, fn func(sobject.Record) bool) {
	each(o.merged(object, func(keep func(sobject.Record) bool) { o.Store.Scan(object, from, keep) },
		func(r sobject.Record) bool { return r.ID >= string(from) }, byID), fn)
}

// ScanStamp passes both layers in (SystemModstamp, Id) order.
func (o *overlay) ScanStamp(object string, from time.Time, fn func(sobject.Record) bool) {
	each(o.merged(object, func(keep func(sobject.Record) bool) { o.Store.ScanStamp(object, from, keep) },
		func(r sobject.Record) bool { return !r.Stamp.Before(from) }, byStamp), fn)
}

// ScanAfter is ScanStamp from behind a place.
func (o *overlay) ScanAfter(object string, stamp time.Time, id string, fn func(sobject.Record) bool) {
	each(o.merged(object, func(keep func(sobject.Record) bool) { o.Store.ScanAfter(object, stamp, id, keep) },
		func(r sobject.Record) bool { return byStamp(r, sobject.Record{ID: id, Stamp: stamp}) > 0 }, byStamp), fn)
}

// Len counts what is not deleted.
func (o *overlay) Len(object string) int {
	n := 0
	o.Scan(object, "", func(r sobject.Record) bool {
		if !r.Deleted {
			n++
		}
		return true
	})
	return n
}

func (o *overlay) merged(object string, scan func(func(sobject.Record) bool), in func(sobject.Record) bool, order func(a, b sobject.Record) int) []sobject.Record {
	layer := o.of(object)
	var out []sobject.Record
	scan(func(r sobject.Record) bool {
		if _, covered := layer[r.ID]; !covered {
			out = append(out, r)
		}
		return true
	})
	for _, r := range layer {
		if !r.Purged && in(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, order)
	return out
}

func each(list []sobject.Record, fn func(sobject.Record) bool) {
	for _, r := range list {
		if !fn(r) {
			return
		}
	}
}

func byID(a, b sobject.Record) int { return cmp.Compare(a.ID, b.ID) }

func byStamp(a, b sobject.Record) int { return cmp.Or(a.Stamp.Compare(b.Stamp), byID(a, b)) }
