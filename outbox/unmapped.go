package outbox

import "slices"

// notMapped follows the names of columns in what the archive says of a change.
const notMapped = ": not mapped, not sent"

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

// leave tells of columns that were changed and are not mapped, of each once: an app may
// have columns of its own.
func (w *Worker) leave(table string, columns ...string) {
	t := w.tables[table]
	if t == nil {
		return
	}
	told := w.unmapped[t.Object]
	if told == nil {
		told = map[string]bool{}
		w.unmapped[t.Object] = told
	}
	columns = slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == "" || told[c] })
	if len(columns) == 0 {
		return
	}
	for _, c := range columns {
		told[c] = true
	}
	w.log.Warn().Str("event", "unmapped_change").Str("object", t.Object).Strs("columns", columns).Msg("columns are changed that are not mapped; Salesforce is not told")
}
