package org

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// keptRequests and keptBody bound what the journal remembers.
const (
	keptRequests = 4096
	keptBody     = 16 << 10
)

// Request is one request the org has answered or dropped.
type Request struct {
	At     time.Time // arrival, by the org's clock
	Kind   string    // endpoint, see [Server.Calls]
	Method string
	Path   string // normalised, without query
	Query  string
	Host   string
	Header http.Header // without Authorization and Cookie
	Body   []byte      // the first 16 KiB
	Status int         // 0 if the connection was dropped without an answer
	Fault  Verb        // "" if none applied
	Took   time.Duration
}

// journal is the truth log of a server: what was asked and what was written.
type journal struct {
	mu       sync.Mutex
	requests []Request // ring
	next     int
	calls    map[string]int
	writes   map[string]int // record id → DML count
	origins  map[string]int // origin API → writes
}

func newJournal() *journal {
	return &journal{calls: map[string]int{}, writes: map[string]int{}, origins: map[string]int{}}
}

// arrive counts a request of the kind before it is carried out, so that a test
// sees a held request.
func (j *journal) arrive(kind string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls[kind]++
}

func (j *journal) add(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.requests) < keptRequests {
		j.requests = append(j.requests, r)
		return
	}
	j.requests[j.next] = r
	j.next = (j.next + 1) % keptRequests
}

func (j *journal) wrote(origin string, ids []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.origins[origin] += len(ids)
	for _, id := range ids {
		j.writes[id]++
	}
}

// Calls returns the number of requests by kind of endpoint since the start or
// the last [Server.ResetCounters]: "token", "revoke", "userinfo", "identity",
// "soap", "versions", "resources", "describe_global", "describe", "create",
// "retrieve", "update", "upsert", "delete", "query", "query_more", "deleted",
// "updated", "limits", "collections_create" and its sisters, "composite",
// "composite_batch", "bulk", "cometd" and "other".
func (s *Server) Calls() map[string]int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return maps.Clone(s.journal.calls)
}

// Requests returns the newest requests, oldest first, at most 4,096. A request
// under way is not among them.
func (s *Server) Requests() []Request {
	j := s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Concat(j.requests[j.next:], j.requests[:j.next])
}

// Writes returns how many times the record has been written, by anyone.
func (s *Server) Writes(id string) int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return s.journal.writes[id]
}

// WritesBy returns the number of record writes by origin: "rest", "bulk", "ui".
func (s *Server) WritesBy() map[string]int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return maps.Clone(s.journal.origins)
}

// ResetCounters sets Calls, Requests, Writes and WritesBy back to nothing.
func (s *Server) ResetCounters() {
	j := s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests, j.next = nil, 0
	clear(j.calls)
	clear(j.writes)
	clear(j.origins)
}
