package cometd

import (
	"net/http"
	"time"
)

// session is one client between its handshake and its end.
type session struct {
	id, user, token string

	browser   string // value of BAYEUX_BROWSER
	stream    string // value of sfdc-stream: names the application server
	oldStream string // still accepted until the client has shown the new one
	rotate    bool   // the next reply sets a new sfdc-stream

	opened bool // its first connect was answered
	multi  bool // its last advice was multiple-clients
	ending bool // the server wants to disconnect it
	last   time.Time
	parked *poll
	subs   map[string]*subscription // by subscription as sent
}

// poll is a connect request that waits for events.
type poll struct {
	bell chan struct{}
	end  ending
}

// ending says why a poll is answered before its time.
type ending int

const (
	endNone    ending = iota
	endNow            // answer with what there is
	endGone           // the session does not exist any more
	endLeft           // the client disconnected
	endRefused        // the token is not valid any more
)

// wake makes a parked poll look again.
func (sess *session) wake() {
	if sess.parked != nil {
		select {
		case sess.parked.bell <- struct{}{}:
		default:
		}
	}
}

// release makes a parked poll answer.
func (sess *session) release(why ending) {
	if sess.parked != nil && sess.parked.end == endNone {
		sess.parked.end = why
		sess.wake()
	}
}

func (sess *session) renewStream(id string) {
	sess.oldStream, sess.stream = sess.stream, "!"+id
}

// expired reports whether the client stayed away too long. A parked poll keeps
// a session alive.
func (s *Server) expired(sess *session) bool {
	return sess.parked == nil && time.Since(sess.last) > s.cfg.Expiry
}

// sweep removes expired sessions.
func (s *Server) sweep() {
	for _, sess := range s.sessions {
		if s.expired(sess) {
			s.remove(sess, endGone)
		}
	}
}

// remove ends a session and its subscriptions.
func (s *Server) remove(sess *session, why ending) {
	delete(s.sessions, sess.id)
	for _, sub := range sess.subs {
		delete(sub.channel.subs, sess)
	}
	clear(sess.subs)
	sess.release(why)
}

// lookup finds the session of a message, or the reply that refuses it. Cookies
// route to the application server that holds the session, so a wrong one finds
// no session; without any, CometD itself complains (Streaming API Developer
// Guide, "Clients and Cookies for Streaming API").
func (s *Server) lookup(x *exchange, m *request) (*session, reply) {
	if !x.authed {
		r := m.fail(m.ClientID, errAuthInvalid)
		if m.Channel == metaConnect {
			r["advice"] = reply{"reconnect": "none", "interval": 0}
		}
		return nil, r
	}
	if m.ClientID == "" {
		return nil, m.fail("", errNoHandshake)
	}
	sess, ok := s.sessions[m.ClientID]
	if !ok {
		return nil, m.unknown()
	}
	if s.expired(sess) {
		s.remove(sess, endGone)
		return nil, m.unknown()
	}
	browser := cookie(x.r, browserCookie)
	if browser == "" {
		return nil, m.fail(m.ClientID, "400::Client {"+m.ClientID+"} has established a session, but no BAYEUX_BROWSER cookie present")
	}
	if browser != sess.browser || !s.routed(sess, m, cookie(x.r, streamCookie)) {
		return nil, m.unknown()
	}
	if x.user != sess.user {
		return nil, m.fail(m.ClientID, errOtherUser)
	}
	sess.token = x.token
	x.session = sess
	return sess, nil
}

// routed checks the sfdc-stream cookie. After a rotation the old value may
// still be on its way, but not on the connect that follows the new one.
func (s *Server) routed(sess *session, m *request, got string) bool {
	switch got {
	case sess.stream:
		sess.oldStream = ""
		return true
	case "":
		return false
	default:
		return got == sess.oldStream && m.Channel != metaConnect
	}
}

// crowded reports whether another live session has the same browser cookie.
func (s *Server) crowded(sess *session) bool {
	for _, other := range s.sessions {
		if other != sess && other.browser == sess.browser && !s.expired(other) {
			return true
		}
	}
	return false
}

const (
	browserCookie = "BAYEUX_BROWSER"
	serverCookie  = "t"
	streamCookie  = "sfdc-stream"
)

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookies gives a new session its cookies. They are "Secure" only over TLS,
// as a client would not send them back otherwise.
func setCookies(x *exchange, browser, server, stream string) {
	secure := x.r.TLS != nil
	http.SetCookie(x.w, &http.Cookie{Name: browserCookie, Value: browser, Path: "/cometd/", HttpOnly: true, Secure: secure})
	http.SetCookie(x.w, &http.Cookie{Name: serverCookie, Value: server, Path: "/cometd/", HttpOnly: true, Secure: secure})
	setStream(x, stream)
}

func setStream(x *exchange, stream string) {
	c := &http.Cookie{Name: streamCookie, Value: stream, Path: "/", MaxAge: 3 * 60 * 60}
	if x.r.TLS != nil {
		c.Secure, c.SameSite = true, http.SameSiteNoneMode
	}
	http.SetCookie(x.w, c)
}
