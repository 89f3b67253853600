package outbox

import (
	"slices"
	"strings"
)

// notMapped follows the names of columns in what the archive says of a change.
const notMapped = ": not mapped, not sent"

// notUnmasked does so where Salesforce shows a mask: sent back, that would take the
// place of the value.
const notUnmasked = ": masked in Salesforce, not sent"

// known are the names of the columns that may be in an entry, and of which none is to be
// told.
func (t *Table) known() map[string]bool {
	set := map[string]bool{"id": true, "sfid": true, "systemmodstamp": true, "isdeleted": true}
	for _, c := range t.Columns {
		set[c.Name] = true
	}
	return set
}

// leftOut are the columns that an item has values for and that are not sent, but for
// frozen ones, of which withheld tells. A null says nothing of a record that is new.
type leftOut struct {
	unmapped []string
	fixed    []string // Salesforce does not let the operation write them
	masked   []string // Salesforce shows a mask for what they hold
}

// leftOut finds them; known are the columns of which none is unmapped.
func (i *item) leftOut(known map[string]bool) *leftOut {
	out := &leftOut{}
	for c, v := range i.values {
		if !known[c] && (v != nil || !i.op.creates()) {
			out.unmapped = append(out.unmapped, c)
		}
	}
	for _, c := range i.table.Columns {
		v, changed := i.values[c.Name]
		key := i.op == Upsert && strings.EqualFold(c.Field, i.table.ExternalID)
		if changed && !c.system() && !c.Frozen && !key && !c.sendable(i.op) && (v != nil || !i.op.creates()) {
			if c.masked() {
				out.masked = append(out.masked, c.Name)
			} else {
				out.fixed = append(out.fixed, c.Name)
			}
		}
	}
	slices.Sort(out.unmapped)
	slices.Sort(out.fixed)
	slices.Sort(out.masked)
	return out
}

// fixed follows the names of columns that an operation may not write: formulas, what is
// given to new records only, and what the user has no right to edit.
func (o Op) fixed() string {
	if o.creates() {
		return ": not createable in Salesforce, not sent"
	}
	return ": not updateable in Salesforce, not sent"
}

// leftOutOf are the columns of a result that were not sent.
func (w *Worker) leftOutOf(r *result) leftOut {
	switch i := r.item; {
	case r.outcome != accepted && r.outcome != ignored, i.op == Delete:
		return leftOut{}
	case i.extra != nil:
		return *i.extra
	default:
		return *i.leftOut(w.columns[i.key.table])
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
