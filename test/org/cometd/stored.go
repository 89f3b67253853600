package cometd

import (
	"encoding/json"
	"slices"
)

// Stored is an event that can be replayed.
type Stored struct {
	ReplayID int64
	Data     json.RawMessage // as published
}

// After returns the stored events of a channel that a subscription from a
// replay id would get: -2 is all, -1 none. ok is false if the id is not one of
// those stored, which refuses such a subscription.
func (s *Server) After(name string, id int64) (events []Stored, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == -1 {
		return nil, true
	}
	c, known := s.channels[name]
	if !known {
		return nil, id == -2
	}
	s.prune(c)
	var seq uint64
	if id != -2 {
		e, stored := c.find(id)
		if !stored {
			return nil, false
		}
		seq = e.seq
	}
	for _, e := range c.after(seq) {
		events = append(events, Stored{e.replayID, slices.Clone(e.data)})
	}
	return events, true
}
