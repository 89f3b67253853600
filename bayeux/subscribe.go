package bayeux

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

const (
	// Salesforce refuses request bodies over 32,768 bytes with HTTP 413
	// ("Streaming API Developer Guide, How the Client Connects").
	maxRequest = 32768 - 1

	// Refusals that the verdict answers with Again before it counts as Retry.
	maxAgain = 3
)

// member is a subscription within a session.
type member struct {
	registration
	state    memberState
	at       time.Time // when it is due
	id       string    // of the message that asked for it
	failures int       // refusals in a row
	again    int       // verdicts Again in a row
}

type memberState int

const (
	due   memberState = iota // to be asked for at member.at
	asked                    // with the server
	live                     // accepted
)

// sync brings the members in line with what the caller wants.
func (s *session) sync() *end {
	if s.seen != s.subs.version.Load() {
		if e := s.compare(); e != nil {
			return e
		}
	}
	if len(s.members) == 0 && !s.publishing(time.Now()) {
		return &end{act: actRenew} // Run waits for more
	}
	return nil
}

func (s *session) compare() *end {
	s.seen = s.subs.version.Load()
	want := s.subs.snapshot()
	keep := make(map[uint64]bool, len(want))
	for _, r := range want {
		keep[r.gen] = true
	}
	for channel, m := range s.members {
		if keep[m.gen] {
			continue
		}
		delete(s.members, channel)
		if m.state != due && !isService(channel) {
			s.leaving = append(s.leaving, channel)
		}
		s.showChannels()
	}
	for _, r := range want {
		if s.members[r.Channel] != nil {
			continue
		}
		if r.From != nil && !s.replay {
			return &end{act: actRenew} // the extension is agreed on in the handshake only
		}
		s.members[r.Channel] = &member{registration: r}
	}
	return nil
}

// ask sends unsubscribes and the subscribes that are due, as many as fit into
// one request. A replaced subscription is in both: on a channel that is still
// subscribed the server would not look at the new position.
func (s *session) ask(now time.Time) {
	var batch []request
	size := len("[]")
	fits := func(m request) bool {
		text, err := json.Marshal(m)
		if err != nil || size+len(text)+1 > maxRequest && (m.Data == nil || len(batch) > 0) {
			return false // but a large message to publish may try its luck alone
		}
		size += len(text) + 1
		batch = append(batch, m)
		return true
	}
	for len(s.leaving) > 0 {
		m := request{Channel: metaUnsubscribe, ID: s.nextID(), ClientID: s.clientID, Subscription: s.leaving[0]}
		if !fits(m) && len(batch) > 0 {
			break
		}
		s.leaving = s.leaving[1:] // one that can never fit was never subscribed
	}
	var members []*member
	for _, m := range s.dueBy(now) {
		if isService(m.Channel) {
			var t turn
			s.accepted(m, &t)
			s.hooks = append(s.hooks, t.hooks...)
			continue
		}
		m.id = s.nextID()
		if !fits(s.subscribe(m)) {
			if len(batch) > 0 {
				break
			}
			m.state, m.at = due, now.Add(time.Hour) // longer than any request may be
			s.log.Error().Str("event", "subscription_refused").Int("bytes", len(m.Channel)).
				Msg("the channel's name is longer than a request may be")
			continue
		}
		m.state = asked
		members = append(members, m)
	}
	if len(s.leaving) == 0 && len(s.dueBy(now)) == 0 {
		s.publish(now, fits)
	}
	if len(batch) == 0 {
		return
	}
	s.asking = members
	if s.asking == nil {
		s.asking = []*member{}
	}
	if s.socket == nil && !s.acks.on {
		s.hold.begin(members)
		s.hold.all = s.hold.all || len(s.posted) > 0
	}
	s.start(metaSubscribe, answerTimeout, batch...) // the first connect waits for it
}

// dueBy returns the members to be asked for, in the order the caller added them.
func (s *session) dueBy(now time.Time) []*member {
	var list []*member
	for _, m := range s.members {
		if m.state == due && !m.at.After(now) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(a.gen, b.gen) })
	return list
}

