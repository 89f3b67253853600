package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"hcbridge/config"
	"hcbridge/internal/poll"
	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
)

const (
	// countEvery bounds how often the records of an object are counted in
	// Salesforce.
	countEvery = time.Hour
	// compareCheck is how often it is asked whether everything is to be compared.
	compareCheck = 30 * time.Second
	// restEvery is how far apart polls are while a proven stream tells that nothing
	// happens, and restCheck how often it is looked whether it still does.
	restEvery = 90 * time.Minute
	restCheck = 30 * time.Second
	// answerWithin is how long a request of a poll or a load may take without being
	// told. It is asked again then, with all the time that Salesforce may take.
	answerWithin = 45 * time.Second
)

// object is one mapped object at work.
type object struct {
	*mapping
	poll poll.Object

	streamed  atomic.Bool   // its topic is subscribed in the present session
	loaded    atomic.Bool   // the first load is complete
	polled    atomic.Bool   // a poll has worked in this session
	reloading atomic.Bool   // it was loaded before and is loaded again, beside its changes
	filling   atomic.Bool   // the next reload fills columns that are new
	comparing atomic.Bool   // all its records are compared with their rows
	bulk      atomic.Bool   // a poll loads many changes at once
	altering  atomic.Bool   // its table waits to be altered
	locked    atomic.Bool   // somebody has locked its table, see lookForLocks
	unpolled  atomic.Bool   // its last poll met that lock
	behind    time.Time     // not read back before, as a table that it needs is locked; only the hydrator's
	gathering gathering     // what is to be read back of it
	pollNow   chan struct{} // capacity 1: a poll is wanted before its time
	polling   sync.Mutex    // held while a poll may keep a job in the object's state, which has room for one
	fallback  string        // why it is polled although streaming is configured; written before the loops start and by the stream
}

func newObject(m *mapping) *object {
	o := &object{mapping: m, pollNow: make(chan struct{}, 1)}
	o.poll = m.pollObject(o.streamed.Load)
	o.filling.Store(m.added)
	return o
}

// wantPoll asks for a poll soon. It never blocks.
func (o *object) wantPoll() {
	select {
	case o.pollNow <- struct{}{}:
	default:
	}
}

// runObject loads o and then polls and compares it, until ctx ends.
func (s *session) runObject(ctx context.Context, o *object) error {
	log := s.log.With().Str("component", "poll").Str("object", o.cfg.Name).Logger()
	s.state(o, status.Initial)
	for attempt := 1; ; attempt++ {
		err := s.firstLoad(ctx, o, log)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a requested stop is not a failure
		}
		s.mappingFailed(o.cfg, err)
		if sleep(ctx, retry.Delay(attempt, asideFirst, asideMost)); ctx.Err() != nil {
			return nil //nolint:nilerr // the same
		}
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.Message = "" })
	}
	s.begins(o)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.pollObject(ctx, o, log) })
	g.Go(func() error { return s.compareObject(ctx, o, log) })
	return g.Wait()
}

// begins has o, which is loaded, kept in step.
func (s *session) begins(o *object) {
	o.loaded.Store(true)
	s.recount.Store(true)
	s.resume(o.cfg.Name)
	s.wakeHydrator()
}

// firstLoad loads o, and waits for what heals by itself. Anything else is an error: a
// person has to change something.
func (s *session) firstLoad(ctx context.Context, o *object, log zerolog.Logger) error {
	patient := false
	return retry.Forever(ctx, log, "load", heals, func(ctx context.Context) error {
		if o.reloading.Load() {
			return nil // see reload
		}
		err := s.load(s.asking(ctx, patient), o, log)
		patient = true
		s.salesforce(err)
		if err != nil && ctx.Err() == nil {
			s.falter(o.cfg.Name, "load: "+err.Error(), err)
		}
		return err
	})
}

