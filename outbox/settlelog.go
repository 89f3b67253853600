package outbox

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// logWrite is what becomes of log entries.
type logWrite struct {
	// to the archive
	done     []int64
	states   []string
	sfids    []*string
	messages []*string
	carriers []*int64

	// staying in the log
	kept         []int64
	keptStates   []string
	keptMessages []*string

	// refused, of which newer ones may have written a part
	rests  []int64
	values []string
	resent []bool // they are sent again

	withheld []*result // of which something is kept for later

	upserted map[string][]string // records that may have been there before, by table

	// rows that went while their insert was on its way
	goneRows  map[string][]int64
	goneSFIDs map[string][]string
}

// queueLog adds to a batch what becomes of the entries of results, and that the
// attempt at them is over.
func (w *Worker) queueLog(batch *pgx.Batch, results []*result, attempt int64) {
	b := &logWrite{upserted: map[string][]string{}, goneRows: map[string][]int64{}, goneSFIDs: map[string][]string{}}
	for _, r := range results {
		r.left = w.leftOutOf(r)
		b.add(r)
	}
	if len(b.done) > 0 {
		batch.Queue(w.sql.archive, b.done, b.states, b.sfids, b.messages, b.carriers)
	}
	if len(b.kept) > 0 {
		batch.Queue(w.sql.mark, b.kept, b.keptStates, b.keptMessages)
	}
	if len(b.rests) > 0 {
		batch.Queue(w.sql.overtaken, b.rests, b.values, b.resent)
	}
	if len(b.withheld) > 0 {
		w.queueWithheld(batch, b.withheld)
	}
	for table, sfids := range b.upserted {
		batch.Queue(w.sql.adopted, table, sfids)
	}
	for table, ids := range b.goneRows {
		batch.Queue(w.sql.revive, table, ids, b.goneSFIDs[table])
	}
	if attempt != 0 {
		batch.Queue(w.sql.attemptOver, attempt)
	}
}

func (b *logWrite) add(r *result) {
	i := r.item
	for _, e := range i.entries {
		carrier := e == i.carrier
		switch r.outcome {
		case accepted:
			if carrier {
				b.archive(e, stateSuccess, r.sfid, r.remarks(), nil)
			} else {
				b.archive(e, stateMerged, r.sfid, fmt.Sprintf("merged into %d", i.carrier.id), &i.carrier.id)
			}
		case ignored:
			state, why := stateIgnored, "nothing to send"
			if r.idle {
				state, why = stateIgnore, "deleted before it was sent"
			}
			b.archive(e, state, r.sfid, cmp.Or(r.remarks(), why), nil)
		case refused:
			b.keep(e, stateFailed, r.failure.text())
		case again:
			message := e.message
			if e.behind() || strings.HasPrefix(message, jobMark) { // the job has told what it knows
				message = ""
			}
			if !r.free {
				message = r.failure.text()
				if e.inDoubt() && !r.failure.InDoubt { // it remains so until it is answered
					message = CodeInDoubt + ": " + message
				}
			}
			if r.together || !r.free && e.together() && !r.failure.InDoubt {
				message = togetherMark + ": " + r.failure.text()
			}
			b.keep(e, stateNew, message)
		case unknown:
			if carrier || r.op == Update { // of which an attempt may have been all there was
				b.keep(e, statePending, CodeInDoubt+": "+strings.TrimPrefix(r.failure.text(), CodeInDoubt+": "))
			}
		case inDoubt:
			if carrier || e.action == actionInsert { // one that is sent would make the record twice
				b.keep(e, stateFailed, r.failure.text())
			} else {
				b.keep(e, stateNew, "")
			}
		}
	}
	if r.outcome == accepted || r.withheld != nil {
		b.overtake(i)
	}
	if r.withheld != nil {
		b.withheld = append(b.withheld, r)
	}
	if r.outcome == accepted && r.op == Upsert {
		b.upserted[i.key.table] = append(b.upserted[i.key.table], r.sfid)
	}
	if r.outcome == accepted && r.op.creates() && i.gone {
		t := i.key.table
		b.goneRows[t], b.goneSFIDs[t] = append(b.goneRows[t], i.key.id), append(b.goneSFIDs[t], r.sfid)
	}
}

// remarks is what the archive says of a result.
func (r *result) remarks() string {
	var list []string
	if r.note != "" {
		list = append(list, r.note)
	}
	if r.absent != "" {
		list = append(list, r.absent)
	}
	if r.withheld != nil {
		list = append(list, r.withheld.remark)
	}
	if len(r.left.unmapped) > 0 {
		list = append(list, strings.Join(r.left.unmapped, ", ")+notMapped)
	}
	if len(r.left.fixed) > 0 {
		list = append(list, strings.Join(r.left.fixed, ", ")+r.item.op.fixed())
	}
	if len(r.left.masked) > 0 {
		list = append(list, strings.Join(r.left.masked, ", ")+notUnmasked)
	}
	return strings.Join(list, "; ")
}

func (b *logWrite) overtake(i *item) {
	for _, left := range i.rests {
		if len(left.values) == 0 {
			b.archive(left.entry, stateMerged, i.sfid, fmt.Sprintf("overtaken by %d", i.carrier.id), &i.carrier.id)
			continue
		}
		b.rests, b.values = append(b.rests, left.entry.id), append(b.values, formatHStore(left.values))
		b.resent = append(b.resent, left.entry.resent())
	}
}

func (b *logWrite) archive(e *entry, state, sfid, message string, carrier *int64) {
	b.done = append(b.done, e.id)
	b.states = append(b.states, state)
	b.sfids = append(b.sfids, orNull(sfid))
	b.messages = append(b.messages, orNull(message))
	b.carriers = append(b.carriers, carrier)
}

func (b *logWrite) keep(e *entry, state, message string) {
	b.kept = append(b.kept, e.id)
	b.keptStates = append(b.keptStates, state)
	b.keptMessages = append(b.keptMessages, orNull(message))
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// text is the failure for sf_message: what Salesforce said.
func (f *Failure) text() string {
	if f.Message == "" {
		return f.Code
	}
	return f.Message
}
