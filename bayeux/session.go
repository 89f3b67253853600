package bayeux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// Failed connects in a row after which the session is given up.
	maxConnectFailures = 3

	// A connect that comes back empty sooner than this was not held. A server
	// that keeps doing so must not be polled in a tight loop.
	heldAtLeast    = time.Second
	maxNotHeld     = 2
	maxNotHeldWait = 10 * time.Second

	// How long after a subscribe the answer of the connect beside it may take
	// to come in.
	settleWithin = 250 * time.Millisecond
)

// session is one handshake and what follows from it. It belongs to the
// goroutine of Run; only exchanges run beside it.
type session struct {
	*Client
	transport transport
	group     errgroup.Group
	answers   chan answer // has room for all exchanges there can be
	endOf     context.CancelFunc
	ctx       context.Context // of exchanges: ends with the session, not with Run

	clientID    string
	replay      bool // the handshake asked for the replay extension
	advice      advice
	lastID      int
	connectedAt time.Time
	leaveBy     time.Time // when a goodbye that has begun must be over; zero if none has

	polling  bool // a connect is with the server
	polled   bool // one has been
	pollAt   time.Time
	failures int // connects in a row that failed
	notHeld  int // connects in a row that came back empty at once

	seen    uint64             // version of the registry that members is in line with
	members map[string]*member // by subscription channel
	asking  []*member          // of the subscribe exchange under way; nil if none
	leaving []string           // to unsubscribe

	hold hold
	acks acks

	hooks      []func(context.Context) // to be called with those of the next turn
	posted     []*post                 // publishes of the exchange under way
	lingerTill time.Time

	socket    duplex // nil over long-polling
	inbox     *inbox // of the socket
	questions []*question
}

// answer is the end of an exchange.
type answer struct {
	channel string // metaConnect, or metaSubscribe for all else
	reply   reply
	err     *Error
	took    time.Duration
}

func newSession(c *Client, t transport) *session {
	return &session{
		Client: c, transport: t,
		answers: make(chan answer, 2),
		members: make(map[string]*member),
	}
}

// run is the session from handshake to its end. It waits for its exchanges.
func (s *session) run(ctx context.Context) (e end) {
	s.ctx, s.endOf = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		s.hangUp()
		if !e.gone {
			s.disconnect()
		}
		s.endOf()
		s.abandon(errors.New("the session ended before the reply"))
		_ = s.group.Wait() // exchanges report through answers
	}()

	if e := s.handshake(ctx); e != nil {
		return *e
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if e := s.advance(); e != nil {
			return *e
		}
		timer.Reset(time.Until(s.nextDue()))
		var frames chan struct{}
		if s.socket != nil {
			frames = s.inbox.wake
		}
		var t turn
		select {
		case <-ctx.Done():
			return end{act: actRenew}
		case <-s.subs.wake:
		case <-timer.C:
		case <-frames:
		case a := <-s.answers:
			s.absorb(a, &t)
			s.drain(&t)
		}
		s.receive(&t)
		if e := s.finish(ctx, &t); e != nil {
			return *e
		}
	}
}

// turn is what came of the answers of one turn of the loop.
type turn struct {
	events [][]Message // one slice per reply, in the order of arrival
	hooks  []func(context.Context)
	ack    int64 // the number of the newest reply to a connect
	end    *end
}

// drain absorbs the answer that has arrived meanwhile, if any, so that no poll
// waits for the handler of another answer.
func (s *session) drain(t *turn) {
	select {
	case a := <-s.answers:
		s.absorb(a, t)
	default:
	}
}

// finish sends what can be sent, calls the hooks and the handler, and only then
// lets the session end, so that events which came along with a failure are not
// lost.
func (s *session) finish(ctx context.Context, t *turn) *end {
	if len(t.events) == 0 {
		s.acks.last = max(s.acks.last, t.ack)
	}
	if t.end == nil && (!s.acks.on || len(t.events) == 0) {
		if e := s.advance(); e != nil {
			return e
		}
	}
	if events := s.hold.release(time.Now()); len(events) > 0 {
		t.events = append(t.events, events)
	}
	t.hooks = append(t.hooks, s.hooks...)
	s.hooks = nil
	begun := time.Now()
	if err := s.settle(ctx, t); err != nil {
		return &end{act: actAgain, err: fmt.Errorf("handler: %w", err)}
	}
	for _, q := range s.questions { // their answers were not looked at meanwhile
		q.deadline = q.deadline.Add(time.Since(begun))
	}
	return t.end
}

// handshake opens the session. It is alone in its request and the only exchange
// under way ("Bayeux 1.0, Handshake").
func (s *session) handshake(ctx context.Context) *end {
	for _, r := range s.subs.snapshot() {
		s.replay = s.replay || r.From != nil
	}
	m := request{
		Channel: metaHandshake, Version: "1.0", MinimumVersion: "1.0",
		SupportedConnectionTypes: []string{s.transport.kind()}, Ext: map[string]any{},
	}
	if s.wantsSocket() {
		m.SupportedConnectionTypes = append(m.SupportedConnectionTypes, typeWebSocket)
	}
	if s.replay {
		m.Ext["replay"] = true
	}
	if s.ack {
		m.Ext["ack"] = true
	}
	s.start(metaHandshake, answerTimeout, m)
	var a answer
	select {
	case a = <-s.answers:
	case <-ctx.Done():
		return s.unborn()
	}
	if a.err != nil {
		return s.ended(a.err, true)
	}
	i := slices.IndexFunc(a.reply.metas, func(m meta) bool { return m.Channel == metaHandshake })
	if i < 0 {
		return s.ended(&Error{Channel: metaHandshake, Err: errors.New("no reply on this channel")}, true)
	}
	reply := a.reply.metas[i]
	s.advice = s.advice.merge(reply.Advice, s.kind())
	if !reply.Successful {
		return s.ended(reply.failure(), true)
	}
	if reply.ClientID == "" {
		return s.ended(&Error{Channel: metaHandshake, Err: errors.New("no client id")}, true)
	}
	if types := reply.SupportedConnectionTypes; len(types) > 0 && !slices.Contains(types, s.transport.kind()) {
		return &end{act: actStop, gone: true, err: fmt.Errorf("%w: connection types %q only", ErrRefused, types)}
	}
	if s.replay && !reply.Ext.replay {
		s.log.Warn().Str("event", "no_replay").Msg("the server does not offer replay")
	}
	s.agreed(reply.Ext)
	s.clientID = reply.ClientID
	s.advice.reconnect = "" // had it been anything but retry, we would not be here
	s.upgrade(ctx, reply.SupportedConnectionTypes)
	s.board.update(func(st *Status) { st.ClientID, st.Transport, st.Sessions = s.clientID, s.kind(), st.Sessions+1 })
	return nil
}