// pollObject polls o whenever a layer is due, and when somebody wants it. After a failure
// it waits ever longer, but not beyond the time when the org has calls left again.
func (s *session) pollObject(ctx context.Context, o *object, log zerolog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	ask := poll.Ask{Wanted: true} // nobody knows what happened before
	var last counted
	var next time.Time
	var lifted <-chan struct{}
	patient := false
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-lifted:
			failures = 0
		case <-timer.C:
			if rest := time.Until(next); rest > 0 && s.resting(o) {
				timer.Reset(min(rest, restCheck))
				continue
			}
		case <-o.pollNow:
			ask.Wanted = true
		}
		began := time.Now()
		lifted = s.sf.Lifted()
		wait, err := s.pollOnce(s.asking(ctx, patient), o, ask, &last)
		s.salesforce(err)
		patient = err != nil || time.Since(began) > s.answers // an org that is slow is not told again and again
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			o.unpolled.Store(isLocked(err))
			failures++
			wait = min(retry.Delay(failures, time.Second, 5*time.Minute), o.cfg.PollInterval)
			s.pollFailed(o, log, err, failures, wait)
			// What it was asked for is still to be done, and it must not spoil
			// the polls of the other objects.
			ask.Alone = true
		default:
			o.unpolled.Store(false)
			failures, ask, lifted = 0, poll.Ask{}, nil
			o.polled.Store(true)
			s.resume(o.cfg.Name)
		}
		wait = max(wait, time.Millisecond)
		next = time.Now().Add(wait)
		if s.resting(o) {
			wait = min(wait, restCheck)
		}
		timer.Reset(wait)
	}
}

// asking bounds the requests made with the context, unless they have all the time.
func (s *session) asking(ctx context.Context, patient bool) context.Context {
	if patient {
		return ctx
	}
	return salesforce.Within(ctx, s.answers)
}

// resting reports whether polls of o may be further apart than by default: there
// is a stream, which is proven to be alive, and for an interval it told nothing.
func (s *session) resting(o *object) bool {
	return o.cfg.PollRelaxed && s.stream.dog.quiet(o.cfg.Name, o.cfg.PollInterval, time.Now())
}

// load reads o for the first time, and says so.
func (s *session) load(ctx context.Context, o *object, log zerolog.Logger) error {
	began, said := time.Now(), time.Now()
	started := false
	err := s.reader.Load(ctx, o.poll, func(loaded, total int64) {
		s.board.Object(o.cfg.Name, func(b *status.Object) {
			b.State, b.Loaded, b.ToLoad = o.shown(status.ReloadTable), loaded, total
		})
		if !started || time.Since(said) > 5*time.Second {
			started, said = true, time.Now()
			log.Info().Str("event", "loading").Int64("rows", loaded).Int64("of", total).Msg("loading")
		}
	})
	if err == nil && started {
		log.Info().Str("event", "loaded").Dur("took_ms", time.Since(began)).Msg("load complete")
	}
	return err
}

// pace is how much reading the budget of API calls allows now.
func (s *session) pace() poll.Pace {
	calls, used := s.budget()
	return poll.PaceOf(used, calls)
}

// budget is how many API calls a day the bridge may use, 0 before that is known,
// and how many of the last 24 hours anybody has used.
func (s *session) budget() (calls, used int) {
	usage := s.sf.Usage()
	return s.cfg.APIDailyBudget.Of(usage.Limit), usage.Used
}

