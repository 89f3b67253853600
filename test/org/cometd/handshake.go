package cometd

import (
	"slices"
	"strings"
	"time"
)

// handshake opens a session. A success carries no advice, unlike CometD's
// reference server.
func (s *Server) handshake(x *exchange, m *request) reply {
	s.handshakes++
	s.sweep()
	if reason := s.handshakeDenial(x); reason != "" {
		return s.denyHandshake(m, reason)
	}
	if len(m.SupportedConnectionTypes) > 0 && !slices.Contains(m.SupportedConnectionTypes, "long-polling") {
		r := m.fail("", "400::Invalid connection type {"+strings.Join(m.SupportedConnectionTypes, ",")+"}")
		r["advice"] = reply{"reconnect": "none"}
		r["supportedConnectionTypes"] = []string{"long-polling"}
		return r
	}
	browser := cookie(x.r, browserCookie)
	if browser == "" {
		browser = s.newID()
	}
	sess := &session{
		id: s.newID(), user: x.user, token: x.token,
		browser: browser, stream: "!" + s.newID(),
		last: time.Now(), subs: map[string]*subscription{},
	}
	s.sessions[sess.id] = sess
	setCookies(x, sess.browser, s.newID(), sess.stream)

	r := m.reply(sess.id)
	r["version"] = "1.0"
	r["minimumVersion"] = "1.0"
	r["supportedConnectionTypes"] = []string{"long-polling"}
	r["ext"] = reply{"replay": true, "payload.format": true}
	return r
}

// handshakeDenial returns why no session may be opened, or "".
func (s *Server) handshakeDenial(x *exchange) string {
	switch {
	case s.refuseHandshakes > 0:
		s.refuseHandshakes--
		return s.handshakeReason
	case x.token == "":
		return errAuthRequired
	case !x.authed:
		return errAuthInvalid
	case len(s.sessions) >= s.cfg.Clients:
		return errClientLimit
	}
	return ""
}

// denyHandshake answers as recorded: the cause is in ext, not in error.
func (s *Server) denyHandshake(m *request, reason string) reply {
	text := errHandshakeDenied
	if s.cfg.OldHandshakeErrors {
		text = reason
	}
	r := m.fail("", text)
	r["advice"] = reply{"reconnect": "none"}
	ext := reply{"replay": true, "payload.format": true}
	if !s.cfg.OldHandshakeErrors {
		ext["sfdc"] = reply{"failureReason": reason}
	}
	r["ext"] = ext
	return r
}
