package pgsink

import (
	"slices"
	"strings"
	"time"
)

// item is what a batch has to say about one record.
type item struct {
	kind Kind
	row  Row
	seq  int64 // of the mark it answers, 0 for none

	conflict bool // two versions of one second: only Salesforce knows
	unsure   bool // came after its own delete: only Salesforce knows
}

// group is the records that one statement applies: one table, one set of
// columns.
type group struct {
	table   *Table
	columns []int
	missing []string
	items   []*item
	patch   bool // of patches alone, which have all columns
}

// plan is a batch put in order.
type plan struct {
	groups    []*group
	done      []Done
	marks     []Mark
	positions []Position
	echoes    []int64
}

// recordKey names a record within a batch.
type recordKey struct {
	table *Table
	sfid  string
}

// record is one record of a batch, and what all of its changes come to.
type record struct {
	key recordKey
	item
}

// fold leaves one change per record, and marks where changes contradict each
// other. A statement cannot write a row twice, and need not.
func (s *Sink) fold(b Batch) (*plan, error) {
	p := &plan{positions: b.Positions, done: b.Done, echoes: b.Echoes}
	type markKey struct{ object, sfid string }
	answers := make(map[markKey]int64, len(b.Done))
	for _, d := range b.Done {
		if id, ok := canonID(d.SFID); ok {
			answers[markKey{d.Object, id}] = d.Seq
		}
	}
	records := make([]record, 0, len(b.Changes))
	known := make(map[recordKey]int, len(b.Changes))
	for _, c := range b.Changes {
		next, key, ok, err := s.item(c)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if next.kind == Event && len(next.row.Missing) > 0 || (next.kind == Event || next.kind == Patch) && next.row.Stamp.IsZero() {
			p.marks = append(p.marks, Mark{Object: c.Table.Object, SFID: key.sfid, Reason: ReasonMissing})
			continue
		}
		if next.kind == Patch && !strings.Contains(c.Table.has(next.row), "1") {
			continue // nothing that is mapped has changed
		}
		if next.kind == Read || next.kind == Delete {
			next.seq = answers[markKey{c.Table.Object, key.sfid}]
		}
		if at, ok := known[key]; ok {
			records[at].merge(c.Table, next)
		} else {
			known[key] = len(records)
			records = append(records, record{key, next})
		}
	}
	for _, r := range sorted(records) {
		p.place(r.key, &r.item)
	}
	p.marks = append(p.marks, b.Marks...)
	return p, nil
}

// item checks one change. ok is false for a change without an id, which
// nothing can be done about.
func (s *Sink) item(c Change) (it item, key recordKey, ok bool, err error) {
	id, ok := canonID(c.Row.SFID)
	if !ok {
		s.log.Error().Str("event", "record_invalid").Str("object", c.Table.Object).Msg("a change names no Salesforce id")
		return it, key, false, nil
	}
	it = item{kind: c.Kind, row: c.Row}
	it.row.SFID = id
	if c.Row.Deleted {
		it.kind, it.row.Stamp = Delete, time.Time{}
	}
	if it.kind == Read && it.row.Stamp.IsZero() {
		return it, key, false, &RecordError{Object: c.Table.Object, Reason: "read back without SystemModstamp"}
	}
	if it.kind != Delete && len(it.row.Values) != len(c.Table.Columns) {
		return it, key, false, &RecordError{Object: c.Table.Object, Reason: "decoded for another mapping"}
	}
	return it, recordKey{c.Table, id}, true, nil
}

// merge folds a later change of the same record in.
func (it *item) merge(t *Table, next item) {
	switch {
	case it.unsure:
	case next.kind == Delete:
		*it = next
	case it.kind == Delete:
		it.unsure = true
	case next.kind == Patch:
		it.mend(t, next.row)
	case it.kind == Patch:
		it.unsure = true // a record cannot be new after it has changed
	case next.row.Stamp.Before(it.row.Stamp):
	case next.row.Stamp.After(it.row.Stamp):
		*it = next
	default:
		// Events of one transaction may come in reverse order (Streaming API
		// Developer Guide, "Message Order"), so the later of a second is not
		// the newer. A record read back says what Salesforce holds.
		differs := (it.kind == Event || next.kind == Event) && !sameValues(it.row, next.row)
		if next.kind == Read || it.kind == Event {
			conflict := it.conflict
			*it = next
			it.conflict = conflict
		}
		it.conflict = it.conflict || differs
	}
}

