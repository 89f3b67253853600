package cometd

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// subscribe adds one channel or an array of them to a session. If one is
// refused none is added.
func (s *Server) subscribe(x *exchange, m *request) reply {
	sess, refusal := s.lookup(x, m)
	if refusal != nil {
		return refusal
	}
	names := m.subscriptions()
	if len(names) == 0 {
		return s.refuse(sess, m, "", errNoChannel, "")
	}
	positions := make([]uint64, len(names))
	for i, name := range names {
		text, reason := s.denial(sess, name)
		if text == "" {
			positions[i], text = s.position(m, name)
		}
		if text != "" {
			return s.refuse(sess, m, name, text, reason)
		}
	}
	for i, name := range names {
		if _, again := sess.subs[name]; !again {
			bare, f := splitSubscription(name)
			c := s.channel(bare)
			c.subs[sess] = struct{}{}
			sess.subs[name] = &subscription{channel: c, filter: f, since: s.seq, seen: positions[i]}
		}
		s.logSubscribe(Subscribe{At: time.Now(), ClientID: sess.id, User: sess.user, Channel: name, Replay: m.replay(name)})
	}
	switch s.cfg.Ride {
	case RideSubscribe:
		x.ride = true
	case RideEither:
		x.ride = s.random.IntN(2) == 0
	}
	sess.wake()
	return m.reply(sess.id)
}

// subscriptions returns the channels of a (un)subscribe message.
func (m *request) subscriptions() []string {
	var one string
	if json.Unmarshal(m.Subscription, &one) == nil {
		if one == "" {
			return nil
		}
		return []string{one}
	}
	var many []string
	_ = json.Unmarshal(m.Subscription, &many)
	return many
}

// denial returns the error that refuses a subscription, or "". It gives the
// lock back while the org is asked.
func (s *Server) denial(sess *session, name string) (text, reason string) {
	if text, reason, ok := s.refusedSubscribe(name); ok {
		return text, reason
	}
	switch {
	case name == "":
		return errNoChannel, ""
	case !strings.HasPrefix(name, "/"):
		return errNoSlash, ""
	case strings.HasPrefix(name, "/meta/"), strings.HasPrefix(name, "/service/"):
		return errRestricted, ""
	}
	if left, limited := s.allowance(); limited && left == 0 {
		return errEventLimit, ""
	}
	s.mu.Unlock()
	text = s.cfg.Authorize(sess.user, name)
	s.mu.Lock()
	if text == "" && s.sessions[sess.id] != sess {
		text = errUnknownClient
	}
	return text, ""
}

// position returns the sequence number after which the subscription starts, or
// the error for a replay id that is not valid any more.
func (s *Server) position(m *request, name string) (uint64, string) {
	bare, _ := splitSubscription(name)
	raw := m.replay(name)
	id, ok := replayID(raw)
	switch {
	case !ok || id == -1:
		return s.seq, ""
	case id == -2:
		return 0, ""
	}
	if c, known := s.channels[bare]; known {
		s.prune(c)
		if e, stored := c.find(id); stored {
			return e.seq, ""
		}
	}
	switch {
	case s.cfg.SilentReplay:
		return s.seq, ""
	case s.cfg.DeafReplay:
		return math.MaxUint64, ""
	}
	return 0, "400::The replayId {" + strconv.FormatInt(id, 10) + "} you provided was invalid." +
		"  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events."
}

// replay returns the replay value of a channel as it was sent. The key is the
// channel without its filter.
func (m *request) replay(name string) json.RawMessage {
	bare, _ := splitSubscription(name)
	return m.Ext.Replay[bare]
}

// replayID reads a replay value. It must be an integer: of strings, only "-2"
// does what it says, all others mean new events only.
func replayID(raw json.RawMessage) (int64, bool) {
	if bytes.Equal(raw, []byte(`"-2"`)) {
		return -2, true
	}
	var n json.Number
	if len(raw) == 0 || raw[0] == '"' || json.Unmarshal(raw, &n) != nil {
		return 0, false
	}
	id, err := n.Int64()
	return id, err == nil
}

func (s *Server) refuse(sess *session, m *request, name, text, reason string) reply {
	s.logSubscribe(Subscribe{At: time.Now(), ClientID: sess.id, User: sess.user, Channel: name, Replay: m.replay(name), Error: text})
	if text == errUnknownClient {
		return m.unknown()
	}
	return m.fail(sess.id, text).reason(reason)
}

// unsubscribe removes channels from a session; one that is not there is no
// error.
func (s *Server) unsubscribe(x *exchange, m *request) reply {
	sess, refusal := s.lookup(x, m)
	if refusal != nil {
		return refusal
	}
	names := m.subscriptions()
	if len(names) == 0 {
		return m.fail(sess.id, errNoChannel)
	}
	for _, name := range names {
		sub, ok := sess.subs[name]
		if !ok {
			continue
		}
		delete(sess.subs, name)
		if !sess.listens(sub.channel) {
			delete(sub.channel.subs, sess)
		}
	}
	return m.reply(sess.id)
}

// listens reports whether any subscription, filtered or not, has the channel.
func (sess *session) listens(c *channel) bool {
	for _, sub := range sess.subs {
		if sub.channel == c {
			return true
		}
	}
	return false
}

// disconnect ends a session and releases its parked poll.
func (s *Server) disconnect(x *exchange, m *request) reply {
	sess, refusal := s.lookup(x, m)
	if refusal != nil {
		return refusal
	}
	s.remove(sess, endLeft)
	x.session = nil
	return m.reply(sess.id)
}
