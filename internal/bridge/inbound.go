package bridge

import (
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	event event
}

// event is what one message says of one record.
type event interface {
	position() (replayID int64, at time.Time)
	record() string // its id; "" if it is about no single one
	// decide turns the event into a change, if that is provably right, or else
	// into a mark.
	decide(in *inbound, obj *object, b *pgsink.Batch)
}

// kind says which events a channel has.
type kind int

const (
	topicKind  kind = iota // of a PushTopic
	changeKind             // of Change Data Capture
)

// read decodes a message and appends the events of its records to list.
func (c *channel) read(list []event, m bayeux.Message) ([]event, error) {
	if c.kind == changeKind {
		return readChange(list, m)
	}
	e, err := pushtopic.Decode(m)
	return append(list, topicEvent{e}), err
}

// inbound applies events in the order of arrival, as many per transaction as
// have come while the last one was committed: one goroutine gathers and decodes
// what the next transaction does, another waits for the database.
type inbound struct {
	s      *session
	queue  chan []delivery
	ready  chan *work
	recent map[recent]last // last event per record, for sameSecond; of gather alone
	swept  time.Time
}

// work is what one transaction does.
type work struct {
	batch     pgsink.Batch
	positions map[*channel]pgsink.Position
	perObject map[string]*tally
	missed    map[*channel]string // events that any number of changes have none of, and why
	events    int
}

// recent names a record.
type recent struct {
	obj  *object
	sfid string
}

type last struct {
	at      int64 // milliseconds since 1970: there may be many
	deleted bool
}

func newInbound(s *session) *inbound {
	return &inbound{s: s, queue: make(chan []delivery, maxQueue), ready: make(chan *work), recent: map[recent]last{}}
}

// handle is the stream's handler. It only queues: an event counts as taken
// when it is in the queue, and as done when the applier has committed it.
func (in *inbound) handle(ctx context.Context, msgs []bayeux.Message) error {
	batch := make([]delivery, 0, min(len(msgs), maxBatch))
	var newest newest
	var events []event
	for _, m := range msgs {
		if m.Channel == canaryChannel {
			in.s.stream.heardCanary(m)
			continue
		}
		ch := in.s.stream.channel(m.Channel)
		if ch == nil {
			continue // unsubscribed meanwhile
		}
		var err error
		events, err = ch.read(events[:0], m)
		if err != nil {
			in.s.log.Warn().Str("component", "stream").Str("event", "event_unreadable").Str("channel", m.Channel).Int64("replay_id", m.ReplayID).Err(err).Msg("the next poll finds the record")
			continue
		}
		again := ch.kind == changeKind && newest.had(ch, m.ReplayID)
		for _, e := range events {
			_, at := e.position()
			in.s.stream.dog.event(ch.obj.cfg.Name, e.record(), at, time.Now())
			if again {
				e = repeated{e}
			}
			batch = append(batch, delivery{ch: ch, topic: ch.topic(), event: e})
		}
		// Not within a message: its position moves with all of its records.
		if len(batch) >= maxBatch {
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
		id, _ := d.event.position()
		d.ch.accept(d.topic, id)
	}
	return nil
}

// run applies until ctx ends.
func (in *inbound) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { in.gather(ctx); return nil })
	g.Go(func() error { in.applyAll(ctx); return nil })
	return g.Wait()
}

// gather makes work of deliveries, and adds to it until somebody takes it.
func (in *inbound) gather(ctx context.Context) {
	var w *work
	for {
		queue, ready := in.queue, in.ready
		switch {
		case w == nil:
			ready = nil
		case w.events >= maxBatch:
			queue = nil
		}
		select {
		case <-ctx.Done():
			return
		case ready <- w:
			w = nil
		case batch := <-queue:
			if w == nil {
				w = &work{positions: map[*channel]pgsink.Position{}, perObject: map[string]*tally{}, missed: map[*channel]string{}}
			}
			in.add(w, batch)
		}
	}
}

// add decides what a delivery's events do.
func (in *inbound) add(w *work, batch []delivery) {
	w.batch.Changes = slices.Grow(w.batch.Changes, len(batch))
	for _, d := range batch {
		id, at := d.event.position()
		if d.event.record() == "" {
			w.missed[d.ch] = "Salesforce has no events of many changes"
		} else {
			d.event.decide(in, d.ch.obj, &w.batch)
		}
		// Invariant 1: the position moves with what is in this batch.
		// Events that come again do not move it back.
		if p, ok := w.positions[d.ch]; !ok || p.TopicID != d.topic || p.ReplayID < id {
			w.positions[d.ch] = pgsink.Position{Channel: d.ch.name, TopicID: d.topic, ReplayID: id, EventAt: at}
		}
		t := w.perObject[d.ch.obj.cfg.Name]
		if t == nil {
			t = &tally{}
			w.perObject[d.ch.obj.cfg.Name] = t
		}
		t.events++
		t.newest = at
	}
	w.events += len(batch)
}

