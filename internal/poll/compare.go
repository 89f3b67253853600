package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

const (
	// maxLooks is how often a difference is looked at before it is reported,
	// unless two looks in a row see the same, and lookEvery the time between.
	maxLooks  = 10
	lookEvery = time.Second
	// widest is how many characters a record may have to be compared whole: of pages
	// of 200, the fewest that Salesforce makes, none is then too long to be taken.
	widest = 300_000
)

// FullDue reports whether everything of o is to be compared now: because its
// time has come, or because somebody or a gap in what polls can see wants it.
func (r *Reader) FullDue(ctx context.Context, o Object, p Pace) (bool, error) {
	state, err := r.sink.ReadState(ctx, o.Name)
	if err != nil || state.LoadStarted.IsZero() {
		return false, err
	}
	if state.FullMark.IsZero() { // the load was one; LoadStarted moves on with every Bulk read of changes
		err = r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) { s.FullMark = s.LoadStarted; state = *s })
	}
	return err == nil && fullDue(state, r.sf.ServerTime(), o, p), err
}

// Full reads every mapped field of every record and marks what differs: records
// without a row, older rows, other values, and rows without a record. Of the last,
// Hydrate removes those that Salesforce calls deleted. It returns what it marked.
func (r *Reader) Full(ctx context.Context, o Object, progress Progress) (found Found, err error) {
	select {
	case r.full <- struct{}{}: // one object at a time: it is never urgent
		defer func() { <-r.full }()
	case <-ctx.Done():
		return found, ctx.Err()
	}
	began := r.sf.ServerTime()
	// What wants another from now on wants one that begins after it. This one stays
	// due until it is complete, as it is if everything was compared long ago.
	if err := r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) {
		if s.FullWanted {
			s.FullMark, s.FullWanted = time.Unix(0, 0), false
		}
	}); err != nil {
		return found, err
	}
	c, err := r.compare(ctx, o, o.compared(), progress, func(differences []pgsink.Difference) error {
		marks := make([]pgsink.Mark, 0, len(differences))
		for _, d := range differences {
			switch d.Kind {
			case pgsink.DiffNoRow, pgsink.DiffValues:
				marks = append(marks, pgsink.Mark{Object: o.Name, SFID: d.SFID, Reason: "full"})
			case pgsink.DiffNoRecord:
				marks = append(marks, pgsink.Mark{Object: o.Name, SFID: d.SFID, Reason: "absent"})
			case pgsink.DiffUnsent, pgsink.DiffRefused: // the outbox's, and parked
			}
		}
		found.Full += len(marks)
		return r.mark(ctx, marks)
	})
	if c != nil {
		defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return found, err
	}
	if err := c.Reappeared(ctx); err != nil {
		return found, err
	}
	return found, r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) { s.FullMark = began })
}

// compared are the fields that Full reads: all, or of a wide object id, stamp and what
// changes without a new stamp.
func (o Object) compared() []string {
	if o.Table.Characters() <= widest && len(strings.Join(o.Fields, ","))+len(o.Name) <= maxQuery-100 {
		return o.Fields
	}
	return slices.Concat([]string{"Id", "SystemModstamp"}, o.Moving, o.Lookups)
}

// Verify compares every mapped field of every record with its row and reports
// what differs. A difference that may be in motion is looked at again first: it
// is reported when nothing is under way for it and two looks a second apart see
// the same, or when it is still there after ten. Of a patched object, SystemModstamp
// alone is none.
func (r *Reader) Verify(ctx context.Context, o Object, progress Progress, report func(pgsink.Difference) error) (err error) {
	var suspects []pgsink.Difference
	look := func() error {
		for len(suspects) > 0 {
			n := min(len(suspects), readBack)
			if err := r.lookAgain(ctx, o, suspects[:n], report); err != nil {
				return err
			}
			suspects = suspects[n:]
		}
		return nil
	}
	c, err := r.compare(ctx, o, o.Fields, progress, func(differences []pgsink.Difference) error {
		if suspects = append(suspects, o.telling(differences)...); len(suspects) >= readBack {
			return look()
		}
		return nil
	})
	if c != nil {
		defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return err
	}
	return look()
}

// compare reads fields of every record, by Bulk API if they are many, and calls
// fn with the differences to the table. The comparison it returns has seen all
// records, and must be closed.
func (r *Reader) compare(ctx context.Context, o Object, fields []string, progress Progress, fn func([]pgsink.Difference) error) (*pgsink.Comparison, error) {
	c, err := r.sink.Compare(ctx, o.Table)
	if err != nil {
		return nil, err
	}
	total, err := r.sf.Count(ctx, "SELECT COUNT() FROM "+o.Name)
	if err != nil {
		return c, err
	}
	progress(0, int64(total))
	soql := fmt.Sprintf("SELECT %s FROM %s", strings.Join(fields, ","), o.Name)
	byBulk := total > bulkAbove
	if byBulk {
		err = r.compareBulk(ctx, c, soql, total, progress, fn)
		if refused(err) {
			r.log.Warn().Str("event", "bulk_refused").Str("object", o.Name).Err(err).Msg("reading by REST instead")
		}
	}
	if !byBulk || refused(err) {
		err = r.compareREST(ctx, o, c, soql, total, progress, fn)
	}
	if err != nil {
		return c, err
	}
	return c, c.Rest(ctx, fn)
}

