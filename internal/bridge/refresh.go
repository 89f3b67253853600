package bridge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hcbridge/internal/beat"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/outbox"
)

const (
	refreshEvery = time.Second
	// watchedEvery is how often while a page shows it, where that is cheap: a
	// twentieth of the time at the most goes into it.
	watchedEvery  = 250 * time.Millisecond
	watchedThrift = 20
	// thrift is how many times as long as a count took it is not taken again, so
	// that counting a huge backlog never costs more than a few percent. Counting
	// rows is free up to brief: those of small tables are counted each time.
	thrift = 30
	brief  = 50 * time.Millisecond
)

// refresher remembers when it has asked what.
type refresher struct {
	countsAt, rowsAt time.Time        // not before
	clockAt          int64            // the beat in which the clocks were compared
	churn            map[string]int64 // per table, at its last count
	drains           map[string]*drain
}

// refresh puts on the board what only a query tells, until ctx ends.
func (s *session) refresh(ctx context.Context, listener *outbox.Listener) error {
	defer s.undrained()
	defer s.forgetLocks()
	r := refresher{churn: map[string]int64{}, drains: map[string]*drain{}, clockAt: beat.Never}
	for {
		began := time.Now()
		err := s.refreshOnce(ctx, &r)
		switch {
		case ctx.Err() != nil:
			return nil // it failed because it was to end
		case err != nil:
			s.falter("database", err.Error(), err)
		default:
			s.resume("database")
		}
		s.connection(err, listener)
		wait := beat.Wait(refreshEvery)
		if s.board.Watched() {
			wait = min(max(watchedEvery, watchedThrift*time.Since(began)), refreshEvery)
		}
		if sleep(ctx, wait); ctx.Err() != nil {
			return nil // a requested stop is not a failure
		}
	}
}

func (s *session) refreshOnce(ctx context.Context, r *refresher) error {
	if began := time.Now(); began.After(r.countsAt) {
		if err := s.missing(ctx); err != nil {
			return err
		}
		if err := s.counts(ctx); err != nil {
			return err
		}
		if err := s.lookForLocks(ctx); err != nil {
			return err
		}
		s.drained(r.drains)
		r.countsAt = time.Now().Add(thrift * time.Since(began) / 2)
	}
	if began := time.Now(); s.recount.Swap(false) || began.After(r.rowsAt) {
		if err := s.countRows(ctx, r.churn); err != nil {
			return err
		}
		r.rowsAt = time.Now().Add(thrift * (time.Since(began) - brief))
	}
	if now := beat.Count(clockEvery); s.writer != nil && now != r.clockAt {
		if _, err := s.clockGain(ctx, s.sf.ServerTime(), 0); err != nil {
			return err
		}
		r.clockAt = now
	}
	return nil
}

// connection shows the state of the whole.
func (s *session) connection(dbErr error, listener *outbox.Listener) {
	usage := s.sf.Usage()
	budget := s.cfg.APIDailyBudget.Of(usage.Limit)
	pending := int64(0)
	for _, o := range s.board.Snapshot().Objects {
		pending += o.PendingWrites
	}
	s.tellBudget(budget)
	state := status.Idle
	switch trouble := s.trouble.Load(); {
	case dbErr != nil:
		state = status.DBUnavailable
	case trouble != nil && *trouble != "":
		state = *trouble
	case s.pace().Limited:
		state = status.APILimit
	case s.stands():
		state = status.SystemError
	case pending > 0:
		state = status.PollingDBChanges
	}
	message, spaced := s.unmapped, time.Duration(0)
	if s.writer != nil {
		spaced = s.writer.Spaced()
	}
	if spaced > 0 {
		message = fmt.Sprintf("writes are spaced so that %d API calls a day suffice: what waits goes in %s", budget, max(spaced, time.Second).Round(time.Second))
	}
	if listener != nil && listener.Failed() {
		message = "LISTEN does not work on this connection (a transaction-mode pooler?): changes are found by polling; set HC_LISTEN_DATABASE_URL to a direct connection"
	}
	if s.unsafe != "" {
		message = s.unsafe + "; nothing is sent until `hcbridge adopt`"
	}
	s.board.Connection(func(c *status.Connection) {
		c.State, c.Message = state, message
		c.WritesSpaced = spaced
		c.APICalls = status.APICalls{Used: usage.Used, Limit: usage.Limit, Budget: budget}
	})
}

// tellBudget says when the budget of API calls is used up: both directions go on by a
// call now and then. How many are used is not part of it, or the log would tell it
// again with each.
func (s *session) tellBudget(budget int) {
	if !s.pace().Limited {
		s.resume("api calls")
		return
	}
	s.stop("api calls", fmt.Sprintf("HC_API_DAILY_BUDGET is used up: the org has used the %d API calls of 24 hours, or more. Until it has used fewer, or the budget is larger, "+
		"polls are 12 times as far apart, records are read back every ten minutes, and writes wait for ten, or up to an hour after several calls", budget))
}

// stands reports whether nothing comes in: no event can be stored, or no object is
// read.
func (s *session) stands() bool {
	_, stops := s.board.Ready()
	stopped := map[string]bool{}
	for _, stop := range stops {
		stopped[stop.Part] = true
	}
	return stopped["inbound"] || len(s.objects) > 0 && !slices.ContainsFunc(s.objects, func(o *object) bool { return !stopped[o.cfg.Name] })
}

// salesforce remembers whether the last answer of Salesforce was trouble of
// the kind that concerns all objects.
func (s *session) salesforce(err error) {
	s.doubtTables(err)
	state := ""
	if err != nil && !isDatabase(err) {
		s.schema.doubt(salesforce.CodeOf(err))
		switch salesforce.ClassOf(err) {
		case salesforce.Auth:
			state = status.Unauthorized
		case salesforce.Limit:
			state = status.APILimit
		case salesforce.Transient:
			state = status.SFUnavailable
		case salesforce.Conflict, salesforce.Permanent:
		}
	}
	s.trouble.Store(&state)
}
