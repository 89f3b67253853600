package outbox

import (
	"slices"
	"strings"
)

// Where each change is sent by itself, Salesforce may refuse one for the lack of another
// that it has refused, too, as of two fields that must be set together. So the newest
// change of a record, when it is refused, goes once more in one update with what is left
// of those that were refused before. If that is refused as well all of them are FAILED,
// until the row changes again. A change that is good by itself waits for none that is not.

// togetherMark begins the message of a NEW entry that was refused by itself and goes once
// more, so that this outlives the process.
const togetherMark = "TOGETHER"

func (e *entry) together() bool { return strings.HasPrefix(e.message, togetherMark+": ") }

// refusedBefore are the refused updates of the record that are not newer than e and can be
// sent again.
func (r *recorder) refusedBefore(e *entry) (list []*entry) {
	for _, f := range r.failed {
		if f.action == actionUpdate && f.place() <= e.place() && f.broken == nil && !f.inDoubt() {
			list = append(list, f)
		}
	}
	return list
}

// mates are the refused updates that go with e when it goes once more; none if it writes
// all of their columns.
func (r *recorder) mates(e *entry) []*entry {
	if r.merged { // they are in the item already
		return nil
	}
	list := slices.DeleteFunc(r.refusedBefore(e), func(f *entry) bool { return !f.resent() })
	adds := func(f *entry) bool {
		for column := range f.values {
			if _, own := e.values[column]; !own {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(list, adds) {
		return nil
	}
	return list
}

// join puts refused updates before an item's own entry, which stays the carrier.
func (r *recorder) join(i *item, mates []*entry) {
	for _, f := range slices.Backward(mates) {
		i.values, i.old = overlay(f.values, i.values), overlay(i.old, f.old)
	}
	i.entries = slices.Concat(mates, i.entries)
	r.failed = slices.DeleteFunc(r.failed, func(f *entry) bool { return slices.Contains(mates, f) })
}