// pollOnce polls and, now and then, counts, with as few calls as possible. It
// returns how long to wait for the next.
func (s *session) pollOnce(ctx context.Context, o *object, ask poll.Ask, last *counted) (time.Duration, error) {
	s.state(o, status.PollingSFChanges)
	defer func() {
		o.bulk.Store(false)
		s.state(o, status.DataSynced)
	}()
	pace := s.pace()
	if s.resting(o) {
		pace.AtLeast = restEvery
	}
	var began time.Time
	if err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
		return 0, err
	}
	var found poll.Found
	var wait time.Duration
	g := errgroup.Group{}
	g.Go(func() (err error) {
		o.polling.Lock()
		defer o.polling.Unlock()
		found, wait, err = s.reader.Poll(ctx, o.poll, pace, ask)
		return err
	})
	rows := s.rowsOf(o)
	if last.due(rows, o.cfg.PollInterval, pace.Stretch) {
		g.Go(func() error {
			cctx := ctx
			if !ask.Alone {
				cctx = salesforce.Together(ctx)
			}
			err := s.countRecords(cctx, o)
			if err == nil {
				*last = counted{time.Now(), rows}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil || !found.Read {
		return wait, err
	}
	s.found(o, found)
	now := time.Now()
	s.board.Object(o.cfg.Name, func(b *status.Object) { b.LastPollAt = &now })
	return wait, s.closeGaps(ctx, o, began)
}

// counted is when the records of an object were counted in Salesforce, and how many
// rows there were.
type counted struct {
	at   time.Time
	rows int64
}

// due reports whether to count again: now and then, and, of an object whose rows are
// few enough to be counted themselves, with the next poll after their number has changed.
func (c counted) due(rows int64, interval time.Duration, stretch int) bool {
	every := min(countEvery, max(10*interval, time.Minute))
	return time.Since(c.at) >= every*time.Duration(stretch) || rows != c.rows && rows <= exactRows
}

// rowsOf is how many rows o had when they were last counted.
func (s *session) rowsOf(o *object) (n int64) {
	s.board.Object(o.cfg.Name, func(b *status.Object) { n = b.RowsPostgres })
	return n
}

// countRecords shows how many records o has in Salesforce.
func (s *session) countRecords(ctx context.Context, o *object) error {
	n, err := s.sf.Count(ctx, "SELECT COUNT() FROM "+o.cfg.Name)
	if err != nil {
		return err
	}
	s.board.Object(o.cfg.Name, func(b *status.Object) { b.RowsSalesforce = int64(n) })
	return nil
}

// found shows what a poll or a comparison has brought to light.
func (s *session) found(o *object, f poll.Found) {
	if f.Total() == 0 {
		return
	}
	s.wakeHydrator()
	s.board.Object(o.cfg.Name, func(b *status.Object) {
		b.Counters.PollFound += int64(f.Total())
		b.Counters.PollFoundLate += int64(f.Late)
		b.Counters.PollFoundDrift += int64(f.Drift)
		b.Counters.PollFoundFull += int64(f.Full)
	})
	s.log.Debug().Str("component", "poll").Str("event", "poll_found").Str("object", o.cfg.Name).Int("rows", f.Total()).
		Int("late", f.Late).Int("drift", f.Drift).Int("full", f.Full).Msg("differences marked")
}

// compareObject compares everything of o when that is due: rarely, and without
// holding up the polls.
func (s *session) compareObject(ctx context.Context, o *object, log zerolog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := compareCheck
		done, err := s.compareMissed(ctx, o, log)
		if !done && err == nil {
			timer.Reset(time.Second)
			continue
		}
		if err == nil {
			err = s.compareOnce(ctx, o, log)
		}
		if err != nil && ctx.Err() == nil {
			failures++
			wait = retry.Delay(failures, compareCheck, time.Hour)
			log.Warn().Str("event", "compare_failed").Err(err).Int("attempt", failures).Dur("wait_ms", wait).Msg("comparing all records failed")
		} else {
			failures = 0
		}
		timer.Reset(wait)
	}
}

func (s *session) compareOnce(ctx context.Context, o *object, log zerolog.Logger) error {
	due, err := s.reader.FullDue(ctx, o.poll, s.pace())
	if err != nil {
		return err
	}
	if due {
		began, said := time.Now(), time.Now()
		s.comparing(o, true)
		found, err := s.reader.Full(ctx, o.poll, func(read, total int64) {
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				log.Info().Str("event", "comparing").Int64("rows", read).Int64("of", total).Msg("comparing all records")
			}
		})
		s.comparing(o, false)
		if err != nil {
			return err
		}
		s.found(o, found)
		log.Info().Str("event", "compared").Int("rows", found.Full).Dur("took_ms", time.Since(began)).Msg("all records compared, differences marked")
	}
	if err := s.sink.Unbury(ctx, o.cfg.Name); err != nil {
		return err
	}
	if err := s.sink.ForgetConflicts(ctx); err != nil {
		return err
	}
	in, err := s.sink.Invisible(ctx, o.table)
	if err != nil {
		return err
	}
	s.board.Object(o.cfg.Name, func(b *status.Object) {
		if b.Message == "" || strings.HasSuffix(b.Message, invisibleRemedy) {
			b.Message = invisibleMessage(in)
		}
	})
	return nil
}

// comparing shows that all records of o are compared, which finds what was deleted for
// good, where nothing else is to be shown.
func (s *session) comparing(o *object, begins bool) {
	o.comparing.Store(begins)
	from, to := status.DataSynced, status.PollingSFForDeletes
	if !begins {
		from, to = to, from
	}
	s.board.Object(o.cfg.Name, func(b *status.Object) {
		if b.State == from {
			b.State = to
		}
	})
}

const invisibleRemedy = "such rows stay; `hcbridge verify` lists them"

// invisibleMessage tells of rows whose records cannot be seen, empty if there
// are none.
func invisibleMessage(in pgsink.Invisible) string {
	if in.Total == 0 {
		return ""
	}
	return fmt.Sprintf("%s whose record Salesforce does not show, of which %d for more than an hour: hidden from this user, or deleted for good more than 15 days ago; %s", plural(in.Total, "row"), in.Confirmed, invisibleRemedy)
}

// bulkProgress shows a poll that reads many changes.
func (s *session) bulkProgress(o *object) func(read, total int64) {
	return func(read, total int64) {
		o.bulk.Store(true)
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.State, b.Loaded, b.ToLoad = status.PollingSFBulk, read, total })
	}
}

