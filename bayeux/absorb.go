package bayeux

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// absorb takes in an answer: what it says about the session at once, its hooks
// and events into t.
func (s *session) absorb(a answer, t *turn) {
	connect := a.channel == metaConnect
	if connect {
		s.polling = false
		s.hold.settle(time.Now())
	}
	var poll *meta // the reply to our connect
	for i := range a.reply.metas {
		m := &a.reply.metas[i]
		switch m.Channel {
		case metaConnect:
			poll = m
		case metaSubscribe:
			s.answered(m, t)
		case metaUnsubscribe:
			if !m.Successful {
				s.doubt(m, t)
			}
		case metaDisconnect:
			// Unasked: "Streaming API Developer Guide, How the Client Connects".
			t.fail(end{act: actResume, gone: true, err: errors.New("the server ended the session")})
		default:
			s.published(m)
		}
	}
	if a.err != nil {
		s.unanswered(a, t)
	}
	if a.channel == metaSubscribe {
		s.hold.carried = len(a.reply.events) > 0
		s.askDone(t)
	}
	if events := s.hold.take(a.reply.events); len(events) > 0 {
		t.add(events, s.socket != nil)
	}
	switch {
	case poll != nil && poll.Successful:
		s.pollOK(a, poll, t)
	case poll != nil:
		s.pollFailed(poll, t)
	case connect && a.err == nil:
		t.fail(*s.ended(&Error{Channel: metaConnect, Err: errors.New("no reply on this channel")}, false))
	}
}

// add adds the events of a reply. Those that came over a socket in many small
// frames become one call of the handler.
func (t *turn) add(events []Message, joined bool) {
	if last := len(t.events) - 1; joined && last >= 0 {
		t.events[last] = append(t.events[last], events...)
		return
	}
	t.events = append(t.events, events)
}

// fail ends the session after this turn. The first reason counts, except that a
// session the server has ended needs no goodbye.
func (t *turn) fail(e end) {
	if t.end == nil {
		t.end = &e
		return
	}
	t.end.gone = t.end.gone || e.gone
}

// ended makes the end of a session of a failure that is not actRetry.
func (s *session) ended(e *Error, gone bool) *end {
	act := decide(e, s.advice)
	if act == actRetry {
		act = actAgain
	}
	var err error = e
	if act == actStop {
		err = fmt.Errorf("%w: %w", ErrRefused, e)
	}
	// Without a session or a good token there is nothing to disconnect.
	gone = gone || act == actLogin || e.UnknownClient()
	return &end{act: act, wait: max(s.advice.interval, e.retryAfter), err: err, gone: gone}
}

// unanswered ends the session when an exchange brought no usable reply. There
// may have been events in it that the server will not send again. If the reply
// was too large, it would be again.
func (s *session) unanswered(a answer, t *turn) {
	e := s.ended(a.err, false)
	if a.channel == metaConnect && e.act == actAgain && !a.err.TooLarge() {
		if s.failures++; s.again(s.failures, a.err, t) {
			return
		}
	}
	t.fail(*e)
	if !a.err.TooLarge() {
		return
	}
	members := s.asking
	if a.channel == metaConnect {
		members = nil
		for _, m := range s.members {
			if m.state == live && m.From != nil {
				members = append(members, m)
			}
		}
	}
	for _, m := range members {
		e := *a.err
		e.Subscription = m.Channel
		t.hooks = append(t.hooks, func(ctx context.Context) { s.judge(ctx, m, &e) })
	}
}

func (s *session) pollOK(a answer, reply *meta, t *turn) {
	s.advice = s.advice.merge(reply.Advice, s.kind())
	if s.connectedAt.IsZero() {
		s.connectedAt = time.Now()
		s.patient = a.took >= answerTimeout
		s.board.enter(Connected)
		s.board.update(func(st *Status) { st.LastError = nil })
		s.log.Info().Str("event", "connected").Msg("session open")
	}
	s.failures = 0
	t.ack = max(t.ack, reply.Ext.ack)
	wait := s.advice.interval
	if len(a.reply.events) > 0 || a.took >= heldAtLeast {
		s.notHeld = 0
	} else if s.notHeld++; s.notHeld > maxNotHeld && wait < heldAtLeast {
		wait = max(wait, min(s.quick(s.notHeld-maxNotHeld), maxNotHeldWait))
	}
	s.pollAt = time.Now().Add(wait)

	switch {
	case s.advice.reconnect == reconnectHandshake:
		t.fail(end{act: actResume, wait: wait, err: errors.New("the server advised a new handshake")})
	case s.advice.reconnect == reconnectNone:
		t.fail(end{act: actStop, err: fmt.Errorf("%w: the server advised against reconnecting", ErrRefused)})
	case s.advice.never:
		t.fail(end{act: actAgain, err: errors.New("the server advised against connecting again")})
	}
}

func (s *session) pollFailed(reply *meta, t *turn) {
	s.advice = s.advice.merge(reply.Advice, s.kind())
	e := reply.failure()
	s.failures++
	if decide(e, s.advice) != actRetry || s.failures >= maxConnectFailures {
		t.fail(*s.ended(e, false))
		return
	}
	wait := max(s.advice.interval, s.quick(s.failures))
	s.pollAt = time.Now().Add(wait)
	s.log.Warn().Str("event", "connect_failed").Err(e).Int("attempt", s.failures).
		Int64("wait_ms", wait.Milliseconds()).Msg("connect failed, trying again")
}

// doubt ends the session if a failed reply speaks of all of it.
func (s *session) doubt(reply *meta, t *turn) bool {
	s.advice = s.advice.merge(reply.Advice, s.kind())
	e := reply.failure()
	if e.Unauthorized() || e.UnknownClient() || e.orgLimit() || s.advice.reconnect == reconnectHandshake {
		t.fail(*s.ended(e, false))
		return true
	}
	return false
}
