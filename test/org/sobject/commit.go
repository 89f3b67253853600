package sobject

import (
	"fmt"
	"slices"
	"strings"
)

// Commit executes ops as one transaction and returns one result per op, in
// order. With allOrNone a single refusal undoes everything: the others are
// answered with ALL_OR_NONE_OPERATION_ROLLED_BACK. Without, the refused ones
// are left out; see [Org.RunAgain] for what becomes of the others.
func (o *Org) Commit(origin Origin, allOrNone bool, ops []Op) []Result {
	o.mu.Lock()
	results := make([]Result, len(ops))
	repeated := repeats(ops)
	for i, err := range repeated {
		results[i].Err = err
	}
	refused := len(repeated) > 0
	for {
		t := o.begin(origin)
		again := false
		for i := range ops {
			if results[i].Err == nil {
				results[i] = t.run(&ops[i])
				again = again || results[i].Err != nil
			}
		}
		refused = refused || again
		switch {
		case refused && allOrNone:
			o.mu.Unlock()
			return rollBack(results)
		case !again || !o.runAgain:
			o.publish(t)
			return results
		}
	}
}

// publish stores what t has staged and tells the watchers. It is called with
// o.mu held and gives it up; the watchers' turn is taken before, so that they
// see transactions in commit order without holding up the next one's work.
func (o *Org) publish(t *txn) {
	changes := t.finish()
	if len(changes) == 0 {
		o.mu.Unlock()
		return
	}
	writes := make([]Write, len(changes))
	for i, c := range changes {
		writes[i] = Write{Object: c.Object, Record: c.After}
	}
	o.noteDeletions(changes)
	o.store.Apply(writes)
	o.seq++
	tx := Tx{Seq: o.seq, At: t.pending.At, Origin: t.pending.Origin, Changes: changes}
	tx.Changes = slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.quiet })
	o.deliver.Lock()
	o.mu.Unlock()
	defer o.deliver.Unlock()
	for _, fn := range o.watchers {
		fn(tx)
	}
}

func (o *Org) noteDeletions(changes []Change) {
	o.log.Lock()
	defer o.log.Unlock()
	for _, c := range changes {
		if c.Kind == Delete || (c.Kind == Purge && !c.Before.Deleted) {
			o.deletions[c.Object.Name] = append(o.deletions[c.Object.Name], Deletion{ID: c.After.ID, At: c.After.Stamp})
		}
	}
}

// repeats finds operations that name a record twice. The second update of an
// id is refused; of upserts with the same external id all are.
func repeats(ops []Op) map[int]*Error {
	if len(ops) < 2 {
		return nil
	}
	out := map[int]*Error{}
	updated := map[string]bool{}
	upserted := map[string]int{}
	for i := range ops {
		op := &ops[i]
		switch op.Kind {
		case Update:
			id, err := NormalizeID(op.ID)
			if err == nil && updated[id] {
				out[i] = fail(400, "DUPLICATE_VALUE", none(), "duplicate id specified: %s", id)
			}
			updated[id] = true
		case Upsert:
			value := op.field(op.ExternalID)
			if value == nil || strings.EqualFold(op.ExternalID, "Id") {
				continue
			}
			key := strings.ToLower(op.Object + "\x00" + trim(fmt.Sprint(value)))
			if first, ok := upserted[key]; ok {
				for _, n := range []int{first, i} {
					out[n] = fail(400, "DUPLICATE_VALUE", none(), "Duplicate external id specified: %v", value)
				}
				continue
			}
			upserted[key] = i
		}
	}
	return out
}

func rollBack(results []Result) []Result {
	for i := range results {
		if results[i].Err != nil {
			continue
		}
		if results[i].Created {
			results[i] = Result{}
		}
		results[i].Err = errRolledBack()
	}
	return results
}
