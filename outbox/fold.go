package outbox

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// record makes the items of one record: one per entry, or in merged mode one
// per run of entries up to a delete. Each depends on the one before it.
func (p planner) record(t *Table, entries []*entry, b backlog) (items []*item, drops []drop) {
	r := recorder{planner: p, table: t, key: entries[0].key}
	sfid, exists := b.rows[r.key]
	r.sfid = sfid
	r.missing = b.asked[r.key] && !exists
	r.wait = p.waits(r.key) || b.moving[r.key]
	for _, e := range b.open[r.key] {
		switch {
		case e.state == statePending:
			r.wait = true
		case e.state == stateIgnore:
			r.deleted = e
		case e.state == stateFailed && e.action != actionDelete:
			r.failed = append(r.failed, e)
		}
	}
	r.arrange(entries)
	if r.vanished(entries) {
		return nil, []drop{{item: r.bundle(entries), idle: len(r.failed) == 0}}
	}
	if p.merged {
		entries = r.withFailed(entries)
	}
	r.newest = entries[len(entries)-1]
	for _, e := range entries {
		r.add(e)
	}
	return r.items, r.drops
}

// recorder folds the entries of one record.
type recorder struct {
	planner
	table   *Table
	key     key
	sfid    string   // of the row as it is now
	missing bool     // the row is gone
	deleted *entry   // its delete, captured while it had no sfid
	failed  []*entry // refused entries, still in the log
	newest  *entry   // of those to be sent
	wait    bool
	items   []*item
	drops   []drop
}

// arrange puts the entries, and the refused ones, into the order in which they happened.
func (r *recorder) arrange(entries []*entry) {
	all := slices.Concat(r.failed, entries)
	if r.deleted != nil {
		all = append(all, r.deleted)
	}
	if len(all) > 1 {
		arrange(all)
		slices.SortFunc(entries, byPlace)
		slices.SortFunc(r.failed, byPlace)
	}
}

// vanished reports whether the row came and went before anything of it was
// sent. An insert in doubt may exist, so it is sent (as an upsert) and then
// deleted.
func (r *recorder) vanished(entries []*entry) bool {
	if !r.missing || r.deleted == nil || r.wait {
		return false
	}
	unknown := func(e *entry) bool {
		before := e.place() < r.deleted.place() || e.txid != 0 && e.txid == r.deleted.txid
		return e.sfid == "" && before && !e.inDoubt()
	}
	return all(entries, unknown) && all(r.failed, unknown)
}

func all(list []*entry, is func(*entry) bool) bool {
	return !slices.ContainsFunc(list, func(e *entry) bool { return !is(e) })
}

// withFailed puts refused entries back in their place, to be sent again
// together with what changed since. An insert in doubt is not among them: the
// record waits for a person, or for an insert that somebody captured anew.
func (r *recorder) withFailed(entries []*entry) []*entry {
	again := slices.DeleteFunc(slices.Clone(r.failed), func(e *entry) bool { return e.inDoubt() || e.broken != nil })
	entries = append(again, entries...)
	slices.SortFunc(entries, byPlace)
	return entries
}

func (r *recorder) add(e *entry) {
	if e.broken != nil {
		r.drop(e, &Failure{Class: Permanent, Code: CodeBadValue, Message: e.broken.Error()})
		r.wait = r.wait || e.action == actionInsert
		return
	}
	switch e.action {
	case actionInsert:
		r.insert(e)
	case actionUpdate:
		r.update(e)
	case actionDelete:
		r.remove(e)
	default:
		r.drop(e, &Failure{Class: Permanent, Code: CodeBadValue, Message: "unknown action " + e.action})
	}
}

// insert starts the record anew: it carries the whole row, so that whatever
// was open before it is part of it. Updates that were made of just that row come after
// it: they are older in the log where the insert was sent again from the archive.
func (r *recorder) insert(e *entry) {
	i := r.bundle([]*entry{e})
	i.op = Insert
	if c := r.table.external(); c != nil && set(e.values[c.Name]) {
		i.op = Upsert
	}
	if e.sfid != "" || r.sfid != "" { // it is in Salesforce already
		i.op = Update
		i.sfid = cmp.Or(r.sfid, e.sfid)
	}
	if i.op == Insert && e.inDoubt() {
		r.drop(e, e.parked())
		r.wait = true
		return
	}
	var before []*entry
	for len(r.items) > 0 && r.last().op != Delete {
		before = slices.Concat(r.last().entries, before)
		r.items = r.items[:len(r.items)-1]
	}
	r.drops = slices.DeleteFunc(r.drops, func(d drop) bool { // they have an insert now
		if d.failure == nil || d.failure.Code != CodeNoSFID {
			return false
		}
		before = append(before, d.item.entries...)
		return true
	})
	if !r.merged { // in merged mode they are among before
		before = append(slices.Clone(r.failed), before...)
	} else {
		for _, f := range r.failed {
			if f.inDoubt() {
				before = append(before, f)
			}
		}
	}
	before = slices.DeleteFunc(before, func(f *entry) bool { return f.place() > e.place() })
	slices.SortFunc(before, byPlace)
	r.failed = slices.DeleteFunc(r.failed, func(f *entry) bool { return slices.Contains(before, f) })
	part, since := sinceRow(before, e.values)
	i.entries = slices.Concat(part, []*entry{e})
	r.push(i)
	for _, u := range since {
		r.update(u)
	}
}

