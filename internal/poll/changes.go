package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// stamp is what a poll reads of a record.
type stamp struct {
	ID             string          `json:"Id"`
	SystemModstamp salesforce.Time `json:"SystemModstamp"`
	IsDeleted      bool            `json:"IsDeleted"`
}

// Changes marks every record whose stamp since the object's last poll differs
// from its row's, and every record deleted since then that still has a row. It
// returns how many it marked.
func (r *Reader) Changes(ctx context.Context, o Object) (found int, err error) {
	state, err := r.sink.ReadState(ctx, o.Name)
	if err != nil {
		return 0, err
	}
	from := state.PollMark
	if from.IsZero() {
		return 0, fmt.Errorf("%s is polled before its load began", o.Name)
	}
	fields, all := "Id, SystemModstamp", false
	if o.Deletes {
		fields, all = fields+", IsDeleted", true
	}
	began := r.sf.ServerTime()
	where := "SystemModstamp >= " + soqlTime(from.Add(-Lookback))
	for {
		soql := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY SystemModstamp, Id LIMIT %d", fields, o.Name, where, pageSize)
		var seen []stamp
		err := r.pages(ctx, soql, salesforce.QueryOpts{All: all}, func(records []json.RawMessage) error {
			stamps, err := parseStamps(o.Name, records)
			seen = append(seen, stamps...)
			return err
		})
		if err != nil {
			return found, err
		}
		n, err := r.markDifferent(ctx, o, seen)
		found += n
		if err != nil {
			return found, err
		}
		if len(seen) < pageSize {
			break
		}
		// Invariant: the next page begins after the last record, not at an
		// offset, so that records that change meanwhile shift nothing.
		last := seen[len(seen)-1]
		at := soqlTime(last.SystemModstamp.Time)
		where = fmt.Sprintf("(SystemModstamp > %s OR (SystemModstamp = %s AND Id > '%s'))", at, at, last.ID)
	}
	if began.After(state.PollMark) {
		state.PollMark = began
	}
	// Invariant 2 of the bridge: only now, with all marks committed.
	return found, r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) {
		s.PollMark = state.PollMark
		s.LastPollAt = time.Now()
	})
}

// markDifferent marks those of seen that the table does not show as they are.
func (r *Reader) markDifferent(ctx context.Context, o Object, seen []stamp) (int, error) {
	if len(seen) == 0 {
		return 0, nil
	}
	ids := make([]string, len(seen))
	for i, s := range seen {
		ids[i] = s.ID
	}
	have, err := r.sink.Stamps(ctx, o.Table, ids)
	if err != nil {
		return 0, err
	}
	var marks []pgsink.Mark
	for _, s := range seen {
		row, exists := have[s.ID]
		switch {
		case s.IsDeleted && exists:
			marks = append(marks, pgsink.Mark{Object: o.Name, SFID: s.ID, Reason: "deleted"})
		case s.IsDeleted:
		case !exists || row.Before(s.SystemModstamp.Time):
			marks = append(marks, pgsink.Mark{Object: o.Name, SFID: s.ID, Reason: "poll"})
		}
		if o.Found != nil && len(marks) > 0 && marks[len(marks)-1].SFID == s.ID {
			o.Found(s.ID, s.SystemModstamp.Time)
		}
	}
	if len(marks) == 0 {
		return 0, nil
	}
	_, err = r.sink.Apply(ctx, pgsink.Batch{Marks: marks})
	return len(marks), err
}

// Deletes marks the records that getDeleted lists since the last answer and
// that still have a row, among them those that were purged from the recycle
// bin. It asks Salesforce at most every five minutes.
func (r *Reader) Deletes(ctx context.Context, o Object) (found int, err error) {
	if !o.Deletes {
		return 0, nil
	}
	state, err := r.sink.ReadState(ctx, o.Name)
	if err != nil {
		return 0, err
	}
	now := r.sf.ServerTime()
	from := state.DeletedMark
	if from.IsZero() {
		from = state.LoadStarted
	}
	if now.Sub(from) < deletesEvery {
		return 0, nil
	}
	if now.Sub(from) > deletesReach {
		from = now.Add(-deletesReach)
	}
	answer, err := r.sf.Deleted(ctx, o.Name, from.Add(-time.Minute), now)
	if err != nil {
		return 0, err
	}
	ids := make([]string, len(answer.Records))
	for i, d := range answer.Records {
		ids[i] = d.ID
	}
	for len(ids) > 0 {
		n := min(len(ids), pageSize)
		have, err := r.sink.Stamps(ctx, o.Table, ids[:n])
		if err != nil {
			return found, err
		}
		var marks []pgsink.Mark
		for _, id := range ids[:n] {
			if _, exists := have[id]; exists {
				marks = append(marks, pgsink.Mark{Object: o.Name, SFID: id, Reason: reasonGone})
			}
		}
		if len(marks) > 0 {
			if _, err := r.sink.Apply(ctx, pgsink.Batch{Marks: marks}); err != nil {
				return found, err
			}
		}
		found += len(marks)
		ids = ids[n:]
	}
	// Not our end of the window: transactions that began before it may still run
	// (REST API Developer Guide, "Get Deleted").
	covered := answer.Covered.Time
	return found, r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) { s.DeletedMark = covered })
}

// parseStamps reads what Changes asked for.
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
	}
	return stamps, nil
}
