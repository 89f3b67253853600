package outbox

import "strings"

// depend finds what has to go before what, across records. items are in log
// order. Hard dependencies hold an item back until they are done:
//
//   - a record named by external id is made before it is named, wherever its
//     insert stands in the log;
//   - changes of records with one external id keep their order, so that a
//     delete does not hit the record that took over its id;
//   - a delete goes after the earlier changes that mention the record, or they
//     would be deleted along with it (cascade).
//
// Soft ones, in ordered mode only, keep the log's order between a record and
// those that refer to it, such as lines that are added before an order closes;
// a record that is held up does not hold up its neighbours.
func (p planner) depend(items []*item, lost map[reference]int64) {
	named := p.namedFields()
	d := dependencies{
		made: map[reference][]*item{}, mentions: map[string][]*item{}, mentionsRef: map[reference][]*item{},
		fresh: map[string][]*item{}, ofSFID: map[string]*item{}, ofKey: map[reference]*item{},
	}
	for _, i := range items {
		if !i.op.creates() {
			continue
		}
		for _, r := range i.externals(named, i.values) {
			d.made[r] = append(d.made[r], i)
		}
	}
	for _, i := range items {
		d.parents(i, lost)
		d.sameExternal(i)
		d.deletes(i, named)
		if !p.merged {
			d.neighbours(i)
		}
		d.remember(i, p.merged)
	}
}

// dependencies indexes the items passed so far, and the inserts of all.
type dependencies struct {
	made        map[reference][]*item // inserts by the external ids they set
	mentions    map[string][]*item    // changes by the ids they mention
	mentionsRef map[reference][]*item // the same by external id
	fresh       map[string][]*item    // mentions since the last change of the mentioned
	ofSFID      map[string]*item      // last change of a record
	ofKey       map[reference]*item   // last change of a record with an external id
}

func (d *dependencies) parents(i *item, lost map[reference]int64) {
	if i.op == Delete {
		return
	}
	for _, r := range i.parentRefs(i.values) {
		for _, parent := range d.made[r] {
			if parent.key != i.key {
				i.hard = append(i.hard, parent)
			}
		}
		if len(d.made[r]) == 0 && lost[r] != 0 {
			i.waiting, i.behind = true, parent{r, lost[r]}
		}
	}
}

func (d *dependencies) sameExternal(i *item) {
	c := i.table.external()
	if c == nil {
		return
	}
	for _, v := range []*string{i.old[c.Name], i.values[c.Name]} {
		if !set(v) {
			continue
		}
		r := reference{i.table.Name, strings.ToLower(*v)}
		if before := d.ofKey[r]; before != nil && before.key != i.key {
			i.hard = append(i.hard, before)
			i.findTwin(before, c)
		}
		d.ofKey[r] = i
	}
}

func (d *dependencies) deletes(i *item, named map[string]bool) {
	if i.op != Delete {
		return
	}
	i.hard = append(i.hard, others(d.mentions[i.sfid], i)...)
	for _, r := range i.externals(named, i.old) {
		i.hard = append(i.hard, others(d.mentionsRef[r], i)...)
	}
}

func (d *dependencies) neighbours(i *item) {
	for _, id := range i.mentioned() {
		if before := d.ofSFID[id]; before != nil && before.key != i.key {
			i.soft = append(i.soft, before)
		}
	}
	if i.sfid != "" {
		i.soft = append(i.soft, others(d.fresh[i.sfid], i)...)
		delete(d.fresh, i.sfid)
	}
}

func (d *dependencies) remember(i *item, merged bool) {
	for _, id := range i.mentioned() {
		d.mentions[id] = append(d.mentions[id], i)
		if !merged {
			d.fresh[id] = append(d.fresh[id], i)
		}
	}
	for _, r := range i.mentionedRefs() {
		d.mentionsRef[r] = append(d.mentionsRef[r], i)
	}
	if i.sfid != "" && !merged {
		d.ofSFID[i.sfid] = i
	}
}

func others(list []*item, i *item) []*item {
	var out []*item
	for _, o := range list {
		if o.key != i.key {
			out = append(out, o)
		}
	}
	return out
}

// namedFields are the fields by which relationship columns name parents.
func (p planner) namedFields() map[string]bool {
	named := map[string]bool{}
	for _, t := range p.tables {
		for _, c := range t.Columns {
			if c.Relationship != "" {
				named[strings.ToLower(c.RelationField)] = true
			}
		}
	}
	return named
}

// externals are the names under which others may refer to a row.
func (i *item) externals(named map[string]bool, values map[string]*string) []reference {
	var refs []reference
	for _, c := range i.table.Columns {
		if v := values[c.Name]; c.Relationship == "" && set(v) && named[strings.ToLower(c.Field)] {
			refs = append(refs, refTo(i.table.Object, c.Field, *v), refTo("", c.Field, *v))
		}
	}
	return refs
}

// parentRefs are the parents that values name by external id.
func (i *item) parentRefs(values map[string]*string) []reference {
	var refs []reference
	for _, c := range i.table.Columns {
		if v := values[c.Name]; c.Relationship != "" && set(v) {
			refs = append(refs, refTo(c.RelationObject, c.RelationField, *v))
		}
	}
	return refs
}

// mentionedRefs is mentioned for parents named by external id.
func (i *item) mentionedRefs() []reference {
	refs := i.parentRefs(i.values)
	for _, c := range i.table.Columns {
		_, changed := i.values[c.Name]
		if before := i.old[c.Name]; c.Relationship != "" && set(before) && (changed || i.op == Delete) {
			refs = append(refs, refTo(c.RelationObject, c.RelationField, *before))
		}
	}
	return refs
}

// mentioned are the ids of other records that a change brings in or takes out;
// of a delete, all that the row held.
func (i *item) mentioned() []string {
	var ids []string
	for _, c := range i.table.Columns {
		if !c.reference() {
			continue
		}
		now, changed := i.values[c.Name]
		if set(now) {
			ids = append(ids, *now)
		}
		if before := i.old[c.Name]; set(before) && (changed || i.op == Delete) {
			ids = append(ids, *before)
		}
	}
	return ids
}
