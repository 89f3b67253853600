package bridge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/retry"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

const (
	// verifyEvery is how often the topics are compared with what they should be.
	verifyEvery = 10 * time.Minute
	// streamDownAfter is how long the stream may be away before it counts as
	// stopped: short enough to be seen within a minute, long enough for a lost
	// session, which heals in seconds.
	streamDownAfter = 20 * time.Second
	replayNewOnly   = -1
)

// stream keeps the topics of the streamed objects and one Bayeux session for
// all of them.
type stream struct {
	s      *session
	client *bayeux.Client
	log    zerolog.Logger

	mu       sync.Mutex
	channels map[string]*channel
}

// channel is one topic and how far its events have been taken.
type channel struct {
	name string
	obj  *object

	mu       sync.Mutex
	topicID  string
	accepted int64 // newest event in the queue or in the database; 0 = none yet
}

func (c *channel) accept(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted = id
}

// from is where the next subscription begins.
func (c *channel) from() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accepted <= 0 {
		return replayNewOnly
	}
	return c.accepted
}

func newStream(s *session) (*stream, error) {
	st := &stream{s: s, log: s.log.With().Str("component", "stream").Logger(), channels: map[string]*channel{}}
	client, err := bayeux.New(st.credentials, s.in.handle, bayeux.WithLogger(s.log))
	if err != nil {
		return nil, err
	}
	st.client = client
	return st, nil
}

func (st *stream) credentials(ctx context.Context, refused string) (endpoint, token string, err error) {
	sess, err := st.s.sf.Token(ctx, refused)
	if err != nil {
		return "", "", err
	}
	return sess.InstanceURL + "/cometd/" + st.s.cfg.Salesforce.APIVersion, sess.Token, nil
}

func (st *stream) channel(name string) *channel {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.channels[name]
}

// run keeps topics and session until ctx ends. Positions are those that the
// last process committed.
func (st *stream) run(ctx context.Context, positions map[string]pgsink.Position) error {
	for _, o := range st.s.objects {
		if o.cfg.Mode == config.ModeCDC {
			st.fallBack(o, "Change Data Capture is not available in this version; it is polled")
		}
	}
	_ = retry.Forever(ctx, st.log, "topics", func(error) bool { return true }, func(ctx context.Context) error { return st.verify(ctx, positions) })
	for ctx.Err() == nil {
		if !st.any() {
			// Nothing to subscribe to: no session, but the next look at the topics may
			// find that the reason has gone.
			sleep(ctx, verifyEvery)
			st.verifyAgain(ctx, positions)
			continue
		}
		err := st.client.Run(ctx)
		if err == nil {
			return nil // ctx has ended
		}
		st.log.Error().Str("event", "stream_ended").Err(err).Dur("wait_ms", time.Minute).Msg("no retry heals this; polling goes on")
		st.s.stop("stream", fmt.Sprintf("the stream ended: %v", err))
		sleep(ctx, time.Minute)
	}
	return nil
}

// keep verifies the topics every ten minutes and watches the session, until
// ctx ends.
func (st *stream) keep(ctx context.Context, positions map[string]pgsink.Position) error {
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	verified := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		st.watch()
		if time.Since(verified) > verifyEvery && st.any() {
			verified = time.Now()
			st.verifyAgain(ctx, positions)
		}
	}
}

func (st *stream) any() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.channels) > 0
}

func (st *stream) verifyAgain(ctx context.Context, positions map[string]pgsink.Position) {
	if err := st.verify(ctx, positions); err != nil && ctx.Err() == nil {
		st.log.Warn().Str("event", "topics_unverified").Err(err).Msg("topics could not be compared")
	}
}

// verify makes every streamed object's topic what it should be, subscribes new
// ones, and removes our topics of objects that are no longer streamed.
func (st *stream) verify(ctx context.Context, positions map[string]pgsink.Position) error {
	var keep []string
	for _, o := range st.s.objects {
		if o.cfg.Mode != config.ModeStreaming {
			continue
		}
		keep = append(keep, pushtopic.Name(o.cfg.Name))
		if err := st.ensure(ctx, o, positions); err != nil {
			why, final := refused(err)
			if !final {
				return err
			}
			st.fallBack(o, why)
		}
	}
	removed, err := pushtopic.Remove(ctx, topics{st.s.sf}, keep)
	for _, name := range removed {
		st.log.Info().Str("event", "topic_removed").Str("topic", name).Msg("no longer streamed")
	}
	if _, final := refused(err); final {
		return nil // polled objects need no topics to be removed
	}
	return err
}

