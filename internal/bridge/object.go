package bridge

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/poll"
	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
)

// countEvery bounds how often the records of an object are counted in
// Salesforce: each count is an API call.
const countEvery = 10 * time.Minute

// object is one mapped object at work.
type object struct {
	*mapping
	poll poll.Object

	streamed  atomic.Bool   // its topic is subscribed in the present session
	loaded    atomic.Bool   // the first load is complete
	reloading atomic.Bool   // it was loaded before and is loaded again, beside its changes
	altering  atomic.Bool   // its table waits to be altered
	pollNow   chan struct{} // capacity 1: a poll is wanted before its time
	fallback  string        // why it is polled although streaming is configured; written before the loops start and by the stream
}

func newObject(m *mapping) *object {
	o := &object{mapping: m, pollNow: make(chan struct{}, 1)}
	o.poll = m.pollObject(o.streamed.Load)
	return o
}

// wantPoll asks for a poll soon. It never blocks.
func (o *object) wantPoll() {
	select {
	case o.pollNow <- struct{}{}:
	default:
	}
}

// runObject loads o and then polls it, until ctx ends.
func (s *session) runObject(ctx context.Context, o *object) error {
	log := s.log.With().Str("component", "poll").Str("object", o.cfg.Name).Logger()
	s.state(o, status.Initial)
	err := retry.Forever(ctx, log, "load", heals, func(ctx context.Context) error {
		if o.reloading.Load() {
			return nil // see reload
		}
		err := s.load(ctx, o, log)
		s.salesforce(err)
		if err != nil && ctx.Err() == nil {
			s.stop(o.cfg.Name, "load: "+err.Error())
		}
		return err
	})
	if err != nil {
		s.putAside(ctx, o, err)
		return nil
	}
	o.loaded.Store(true)
	s.resume(o.cfg.Name)
	s.wakeHydrator()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var counted time.Time
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-o.pollNow:
		}
		err := s.pollOnce(ctx, o, &counted)
		s.salesforce(err)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++
			wait := min(retry.Delay(failures, time.Second, 5*time.Minute), o.cfg.PollInterval)
			s.pollFailed(o, log, err, failures, wait)
			timer.Reset(wait)
		default:
			failures = 0
			s.resume(o.cfg.Name)
			timer.Reset(o.cfg.PollInterval)
		}
	}
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

// pollOnce runs both polls and, now and then, the count.
func (s *session) pollOnce(ctx context.Context, o *object, counted *time.Time) error {
	s.state(o, status.PollingSFChanges)
	defer s.state(o, status.DataSynced)
	var began time.Time
	if err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
		return err
	}
	found, err := s.reader.Changes(ctx, o.poll)
	if err != nil {
		return err
	}
	s.state(o, status.PollingSFForDeletes)
	gone, err := s.reader.Deletes(ctx, o.poll)
	if err != nil {
		return err
	}
	if found+gone > 0 {
		s.wakeHydrator()
		s.log.Debug().Str("component", "poll").Str("event", "poll_found").Str("object", o.cfg.Name).Int("rows", found+gone).Msg("differences marked")
	}
	if err := s.closeGaps(ctx, o, began); err != nil {
		return err
	}
	now := time.Now()
	s.board.Object(o.cfg.Name, func(b *status.Object) {
		b.LastPollAt = &now
		b.Counters.PollFound += int64(found + gone)
	})
	if now.Sub(*counted) < min(countEvery, max(o.cfg.PollInterval, time.Minute)) {
		return nil
	}
	n, err := s.sf.Count(ctx, "SELECT COUNT() FROM "+o.cfg.Name)
	if err != nil {
		return err
	}
	*counted = now
	s.board.Object(o.cfg.Name, func(b *status.Object) { b.RowsSalesforce = int64(n) })
	return nil
}

// pollFailed tells what a failed poll means: a passing trouble, or something
// that a person must change.
func (s *session) pollFailed(o *object, log zerolog.Logger, err error, attempt int, wait time.Duration) {
	if salesforce.ClassOf(err) == salesforce.Permanent && !isDatabase(err) {
		s.state(o, status.MappingError)
	}
	s.stop(o.cfg.Name, "poll: "+err.Error())
	log.Warn().Str("event", "poll_failed").Err(err).Int("attempt", attempt).Dur("wait_ms", wait).Msg("poll failed")
}

// putAside makes a mapping error of what a load could not get over, and keeps
// o out of the way of the other objects until ctx ends.
func (s *session) putAside(ctx context.Context, o *object, err error) {
	if ctx.Err() == nil {
		s.mappingFailed(o.cfg, err)
	}
	<-ctx.Done()
}

// mappingFailed puts one object aside.
func (s *session) mappingFailed(cfg config.Object, err error) {
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
	case o.reloading.Load():
		return status.ReloadTable
	}
	return state
}

// heals reports whether waiting can help: everything but a refusal by
// Salesforce that depends on the object or the user's rights.
func heals(err error) bool {
	var me *mappingError
	if errors.As(err, &me) {
		return false
	}
	return isDatabase(err) || salesforce.ClassOf(err) != salesforce.Permanent
}
