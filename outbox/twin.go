package outbox

import (
	"fmt"
	"strings"
)

// The external ids of two rows may differ in case where Salesforce does not care, or be one,
// in a table without the unique index. Then the upsert of the second would write over the
// record of the first, which the answer alone would tell. So it is refused where both are
// planned together.

// findTwin notes that the upsert i would write over the record of before, whose external
// id is in the column c. One of which the row is gone, as a request of it is in doubt, has
// no record to lose.
func (i *item) findTwin(before *item, c *Column) {
	own, there := i.values[c.Name], before.old[c.Name]
	if v, changed := before.values[c.Name]; changed {
		there = v
	}
	if i.op != Upsert || before.op == Delete || before.rowless || !set(own) || !set(there) {
		return
	}
	if *own == *there || !c.Cased && strings.EqualFold(*own, *there) {
		i.twin = before
	}
}

// twins are the upserts that would write over the record of another row. What depends on
// them waits. One behind the place cut waits itself, as the other row may have more
// changes, and none is refused of which a request may have taken effect.
func twins(items []*item, cut int64) (drops []drop) {
	for _, i := range items {
		if i.twin == nil || i.waiting || !all(i.entries, func(e *entry) bool { return !e.inDoubt() }) {
			continue
		}
		i.waiting = true
		if cut == 0 || i.position() <= cut {
			i.status = failed
			drops = append(drops, drop{item: i, failure: i.twinFailure()})
		}
	}
	return drops
}

func (i *item) twinFailure() *Failure {
	field := i.table.ExternalID
	return &Failure{
		Class: Permanent, Code: CodeTwin, Fields: []string{field},
		Message: fmt.Sprintf("%s: the row with id %d has the same %s and goes before, and to send this one would write over its record. "+
			"Give one of them another %s, or dismiss this entry (state IGNORED)", CodeTwin, i.twin.key.id, field, field),
	}
}
