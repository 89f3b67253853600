package bayeux

import (
	"context"
	"time"
)

// Failed connects in a row after which a session with acknowledgement is given
// up. There are more of them than without, since giving up may lose events.
const maxAckFailures = 8

// acks is the client's part of CometD's acknowledgement extension ("CometD
// Reference, Acknowledge Extension"): each reply to a connect has a number, the
// next connect says which was the last, and the server sends again what came
// after it. It sends events on replies to connects only, so they are in order.
type acks struct {
	on    bool  // agreed on in the handshake
	last  int64 // of the last reply that the handler is done with
	fails int   // handler errors in a row
}

// agreed takes in what the server says to the offer in the handshake.
func (s *session) agreed(ext metaExt) {
	s.acks.on = s.ack && ext.ackOn
	if s.ack && !s.acks.on {
		s.log.Warn().Str("event", "no_acknowledgement").Msg("the server does not offer acknowledgement")
	}
}

// again asks for the last reply once more, in the same session, if the server
// keeps it: when the reply was lost, and when the handler failed on it.
func (s *session) again(attempt int, why error, t *turn) bool {
	if !s.acks.on || t.end != nil || attempt >= maxAckFailures {
		return false
	}
	wait := s.quick(attempt)
	s.pollAt = time.Now().Add(wait)
	s.log.Warn().Str("event", "asking_again").Err(why).Int("attempt", attempt).
		Int64("wait_ms", wait.Milliseconds()).Msg("asking for the unacknowledged events again")
	return true
}

// settle delivers what came in and acknowledges it with the next connect.
func (s *session) settle(ctx context.Context, t *turn) error {
	err := s.deliver(ctx, t)
	if !s.acks.on {
		return err
	}
	if err != nil {
		if s.acks.fails++; s.again(s.acks.fails, err, t) {
			return nil
		}
		return err
	}
	s.acks.fails = 0
	s.acks.last = max(s.acks.last, t.ack)
	return nil
}
