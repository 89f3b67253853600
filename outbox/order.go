package outbox

import (
	"cmp"
	"slices"
)

// A statement is logged when it ends, which is after the row triggers that it fired
// and all that they did. So what an app's trigger makes of the row that fired it has a
// lower id than the change that fired it: A→B with a trigger that makes C of B is
// logged as B→C, A→B. The images tell, within a transaction, which change was made on
// top of which. Where they do not, as of A→B→A, the order of ids stands.

// place is where an entry stands among the changes of its record: an id, mostly its own.
func (e *entry) place() int64 { return cmp.Or(e.at, e.id) }

func byPlace(x, y *entry) int { return cmp.Compare(x.place(), y.place()) }

// arrange puts the entries of one record into the order in which they happened.
func arrange(entries []*entry) {
	slices.SortFunc(entries, func(x, y *entry) int { return cmp.Compare(x.id, y.id) })
	for from := 0; from < len(entries); {
		upTo := from + 1
		for ; upTo < len(entries) && entries[from].txid != 0 && entries[upTo].txid == entries[from].txid; upTo++ {
		}
		if upTo-from > 1 {
			arrangeOne(entries[from:upTo])
		}
		from = upTo
	}
}

// life is what a transaction did to a row from when it was made until it was deleted.
type life struct {
	made    *entry // nil = it was there
	changes []*entry
	gone    *entry
	late    int // from this one of changes on they were logged after its delete
}

// arrangeOne does it for the entries of one transaction, which share out their ids as
// places.
func arrangeOne(entries []*entry) {
	places := make([]int64, len(entries))
	lives := []*life{{}}
	for n, e := range entries {
		places[n] = e.id
		l := lives[len(lives)-1]
		switch e.action {
		case actionInsert:
			lives = append(lives, l.next(e))
		case actionDelete:
			if l.gone != nil {
				l = &life{}
				lives = append(lives, l)
			}
			l.gone, l.late = e, len(l.changes)
		default:
			l.changes = append(l.changes, e)
		}
	}
	n := 0
	for _, l := range lives {
		for _, e := range l.order() {
			e.at, entries[n] = places[n], e
			n++
		}
	}
}

// next begins the life of a row that was made after this one. What was changed of just
// that row belongs to it.
func (l *life) next(made *entry) *life {
	changes := chain(l.changes[l.late:], nil)
	n := slices.IndexFunc(changes, func(e *entry) bool { return e.onTop(made.values) })
	if n < 0 {
		return &life{made: made}
	}
	l.changes = slices.Concat(l.changes[:l.late], changes[:n])
	return &life{made: made, changes: changes[n:]}
}

func (l *life) order() (list []*entry) {
	var row map[string]*string
	if l.made != nil {
		list, row = append(list, l.made), l.made.values
	}
	list = append(list, chain(l.changes, row)...)
	if l.gone != nil {
		list = append(list, l.gone)
	}
	return list
}

// value is what a change leaves in a column.
type value struct {
	column, text string
	null         bool
}

func valueOf(column string, v *string) value {
	if v == nil {
		return value{column: column, null: true}
	}
	return value{column: column, text: *v}
}

// chain puts updates of a row into the order in which each begins with what the ones
// before have left. Where the order of ids is such a one, that it is.
func chain(updates []*entry, row map[string]*string) []*entry {
	if linked(updates, row) {
		return updates
	}
	left, chained := slices.Clone(updates), make([]*entry, 0, len(updates))
	leaves := map[value]int{}
	for _, e := range left {
		for column, v := range e.values {
			leaves[valueOf(column, v)]++
		}
	}
	for len(left) > 0 {
		best, least := 0, 3
		for n, e := range left {
			if gap := e.gap(row, leaves, n == 0); gap < least {
				best, least = n, gap
			}
		}
		e := left[best]
		left = slices.Delete(left, best, best+1)
		chained, row = append(chained, e), overlay(row, e.values)
		for column, v := range e.values {
			leaves[valueOf(column, v)]--
		}
	}
	return chained
}

// linked reports whether each update begins with what the ones before have left.
func linked(updates []*entry, row map[string]*string) bool {
	row = overlay(nil, row)
	for _, e := range updates {
		for column, now := range e.values {
			was, known := e.old[column]
			if v, there := row[column]; known && there && !equal(v, was) {
				return false
			}
			row[column] = now
		}
	}
	return true
}

// gap is how badly an update follows on a row: not at all (0), where something is missing
// between them (1), or where another update, of those that leave the values leaves, comes
// before it (2). One of which it is not known what it began with keeps its place.
func (e *entry) gap(row map[string]*string, leaves map[value]int, first bool) (gap int) {
	for column := range e.values {
		was, known := e.old[column]
		v, there := row[column]
		switch {
		case known && there && equal(v, was), !known && first:
		case !known, leaves[valueOf(column, was)] > 0:
			return 2
		case there:
			gap = 1
		}
	}
	return gap
}

// onTop reports whether an update was made of a row with these values: it changed one
// of them into another.
func (e *entry) onTop(row map[string]*string) bool {
	for column, now := range e.values {
		was, known := e.old[column]
		v, there := row[column]
		if known && there && equal(was, v) && !equal(now, v) {
			return true
		}
	}
	return false
}