// unborn is the end of a session in mid-handshake. The server may have given it
// a slot already, so the answer is waited for, to know whom to say goodbye for.
func (s *session) unborn() *end {
	s.leaveBy = time.Now().Add(disconnectTimeout)
	timer := time.NewTimer(disconnectTimeout)
	defer timer.Stop()
	select {
	case a := <-s.answers:
		for _, m := range a.reply.metas {
			if m.Channel == metaHandshake && m.Successful {
				s.clientID = m.ClientID
			}
		}
	case <-timer.C:
	}
	return &end{act: actRenew}
}

// advance sends whatever may be sent now: one subscribe or unsubscribe at a
// time, one connect at a time. The first connect waits for the first
// subscribes, so that replayed events cannot come in two replies at once.
func (s *session) advance() *end {
	if e := s.sync(); e != nil {
		return e
	}
	now := time.Now()
	if s.asking == nil {
		s.ask(now)
	}
	if s.polling || s.pollAt.After(now) || (!s.polled && s.asking != nil) {
		return nil
	}
	m := request{Channel: metaConnect, ClientID: s.clientID, ConnectionType: s.kind()}
	if s.acks.on {
		m.Ext = map[string]any{"ack": s.acks.last}
	}
	within := s.pollDeadline()
	if !s.polled {
		m.Advice = &pollAdvice{Timeout: 0} // answer at once: it brings the advice
		if !s.patient {
			within = min(within, answerTimeout)
		}
		s.patient = !s.patient // until this one is answered
	}
	s.polling, s.polled = true, true
	s.start(metaConnect, within, m)
	return nil
}

// nextDue returns when advance or the hold has something to do, far in the
// future if only an answer can change that.
func (s *session) nextDue() time.Time {
	next := time.Now().Add(time.Hour)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if !s.polling && (s.polled || s.asking == nil) {
		earlier(s.pollAt)
	}
	if s.asking == nil {
		for _, m := range s.members {
			if m.state == due {
				earlier(m.at)
			}
		}
	}
	if !s.hold.until.IsZero() {
		earlier(s.hold.until)
	}
	for _, q := range s.questions {
		earlier(q.deadline)
	}
	if len(s.members) == 0 {
		earlier(s.lingerTill)
	}
	return next
}

func (s *session) pollDeadline() time.Duration {
	if s.advice.timeout > 0 {
		return s.advice.timeout + s.pollGrace
	}
	return s.pollTimeout + s.pollGrace
}

// start sends a batch and lets its answer come to s.answers. It gives each
// message its id.
func (s *session) start(channel string, deadline time.Duration, batch ...request) {
	for i := range batch {
		if batch[i].ID == "" {
			batch[i].ID = s.nextID()
		}
	}
	if s.socket != nil {
		s.send(channel, deadline, batch)
		return
	}
	s.group.Go(func() error {
		begun := time.Now()
		r, err := s.exchange(s.ctx, channel, deadline, batch)
		s.answers <- answer{channel: channel, reply: r, err: err, took: time.Since(begun)}
		return nil
	})
}

func (s *session) nextID() string {
	s.lastID++
	return strconv.Itoa(s.lastID)
}

// exchange is one batch and the whole answer to it, read and decoded.
func (s *session) exchange(ctx context.Context, channel string, deadline time.Duration, batch []request) (reply, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no whole reply in %s", deadline))
	defer cancel()
	failed := func(err error) (reply, *Error) {
		e := asError(err)
		e.Channel = channel
		return reply{}, e
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return failed(err)
	}
	answer, err := s.transport.exchange(ctx, body)
	if err != nil {
		return failed(err)
	}
	r, err := decode(answer)
	if err != nil {
		return failed(err)
	}
	s.board.update(func(st *Status) { st.LastReply = time.Now() })
	return r, nil
}

// disconnect tells the server that the session is over, so that its slot is
// free at once. The parked connect, if any, is answered by that; what comes
// with it is not used but replayed another time.
func (s *session) disconnect() {
	if s.clientID == "" {
		return
	}
	within := disconnectTimeout
	if !s.leaveBy.IsZero() {
		within = time.Until(s.leaveBy)
	}
	_, err := s.exchange(s.ctx, metaDisconnect, within, []request{
		{Channel: metaDisconnect, ClientID: s.clientID, ID: s.nextID()},
	})
	s.log.Info().Str("event", "disconnected").AnErr("error", errOrNil(err)).Msg("session closed")
}

// errOrNil keeps a nil *Error from becoming an error that is not nil.
func errOrNil(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
