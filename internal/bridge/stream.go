package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/beat"
	"hcbridge/internal/retry"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
)

const (
	watchEvery = time.Second
	// streamDownAfter is how long the stream may be away before it counts as
	// stopped: short enough to be seen within a minute, long enough for a lost
	// session, which heals in seconds.
	streamDownAfter = 20 * time.Second
	maxDenied       = 5 // times in a row, half a minute, before the object of a channel is polled
)

// stream keeps the topics and change events of the streamed objects and one
// Bayeux session for all of them.
type stream struct {
	s        *session
	client   *bayeux.Client
	log      zerolog.Logger
	dog      *watchdog
	canaryID string        // of the canary's channel, "" if there is none; of keep alone
	caged    bool          // there is none, and none is to be looked for; of keep alone
	up       time.Time     // when the session was last seen connected; of keep alone
	down     bool          // that is long ago; of keep alone
	name     string        // of this bridge, for its topics; of keep alone
	wake     chan struct{} // capacity 1: the topics are to be verified, or there are chores

	mu       sync.Mutex
	channels map[string]*channel
	chores   []func(context.Context) error // of hooks, which must not wait for the database
	doubted  bool                          // a topic is perhaps not what it was
	renew    context.CancelFunc            // ends the present session
	token    string                        // the last one given out
	distrust bool                          // and it is not to be used again
	shown    map[string]string             // objects shown as suspect, and why
}

// channel is one topic, or the change events of one object, and how far its
// events have been taken.
type channel struct {
	name   string
	obj    *object
	kind   kind
	denied int // times in a row; of hooks alone

	away   time.Time // since when it is not subscribed in a session that works; of keep alone
	polled time.Time // when that had it polled last; of keep alone

	mu       sync.Mutex
	refusal  string // why it was not subscribed, when it was asked for last
	topicID  string // "" for change events
	accepted int64  // newest event in the queue or in the database; 0 = none yet
	wanted   bool   // subscribed, or to be

	applied atomic.Pointer[pgsink.Position] // newest that was committed; nil = none yet; set by the applier alone
}

// ahead reports whether p is not committed yet.
func (c *channel) ahead(p pgsink.Position) bool {
	was := c.applied.Load()
	return was == nil || p.TopicID != was.TopicID || p.ReplayID > was.ReplayID
}

// accept notes that events of a topic up to id are in the queue. Events that
// come again move nothing: ids of a channel only grow.
func (c *channel) accept(topicID string, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topicID == topicID {
		c.accepted = max(c.accepted, id)
	}
}

// from is where the next subscription begins.
func (c *channel) from() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accepted <= 0 {
		return bayeux.FromNew
	}
	return c.accepted
}

// forget begins anew, with the events of topic id from now on.
func (c *channel) forget(topicID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topicID, c.accepted = topicID, 0
}

func (c *channel) topic() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topicID
}

// want notes whether the channel is to be subscribed, and returns what was.
func (c *channel) want(on bool) (was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, c.wanted = c.wanted, on
	return was
}

// refuse notes why the channel is not subscribed, "" if it is.
func (c *channel) refuse(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = why
}

// missing reports whether the channel is to be subscribed, and why it last was not.
func (c *channel) missing() (wanted bool, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted, c.refusal
}

func newStream(s *session) (*stream, error) {
	st := &stream{
		s: s, log: s.log.With().Str("component", "stream").Logger(), dog: newWatchdog(), wake: make(chan struct{}, 1),
		up: time.Now(), channels: map[string]*channel{}, shown: map[string]string{}, renew: func() {},
	}
	client, err := bayeux.New(st.credentials, s.in.handle, bayeux.WithLogger(s.log))
	if err != nil {
		return nil, err
	}
	st.client = client
	for _, o := range s.objects {
		o.poll.Streamed = func() bool { return o.streamed.Load() && client.Status().State == bayeux.Connected }
		if o.cfg.Mode == config.ModePolling {
			continue // its changes say nothing of topics
		}
		if o.cfg.Mode == config.ModeCDC {
			st.dog.remember(o.cfg.Name, rememberChanges)
		}
		o.poll.Found = func(sfid string, stamp time.Time) { st.dog.found(o.cfg.Name, sfid, stamp, time.Now()) }
	}
	return st, nil
}

