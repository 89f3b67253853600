package cometd

import (
	"encoding/json"
	"slices"
	"time"
)

// maxSubscribes bounds the log of [Server.Subscribes].
const maxSubscribes = 10_000

// counters is what a test can ask about.
type counters struct {
	handshakes, connects, delivered int
	subscribes                      []Subscribe
}

// Subscribe is one subscription a client asked for.
type Subscribe struct {
	At       time.Time
	ClientID string
	User     string
	Channel  string          // as sent, with its filter
	Replay   json.RawMessage // as sent; nil if the client sent none
	Error    string          // "" if it was accepted
}

func (s *Server) logSubscribe(e Subscribe) {
	if len(s.subscribes) >= maxSubscribes {
		s.subscribes = slices.Clone(s.subscribes[maxSubscribes/2:])
	}
	e.Replay = slices.Clone(e.Replay)
	s.subscribes = append(s.subscribes, e)
}

// Clients returns the number of live sessions.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	return len(s.sessions)
}

// Parked returns the number of polls that wait.
func (s *Server) Parked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sess := range s.sessions {
		if sess.parked != nil {
			n++
		}
	}
	return n
}

// Handshakes returns the number of handshakes so far, refused ones too.
func (s *Server) Handshakes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handshakes
}

// Connects returns the number of connects so far, refused ones too.
func (s *Server) Connects() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connects
}

// Delivered returns the number of events handed to replies so far.
func (s *Server) Delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delivered
}

// Subscribes returns the newest subscribes, at most 10,000, oldest first.
func (s *Server) Subscribes() []Subscribe {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.subscribes)
}

// LastReplayID returns the newest replay id of a channel, 0 if it has none.
func (s *Server) LastReplayID(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.channels[name]; ok {
		return c.last
	}
	return 0
}

// Stored returns how many events of a channel can be replayed.
func (s *Server) Stored(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.channels[name]
	if !ok {
		return 0
	}
	s.prune(c)
	return len(c.events)
}
