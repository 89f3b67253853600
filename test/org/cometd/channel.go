package cometd

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"
)

// event is one stored message. A dropped event is kept for replay but was
// never sent to those who listened when it happened.
type event struct {
	seq      uint64 // place in the order of all channels
	replayID int64
	at       time.Time // by Config.Clock
	born     time.Time // by the runtime's clock
	data     json.RawMessage
	dropped  bool
}

// channel is the log of one channel, oldest event first.
type channel struct {
	name   string
	head   []byte // `{"channel":"/topic/X","data":`
	events []event
	last   int64 // newest replay id ever given
	subs   map[*session]struct{}
}

// subscription is a session's position in a channel.
type subscription struct {
	channel *channel
	filter  filter
	since   uint64 // seq when it began: what is dropped later is not sent
	seen    uint64 // seq of the newest event handed out
}

// after returns the events with a seq above n.
func (c *channel) after(n uint64) []event {
	i := sort.Search(len(c.events), func(i int) bool { return c.events[i].seq > n })
	return c.events[i:]
}

// find returns the event with a replay id.
func (c *channel) find(id int64) (event, bool) {
	i := sort.Search(len(c.events), func(i int) bool { return c.events[i].replayID >= id })
	if i == len(c.events) || c.events[i].replayID != id {
		return event{}, false
	}
	return c.events[i], true
}

// Publish stores an event of a channel and hands it to the sessions that
// subscribe to the channel. It returns the event's replay id: ids of a channel
// grow, with gaps, and start at 1. Those of high-volume channels are drawn from
// one large counter of the org.
//
// build returns the value of the event's "data" member. It runs under the
// server's lock, so that the order of the ids is the order of the calls, and
// must not call the server. Publish panics if the value has no JSON form.
func (s *Server) Publish(name string, at time.Time, build func(replayID int64) any) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(name)
	switch {
	case onBus(name):
		s.bus += max(1, s.cfg.Gap())
		c.last = s.bus
	case c.last == 0:
		c.last = 1
	default:
		c.last += max(1, s.cfg.Gap())
	}
	data, err := json.Marshal(build(c.last))
	if err != nil {
		panic("cometd: event of " + name + ": " + err.Error())
	}
	s.seq++
	e := event{seq: s.seq, replayID: c.last, at: at, born: time.Now(), data: data}
	e.dropped = s.muted || (s.drop != nil && s.drop(name, c.last))
	c.events = append(c.events, e)
	s.stored += int64(len(data))
	s.prune(c)
	for s.stored > s.cfg.StoreBytes && s.evict() {
	}
	if !e.dropped {
		for sess := range c.subs {
			sess.wake()
		}
	}
	return c.last
}

// onBus reports whether a channel is one of the high-volume event bus, which
// change events and platform events have in common. ("Streaming API Developer
// Guide, Message Durability")
func onBus(name string) bool {
	return strings.HasPrefix(name, "/data/") || strings.HasPrefix(name, "/event/")
}

// Reset gives a channel a new history, as when its topic is deleted or made
// again: stored events and subscriptions go, replay ids start at 1.
func (s *Server) Reset(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.channels[name]
	if !ok {
		return
	}
	s.trim(c, len(c.events))
	for sess := range c.subs {
		for key, sub := range sess.subs {
			if sub.channel == c {
				delete(sess.subs, key)
			}
		}
	}
	delete(s.channels, name)
}

// channel returns a channel and makes it first if need be.
func (s *Server) channel(name string) *channel {
	c, ok := s.channels[name]
	if !ok {
		quoted, _ := json.Marshal(name)
		c = &channel{name: name, subs: map[*session]struct{}{}}
		c.head = fmt.Appendf(nil, `{"channel":%s,"data":`, quoted)
		s.channels[name] = c
	}
	return c
}

// prune forgets events older than the retention.
func (s *Server) prune(c *channel) {
	limit := s.cfg.Clock().Add(-s.cfg.Retention)
	if onBus(c.name) {
		limit = s.cfg.Clock().Add(-s.cfg.BusRetention)
	}
	n := 0
	for n < len(c.events) && c.events[n].at.Before(limit) {
		n++
	}
	s.trim(c, n)
}