func (r *Reader) compareBulk(ctx context.Context, c *pgsink.Comparison, soql string, total int, progress Progress, fn func([]pgsink.Difference) error) error {
	job, err := r.sf.CreateQueryJob(ctx, soql, false)
	if err != nil {
		return err
	}
	var read int64
	return r.results(ctx, job.ID, "", func(page salesforce.Results) error {
		n, err := c.CSV(ctx, page.Body, fn)
		read += n
		progress(read, max(read, int64(total)))
		return err
	})
}

func (r *Reader) compareREST(ctx context.Context, o Object, c *pgsink.Comparison, soql string, total int, progress Progress, fn func([]pgsink.Difference) error) error {
	where, read := "", int64(0)
	for {
		page, err := r.sf.Query(ctx, soql+where+" ORDER BY Id", salesforce.QueryOpts{})
		if err != nil {
			return err
		}
		records, err := decode(o, page.Records)
		if err != nil {
			return err
		}
		differences, err := c.Rows(ctx, records)
		if err == nil && len(differences) > 0 {
			err = fn(differences)
		}
		if err != nil {
			return err
		}
		read += int64(len(records))
		progress(read, max(read, int64(total)))
		if page.Done || len(records) == 0 {
			return nil
		}
		where = " WHERE Id > '" + records[len(records)-1].SFID + "'"
	}
}

// lookAgain looks at differences until each is gone or certain.
func (r *Reader) lookAgain(ctx context.Context, o Object, suspects []pgsink.Difference, report func(pgsink.Difference) error) error {
	for look := 1; len(suspects) > 0; look++ {
		if err := retry.Sleep(ctx, lookEvery); err != nil {
			return err
		}
		moving, err := r.sink.InMotion(ctx, o.Table, suspects)
		if err != nil {
			return err
		}
		now, err := r.lookNow(ctx, o, suspects)
		if err != nil {
			return err
		}
		var still []pgsink.Difference
		for _, before := range suspects {
			d, ok := now[before.Key()]
			switch {
			case !ok: // it was in motion
			case look == maxLooks, !moving[before.Key()] && same(before, d):
				if err := report(d); err != nil {
					return err
				}
			default:
				still = append(still, d)
			}
		}
		suspects = still
	}
	return nil
}

// telling returns those of some differences that are to be reported.
func (o Object) telling(differences []pgsink.Difference) []pgsink.Difference {
	if !o.Patched {
		return differences
	}
	return slices.DeleteFunc(differences, func(d pgsink.Difference) bool {
		return d.Kind == pgsink.DiffValues && len(d.Fields) == 1 && d.Fields[0].Field == "SystemModstamp"
	})
}

func same(a, b pgsink.Difference) bool {
	return a.Kind == b.Kind && slices.EqualFunc(a.Fields, b.Fields, func(x, y pgsink.FieldDiff) bool {
		return x.Field == y.Field && equal(x.Salesforce, y.Salesforce) && equal(x.Postgres, y.Postgres)
	})
}

func equal(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// lookNow compares some records with their rows as both are now.
func (r *Reader) lookNow(ctx context.Context, o Object, suspects []pgsink.Difference) (map[string]pgsink.Difference, error) {
	var ids []string
	now := map[string]pgsink.Difference{}
	for _, d := range suspects {
		if d.SFID != "" {
			ids = append(ids, d.SFID)
		}
	}
	records, err := r.fetch(ctx, o, ids)
	if err != nil {
		return nil, err
	}
	rows, err := decode(o, records)
	if err != nil {
		return nil, err
	}
	c, err := r.sink.Compare(ctx, o.Table)
	if err != nil {
		return nil, err
	}
	differences, err := c.Rows(ctx, rows)
	if err = errors.Join(err, c.Close(context.WithoutCancel(ctx))); err != nil {
		return nil, err
	}
	for _, d := range o.telling(differences) {
		now[d.SFID] = d
	}
	found := make(map[string]bool, len(rows))
	for _, row := range rows {
		found[row.SFID] = true
	}
	exist, err := r.sink.Existing(ctx, o.Table, suspects)
	if err != nil {
		return nil, err
	}
	for _, d := range suspects {
		switch {
		case found[d.SFID] || !exist[d.Key()]:
		case d.SFID == "":
			now[d.Key()] = pgsink.Difference{Kind: pgsink.DiffUnsent, RowID: d.RowID}
		default:
			now[d.SFID] = pgsink.Difference{Kind: pgsink.DiffNoRecord, SFID: d.SFID, RowID: d.RowID}
		}
	}
	return now, nil
}

// decode reads records, passing over those that are not there.
func decode(o Object, records []json.RawMessage) ([]pgsink.Row, error) {
	rows := make([]pgsink.Row, 0, len(records))
	for _, record := range records {
		if len(record) == 0 || string(record) == "null" {
			continue
		}
		row, err := o.Table.Decode(record)
		if err != nil {
			return nil, fmt.Errorf("%s record: %w", o.Name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