// pollFailed tells what a failed poll means: a passing trouble, or something
// that a person must change.
func (s *session) pollFailed(o *object, log zerolog.Logger, err error, attempt int, wait time.Duration) {
	if salesforce.ClassOf(err) == salesforce.Permanent && !isDatabase(err) {
		s.state(o, status.MappingError)
	}
	s.falter(o.cfg.Name, "poll: "+err.Error(), err)
	log.Warn().Str("event", "poll_failed").Err(err).Int("attempt", attempt).Dur("wait_ms", wait).Msg("poll failed")
}

// mappingFailed shows that an object is put aside.
func (s *session) mappingFailed(cfg config.Object, err error) {
	err = remedied(err)
	s.board.Object(cfg.Name, func(b *status.Object) {
		b.Mode, b.Access, b.State, b.Message = cfg.Mode, cfg.Access, status.MappingError, err.Error()
	})
	s.board.Stop(cfg.Name, err.Error())
	s.log.Error().Str("component", "bridge").Str("event", "mapping_error").Str("object", cfg.Name).Err(err).Msg("object is not synced")
}

func (s *session) state(o *object, state string) {
	state = o.shown(state)
	s.board.Object(o.cfg.Name, func(b *status.Object) { b.State = state })
}

// shown is the state to show for one of the poll's: what lasts longer goes
// before.
func (o *object) shown(state string) string {
	switch {
	case o.altering.Load():
		return status.SchemaChanged
	case o.reloading.Load() && o.filling.Load():
		return status.Resync
	case o.reloading.Load():
		return status.ReloadTable
	case o.comparing.Load() && state == status.DataSynced:
		return status.PollingSFForDeletes
	}
	return state
}

// heals reports whether waiting can help: everything but a refusal by
// Salesforce that depends on the object or the user's rights, and wrong settings.
func heals(err error) bool {
	var me *mappingError
	if errors.As(err, &me) || errors.As(err, new(*ConfigError)) {
		return false
	}
	return isDatabase(err) || salesforce.ClassOf(err) != salesforce.Permanent
}

// relate tells each object which mapped lookups refer to it.
func (s *session) relate() {
	for _, parent := range s.objects {
		parent.poll.Children = nil
		for _, child := range s.objects {
			for _, c := range child.table.Columns {
				if slices.Contains(child.lookups[c.Field], parent.cfg.Name) {
					parent.poll.Children = append(parent.poll.Children, poll.Child{Object: child.cfg.Name, Table: child.table, Column: c.Name, Field: c.Field})
				}
			}
		}
	}
}