// mend folds a later patch in: its fields are the newest, and what is known in
// full is no newer than before. Change events come in commit order; a stamp that
// goes back all the same leaves it to Salesforce.
func (it *item) mend(t *Table, patch Row) {
	if it.kind == Read || patch.Stamp.Before(it.row.Stamp) {
		it.unsure = true
		return
	}
	row := it.row
	row.Values = slices.Clone(row.Values)
	for _, i := range t.present(patch.Missing) {
		if i != t.stamp {
			row.Values[i] = patch.Values[i]
		}
	}
	if it.kind == Patch {
		row.Stamp, row.Values[t.stamp] = patch.Stamp, patch.Values[t.stamp]
		row.Missing = slices.DeleteFunc(slices.Clone(row.Missing), func(field string) bool { return !slices.Contains(patch.Missing, field) })
	}
	it.row = row
}

// has says of each column whether a patch has it: '1' or '0'. The stamp is not
// one of what it changes.
func (t *Table) has(row Row) string {
	has := []byte(strings.Repeat("0", len(t.Columns)))
	for _, i := range t.present(row.Missing) {
		if i != t.stamp {
			has[i] = '1'
		}
	}
	return string(has)
}

func sameValues(a, b Row) bool {
	return slices.Equal(a.Missing, b.Missing) && slices.EqualFunc(a.Values, b.Values, func(x, y *string) bool {
		if x == nil || y == nil {
			return x == y
		}
		return *x == *y
	})
}

// sorted orders records by table and id, deletes last, so that all transactions
// lock in one order.
func sorted(records []record) []*record {
	list := make([]*record, len(records))
	for i := range records {
		list[i] = &records[i]
	}
	slices.SortFunc(list, func(a, b *record) int {
		if a.key.table != b.key.table {
			if c := strings.Compare(a.key.table.Name, b.key.table.Name); c != 0 {
				return c
			}
		}
		if aLast, bLast := a.kind == Delete, b.kind == Delete; aLast != bLast {
			if aLast {
				return 1
			}
			return -1
		}
		return strings.Compare(a.key.sfid, b.key.sfid)
	})
	return list
}

// place puts a folded change into its statement, or among the marks.
func (p *plan) place(key recordKey, it *item) {
	t := key.table
	if it.unsure || it.conflict {
		reason := ReasonEqual
		if it.unsure {
			reason = ReasonOrder
		}
		p.marks = append(p.marks, Mark{Object: t.Object, SFID: key.sfid, Reason: reason})
		if it.unsure || it.kind == Event {
			return
		}
	}
	if it.kind == Delete {
		it.row = Row{SFID: key.sfid, Stamp: it.row.Stamp}
		if g := p.any(t); g != nil {
			g.items = append(g.items, it)
			return
		}
	}
	g := p.group(t, it)
	g.items = append(g.items, it)
}

// bars reports a patch, or a delete that answers no mark: a read under way is too old
// for it.
func (it *item) bars() bool { return it.kind == Patch || it.kind == Delete && it.seq == 0 }

// any is some statement of the table; a delete needs no column but the stamp,
// which all have.
func (p *plan) any(t *Table) *group {
	for _, g := range p.groups {
		if g.table == t && !g.patch {
			return g
		}
	}
	return nil
}

// group is the statement for an item's columns. Deletes come last, so that a
// batch has one statement per table unless fields are missing.
func (p *plan) group(t *Table, it *item) *group {
	patch, missing := it.kind == Patch, it.row.Missing
	if patch {
		missing = nil // one statement for all, not one for each set of fields
	}
	for _, g := range p.groups {
		if g.table == t && g.patch == patch && slices.Equal(g.missing, missing) {
			return g
		}
	}
	g := &group{table: t, missing: missing, patch: patch, columns: []int{t.stamp}}
	if it.kind != Delete {
		g.columns = t.present(missing)
	}
	p.groups = append(p.groups, g)
	return g
}

// present are the indexes of the columns that are not missing.
func (t *Table) present(missing []string) []int {
	columns := make([]int, 0, len(t.Columns))
	for i, c := range t.Columns {
		if len(missing) == 0 || !slices.Contains(missing, c.Field) {
			columns = append(columns, i)
		}
	}
	return columns
}
