package bridge

import (
	"context"
	"time"

	"hcbridge/bayeux"
	"hcbridge/internal/retry"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

const (
	// maxBatch is the most events that one transaction applies.
	maxBatch = 2000
	// maxQueue is how many deliveries of up to maxBatch events wait for the
	// database before the stream's handler does.
	maxQueue = 16
	// sameSecond is how close two events of one record must be for their order
	// to be in doubt: Salesforce reverses the events of one transaction.
	sameSecond = time.Second
)

// delivery is one event on its way to its row.
type delivery struct {
	ch    *channel
	topic string // id of the topic it came from
	event pushtopic.Event
}

// inbound applies events in the order of arrival, as many per transaction as
// have come while the last one was committed.
type inbound struct {
	s      *session
	queue  chan []delivery
	recent map[string]last // last event per record, for sameSecond
	swept  time.Time
}

type last struct {
	at      time.Time
	deleted bool
}

func newInbound(s *session) *inbound {
	return &inbound{s: s, queue: make(chan []delivery, maxQueue), recent: map[string]last{}}
}

// handle is the stream's handler. It only queues: an event counts as taken
// when it is in the queue, and as done when the applier has committed it.
func (in *inbound) handle(ctx context.Context, msgs []bayeux.Message) error {
	batch := make([]delivery, 0, min(len(msgs), maxBatch))
	for _, m := range msgs {
		if m.Channel == canaryChannel {
			in.s.stream.heardCanary(m)
			continue
		}
		ch := in.s.stream.channel(m.Channel)
		if ch == nil {
			continue // unsubscribed meanwhile
		}
		event, err := pushtopic.Decode(m)
		if err != nil {
			in.s.log.Warn().Str("component", "stream").Str("event", "event_unreadable").Str("channel", m.Channel).Int64("replay_id", m.ReplayID).Err(err).Msg("the next poll finds the record")
			continue
		}
		in.s.stream.dog.event(ch.obj.cfg.Name, event.SFID, time.Now())
		batch = append(batch, delivery{ch: ch, topic: ch.topic(), event: event})
		if len(batch) == maxBatch {
			if err := in.put(ctx, batch); err != nil {
				return err
			}
			batch = make([]delivery, 0, maxBatch)
		}
	}
	return in.put(ctx, batch)
}

func (in *inbound) put(ctx context.Context, batch []delivery) error {
	if len(batch) == 0 {
		return nil
	}
	select {
	case in.queue <- batch:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, d := range batch {
		d.ch.accept(d.topic, d.event.ReplayID)
	}
	return nil
}

// run applies until ctx ends.
func (in *inbound) run(ctx context.Context) error {
	for {
		var batch []delivery
		select {
		case <-ctx.Done():
			return nil
		case batch = <-in.queue:
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case next := <-in.queue:
				batch = append(batch, next...)
			default:
				more = false
			}
		}
		err := retry.Forever(ctx, in.s.log.With().Str("component", "inbound").Logger(), "apply", func(error) bool { return true }, func(ctx context.Context) error {
			err := in.apply(ctx, batch)
			if err != nil && ctx.Err() == nil {
				in.s.stop("inbound", "events cannot be stored: "+err.Error())
			}
			return err
		})
		if err != nil {
			return nil //nolint:nilerr // only the end of ctx ends Forever here
		}
		in.s.resume("inbound")
	}
}

// apply stores one batch of events and where the streams have come to.
func (in *inbound) apply(ctx context.Context, batch []delivery) error {
	var b pgsink.Batch
	positions := map[*channel]pgsink.Position{}
	perObject := map[string]*tally{}
	for _, d := range batch {
		in.decide(d, &b)
		// Invariant 1: the position moves with what is in this batch.
		// Events that come again do not move it back.
		if p, ok := positions[d.ch]; !ok || p.TopicID != d.topic || p.ReplayID < d.event.ReplayID {
			positions[d.ch] = pgsink.Position{Channel: d.ch.name, TopicID: d.topic, ReplayID: d.event.ReplayID, EventAt: d.event.CreatedAt}
		}
		t := perObject[d.ch.obj.cfg.Name]
		if t == nil {
			t = &tally{oldest: d.event.CreatedAt}
			perObject[d.ch.obj.cfg.Name] = t
		}
		t.events++
		t.newest = d.event.CreatedAt
	}
	for ch, p := range positions {
		if p.TopicID != ch.applied.TopicID || p.ReplayID > ch.applied.ReplayID {
			b.Positions = append(b.Positions, p)
		}
	}
	began := time.Now()
	res, err := in.s.sink.Apply(ctx, b)
	if err != nil {
		return err
	}
	for ch, p := range positions {
		if p.TopicID != ch.applied.TopicID || p.ReplayID > ch.applied.ReplayID {
			ch.applied = p
		}
	}
	in.report(perObject, res, time.Since(began))
	if len(b.Marks) > 0 || res.Marked > 0 || res.Held > 0 {
		in.s.wakeHydrator()
	}
	return nil
}

// decide turns one event into a change, if that is provably right, or else
// into a mark.
func (in *inbound) decide(d delivery, b *pgsink.Batch) {
	obj, e := d.ch.obj, d.event
	mark := func(reason string) {
		b.Marks = append(b.Marks, pgsink.Mark{Object: obj.cfg.Name, SFID: e.SFID, Reason: reason})
	}
	before, deleted := in.note(obj.cfg.Name+"/"+e.SFID, e)
	if e.Type == pushtopic.TypeDeleted {
		if before {
			mark("delete within a second of another event")
			return
		}
		b.Changes = append(b.Changes, pgsink.Change{Table: obj.table, Kind: pgsink.Delete, Row: pgsink.Row{SFID: e.SFID}})
		if !obj.loaded.Load() {
			mark("deleted during the load") // a page that was read earlier may bring it back
		}
		return
	}
	if deleted {
		mark("event within a second of a delete")
		return
	}
	if e.Type == pushtopic.TypeUndeleted {
		mark("undeleted") // a read under way may just have found it deleted
		return
	}
	row, err := obj.table.Decode(e.SObject)
	if err != nil || len(row.Missing) > 0 || row.Stamp.IsZero() || row.SFID == "" {
		mark("event without every field")
		return
	}
	b.Changes = append(b.Changes, pgsink.Change{Table: obj.table, Kind: pgsink.Event, Row: row})
}

// note remembers the event and reports whether another of the record, and
// whether its delete, came within a second of it.
func (in *inbound) note(key string, e pushtopic.Event) (other, deleted bool) {
	if now := time.Now(); now.Sub(in.swept) > time.Minute {
		in.swept = now
		for k, l := range in.recent {
			if e.CreatedAt.Sub(l.at).Abs() > time.Minute {
				delete(in.recent, k)
			}
		}
	}
	l, ok := in.recent[key]
	other = ok && e.CreatedAt.Sub(l.at).Abs() <= sameSecond
	in.recent[key] = last{at: e.CreatedAt, deleted: e.Type == pushtopic.TypeDeleted}
	return other, other && l.deleted
}

type tally struct {
	events         int
	oldest, newest time.Time
}

func (in *inbound) report(perObject map[string]*tally, res pgsink.Result, took time.Duration) {
	now := time.Now()
	for name, t := range perObject {
		lag := max(0, now.Sub(t.newest).Milliseconds())
		in.s.board.Object(name, func(o *status.Object) {
			o.LastEventAt = &now
			o.LagMS = lag
			o.Counters.Events += int64(t.events)
			o.Counters.LagSumMS += lag * int64(t.events)
			o.Counters.LagCount += int64(t.events)
		})
		in.s.log.Debug().Str("component", "inbound").Str("event", "applied").Str("object", name).Int("rows", t.events).Dur("took_ms", took).Int64("lag_ms", lag).Msg("events applied")
	}
	in.s.count(res)
}
