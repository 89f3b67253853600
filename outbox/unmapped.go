package outbox

import (
	"maps"
	"slices"
	"time"
)

// notMapped follows the names of columns in what the archive says of a change.
const notMapped = ": not mapped, not sent"

// unmapped are the changes of an object that were not sent, or not in full, as columns are
// not mapped, and of which the log has not told yet.
type unmapped struct {
	entries int
	columns string    // of the last
	told    time.Time // when the log told of some before
}

// known are the names of the columns that may be in an entry, and of which none is to be
// told.
func (t *Table) known() map[string]bool {
	set := map[string]bool{"id": true, "sfid": true, "systemmodstamp": true, "isdeleted": true}
	for _, c := range t.Columns {
		set[c.Name] = true
	}
	return set
}

// unknown are the columns that an item has values for, but for those that are known. A
// null says nothing of a record that is new.
func (i *item) unknown(known map[string]bool) (columns []string) {
	for c, v := range i.values {
		if !known[c] && (v != nil || !i.op.creates()) {
			columns = append(columns, c)
		}
	}
	slices.Sort(columns)
	return columns
}

// unmappedIn are the columns of a result that were not sent, as they are not mapped.
func (w *Worker) unmappedIn(r *result) []string {
	switch i := r.item; {
	case r.outcome != accepted && r.outcome != ignored, i.op == Delete:
		return nil
	case i.extra != nil:
		return i.extra
	default:
		return i.unknown(w.columns[i.key.table])
	}
}

// leave counts changes that were not sent in full.
func (w *Worker) leave(table string, entries int, columns string) {
	t := w.tables[table]
	if t == nil {
		return
	}
	u := w.unmapped[t.Object]
	if u == nil {
		u = &unmapped{}
		w.unmapped[t.Object] = u
	}
	u.entries, u.columns = u.entries+entries, columns
}

// tellUnmapped tells of them, of each object once a minute at the most.
func (w *Worker) tellUnmapped(now time.Time) {
	for _, object := range slices.Sorted(maps.Keys(w.unmapped)) {
		u := w.unmapped[object]
		if u.entries == 0 || now.Sub(u.told) < refusalsEvery {
			continue
		}
		w.log.Warn().Str("event", "unmapped_change").Str("object", object).Int("rows", u.entries).Str("columns", u.columns).
			Msg("columns are changed that are not mapped; Salesforce is not told")
		u.entries, u.told = 0, now
	}
}
