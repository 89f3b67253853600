package org

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// maxLogins is the number of logins a user may make in an hour.
// (SOAP API Developer Guide, login: "Login Rate Exceeded".)
const maxLogins = 3600

// session is what an access token stands for.
type session struct {
	token  string
	user   *user
	client string // consumer key, "" for a SOAP login
	used   time.Time
}

// user is a person of the org with a User record.
type user struct {
	ID, Username, Name, Email string
	logins                    []time.Time
}

// open starts a session of u.
func (s *Server) open(u *user, client string) *session {
	var raw [48]byte
	_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
	// The shape is that of recorded tokens: organization id, "!", opaque text.
	token := s.orgID[:15] + "!AR8AQ" + strings.NewReplacer("-", ".", "_", ".").Replace(base64.RawURLEncoding.EncodeToString(raw[:]))
	sess := &session{token: token, user: u, client: client, used: s.opt.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[token] = sess
	return sess
}

// mayLogIn counts a login of u and reports whether the hourly rate allows it.
func (s *Server) mayLogIn(u *user) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	first := 0
	for first < len(u.logins) && now.Sub(u.logins[first]) >= time.Hour {
		first++
	}
	u.logins = u.logins[first:]
	if len(u.logins) >= maxLogins {
		return false
	}
	u.logins = append(u.logins, now)
	return true
}

// session returns the live session of token and restarts its inactivity
// timeout; nil if there is none.
func (s *Server) session(token string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	sess := s.sessions[token]
	if sess == nil {
		return nil
	}
	now := s.opt.Now()
	if now.Sub(sess.used) >= s.opt.SessionTimeout {
		delete(s.sessions, token)
		return nil
	}
	sess.used = now
	return sess
}

// closeSession ends the session of token and reports whether there was one.
func (s *Server) closeSession(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sessions[token]
	delete(s.sessions, token)
	return ok
}

// bearer returns the token of an Authorization header; both schemes are equal.
func bearer(h http.Header) string {
	scheme, token, ok := strings.Cut(h.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "OAuth") {
		return ""
	}
	return strings.TrimSpace(token)
}

// authorize returns the session of a request, or the answer that refuses it.
func (s *Server) authorize(r *http.Request) (*session, *answer) {
	if r.Header.Get("Authorization") == "" {
		a := fail(http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid")
		return nil, &a
	}
	token := bearer(r.Header)
	if token == "" {
		a := fail(http.StatusUnauthorized, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
		return nil, &a
	}
	sess := s.session(token)
	if sess == nil || !s.lives(r.Host) {
		a := fail(http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid")
		return nil, &a
	}
	return sess, nil
}