func (in *inbound) applyAll(ctx context.Context) {
	log := in.s.log.With().Str("component", "inbound").Logger()
	for {
		var w *work
		select {
		case <-ctx.Done():
			return
		case w = <-in.ready:
		}
		err := retry.Forever(ctx, log, "apply", func(error) bool { return true }, func(ctx context.Context) error {
			err := in.apply(ctx, w)
			if err != nil && ctx.Err() == nil {
				in.s.falter("inbound", "events cannot be stored: "+err.Error(), err)
				in.s.doubtTables(err)
			}
			return err
		})
		if err != nil {
			return // only the end of ctx ends Forever here
		}
		in.s.resume("inbound")
	}
}

// apply stores events and where the streams have come to.
func (in *inbound) apply(ctx context.Context, w *work) error {
	b := w.batch
	for ch, p := range w.positions {
		if ch.ahead(p) {
			b.Positions = append(b.Positions, p)
		}
	}
	began := time.Now()
	for ch, why := range w.missed { // before the position moves past it
		if err := in.s.stream.missed(ctx, ch, why); err != nil {
			return err
		}
	}
	res, err := in.s.sink.Apply(ctx, b)
	if err != nil {
		return err
	}
	for ch, p := range w.positions {
		if ch.ahead(p) {
			ch.applied.Store(&p)
		}
	}
	in.report(w.perObject, res, time.Since(began))
	if res.Held > 0 && in.s.writer != nil {
		in.s.writer.Suspect()
	}
	if len(b.Marks) > 0 || res.Marked > 0 || res.Held > 0 {
		in.s.wakeHydrator()
	}
	return nil
}

// topicEvent is an event of a PushTopic.
type topicEvent struct{ pushtopic.Event }

func (e topicEvent) position() (int64, time.Time) { return e.ReplayID, e.CreatedAt }
func (e topicEvent) record() string               { return e.SFID }

func (e topicEvent) decide(in *inbound, obj *object, b *pgsink.Batch) {
	mark := func(reason string) {
		b.Marks = append(b.Marks, pgsink.Mark{Object: obj.cfg.Name, SFID: e.SFID, Reason: reason})
	}
	before, deleted := in.note(recent{obj, e.SFID}, e.Event)
	if e.Type == pushtopic.TypeDeleted {
		if before {
			mark("delete within a second of another event")
			return
		}
		obj.deleted(b, e.SFID, e.CreatedAt)
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
	row, err := obj.table.DecodeEvent(e.SObject)
	if err != nil || len(row.Missing) > 0 || row.Stamp.IsZero() || row.SFID == "" {
		mark("event without every field")
		return
	}
	b.Changes = append(b.Changes, pgsink.Change{Table: obj.table, Kind: pgsink.Event, Row: row})
	in.s.echo(obj, row, b)
}

// deleted applies an event that says that a record was deleted.
func (o *object) deleted(b *pgsink.Batch, sfid string, at time.Time) {
	b.Changes = append(b.Changes, pgsink.Change{Table: o.table, Kind: pgsink.Delete, Row: pgsink.Row{SFID: sfid, Stamp: at.Truncate(time.Second)}})
	var reason string
	switch {
	case !o.loaded.Load() || o.reloading.Load() || o.bulk.Load():
		reason = "deleted during the load" // a page that was read earlier may bring it back
	case len(o.poll.Children) > 0:
		reason = pgsink.ReasonGone // the hydrator looks after its children
	default:
		return
	}
	b.Marks = append(b.Marks, pgsink.Mark{Object: o.cfg.Name, SFID: sfid, Reason: reason, DeletedAt: at})
}

// note remembers the event and reports whether another of the record, and
// whether its delete, came within a second of it.
func (in *inbound) note(key recent, e pushtopic.Event) (other, deleted bool) {
	at := e.CreatedAt.UnixMilli()
	within := func(l last, d time.Duration) bool { return max(at-l.at, l.at-at) <= d.Milliseconds() }
	if now := time.Now(); now.Sub(in.swept) > time.Minute {
		in.swept = now
		maps.DeleteFunc(in.recent, func(_ recent, l last) bool { return !within(l, time.Minute) })
	}
	l, ok := in.recent[key]
	other = ok && within(l, sameSecond)
	in.recent[key] = last{at: at, deleted: e.Type == pushtopic.TypeDeleted}
	return other, other && l.deleted
}

type tally struct {
	events int
	newest time.Time
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