func (st *stream) credentials(ctx context.Context, refused string) (endpoint, token string, err error) {
	var failure *bayeux.Error
	if refused != "" && errors.As(st.client.Status().LastError, &failure) && !failure.Unauthorized() {
		st.s.sf.Doubt(refused) // the trouble is the instance; the token serves others well
		refused = ""
	}
	st.mu.Lock()
	if st.distrust && refused == "" {
		refused = st.token
	}
	st.mu.Unlock()
	sess, err := st.s.sf.Token(ctx, refused)
	if err != nil {
		return "", "", err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.token, st.distrust = sess.Token, false
	return sess.InstanceURL + "/cometd/" + st.s.cfg.Salesforce.APIVersion, sess.Token, nil
}

func (st *stream) channel(name string) *channel {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.channels[name]
}

// add takes up a channel, and shows of when the last event is that was stored before.
func (st *stream) add(ch *channel, p pgsink.Position) {
	st.mu.Lock()
	st.channels[ch.name] = ch
	st.mu.Unlock()
	if p.EventAt.IsZero() {
		return
	}
	st.s.board.Object(ch.obj.cfg.Name, func(b *status.Object) {
		if b.LastEventAt == nil {
			b.LastEventAt = &p.EventAt
		}
	})
}

func (st *stream) all() []*channel {
	st.mu.Lock()
	defer st.mu.Unlock()
	list := make([]*channel, 0, len(st.channels))
	for _, ch := range st.channels {
		list = append(list, ch)
	}
	return list
}

// any reports whether there is anything to subscribe to.
func (st *stream) any() bool {
	return slices.ContainsFunc(st.all(), func(ch *channel) bool {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		return ch.wanted
	})
}

// run keeps the session until ctx ends. A server that refuses us for good is
// asked again all the same, ever more rarely and each time with a new token:
// its reasons pass too, and nobody may be there to start us again.
func (st *stream) run(ctx context.Context) error {
	refusals := 0
	for ctx.Err() == nil {
		sctx, cancel := context.WithCancel(ctx)
		st.mu.Lock()
		st.renew = cancel
		st.mu.Unlock()
		sessions := st.client.Status().Sessions
		err := st.client.Run(sctx)
		cancel()
		if err == nil {
			continue // a new session is wanted, or ctx has ended
		}
		if st.client.Status().Sessions > sessions {
			refusals = 0 // it was good for some time
		}
		refusals++
		wait := retry.Delay(refusals, refusedWait, time.Hour)
		st.log.Error().Str("event", "stream_refused").Err(err).Int("attempt", refusals).Dur("wait_ms", wait).Msg("the stream is refused; polling goes on")
		st.s.stop("stream", fmt.Sprintf("the stream is refused: %v", err))
		st.mu.Lock()
		st.distrust = true
		st.mu.Unlock()
		sleep(ctx, wait)
	}
	return nil
}

// refusedWait is the wait after the first refusal, half of it more or less.
const refusedWait = 40 * time.Second

// keep verifies the topics and watches the session, until ctx ends.
func (st *stream) keep(ctx context.Context, positions map[string]pgsink.Position) error {
	timer := time.NewTimer(beat.Wait(watchEvery))
	defer timer.Stop()
	st.rouse()
	var looks looks
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			timer.Reset(beat.Wait(watchEvery))
			st.watch(ctx)
		case <-st.wake:
		}
		st.work(ctx)
		state := st.client.Status()
		sessions := state.Sessions
		if !looks.due(time.Now(), sessions, st.doubtful(), st.dog.restless() || st.givenUp()) {
			continue
		}
		if state.State == bayeux.Idle {
			sessions++ // the next is of what this look subscribes to
		}
		err := st.verify(ctx, positions)
		if wait := looks.looked(time.Now(), sessions, err); err != nil && ctx.Err() == nil {
			st.log.Warn().Str("event", "topics_unverified").Err(err).Int("attempt", looks.failures).Dur("wait_ms", wait).Msg("topics could not be compared")
			if looks.failures > 1 { // one may be a moment's
				st.s.stop("topics", err.Error())
			}
		} else if err == nil {
			st.s.resume("topics")
		}
	}
}

