package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// apart divides marks into those of records that this bridge deleted and those of
// records that must be read.
func apart(marks []pgsink.Mark) (ours, others []pgsink.Mark) {
	for _, m := range marks {
		if m.Reason == pgsink.ReasonRemoved {
			ours = append(ours, m)
		} else {
			others = append(others, m)
		}
	}
	return ours, others
}

// lookAfter takes up marks of records that this bridge deleted, of which nothing
// needs to be read.
func (r *Reader) lookAfter(ctx context.Context, o Object, marks []pgsink.Mark) (err error) {
	var b pgsink.Batch
	for _, m := range marks {
		b.Done = append(b.Done, pgsink.Done{Object: m.Object, SFID: m.SFID, Seq: m.Seq})
	}
	if b.Marks, err = r.orphans(ctx, o, ids(marks)); pgsink.IsLocked(err) {
		return r.sink.Postpone(ctx, b.Done, lockedFor)
	} else if err != nil {
		return err
	}
	_, err = r.sink.Apply(ctx, b)
	return err //nolint:wrapcheck // names the table
}

// orphans marks the rows that refer to deleted records. Salesforce deletes such
// children, empties their lookups, or has them refer to the winner of a merge,
// and tells of none of it. A child that is among the deleted is left as it is:
// if a foreign key keeps it, it is tried again later, and not at once.
func (r *Reader) orphans(ctx context.Context, o Object, gone []string) ([]pgsink.Mark, error) {
	if len(gone) == 0 {
		return nil, nil
	}
	var marks []pgsink.Mark
	for _, child := range o.Children {
		ids, err := r.sink.Referring(ctx, child.Table, child.Column, gone)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if child.Object != o.Name || !slices.Contains(gone, id) {
				marks = append(marks, pgsink.Mark{Object: child.Object, SFID: id, Reason: "parent deleted"})
			}
		}
	}
	return marks, nil
}

// lockedFor is how long it is not looked again who refers to a deleted record, when the
// table of a child was locked.
const lockedFor = 5 * time.Second

// removed has it looked later who refers to deleted records, and nothing else.
func (o Object) removed(gone []string) []pgsink.Mark {
	marks := make([]pgsink.Mark, len(gone))
	for i, id := range gone {
		marks[i] = pgsink.Mark{Object: o.Name, SFID: id, Reason: pgsink.ReasonRemoved, Delay: lockedFor}
	}
	return marks
}

// bereft marks the rows of o that refer to records which are remembered as deleted:
// orphans looks for those once, when a parent goes, and a page of a load that was made
// before may bring the lookup later, whose record has an old stamp. So may the table of
// an object have it that was put aside when the parent went.
func (r *Reader) bereft(ctx context.Context, o Object) error {
	for _, p := range o.Parents {
		ids, err := r.sink.Bereft(ctx, o.Table, p.Column, p.Objects)
		if err != nil {
			return err
		}
		for page := range slices.Chunk(ids, pageSize) {
			marks := make([]pgsink.Mark, len(page))
			for i, id := range page {
				marks[i] = pgsink.Mark{Object: o.Name, SFID: id, Reason: "parent deleted"}
			}
			if err := r.mark(ctx, marks); err != nil {
				return err
			}
		}
	}
	return nil
}

// restored marks what refers to records that were taken out of the recycle bin: their
// deletion has emptied lookups, of which rows may not tell yet, and Salesforce gives
// back those that have not been replaced (Salesforce Help, "View, Restore, and Manage
// the Recycle Bin"), of which rows do not tell any more. Nobody is told of either.
func (r *Reader) restored(ctx context.Context, o Object, p *reading, found map[string]bool) ([]pgsink.Mark, error) {
	if len(o.Children) == 0 {
		return nil, nil
	}
	var back, maybe []string
	for _, m := range p.marks {
		_, known := p.stamps[m.SFID]
		switch {
		case !found[m.SFID]:
		case m.Reason == pgsink.ReasonGone:
			back = append(back, m.SFID)
		case !known:
			maybe = append(maybe, m.SFID)
		}
	}
	never, err := r.sink.Unburied(ctx, o.Name, maybe)
	if err != nil {
		return nil, err
	}
	for _, id := range maybe {
		if !slices.Contains(never, id) {
			back = append(back, id)
		}
	}
	marks, err := r.orphans(ctx, o, back)
	if err != nil || len(back) == 0 {
		return nil, err
	}
	if len(o.Children) > 1 {
		ctx = salesforce.Together(ctx)
	}
	answers := make([][]json.RawMessage, len(o.Children))
	g, ctx := errgroup.WithContext(ctx)
	for i, child := range o.Children {
		g.Go(func() (err error) {
			answers[i], err = r.byID(ctx, fmt.Sprintf("SELECT Id FROM %s WHERE %s IN (", child.Object, child.Field), back, false)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, child := range o.Children {
		for _, record := range answers[i] {
			var c struct{ ID string }
			if err := json.Unmarshal(record, &c); err != nil || !isID(c.ID) {
				return nil, &pgsink.RecordError{Object: child.Object, Reason: "no Id"}
			}
			marks = append(marks, pgsink.Mark{Object: child.Object, SFID: salesforce.ID18(c.ID), Reason: "parent restored"})
		}
	}
	return marks, nil
}
