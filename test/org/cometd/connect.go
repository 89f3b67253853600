package cometd

import (
	"time"
)

// connect answers a poll: the first one of a session at once and with advice,
// the others when there is something to say or the hold time is over. It holds
// the server's lock when it is called and when it returns.
func (s *Server) connect(x *exchange, m *request) reply {
	s.connects++
	sess, refusal := s.lookup(x, m)
	if refusal != nil {
		return refusal
	}
	if s.forgetEvery > 0 && s.connects%s.forgetEvery == 0 {
		s.remove(sess, endGone)
		x.session = nil
		return m.unknown()
	}
	if m.ConnectionType != "long-polling" {
		return m.fail(sess.id, "400::Invalid connection type {"+m.ConnectionType+"}")
	}
	sess.release(endNow) // a session has one poll: the newer one wins
	sess.parked = nil

	r := m.reply(sess.id)
	crowded := s.crowded(sess)
	if crowded || sess.multi || !sess.opened {
		r["advice"] = s.advice(crowded)
	}
	hold := x.alone && sess.opened && !crowded && !sess.ending && !s.closed && len(s.controls[metaConnect]) == 0
	if t := m.Advice.Timeout; t != nil && *t == 0 {
		hold = false
	}
	sess.opened, sess.multi = true, crowded
	why := endNow
	if hold {
		why = s.park(x, sess)
	}
	if x.gone {
		return nil
	}
	switch why {
	case endGone:
		if !sess.ending {
			x.session = nil
			return m.unknown()
		}
	case endRefused:
		r = m.fail(sess.id, errAuthInvalid)
		r["advice"] = reply{"reconnect": "none", "interval": 0}
		return r
	case endLeft:
		x.session = nil
		r["advice"] = reply{"reconnect": "none"}
		return r
	}
	return s.spend(x, sess, m, r)
}

// advice is what a connect reply carries when the client has to learn it.
func (s *Server) advice(crowded bool) reply {
	a := reply{"interval": 0, "timeout": s.cfg.Hold.Milliseconds(), "reconnect": "retry"}
	if crowded {
		a["interval"] = s.cfg.MultiInterval.Milliseconds()
		a["multiple-clients"] = true
	}
	return a
}

// park waits until the session has events, the hold time is over, or somebody
// ends the poll. It gives the lock back while it waits.
func (s *Server) park(x *exchange, sess *session) ending {
	p := &poll{bell: make(chan struct{}, 1)}
	sess.parked = p
	hold := time.NewTimer(s.cfg.Hold)
	defer hold.Stop()
	for {
		out, wait := s.pending(sess)
		if p.end != endNone || len(out) > 0 {
			break
		}
		var pickup <-chan time.Time
		var t *time.Timer
		if wait > 0 {
			t = time.NewTimer(wait)
			pickup = t.C
		}
		over := false
		s.mu.Unlock()
		select {
		case <-p.bell:
		case <-pickup:
		case <-hold.C:
			over = true
		case <-x.r.Context().Done():
			x.gone = true
		}
		s.mu.Lock()
		if t != nil {
			t.Stop()
		}
		if over || x.gone {
			break
		}
	}
	if sess.parked == p {
		sess.parked = nil
		sess.last = time.Now()
	}
	return p.end
}

// spend hands out what is pending, within the day's allocation. When that is
// used up the subscriptions end with it (Streaming API Developer Guide,
// "Streaming API Error Codes").
func (s *Server) spend(x *exchange, sess *session, m *request, r reply) reply {
	out, wait := s.pending(sess)
	if wait > 0 {
		out = nil
	}
	if left, limited := s.allowance(); limited && left == 0 && len(sess.subs) > 0 {
		for key, sub := range sess.subs {
			delete(sub.channel.subs, sess)
			delete(sess.subs, key)
		}
		return m.fail(sess.id, errEventLimit)
	}
	x.events = s.take(out)
	return r
}