// sinceRow divides entries from before an insert into those that are part of its row,
// and the updates that were made of it.
func sinceRow(before []*entry, row map[string]*string) (part, since []*entry) {
	for _, u := range before {
		if u.action == actionUpdate && u.onTop(row) {
			since, row = append(since, u), overlay(row, u.values)
		} else {
			part = append(part, u)
		}
	}
	return part, since
}

func (r *recorder) update(e *entry) {
	// What is in doubt is repeated as it was: with another key an upsert would make
	// a second record, and newer values wait for the first request to be over. In ordered
	// mode updates are in doubt together that were sent together.
	if l := r.last(); l != nil && l.op != Delete && l.carrier.inDoubt() == e.inDoubt() && (r.merged || l.op == Update && e.inDoubt()) {
		l.entries = append(l.entries, e)
		if l.carrier.action != actionInsert {
			l.carrier = e
		}
		l.values = overlay(l.values, e.values)
		l.old = overlay(e.old, l.old)
		if l.op == Insert || l.op == Upsert {
			l.op = r.createOp(l.values)
		}
		return
	}
	i := r.bundle([]*entry{e})
	i.op, i.sfid = Update, cmp.Or(e.sfid, r.sfid)
	switch {
	case i.sfid != "" || r.creating():
	case r.unsent():
		i.waiting = true
	case r.missing:
		r.drop(e, nil)
		return
	default:
		r.drop(e, &Failure{
			Class: Permanent, Code: CodeNoSFID,
			Message: "the row is not in Salesforce and no insert of it is waiting; hc_capture_insert_from_row sends it whole",
		})
		return
	}
	if mates := r.mates(e); e.together() {
		r.join(i, mates)
	} else {
		i.rejoins = e == r.newest && len(mates) > 0 && !e.inDoubt()
	}
	i.rests = r.overtaken(i)
	r.push(i)
}

// rest is what a newer update leaves of a refused one; nothing where it writes all of
// that one's columns.
type rest struct {
	entry  *entry
	values map[string]*string
}

// overtaken is what remains of refused updates once i is accepted: sent again as they
// were, they would put back older values. In ordered mode that is sent next, since i may
// be what they were refused for the lack of; in merged mode it was sent along with i.
func (r *recorder) overtaken(i *item) (rests []rest) {
	for _, f := range r.refusedBefore(i.carrier) {
		left := maps.Clone(f.values)
		for column := range i.values {
			if !f.withheld() || !r.table.frozen(column) { // else i's value goes to f
				delete(left, column)
			}
		}
		if len(left) < len(f.values) || !r.merged && f.resent() {
			rests = append(rests, rest{f, left})
			f.values = left // for the updates after i
		}
	}
	return rests
}

// resent reports whether a refused update is sent again when its row has changed. What
// waits for its field does not, nor does what automations would only undo.
func (e *entry) resent() bool {
	return !e.withheld() && !strings.HasPrefix(e.message, CodePingPong)
}

func (r *recorder) remove(e *entry) {
	i := r.bundle([]*entry{e})
	i.op, i.sfid = Delete, cmp.Or(e.sfid, r.sfid)
	if i.sfid == "" && !r.creating() {
		r.drop(e, nil)
		return
	}
	if !r.merged { // what waits for its fields waits for nothing any more
		for _, f := range r.failed {
			if f.withheld() && f.place() < e.place() {
				i.rests = append(i.rests, rest{entry: f})
			}
		}
	}
	if l := r.last(); r.merged && i.sfid != "" && l != nil && l.op != Delete && !l.carrier.inDoubt() {
		i.entries = slices.Concat(l.entries, i.entries)
		i.old = overlay(e.old, l.old)
		r.items = r.items[:len(r.items)-1]
	}
	r.push(i)
}

// createOp is how a record with these values is made.
func (r *recorder) createOp(values map[string]*string) Op {
	if c := r.table.external(); c != nil && set(values[c.Name]) {
		return Upsert
	}
	return Insert
}

// creating reports whether an item before makes the record.
func (r *recorder) creating() bool {
	return slices.ContainsFunc(r.items, func(i *item) bool { return i.op.creates() })
}

// unsent reports whether the record's insert was refused or is in doubt.
func (r *recorder) unsent() bool {
	return r.wait || slices.ContainsFunc(r.failed, func(e *entry) bool { return e.action == actionInsert })
}

func (r *recorder) last() *item {
	if len(r.items) == 0 {
		return nil
	}
	return r.items[len(r.items)-1]
}

func (r *recorder) push(i *item) {
	if l := r.last(); l != nil {
		i.hard = append(i.hard, l)
	}
	i.waiting = i.waiting || r.wait
	r.items = append(r.items, i)
}

func (r *recorder) drop(e *entry, f *Failure) {
	i := r.bundle([]*entry{e})
	i.op = Update
	r.drops = append(r.drops, drop{item: i, failure: f})
}

// bundle is an item of entries, carried by the last.
func (r *recorder) bundle(entries []*entry) *item {
	e := entries[len(entries)-1]
	return &item{key: r.key, table: r.table, op: Update, entries: entries, carrier: e, values: e.values, old: e.old, sfid: cmp.Or(e.sfid, r.sfid), rowless: r.missing}
}

// overlay returns base with the pairs of top put over it.
func overlay(base, top map[string]*string) map[string]*string {
	out := make(map[string]*string, len(base)+len(top))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range top {
		out[k] = v
	}
	return out
}

func set(v *string) bool { return v != nil && *v != "" }
