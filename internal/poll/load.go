package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// defaultLoadPage is how many records one page of Bulk results holds. A page
// is one API call; where a load breaks off does not depend on it.
const defaultLoadPage = 50_000

// eventsKept is how old an event can be that is still to come: three days with
// Change Data Capture, one with PushTopics. Its record may have been deleted for
// good before the load.
const eventsKept = 72 * time.Hour

// Progress hears how far a load has come.
type Progress func(loaded, total int64)

// Load reads every record of o, beside live changes: a row that is newer than
// the loaded record stays. It resumes a load that a crash broke off. Of an object that
// is loaded already it only looks for rows whose parents went while it was put aside.
func (r *Reader) Load(ctx context.Context, o Object, progress Progress) error {
	state, err := r.sink.ReadState(ctx, o.Name)
	if err != nil {
		return err
	}
	if !state.LoadedAt.IsZero() {
		return r.bereft(ctx, o)
	}
	if state.LoadStarted.IsZero() {
		if state, err = r.begin(ctx, o); err != nil {
			return err
		}
	}
	progress(state.Loaded, state.ToLoad)
	var loaded int64
	if state.LoadJob == "" && state.ToLoad <= smallLoad {
		loaded, err = r.loadREST(ctx, o, progress, state.ToLoad)
	} else {
		loaded, err = r.loadBulk(ctx, o, state, progress)
		if se := (*salesforce.Error)(nil); errors.As(err, &se) && se.Class == salesforce.Permanent {
			// An org may keep the Bulk API from this user or object; REST is slower
			// and does the same.
			r.log.Warn().Str("event", "bulk_refused").Str("object", o.Name).Err(err).Msg("loading by REST instead")
			loaded, err = r.loadREST(ctx, o, progress, state.ToLoad)
		}
	}
	if err != nil {
		return err
	}
	if err := r.sink.FinishLoad(ctx, o.Table, loaded); err != nil {
		return err
	}
	return r.bereft(ctx, o)
}

// begin counts the records and notes the server's time: everything that
// changes after it is the poll's, however long the load takes.
func (r *Reader) begin(ctx context.Context, o Object) (pgsink.State, error) {
	total, err := r.sf.Count(ctx, "SELECT COUNT() FROM "+o.Name)
	if err != nil {
		return pgsink.State{}, err
	}
	started := r.sf.ServerTime()
	err = r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) {
		s.ToLoad, s.Loaded = int64(total), 0
		s.LoadJob, s.LoadLocator, s.LoadDone = "", "", 0 // what may be there is of a load that was given up
		s.LoadStarted, s.PollMark = started, started
		if s.DeletedMark.IsZero() {
			// A load sees no deletes, so a reload does not move it.
			s.DeletedMark = started.Add(-eventsKept)
		}
	})
	return pgsink.State{ToLoad: int64(total), LoadStarted: started}, err
}

// loadREST applies its rows by the rule of events, though it has read them: an
// event of the same second, which is newer, may have been written meanwhile. Where a
// locator expires, which they do after two days, it goes on behind the last record.
func (r *Reader) loadREST(ctx context.Context, o Object, progress Progress, total int64) (loaded int64, err error) {
	for last, where := "", ""; ; where = fmt.Sprintf(" WHERE Id > '%s'", last) {
		from := last
		soql := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY Id", strings.Join(o.Fields, ","), o.Name, where)
		err = r.pages(ctx, soql, salesforce.QueryOpts{}, func(records []json.RawMessage) error {
			changes, err := rows(o, records, pgsink.Event)
			if err != nil {
				return err
			}
			if _, err := r.sink.Apply(ctx, pgsink.Batch{Changes: changes}); err != nil {
				return err
			}
			if len(changes) > 0 {
				last = changes[len(changes)-1].Row.SFID
			}
			loaded += int64(len(records))
			progress(loaded, total)
			return nil
		})
		if salesforce.CodeOf(err) != salesforce.CodeLocator || last == from {
			return loaded, err
		}
	}
}

func (r *Reader) loadBulk(ctx context.Context, o Object, state pgsink.State, progress Progress) (int64, error) {
	if state.LoadJob == "" {
		job, err := r.sf.CreateQueryJob(ctx, fmt.Sprintf("SELECT %s FROM %s", strings.Join(o.Fields, ","), o.Name), false)
		if err != nil {
			return 0, err
		}
		state.LoadJob, state.LoadLocator, state.LoadDone, state.Loaded = job.ID, "", 0, 0
		if err := r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) {
			s.LoadJob, s.LoadLocator, s.LoadDone, s.Loaded = job.ID, "", 0, 0
		}); err != nil {
			return 0, err
		}
	}
	if err := r.await(ctx, state.LoadJob); err != nil {
		if se := (*salesforce.Error)(nil); errors.As(err, &se) && se.Status == http.StatusNotFound {
			// Results live for seven days. What was loaded stays; the rest is
			// loaded by a new job.
			return 0, errors.Join(err, r.sink.WriteState(ctx, o.Name, func(s *pgsink.State) { s.LoadJob, s.LoadLocator, s.LoadDone = "", "", 0 }))
		}
		return 0, err
	}
	l := newLoader(r, o, state, progress)
	if err := l.run(ctx); err != nil {
		return 0, err
	}
	r.drop(ctx, state.LoadJob)
	return l.at.Loaded, nil
}

// await polls a Bulk query job until its results are there, ever more slowly.
func (r *Reader) await(ctx context.Context, id string) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wait := 100 * time.Millisecond; ; wait = min(wait*3/2, 10*time.Second) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		job, err := r.sf.QueryJob(ctx, id)
		if err != nil {
			return err
		}
		switch job.State {
		case salesforce.JobComplete:
			return nil
		case salesforce.JobFailed, salesforce.JobAborted:
			return &salesforce.Error{Code: "BULK_JOB_" + strings.ToUpper(job.State), Message: job.ErrorMessage, Class: salesforce.Permanent, Op: "bulk query"}
		}
		timer.Reset(wait)
	}
}