func (st *stream) ensure(ctx context.Context, o *object, positions map[string]pgsink.Position) error {
	spec, err := pushtopic.Plan(o.cfg.Name, o.custom, o.topic, st.s.cfg.Salesforce.APIVersion)
	if err != nil {
		return err
	}
	topic, _, action, err := pushtopic.Ensure(ctx, topics{st.s.sf}, spec)
	if err != nil {
		return err
	}
	if action != pushtopic.Kept {
		st.log.Info().Str("event", "topic_"+action.String()).Str("object", o.cfg.Name).Str("topic", topic.Name).Msg("topic set up")
	}
	name := "/topic/" + topic.Name
	if ch := st.channel(name); ch != nil {
		ch.mu.Lock()
		foreign := ch.topicID != topic.ID
		if foreign {
			// Another topic of the same name has another history.
			ch.topicID, ch.accepted = topic.ID, 0
		}
		ch.mu.Unlock()
		if foreign {
			st.gap(ctx, ch, "topic was made anew")
			st.client.Unsubscribe(name)
			st.subscribe(ch)
		}
		return nil
	}
	ch := &channel{name: name, obj: o, topicID: topic.ID}
	if p, ok := positions[name]; ok {
		if p.TopicID == topic.ID {
			ch.accepted = p.ReplayID
		} else {
			st.gap(ctx, ch, "topic was made anew")
		}
	}
	st.mu.Lock()
	st.channels[name] = ch
	st.mu.Unlock()
	st.subscribe(ch)
	return nil
}

func (st *stream) subscribe(ch *channel) {
	st.client.Subscribe(bayeux.Subscription{
		Channel:   ch.name,
		From:      ch.from,
		Confirmed: func(context.Context) { st.confirmed(ch) },
		Refused:   func(ctx context.Context, err *bayeux.Error) bayeux.Verdict { return st.refused(ctx, ch, err) },
	})
}

func (st *stream) confirmed(ch *channel) {
	ch.obj.streamed.Store(true)
	st.log.Info().Str("event", "subscribed").Str("object", ch.obj.cfg.Name).Str("channel", ch.name).Int64("replay_id", ch.from()).Msg("subscribed")
	st.s.board.Object(ch.obj.cfg.Name, func(o *status.Object) { o.ModeEffective, o.Message = config.ModeStreaming, "" })
	if ch.from() == replayNewOnly {
		// What happened before the subscription is nobody's but the poll's.
		ch.obj.wantPoll()
	}
}

// refused decides what a refused subscription means for its object.
func (st *stream) refused(ctx context.Context, ch *channel, err *bayeux.Error) bayeux.Verdict {
	ch.obj.streamed.Store(false)
	switch {
	case err.ReplayInvalid():
		ch.mu.Lock()
		ch.accepted = 0
		ch.mu.Unlock()
		st.gap(ctx, ch, "the stream no longer holds the events since the last position")
		return bayeux.Again
	case err.Busy():
		return bayeux.Retry
	case err.Code == 403 || err.Code == 400:
		st.mu.Lock()
		delete(st.channels, ch.name)
		st.mu.Unlock()
		st.fallBack(ch.obj, "Salesforce refuses the subscription ("+err.Text+"); it is polled")
		return bayeux.Drop
	}
	return bayeux.Retry
}

// fallBack makes o a polled object and says so once.
func (st *stream) fallBack(o *object, why string) {
	if o.fallback == why {
		return
	}
	o.fallback = why
	o.streamed.Store(false)
	st.log.Warn().Str("event", "polling_only").Str("object", o.cfg.Name).Str("reason", why).Msg("object is polled")
	st.s.board.Object(o.cfg.Name, func(b *status.Object) { b.ModeEffective, b.Message = config.ModePolling, why })
}

// watch shows the session's state and whether it has been away too long.
func (st *stream) watch() {
	state := st.client.Status()
	text := "off"
	switch {
	case !st.any():
	case state.State == bayeux.Connected:
		text = "connected"
		st.s.resume("stream")
	case time.Since(state.Since) > streamDownAfter:
		text = "waiting"
		reason := "not connected"
		if state.LastError != nil {
			reason = state.LastError.Error()
		}
		st.s.stop("stream", reason)
	default:
		text = "connecting"
	}
	if state.State != bayeux.Connected {
		for _, o := range st.s.objects {
			o.streamed.Store(false)
		}
	}
	st.s.board.Connection(func(c *status.Connection) { c.Streaming = text })
}
