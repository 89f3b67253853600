package bridge

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"hcbridge/internal/beat"
	"hcbridge/internal/retry"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
)

// hydrateEvery is how long marks may lie unseen when no wake-up told of them.
const hydrateEvery = time.Second

// withoutFailed is for how long what is due of other objects is read before one of
// which it failed is tried again.
const withoutFailed = 10 * time.Second

// behindLock is for how long an object is not read back that needs a table which
// somebody has locked.
const behindLock = 5 * time.Second

// wakeHydrator tells the hydrator that there may be marks. It never blocks.
func (s *session) wakeHydrator() {
	select {
	case s.marked <- struct{}{}:
	default:
	}
}

// hydrate reads marked records back until ctx ends. Because a wake-up can come
// before the transaction with its marks has committed, it is followed by
// further looks.
func (s *session) hydrate(ctx context.Context) error {
	again := []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond}
	timer := time.NewTimer(0)
	defer timer.Stop()
	look, failures := len(again), 0
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.marked:
			look = 0
		case <-timer.C:
		}
		if pause := s.pace().ReadBack; pause > 0 && time.Since(last) < pause {
			timer.Reset(min(pause-time.Since(last), hydrateEvery))
			continue
		}
		wait := beat.Wait(hydrateEvery)
		last = time.Now()
		if look < len(again) {
			wait = again[look]
			look++
		}
		well := func() {
			failures = 0
			s.resume("read back")
		}
		if err := s.hydrateAll(ctx, well); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			failures++
			wait = max(wait, retry.Delay(failures, time.Second, time.Minute))
			s.falter("read back", "marked records cannot be read: "+err.Error(), err)
			s.log.Warn().Str("component", "poll").Str("event", "read_back_failed").Err(err).Int("attempt", failures).Dur("wait_ms", wait).Msg("reading back failed")
		}
		timer.Reset(wait)
	}
}

// hydrateAll reads what is due of every object that is loaded; until then a
// mark must wait, or a page of the load could undo it. The objects take turns:
// what keeps one busy may wait for the rows of another. While changes keep coming it
// does not return, so it calls well after each turn of all without a failure. After
// one the others go on for a while, then all is tried again.
func (s *session) hydrateAll(ctx context.Context, well func()) error {
	var first error
	var failed time.Time
	left, err := s.due(ctx)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		well()
	}
	for len(left) > 0 && (first == nil || time.Since(failed) < withoutFailed) {
		left = slices.DeleteFunc(left, func(o *object) bool {
			if o.locked.Load() || time.Now().Before(o.behind) || s.more(o) {
				return true
			}
			began := time.Now()
			n, res, err := s.reader.Hydrate(ctx, o.poll)
			if err != nil {
				s.salesforce(err)
				if s.behindLock(ctx, err) {
					o.behind = time.Now().Add(behindLock)
				} else if first == nil {
					first, failed = err, time.Now()
				}
			}
			if n == 0 {
				return true
			}
			s.board.Object(o.cfg.Name, func(b *status.Object) { b.Counters.ReadBacks += int64(n) })
			s.count(res)
			if res.Held > 0 && s.writer != nil {
				s.writer.Suspect()
			}
			s.log.Debug().Str("component", "poll").Str("event", "read_back").Str("object", o.cfg.Name).Int("rows", n).Dur("took_ms", time.Since(began)).Msg("records read back")
			return err != nil
		})
		if first == nil {
			well()
		}
	}
	return first
}

// due returns the loaded objects of which marks wait, by one look for all: an idle
// bridge looks every second.
func (s *session) due(ctx context.Context) ([]*object, error) {
	loaded := slices.DeleteFunc(slices.Clone(s.objects), func(o *object) bool { return !o.loaded.Load() })
	if len(loaded) < 2 {
		return loaded, nil
	}
	names := make([]string, len(loaded))
	for i, o := range loaded {
		names[i] = o.cfg.Name
	}
	due, err := s.sink.DueObjects(ctx, names)
	return slices.DeleteFunc(loaded, func(o *object) bool { return !slices.Contains(due, o.cfg.Name) }), err
}

// When a backlog of an object is sent, what was written gathers until a call can
// carry no more of it, for this long at most. As long as thousands wait to be sent
// at all, so may how Salesforce rounded one; else reading back would cost as many
// calls as writing.
const (
	gatherFrom = 2000             // changes that wait to be sent
	gatherMost = 30 * time.Second // from one reading back to the next
	gatherLull = 15 * time.Second // without an answer to a write the backlog stands still
)

// gathering is what it takes to know whether there is more to come. The zero value
// is ready for use.
type gathering struct {
	pending atomic.Int64 // changes that wait to be sent, when they were counted last
	written atomic.Int64 // records written since the last reading back
	wrote   atomic.Int64 // when the last of them was, in Unix nanoseconds
	read    time.Time    // the last reading back; only the hydrator's
}

// more reports whether more records of o will have to be read back than now, so soon
// that it is better to wait.
func (s *session) more(o *object) bool {
	g, now := &o.gathering, time.Now()
	if g.pending.Load() >= gatherFrom && now.Sub(time.Unix(0, g.wrote.Load())) < gatherLull &&
		now.Sub(g.read) < gatherMost && g.written.Load() < int64(s.reader.Most(o.poll)) {
		return true
	}
	g.read = now
	g.written.Store(0)
	return false
}

// add notes a record that was written.
func (g *gathering) add(n int64) {
	g.written.Add(n)
	g.wrote.Store(time.Now().UnixNano())
}

// count adds what an apply did to the board.
func (s *session) count(res pgsink.Result) {
	if res.Parked > 0 {
		s.schema.ask() // a value may be too long for a column of before
	}
	for object, w := range res.Objects {
		s.board.Object(object, func(o *status.Object) {
			o.Counters.RowsWritten += int64(w.Inserted + w.Updated)
			o.Counters.RowsDeleted += int64(w.Deleted)
			o.Counters.RowsUnchanged += int64(w.Unchanged)
			o.Counters.Conflicts += int64(w.Conflicts)
		})
	}
}