// evict forgets the oldest event of the largest channel.
func (s *Server) evict() bool {
	var most *channel
	for _, c := range s.channels {
		if most == nil || len(c.events) > len(most.events) {
			most = c
		}
	}
	if most == nil || len(most.events) == 0 {
		return false
	}
	s.trim(most, 1+len(most.events)/64)
	return true
}

// trim forgets the oldest n events and gives their memory back in time.
func (s *Server) trim(c *channel, n int) {
	for i := range n {
		s.stored -= int64(len(c.events[i].data))
		c.events[i] = event{}
	}
	c.events = c.events[n:]
	if len(c.events) == 0 {
		c.events = nil
	}
}

// pending returns what the session has not been given, in the order it was
// published, or how long the oldest of it still waits to be picked up.
func (s *Server) pending(sess *session) (out []outgoing, wait time.Duration) {
	if s.muted {
		return nil, 0
	}
	var oldest time.Time
	for _, sub := range sess.subs {
		s.prune(sub.channel)
		if e, ok := sub.next(); ok && (oldest.IsZero() || e.born.Before(oldest)) {
			oldest = e.born
		}
	}
	if oldest.IsZero() {
		return nil, 0
	}
	if wait = s.cfg.Pickup - time.Since(oldest); s.cfg.Pickup > 0 && wait > 0 {
		return nil, wait
	}
	for _, sub := range sess.subs {
		for _, e := range sub.channel.after(sub.seen) {
			if !sub.misses(e) {
				out = append(out, outgoing{sub: sub, event: e})
			}
		}
	}
	if len(sess.subs) > 1 {
		sort.Slice(out, func(i, j int) bool { return out[i].seq < out[j].seq })
	}
	return out, 0
}

// next returns the oldest event that is not handed out yet and moves the
// position past those before it that the subscription misses.
func (sub *subscription) next() (event, bool) {
	for _, e := range sub.channel.after(sub.seen) {
		if !sub.misses(e) {
			return e, true
		}
		sub.seen = e.seq
	}
	return event{}, false
}

// misses reports whether an event was dropped while the subscription listened.
func (sub *subscription) misses(e event) bool { return e.dropped && e.seq > sub.since }

// outgoing is an event on its way to one subscription.
type outgoing struct {
	sub *subscription
	event
}

// take hands pending events out: positions move and the allocation is spent.
// It returns less than all when the allocation ends.
func (s *Server) take(out []outgoing) []outgoing {
	if left, limited := s.allowance(); limited && left < len(out) {
		out = out[:left]
	}
	for _, o := range out {
		o.sub.seen = max(o.sub.seen, o.seq)
	}
	s.spent += len(out)
	s.delivered += len(out)
	return out
}

// allowance returns how many events may still be delivered today.
func (s *Server) allowance() (left int, limited bool) {
	if s.cfg.Allocation == 0 {
		return 0, false
	}
	if now := s.cfg.Clock(); now.Sub(s.spentSince) >= 24*time.Hour {
		s.spentSince, s.spent = now, 0
	}
	return max(0, s.cfg.Allocation-s.spent), true
}

// render gives events their wire form for one user. It runs without the lock.
func (s *Server) render(user string, out []outgoing, copies int) []json.RawMessage {
	var msgs []json.RawMessage
	for _, o := range out {
		data, ok := o.data, true
		if s.cfg.View != nil {
			data, ok = s.cfg.View(user, o.sub.channel.name, data)
		}
		if !ok || !o.sub.filter.match(data) {
			continue
		}
		msg := make([]byte, 0, len(data)+len(o.sub.channel.head)+1)
		msg = append(msg, o.sub.channel.head...)
		msg = append(msg, data...)
		msg = append(msg, '}')
		for range copies {
			msgs = append(msgs, msg)
		}
	}
	return msgs
}
