package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// stamp is what a poll reads of a record.
type stamp struct {
	ID             string          `json:"Id"`
	SystemModstamp salesforce.Time `json:"SystemModstamp"`
	IsDeleted      bool            `json:"IsDeleted"`
	MasterRecordID string          `json:"MasterRecordId"`
}

// Found counts differences by what brought them to light.
type Found struct {
	Fast, Late, Drift int // by the layer that was the first to look there
	Full              int // by comparing everything
	Deletes           int // by getDeleted

	Read bool // something was due, and is read to its end
}

// Total is all of them.
func (f Found) Total() int { return f.Fast + f.Late + f.Drift + f.Full + f.Deletes }

func (f *Found) add(layer, n int) {
	switch layer {
	case fast:
		f.Fast += n
	case late:
		f.Late += n
	default:
		f.Drift += n
	}
}

// Ask says how to poll.
type Ask struct {
	Wanted bool // read even if nothing is due
	Alone  bool // not in one call with other objects, which this one might hold up
}

// Poll runs the layers that are due, as one read, and asks for deletes. It marks
// every record whose stamp differs from its row's, and every deleted one that
// still has a row. It returns how long to wait for the next.
func (r *Reader) Poll(ctx context.Context, o Object, p Pace, ask Ask) (found Found, wait time.Duration, err error) {
	state, err := r.sink.ReadState(ctx, o.Name)
	if err != nil {
		return found, 0, err
	}
	if state.PollMark.IsZero() {
		return found, 0, fmt.Errorf("%s is polled before its load began", o.Name)
	}
	began := r.sf.ServerTime()
	w := plan(state, began, o.Interval, p, ask.Wanted)
	if w.deepest < 0 {
		return found, w.next, nil
	}
	// All that a poll asks for goes in one call, with that of other objects.
	var first *salesforce.Page
	var gone *deletes
	var updated *salesforce.UpdatedRecords
	// One that fails does not end the others: where requests are kept back, one of them may be
	// that which finds out whether Salesforce takes them again.
	var g errgroup.Group
	gctx := salesforce.Together(ctx)
	if ask.Alone {
		gctx = ctx
	}
	g.Go(func() (err error) {
		first, err = r.sf.Query(gctx, o.window("SystemModstamp >= "+soqlTime(w.from[w.deepest])), salesforce.QueryOpts{All: o.Deletes})
		return err
	})
	g.Go(func() (err error) {
		gone, err = r.deleted(gctx, o, state, began)
		return err
	})
	if w.deepest == drift {
		g.Go(func() (err error) {
			updated, err = r.updated(gctx, o, state, began)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return found, 0, err
	}
	found, until, err := r.read(ctx, o, w, began, first)
	if err != nil {
		return found, 0, err
	}
	if !until.IsZero() && until.Before(began) {
		// A job of before a restart: it began as a window of unknown depth.
		began, w.deepest = until, fast
	}
	if found.Deletes, err = r.markGone(ctx, o, gone); err != nil {
		return found, 0, err
	}
	if err := r.markUnknown(ctx, o, updated); err != nil {
		return found, 0, err
	}
	if w.deepest == drift {
		if err := r.sink.AskAgain(ctx, o.Table, began.Add(-driftEvery/2), pageSize); err != nil {
			return found, 0, err
		}
	}
	// Invariant 2 of the bridge: only now, with all marks committed.
	err = r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) {
		w.moved(s, began)
		if gone != nil {
			s.DeletedMark = gone.Covered.Time
			s.FullWanted = s.FullWanted || gone.cut
		}
		if updated != nil {
			s.CoveredMark = updated.Covered.Time
		}
		s.LastPollAt = time.Now()
		state = *s
	})
	found.Read = err == nil
	return found, plan(state, r.sf.ServerTime(), o.Interval, p, false).next, err
}

