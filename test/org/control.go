package org

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"hcbridge/test/org/bulk"
	"hcbridge/test/org/cometd"
	"hcbridge/test/org/sobject"
)

// Forget makes the streaming server lose its sessions: the next poll of each
// is answered "403::Unknown client".
func (s *Server) Forget() { s.stream.Forget() }

// ExpireReplay drops the stored events of all channels, as 24 hours do:
// positions behind them are refused.
func (s *Server) ExpireReplay() { s.stream.ExpireReplay("") }

// Mute makes events get lost on their way to live subscribers; they stay in
// the store for replay.
func (s *Server) Mute(on bool) { s.stream.Mute(on) }

// RevokeTokens ends all sessions: REST answers 401, parked polls too. The
// refresh token goes on working.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	clear(s.sessions)
	s.mu.Unlock()
	s.stream.Recheck()
}

// RevokeRefreshToken ends the refresh token, and all sessions with it.
func (s *Server) RevokeRefreshToken() {
	s.mu.Lock()
	s.refreshRevoked = true
	s.mu.Unlock()
	s.RevokeTokens()
}

// MovesTo makes the org live at another base URL, as after a migration to
// another instance: tokens of before are dead, new token answers name url, and
// API requests to any other host are refused with 401. "" moves it back. A
// second address for it comes from [Server.Listen].
func (s *Server) MovesTo(url string) {
	s.mu.Lock()
	s.moved = strings.TrimRight(url, "/")
	s.mu.Unlock()
	s.RevokeTokens()
}

// lives reports whether the org answers API requests to a host.
func (s *Server) lives(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved == "" {
		return true
	}
	u, err := url.Parse(s.moved)
	return err == nil && u.Host == host
}

// DenyPushTopics takes the integration user's permission on PushTopic away:
// the object answers as if it did not exist.
func (s *Server) DenyPushTopics(deny bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denyTopics = deny
}

func (s *Server) topicsDenied() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denyTopics
}

// TopicLimit sets how many PushTopics may be active.
func (s *Server) TopicLimit(n int) {
	s.topics.mu.Lock()
	defer s.topics.mu.Unlock()
	s.topics.limit = n
}

// OmitFromEvents leaves a field out of all events although the integration
// user may read it, as when who made the change may not.
// (Streaming API Developer Guide, "Security and the PushTopic Query".)
func (s *Server) OmitFromEvents(object, field string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.omitted == nil {
		s.omitted = map[string]bool{}
	}
	s.omitted[strings.ToLower(object+"."+field)] = true
}

func (s *Server) omits(ob *sobject.Object, f *sobject.Field) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.omitted) > 0 && s.omitted[strings.ToLower(ob.Name+"."+f.Name)]
}

// ReverseEvents publishes the events of every two changes in reverse order, as
// those of one transaction are that changes a record twice.
// (Streaming API Developer Guide, "Streaming API Notifications Sent in Reverse
// Order Within a Transaction".)
func (s *Server) ReverseEvents(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reversed, s.heldBack = on, nil
}

// inOrder returns the changes whose events are due, in the order of those.
func (s *Server) inOrder(changes []sobject.Change) []sobject.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reversed {
		return changes
	}
	s.heldBack = append(s.heldBack, changes...)
	if len(s.heldBack) < 2 {
		return nil
	}
	due := s.heldBack
	s.heldBack = nil
	slices.Reverse(due)
	return due
}

// DailyLimit sets the number of API calls in 24 h; calls already made count.
func (s *Server) DailyLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = n
}

// UseCalls counts n API calls as made by someone else.
func (s *Server) UseCalls(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls += n
}

// ReplicationLag sets how far latestDateCovered stays behind the clock.
func (s *Server) ReplicationLag(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = d
}

func (s *Server) replicationLag() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lag
}

// ExpireLocators makes all open query locators invalid.
func (s *Server) ExpireLocators() { s.cursors.clear() }

// HideField hides a field from the integration user: describes, queries,
// reads, writes and events go without it. show turns it back.
func (s *Server) HideField(object, field string) { s.setHidden(object, field, true) }

// ShowField undoes [Server.HideField].
func (s *Server) ShowField(object, field string) { s.setHidden(object, field, false) }

func (s *Server) setHidden(object, field string, hidden bool) {
	object, field = strings.ToLower(object), strings.ToLower(field)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden[object] == nil {
		s.hidden[object] = map[string]bool{}
	}
	s.hidden[object][field] = hidden
	s.defined = s.opt.Now()
}

// hides reports whether a field is hidden from a user. Only the integration
// user is restricted; a field that was deleted nobody sees.
func (s *Server) hides(userID string, ob *sobject.Object, f *sobject.Field) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.erased) > 0 && s.erased[strings.ToLower(ob.Name+"."+f.Name)] {
		return true
	}
	if userID != s.user.ID || len(s.hidden) == 0 {
		return false
	}
	return s.hidden[strings.ToLower(ob.Name)][strings.ToLower(f.Name)]
}

// access is the org's field-level security for writes.
func (s *Server) access(userID string, ob *sobject.Object, f *sobject.Field) (read, write bool) {
	shown := !s.hides(userID, ob, f)
	return shown, shown
}

// Define adds an object to the schema, or fields to one that exists.
func (s *Server) Define(ob *sobject.Object) {
	s.store.Define(ob)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.defined = s.opt.Now()
}

// Trigger adds an Apex trigger: fn runs for each record before it is stored
// and may change or refuse it. See [sobject.Org.Before].
func (s *Server) Trigger(fn func(*sobject.Draft) error) {
	s.mu.Lock()
	s.triggers = append(s.triggers, fn)
	s.mu.Unlock()
	s.org.Before(fn)
}

func (s *Server) triggerList() []func(*sobject.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.triggers)
}

// Org is the org behind the APIs, for what this package has no method for.
func (s *Server) Org() *sobject.Org { return s.org }

// Stream is the Streaming API endpoint, for its own faults and counters.
func (s *Server) Stream() *cometd.Server { return s.stream }

// Jobs is the Bulk API endpoint, for its own faults.
func (s *Server) Jobs() *bulk.Server { return s.jobs }

// StreamClients returns the number of streaming sessions.
func (s *Server) StreamClients() int { return s.stream.Clients() }

// ID is the organization id, 18 characters.
func (s *Server) ID() string { return s.orgID }

// UserID is the id of the integration user.
func (s *Server) UserID() string { return s.user.ID }

// Usage returns the API calls counted and their daily limit.
func (s *Server) Usage() (used, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.limit
}
