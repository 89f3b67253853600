package bayeux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// How long a server whose WebSocket was refused, or broke at once, is spoken
// to over long-polling only.
const socketPause = 10 * time.Minute

// question is a batch that went over the socket and waits for its replies.
type question struct {
	channel  string   // metaConnect, or metaSubscribe for all else
	ids      []string // not answered yet
	begun    time.Time
	deadline time.Time
	allowed  time.Duration
	metas    []meta // the answers so far
}

// upgrade goes over to a WebSocket if the server offers that, and stays with
// long-polling if it then refuses. Nothing is subscribed yet, so no event can
// be under way on the one while the other opens.
func (s *session) upgrade(ctx context.Context, offered []string) {
	up, able := s.transport.(upgrader)
	if !able || !s.wantsSocket() || !slices.Contains(offered, typeWebSocket) {
		return
	}
	d, err := up.upgrade(ctx)
	if err != nil {
		s.socketFrom = time.Now().Add(socketPause)
		s.log.Warn().Str("event", "websocket_refused").Err(err).Msg("no WebSocket, staying with long-polling")
		return
	}
	s.socket = d
	s.inbox = newInbox(s.maxReply)
	s.group.Go(func() error {
		s.inbox.fill(d)
		return nil
	})
}

// wantsSocket reports whether a WebSocket is asked for in this session.
func (s *session) wantsSocket() bool {
	return s.webSocket && !time.Now().Before(s.socketFrom)
}

// hangUp closes the socket, if there is one.
func (s *session) hangUp() {
	if s.socket == nil {
		return
	}
	s.socket.close()
	s.inbox.close()
	s.socket, s.questions = nil, nil
}

// kind is the connection type in use.
func (s *session) kind() string {
	if s.socket != nil {
		return typeWebSocket
	}
	return s.transport.kind()
}

// send writes a batch to the socket. The session is its only writer. A failure
// comes back the way of all that comes in.
func (s *session) send(channel string, allowed time.Duration, batch []request) {
	now := time.Now()
	q := &question{channel: channel, begun: now, deadline: now.Add(allowed), allowed: allowed}
	for _, m := range batch {
		q.ids = append(q.ids, m.ID)
	}
	s.questions = append(s.questions, q)
	body, err := json.Marshal(batch)
	if err == nil {
		err = s.socket.write(body)
	}
	if err != nil {
		s.inbox.add(frame{err: asError(err)})
	}
}

// receive absorbs all that has come in over the socket, in order, and then
// what is overdue.
func (s *session) receive(t *turn) {
	if s.socket == nil {
		return
	}
	for _, f := range s.inbox.take() {
		if f.err != nil {
			s.broken(f.err, t)
			return
		}
		s.board.update(func(st *Status) { st.LastReply = f.at })
		s.absorbFrame(f, t)
	}
	now := time.Now()
	for _, q := range slices.Clone(s.questions) {
		if !q.deadline.After(now) {
			s.broken(&Error{Err: fmt.Errorf("no whole reply in %s", q.allowed)}, t)
			return
		}
	}
}

// absorbFrame makes answers of the replies in a frame. The events are those of
// the connect if it is answered in the same frame.
func (s *session) absorbFrame(f frame, t *turn) {
	rest := answer{reply: reply{events: f.reply.events}}
	var whole []answer
	for _, m := range f.reply.metas {
		q := s.questionOf(&m)
		if q == nil {
			rest.reply.metas = append(rest.reply.metas, m)
			continue
		}
		q.metas = append(q.metas, m)
		if len(q.ids) > 0 {
			continue
		}
		s.questions = slices.DeleteFunc(s.questions, func(other *question) bool { return other == q })
		a := answer{channel: q.channel, reply: reply{metas: q.metas}, took: f.at.Sub(q.begun)}
		if q.channel == metaConnect {
			a.reply.events, rest.reply.events = rest.reply.events, nil
		}
		whole = append(whole, a)
	}
	s.absorb(rest, t)
	for _, a := range whole {
		s.absorb(a, t)
	}
}

// questionOf returns the question that m answers, nil if there is none, and
// ticks it off there. A connect is known without its id, there is but one.
func (s *session) questionOf(m *meta) *question {
	for _, q := range s.questions {
		i := slices.Index(q.ids, string(m.ID))
		if i < 0 && q.channel == metaConnect && m.Channel == metaConnect && m.ID == "" {
			i = 0
		}
		if i >= 0 {
			q.ids = slices.Delete(q.ids, i, i+1)
			return q
		}
	}
	return nil
}

// broken is the end of the socket. If events can be lost with it, it is the end
// of the session too; with acknowledgement the server sends again what was
// under way, and the session goes on over long-polling.
func (s *session) broken(e *Error, t *turn) {
	e.Channel = metaConnect
	if s.connectedAt.IsZero() || time.Since(s.connectedAt) < stableAfter {
		s.socketFrom = time.Now().Add(socketPause)
	}
	asking := s.asking != nil
	s.hangUp()
	s.closeIdle() // what broke the socket has often broken them: a goodbye over one would be lost
	s.board.update(func(st *Status) { st.Transport = s.kind() })
	s.absorb(answer{channel: metaConnect, err: e}, t)
	if asking {
		s.askDone(t)
	}
}

// frame is one batch from the server, or the end of them.
type frame struct {
	reply reply
	err   *Error
	at    time.Time
	size  int64
}

// inbox holds the frames that came in while the session was busy. It holds as
// many bytes as a reply may have; what is more waits at the server.
type inbox struct {
	wake chan struct{} // one pending notice at most

	mu     sync.Mutex
	room   sync.Cond
	frames []frame
	size   int64
	limit  int64
	closed bool
}

func newInbox(limit int64) *inbox {
	b := &inbox{wake: make(chan struct{}, 1), limit: limit}
	b.room.L = &b.mu
	return b
}

// fill reads from d until that fails or ends.
func (b *inbox) fill(d duplex) {
	for {
		raw, err := d.read()
		f := frame{at: time.Now(), size: int64(len(raw))}
		if err == nil {
			f.reply, err = decode(raw)
		}
		if err != nil {
			f.err = asError(err)
		}
		if !b.add(f) || f.err != nil {
			return
		}
	}
}

// add waits for room, and returns false if nobody wants the frame any more.
// Failures need no room.
func (b *inbox) add(f frame) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f.err == nil && b.size >= b.limit && !b.closed {
		b.room.Wait()
	}
	if b.closed {
		return false
	}
	b.frames = append(b.frames, f)
	b.size += f.size
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

func (b *inbox) take() []frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	frames := b.frames
	b.frames, b.size = nil, 0
	b.room.Broadcast()
	return frames
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}

// asError returns err as an *Error.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Err: err}
	}
	return e
}