// subscribe is the message that asks for m. The position must be a JSON number:
// as a string Salesforce takes it for -1 without a word.
func (s *session) subscribe(m *member) request {
	r := request{Channel: metaSubscribe, ID: m.id, ClientID: s.clientID, Subscription: m.Channel}
	if m.From != nil {
		r.Ext = map[string]any{"replay": map[string]int64{replayKey(m.Channel): m.From()}}
	}
	return r
}

// answered takes in the reply to one subscribe message.
func (s *session) answered(reply *meta, t *turn) {
	for _, m := range s.asking {
		// Ids must be echoed and subscriptions named, one or an array; either
		// will do.
		concerned := m.id == string(reply.ID) || slices.Contains(reply.Subscription, m.Channel)
		switch {
		case !concerned || m.state != asked:
		case reply.Successful:
			s.accepted(m, t)
		default:
			s.refused(m, reply, t)
		}
	}
}

func (s *session) accepted(m *member, t *turn) {
	m.state, m.failures, m.again = live, 0, 0
	s.showChannels()
	level := zerolog.InfoLevel
	if m.Quiet {
		level = zerolog.DebugLevel
	}
	s.log.WithLevel(level).Str("event", "subscribed").Str("channel", m.Channel).Msg("subscribed")
	if m.Confirmed != nil {
		t.hooks = append(t.hooks, m.Confirmed)
	}
}

func (s *session) refused(m *member, reply *meta, t *turn) {
	m.state = due
	e := reply.failure()
	e.Subscription = m.Channel
	if s.doubt(reply, t) {
		return
	}
	m.failures++
	if e.Busy() { // not about this channel, and not for its owner to decide
		s.later(m, e, s.slow(m.failures))
		return
	}
	m.at = time.Now().Add(time.Hour) // until the hook has spoken, in this turn
	t.hooks = append(t.hooks, func(ctx context.Context) { s.judge(ctx, m, e) })
}

// judge asks the owner of a subscription what to do about its refusal.
func (s *session) judge(ctx context.Context, m *member, e *Error) {
	verdict := Retry
	if m.Refused != nil {
		verdict = m.Refused(ctx, e)
	}
	switch {
	case verdict == Drop:
		s.log.Warn().Str("event", "subscription_dropped").Str("channel", m.Channel).Err(e).Msg("subscription dropped")
		s.subs.drop(m.registration)
	case verdict == Again && m.again < maxAgain:
		m.again++
		s.later(m, e, 0)
	default:
		s.later(m, e, s.quick(max(m.failures, 1)))
	}
}

func (s *session) later(m *member, e *Error, wait time.Duration) {
	m.state, m.at = due, time.Now().Add(wait)
	s.log.Warn().Str("event", "subscription_refused").Str("channel", m.Channel).Err(e).
		Int("attempt", m.failures).Int64("wait_ms", wait.Milliseconds()).Msg("subscription refused")
}

// askDone ends a subscribe exchange. A subscription it brought no reply to is
// asked for again, unless its owner decides otherwise.
func (s *session) askDone(t *turn) {
	for _, m := range s.asking {
		if m.state != asked || t.end != nil {
			continue
		}
		m.failures++
		m.state, m.at = due, time.Now().Add(time.Hour) // until the hook has spoken, in this turn
		e := &Error{Channel: metaSubscribe, Subscription: m.Channel, Err: errNoReply}
		t.hooks = append(t.hooks, func(ctx context.Context) { s.judge(ctx, m, e) })
	}
	s.asking = nil
	s.abandon(errors.New("no reply to this publish"))
	s.hold.end(time.Now(), s.polling)
}

// showChannels puts the confirmed channels into the status.
func (s *session) showChannels() {
	var list []string
	for channel, m := range s.members {
		if m.state == live {
			list = append(list, channel)
		}
	}
	slices.Sort(list)
	s.board.update(func(st *Status) { st.Channels = list })
}
