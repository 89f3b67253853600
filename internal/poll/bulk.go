package poll

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// readBulk reads a window of many changes by Bulk API: first the stamps, and if
// many rows differ, whole records straight into the table instead of marks that
// would be read back 2,000 at a time. until is when the second read began, the
// zero time if there was none: later changes are the next poll's.
//
// The second job is kept in the object's state, so that a crash goes on where
// it stopped: the marks do not move before its end.
func (r *Reader) readBulk(ctx context.Context, o Object, w window, total int) (found Found, until time.Time, err error) {
	state, err := r.sink.ReadState(ctx, o.Name)
	if err != nil {
		return found, until, err
	}
	if o.Bulk != nil {
		o.Bulk(0, int64(total))
	}
	if state.LoadJob == "" || !state.LoadStarted.After(state.PollMark) {
		many, err := r.bulkStamps(ctx, o, w, &found)
		if err != nil || !many {
			return found, until, err
		}
		if state, err = r.beginBulk(ctx, o, w, total); err != nil {
			return found, until, err
		}
	}
	err = r.bulkRows(ctx, o, state)
	if refused(err) {
		// The job is gone or has failed: the next poll begins another.
		err = errors.Join(err, r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) { s.LoadJob, s.LoadLocator, s.LoadDone = "", "", 0 }))
	}
	return found, state.LoadStarted, err
}

// refused reports an error that the same request would meet again.
func refused(err error) bool {
	var se *salesforce.Error
	return errors.As(err, &se) && se.Class == salesforce.Permanent
}

// beginBulk asks for all fields of a window's records.
func (r *Reader) beginBulk(ctx context.Context, o Object, w window, total int) (state pgsink.State, err error) {
	began := r.sf.ServerTime()
	soql := fmt.Sprintf("SELECT %s FROM %s WHERE SystemModstamp >= %s", strings.Join(o.Fields, ","), o.Name, soqlTime(w.from[w.deepest]))
	job, err := r.sf.CreateQueryJob(ctx, soql, false)
	if err != nil {
		return state, err
	}
	err = r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) {
		s.LoadJob, s.LoadLocator, s.LoadDone, s.LoadStarted = job.ID, "", 0, began
		s.Loaded, s.ToLoad = 0, int64(total)
		state = *s
	})
	return state, err
}

// bulkRows moves a job's result into the table, from where the state says on.
func (r *Reader) bulkRows(ctx context.Context, o Object, s pgsink.State) error {
	if err := r.await(ctx, s.LoadJob); err != nil {
		return err
	}
	progress := o.Bulk
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if err := newLoader(r, o, s, progress).run(ctx); err != nil {
		return err
	}
	if err := r.bereft(ctx, o); err != nil {
		return err
	}
	r.drop(ctx, s.LoadJob)
	return r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) { s.LoadJob, s.LoadLocator, s.LoadDone = "", "", 0 })
}

// bulkStamps marks what differs in a window. If that is many, it marks only the
// deleted records, which have no values to read, and says so: a mark of any
// other would have a load leave the record to it.
func (r *Reader) bulkStamps(ctx context.Context, o Object, w window, found *Found) (many bool, err error) {
	soql, _, _ := strings.Cut(o.window("SystemModstamp >= "+soqlTime(w.from[w.deepest])), " ORDER BY ") // an order makes Bulk queries slow
	job, err := r.sf.CreateQueryJob(ctx, soql, o.Deletes)
	if err != nil {
		return false, err
	}
	var waiting []difference
	err = r.results(ctx, job.ID, "", func(page salesforce.Results) error {
		return eachStamp(page.Body, func(seen []stamp) error {
			differ, err := r.different(ctx, o, w, seen)
			if err != nil {
				return err
			}
			var deleted []difference
			for _, d := range differ {
				switch {
				case d.IsDeleted:
					deleted = append(deleted, d)
				case many:
					found.add(w.layer(d.SystemModstamp.Time), 1)
				default:
					waiting = append(waiting, d)
				}
			}
			if len(waiting) > bulkAbove {
				for _, d := range waiting {
					found.add(w.layer(d.SystemModstamp.Time), 1)
				}
				many, waiting = true, nil
			}
			return r.markAll(ctx, o, w, deleted, found)
		})
	})
	if err != nil {
		return many, err
	}
	return many, r.markAll(ctx, o, w, waiting, found)
}

// results calls fn with each page of a job, from a locator on, and removes the
// job after the last.
func (r *Reader) results(ctx context.Context, job, locator string, fn func(salesforce.Results) error) error {
	if err := r.await(ctx, job); err != nil {
		return err
	}
	for {
		page, err := r.sf.QueryResults(ctx, job, locator, r.loadPage)
		if err != nil {
			return err
		}
		if err := errors.Join(fn(page), page.Body.Close()); err != nil {
			return err
		}
		if locator = page.Locator; locator == "" {
			break
		}
	}
	r.drop(ctx, job)
	return nil
}

// drop removes a job that is read, which is a courtesy.
func (r *Reader) drop(ctx context.Context, job string) {
	if err := r.sf.DeleteQueryJob(ctx, job); err != nil {
		r.log.Debug().Str("event", "job_kept").Str("job", job).Err(err).Msg("Salesforce removes the job after seven days")
	}
}

// eachStamp reads CSV of stamps, 2,000 at a time.
func eachStamp(body io.Reader, fn func([]stamp) error) error {
	in := csv.NewReader(body)
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("bulk result: header: %w", err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.ToLower(name)] = i
	}
	id, hasID := at["id"]
	modified, hasStamp := at["systemmodstamp"]
	deleted, hasDeleted := at["isdeleted"]
	if !hasID || !hasStamp {
		return &pgsink.RecordError{Reason: "bulk result without Id and SystemModstamp"}
	}
	var batch []stamp
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			if len(batch) == 0 {
				return nil
			}
			return fn(batch)
		}
		if err != nil {
			return fmt.Errorf("bulk result: %w", err)
		}
		if len(batch) == pageSize {
			if err := fn(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		var s stamp
		if s.ID = record[id]; !isID(s.ID) {
			return &pgsink.RecordError{Reason: "bulk result: not an id"}
		}
		s.ID = salesforce.ID18(s.ID)
		if err := s.SystemModstamp.UnmarshalJSON([]byte(`"` + record[modified] + `"`)); err != nil {
			return fmt.Errorf("bulk result: %w", err)
		}
		s.IsDeleted = hasDeleted && record[deleted] == "true"
		batch = append(batch, s)
	}
}