// window is the query of the stamps that meet a condition.
func (o Object) window(where string) string {
	fields := "Id, SystemModstamp"
	if o.Deletes {
		fields += ", IsDeleted"
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY SystemModstamp, Id", fields, o.Name, where)
}

// read goes through a window whose first page is known, of a poll begun at began. until is the time up to
// which it is complete if that is not the poll's own beginning.
func (r *Reader) read(ctx context.Context, o Object, w window, began time.Time, page *salesforce.Page) (found Found, until time.Time, err error) {
	if page.TotalSize > bulkAbove && !w.loading {
		found, until, err = r.readBulk(ctx, o, w, page.TotalSize)
		if !refused(err) {
			return found, until, err
		}
		// An org may keep the Bulk API from this user or object; REST is slower
		// and finds the same.
		r.log.Warn().Str("event", "bulk_refused").Str("object", o.Name).Err(err).Msg("reading by REST instead")
	}
	shown := map[string]bool{}
	for {
		seen, err := parseStamps(o.Name, page.Records)
		if err != nil {
			return found, time.Time{}, err
		}
		if err := r.markDifferent(ctx, o, w, seen, &found); err != nil {
			return found, time.Time{}, err
		}
		for _, s := range seen {
			shown[s.ID] = true
		}
		if page.Done || len(seen) == 0 {
			return found, time.Time{}, r.markUnseen(ctx, o, w, began, shown)
		}
		// The next page begins after the last record, not at an offset or a
		// locator: records that change meanwhile shift nothing, and nothing expires.
		last := seen[len(seen)-1]
		at := soqlTime(last.SystemModstamp.Time)
		where := fmt.Sprintf("(SystemModstamp > %s OR (SystemModstamp = %s AND Id > '%s'))", at, at, last.ID)
		if page, err = r.sf.Query(ctx, o.window(where), salesforce.QueryOpts{All: o.Deletes}); err != nil {
			return found, time.Time{}, err
		}
	}
}

// markDifferent marks those of seen that the table does not show as they are,
// or perhaps not.
func (r *Reader) markDifferent(ctx context.Context, o Object, w window, seen []stamp, found *Found) error {
	differ, err := r.different(ctx, o, w, seen)
	if err != nil {
		return err
	}
	return r.markAll(ctx, o, w, differ, found)
}

// markUnseen marks rows that a window should have shown, of those that are to be
// settled: their records are hidden now, and will be read when they can be seen again.
// If they are more than a page, the others are left to the comparison of everything.
func (r *Reader) markUnseen(ctx context.Context, o Object, w window, began time.Time, shown map[string]bool) error {
	var marks []pgsink.Mark
	for _, s := range w.settle {
		to := began.Truncate(time.Second)
		if !s.to.IsZero() {
			to = s.to
		}
		ids, err := r.sink.Unseen(ctx, o.Table, s.from, to, shown, pageSize-len(marks))
		if err != nil {
			return err
		}
		for _, id := range ids {
			shown[id] = true
			marks = append(marks, pgsink.Mark{Object: o.Name, SFID: id, Reason: "unseen"})
		}
	}
	return r.mark(ctx, marks)
}

// difference is a record that the table does not show as it is, or may have been
// given the same stamp again since the two were compared last.
type difference struct {
	stamp

	reason string
}

// reasonSettle is the reason of a mark for a record that looks right.
const reasonSettle = "settle"

// different compares records with their rows, by stamp. Deleted ones without a
// row are remembered as such, and those that could not be seen when they were
// read back last are marked.
func (r *Reader) different(ctx context.Context, o Object, w window, seen []stamp) ([]difference, error) {
	if len(seen) == 0 {
		return nil, nil
	}
	ids := make([]string, len(seen))
	for i, s := range seen {
		ids[i] = s.ID
	}
	if err := r.sink.Reappeared(ctx, o.Name, ids); err != nil {
		return nil, err
	}
	have, err := r.sink.Stamps(ctx, o.Table, ids)
	if err != nil {
		return nil, err
	}
	var differ []difference
	var gone []pgsink.Mark
	for _, s := range seen {
		row, exists := have[s.ID]
		switch {
		case s.IsDeleted && exists:
			differ = append(differ, difference{s, "deleted"})
		case s.IsDeleted:
			gone = append(gone, o.gone(s.ID, s.SystemModstamp))
		case exists && row.After(s.SystemModstamp.Time):
		case exists && row.Equal(s.SystemModstamp.Time):
			if w.unsettled(s.SystemModstamp.Time) {
				differ = append(differ, difference{s, reasonSettle})
			}
		default:
			differ = append(differ, difference{s, "poll"})
		}
	}
	return differ, r.bury(ctx, o, gone)
}

func (r *Reader) markAll(ctx context.Context, o Object, w window, differ []difference, found *Found) error {
	marks := make([]pgsink.Mark, len(differ))
	for i, d := range differ {
		marks[i] = pgsink.Mark{Object: o.Name, SFID: d.ID, Reason: d.reason}
	}
	if err := r.mark(ctx, marks); err != nil {
		return err
	}
	for _, d := range differ {
		if d.reason == reasonSettle {
			continue
		}
		found.add(w.layer(d.SystemModstamp.Time), 1)
		if o.Found != nil {
			o.Found(d.ID, d.SystemModstamp.Time)
		}
	}
	return nil
}

func (r *Reader) mark(ctx context.Context, marks []pgsink.Mark) error {
	if len(marks) == 0 {
		return nil
	}
	_, err := r.sink.Apply(ctx, pgsink.Batch{Marks: marks})
	return err
}

// deletes is an answer of getDeleted. If it was cut, what was deleted for good
// before its beginning shows only when everything is compared.
type deletes struct {
	salesforce.DeletedRecords

	cut bool
}

// deleted asks what was deleted since the last answer, among it what was purged
// from the recycle bin, at most every five minutes; nil if it is too early or the
// object is none of those that getDeleted knows. Of one without IsDeleted nothing else
// tells that a record was deleted.
func (r *Reader) deleted(ctx context.Context, o Object, s pgsink.State, now time.Time) (*deletes, error) {
	from := s.DeletedMark
	if from.IsZero() {
		from = s.LoadStarted
	}
	if from.Sub(now) > steady {
		from = now.Add(-driftEvery) // the org's clock was put back since
	}
	if !o.Replicates || now.Sub(from) < deletesEvery {
		return nil, nil //nolint:nilnil // documented
	}
	cut := now.Sub(from) > deletesReach
	if cut {
		from = now.Add(-deletesReach)
	}
	answer, err := r.sf.Deleted(ctx, o.Name, from.Add(-time.Minute), now)
	if beyondLog(err) {
		// The log had been trimmed, or holds too much (SOAP API Developer Guide,
		// "getDeleted()").
		return &deletes{DeletedRecords: salesforce.DeletedRecords{Covered: salesforce.Time{Time: now}}, cut: true}, nil
	}
	if refused(err) {
		r.untold(o, "getDeleted", err)
		return nil, nil //nolint:nilnil // documented
	}
	return &deletes{answer, cut}, err
}

// updated asks getUpdated for the ids since its last answer, and above all for
// how far that answer is complete. nil means that it cannot say.
func (r *Reader) updated(ctx context.Context, o Object, s pgsink.State, now time.Time) (*salesforce.UpdatedRecords, error) {
	from := s.CoveredMark
	if from.IsZero() || now.Sub(from) > updatedReach || from.Sub(now) > steady {
		from = now.Add(-driftEvery)
	}
	if !o.Replicates || now.Sub(from) < 2*time.Minute {
		return nil, nil //nolint:nilnil // documented
	}
	answer, err := r.sf.Updated(ctx, o.Name, from, now)
	if beyondLog(err) {
		return nil, nil //nolint:nilnil // documented
	}
	if refused(err) {
		r.untold(o, "getUpdated", err)
		return nil, nil //nolint:nilnil // documented
	}
	return &answer, err
}

// untold tells that a poll goes on without one of its calls: the others find most.
func (r *Reader) untold(o Object, call string, err error) {
	r.log.Warn().Str("event", "replication_refused").Str("object", o.Name).Str("call", call).Err(err).Msg("Salesforce does not tell of changes this way; the poll goes on without")
}

func beyondLog(err error) bool {
	var se *salesforce.Error
	return errors.As(err, &se) && (se.Code == salesforce.CodeReplicationDate || se.Code == salesforce.CodeExceededIDLimit)
}

// markGone marks the records of a getDeleted answer that still have a row. Of the
// others an event may be on its way that was made before.
func (r *Reader) markGone(ctx context.Context, o Object, answer *deletes) (int, error) {
	if answer == nil {
		return 0, nil
	}
	marks := make([]pgsink.Mark, len(answer.Records))
	for i, d := range answer.Records {
		marks[i] = o.gone(d.ID, d.Deleted)
	}
	if err := r.bury(ctx, o, marks); err != nil {
		return 0, err
	}
	return r.markThose(ctx, o, marks, true)
}

// gone is a mark for a record that was deleted at some time.
func (o Object) gone(id string, at salesforce.Time) pgsink.Mark {
	return pgsink.Mark{Object: o.Name, SFID: id, Reason: pgsink.ReasonGone, DeletedAt: at.Time}
}

// bury remembers deleted records, most of them without a row. Who refers to one
// that was not remembered yet must be looked after all the same: a read may have
// brought its id before it went, or be about to.
func (r *Reader) bury(ctx context.Context, o Object, gone []pgsink.Mark) error {
	if len(o.Children) > 0 {
		never, err := r.sink.Unburied(ctx, o.Name, ids(gone))
		if err != nil {
			return err
		}
		fresh := make(map[string]bool, len(never))
		for _, id := range never {
			fresh[id] = true
		}
		if err := r.mark(ctx, slices.DeleteFunc(slices.Clone(gone), func(m pgsink.Mark) bool { return !fresh[m.SFID] })); err != nil {
			return err
		}
	}
	return r.sink.Bury(ctx, o.Name, ids(gone))
}

// markUnknown marks the records of a getUpdated answer that have no row, most of
// which the window has found already. The others are compared by their stamps.
func (r *Reader) markUnknown(ctx context.Context, o Object, answer *salesforce.UpdatedRecords) error {
	if answer == nil {
		return nil
	}
	marks := make([]pgsink.Mark, len(answer.IDs))
	for i, id := range answer.IDs {
		marks[i] = pgsink.Mark{Object: o.Name, SFID: id, Reason: "updated"}
	}
	_, err := r.markThose(ctx, o, marks, false)
	return err
}

// markThose sets the marks of records that have a row, or of those that have none.
func (r *Reader) markThose(ctx context.Context, o Object, marks []pgsink.Mark, rows bool) (found int, err error) {
	for page := range slices.Chunk(marks, pageSize) {
		have, err := r.sink.Stamps(ctx, o.Table, ids(page))
		if err != nil {
			return found, err
		}
		var those []pgsink.Mark
		for _, m := range page {
			if _, exists := have[m.SFID]; exists == rows {
				those = append(those, m)
			}
		}
		if err := r.mark(ctx, those); err != nil {
			return found, err
		}
		found += len(those)
	}
	return found, nil
}

// parseStamps reads what a window asks for.
func parseStamps(object string, records []json.RawMessage) ([]stamp, error) {
	stamps := make([]stamp, len(records))
	for i, record := range records {
		s := &stamps[i]
		if err := json.Unmarshal(record, s); err != nil {
			return nil, fmt.Errorf("%s record: %w", object, err)
		}
		if !isID(s.ID) {
			return nil, fmt.Errorf("%s record: %q is not an id", object, s.ID)
		}
		s.ID, s.MasterRecordID = salesforce.ID18(s.ID), salesforce.ID18(s.MasterRecordID) // as rows have them
	}
	return stamps, nil
}