// later has fn done by keep, again and again until it works.
func (st *stream) later(fn func(context.Context) error) {
	st.mu.Lock()
	st.chores = append(st.chores, fn)
	st.mu.Unlock()
	st.rouse()
}

func (st *stream) rouse() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// work does the chores in their order, up to the first that fails.
func (st *stream) work(ctx context.Context) {
	for {
		st.mu.Lock()
		if len(st.chores) == 0 {
			st.mu.Unlock()
			return
		}
		fn := st.chores[0]
		st.mu.Unlock()
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := fn(wait)
		cancel()
		if err != nil {
			return
		}
		st.mu.Lock()
		st.chores = st.chores[1:]
		st.mu.Unlock()
	}
}

func (st *stream) subscribe(ch *channel) {
	ch.want(true)
	st.client.Subscribe(bayeux.Subscription{
		Channel:   ch.name,
		From:      ch.from,
		Confirmed: func(context.Context) { st.confirmed(ch) },
		Refused:   func(_ context.Context, err *bayeux.Error) bayeux.Verdict { return st.refused(ch, err) },
	})
}

func (st *stream) confirmed(ch *channel) {
	ch.denied = 0
	ch.refuse("")
	ch.obj.streamed.Store(true)
	st.dog.live(ch.obj.cfg.Name, true, st.s.sf.ServerTime())
	st.recover(ch.obj)
	st.log.Info().Str("event", "subscribed").Str("object", ch.obj.cfg.Name).Str("channel", ch.name).Int64("replay_id", ch.from()).Msg("subscribed")
	if ch.from() == bayeux.FromNew {
		// What happened before the subscription is nobody's but the poll's.
		ch.obj.wantPoll()
	}
	st.endGap(ch.obj)
}

// refused decides what a refused subscription means for its object.
func (st *stream) refused(ch *channel, err *bayeux.Error) bayeux.Verdict {
	ch.obj.streamed.Store(false)
	ch.refuse(cmp.Or(err.Text, err.Error()))
	text := strings.ToLower(err.Text)
	switch {
	case err.ReplayInvalid():
		ch.forget(ch.topic())
		st.gap(ch, "the stream no longer holds the events since the last position")
		return bayeux.Again
	case err.TooLarge():
		st.forget(ch, "more events came at once than fit into memory")
		return bayeux.Again
	case err.NoReply():
		// Perhaps to its position, that the server holds no more.
		if ch.denied++; ch.denied%maxDenied == 0 && ch.from() != bayeux.FromNew {
			st.forget(ch, "Salesforce does not answer a subscription from the last position")
			return bayeux.Again
		}
		return bayeux.Retry
	case err.Busy(), err.LimitExceeded():
		return bayeux.Retry
	case strings.HasSuffix(text, "_denied") && ch.denied < maxDenied:
		// It names no reason, and may be a moment's: the topic was just made, or gone.
		ch.denied++
		st.doubt()
		return bayeux.Retry
	case ch.kind == changeKind && err.Code >= 400 && err.Code < 500:
		ch.want(false)
		st.fallBack(ch.obj, noChangeEvents(ch.obj, err))
		return bayeux.Drop
	case err.Code == 404, strings.Contains(text, "doesn't exist"):
		st.doubt() // somebody has deleted the topic
		return bayeux.Retry
	case err.Code == 403 || err.Code == 400:
		ch.want(false)
		st.fallBack(ch.obj, "Salesforce refuses the subscription ("+err.Text+"); it is polled")
		return bayeux.Drop
	}
	return bayeux.Retry
}

// forget has a channel begin anew, from now on, and polls for what is missing then.
func (st *stream) forget(ch *channel, why string) {
	ch.forget(ch.topic())
	st.gap(ch, why)
}
