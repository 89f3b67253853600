package cometd

import "slices"

// faults is what a test has told the server to do wrong.
type faults struct {
	forgetEvery      int
	muted            bool
	refuseHandshakes int
	handshakeReason  string
	refusals         []refusal
	controls         map[string][]control
	copies           int
	drop             func(channel string, replayID int64) bool
}

type refusal struct {
	channel, text, reason string
	times                 int
}

type control func(request, reply map[string]any) []map[string]any

// Forget loses all sessions, as when an application server is replaced. Parked
// polls are answered with "403::Unknown client".
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		s.remove(sess, endGone)
	}
}

// ForgetEvery loses the session of every nth connect; 0 stops that.
func (s *Server) ForgetEvery(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetEvery = n
}

// DisconnectAll ends all sessions from the server's side: their next reply, or
// the parked poll at once, carries an unsolicited /meta/disconnect.
func (s *Server) DisconnectAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		sess.ending = true
		sess.release(endNow)
	}
}

// ExpireReplay forgets the stored events of a channel, or of all channels for
// "", so that no replay id given before is valid.
func (s *Server) ExpireReplay(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if name == "" || c.name == name {
			s.trim(c, len(c.events))
		}
	}
}

// Mute stops all deliveries while sessions stay healthy. Events published
// meanwhile are stored for replay, but are never sent to who listened.
func (s *Server) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.muted = on
	if !on {
		for _, sess := range s.sessions {
			sess.wake()
		}
	}
}

// RefuseHandshake refuses the next handshakes with a failure reason such as
// "503::Server is too busy.  Please try your request again later.".
func (s *Server) RefuseHandshake(reason string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshakeReason, s.refuseHandshakes = reason, times
}

// RefuseSubscribe refuses the next subscribes to a channel ("" for any) with
// an error and, if it is not empty, a failure reason. With times 0 no more are
// refused from now on.
func (s *Server) RefuseSubscribe(name, text, reason string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if times == 0 {
		s.refusals = slices.DeleteFunc(s.refusals, func(r refusal) bool { return name == "" || r.channel == name })
		return
	}
	s.refusals = append(s.refusals, refusal{channel: name, text: text, reason: reason, times: times})
}

func (s *Server) refusedSubscribe(name string) (text, reason string, ok bool) {
	bare, _ := splitSubscription(name)
	for i := range s.refusals {
		r := &s.refusals[i]
		if r.times > 0 && (r.channel == "" || r.channel == bare) {
			r.times--
			return r.text, r.reason, true
		}
	}
	return "", "", false
}

// Control replaces the reply to one message on a meta channel: fn gets the
// request and the reply meant for it and returns what is sent instead, which
// may be nothing. A connect that is controlled is answered at once, a parked
// one too. Several controls of a channel are used in the order they were set.
// fn runs under the server's lock and must not call the server.
func (s *Server) Control(metaChannel string, fn func(request, reply map[string]any) []map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.controls[metaChannel] = append(s.controls[metaChannel], fn)
	if metaChannel == metaConnect {
		for _, sess := range s.sessions {
			if sess.parked != nil {
				sess.release(endNow)
				break
			}
		}
	}
}

// controlled applies the oldest control of a message's channel.
func (s *Server) controlled(m *request, answer reply) []reply {
	queue := s.controls[m.Channel]
	if len(queue) == 0 {
		return []reply{answer}
	}
	s.controls[m.Channel] = queue[1:]
	var out []reply
	for _, r := range queue[0](m.raw, answer.plain()) {
		out = append(out, r)
	}
	return out
}

// Duplicate sends every event n times; 1 is normal.
func (s *Server) Duplicate(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copies = max(1, n)
}

// Drop loses the events for which fn is true: they are stored for replay, but
// are never sent to who listened. nil loses none. fn runs under the server's
// lock and must not call the server.
func (s *Server) Drop(fn func(channel string, replayID int64) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = fn
}

// RotateCookies gives every session a new sfdc-stream cookie with its next
// reply. A connect that comes without it afterwards finds no session.
func (s *Server) RotateCookies() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		sess.rotate = true
	}
}

// Recheck asks again whether the tokens of all sessions are valid, as
// Salesforce does regularly, and answers the parked polls of those that are
// not with "401::Authentication invalid".
func (s *Server) Recheck() {
	s.mu.Lock()
	tokens := map[string]bool{}
	for _, sess := range s.sessions {
		tokens[sess.token] = true
	}
	s.mu.Unlock()
	for token := range tokens {
		_, tokens[token] = s.cfg.Authenticate(token)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		if ok, asked := tokens[sess.token]; asked && !ok {
			sess.release(endRefused)
		}
	}
}

// SetAllocation sets how many events may be delivered in 24 hours, counted
// from now; 0 is no limit. Parked polls answer, so that they learn it.
func (s *Server) SetAllocation(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Allocation, s.spent, s.spentSince = n, 0, s.cfg.Clock()
	for _, sess := range s.sessions {
		sess.release(endNow)
	}
}
