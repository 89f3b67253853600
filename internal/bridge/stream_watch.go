package bridge

import (
	"context"
	"slices"
	"time"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/status"
)

// fallBack makes o a polled object and says so once.
func (st *stream) fallBack(o *object, why string) {
	if st.poll(o, why) {
		st.log.Warn().Str("event", "polling_only").Str("object", o.cfg.Name).Str("reason", why).Msg("object is polled")
	}
}

// poll makes o a polled object, and reports whether that is new.
func (st *stream) poll(o *object, why string) (news bool) {
	st.mu.Lock()
	news = o.fallback != why
	o.fallback = why
	st.mu.Unlock()
	o.streamed.Store(false)
	if news {
		st.s.board.Object(o.cfg.Name, func(b *status.Object) { b.ModeEffective, b.Message = config.ModePolling, why })
		o.wantPoll()
		st.endGap(o)
	}
	return news
}

// recover makes o a streamed object again.
func (st *stream) recover(o *object) {
	st.mu.Lock()
	why := o.fallback
	o.fallback = ""
	st.mu.Unlock()
	st.s.board.Object(o.cfg.Name, func(b *status.Object) {
		b.ModeEffective = o.cfg.Mode
		if b.Message == why {
			b.Message = ""
		}
	})
}

// miss polls the object of a channel that is asked for in vain, although the session
// works, until it is subscribed.
func (st *stream) miss(ch *channel, connected, live bool) {
	wanted, refusal := ch.missing()
	if wanted && live && st.fallenBack(ch.obj) { // it was subscribed while we looked
		st.recover(ch.obj)
	}
	now := time.Now()
	switch {
	case live || !wanted || !connected: // without a session all are, which is shown as a whole
		ch.away = time.Time{}
		return
	case ch.away.IsZero():
		ch.away = now
	}
	if now.Sub(ch.away) < streamDownAfter || now.Sub(ch.polled) < quickPoll {
		return
	}
	if refusal == "" {
		refusal = "too busy"
	}
	why := "Salesforce does not subscribe it now (" + refusal + "); polled every " + quickPoll.String()
	if st.poll(ch.obj, why) {
		st.log.Warn().Str("event", "not_subscribed").Str("object", ch.obj.cfg.Name).Str("reason", why).Msg("object is polled until it is subscribed")
	}
	ch.polled = now
	ch.obj.wantPoll()
}

func (st *stream) fallenBack(o *object) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return o.fallback != ""
}

// wrote tells the watchdog of a write that Salesforce has answered.
func (st *stream) wrote(o *object, sfid string) { st.dog.wrote(o.cfg.Name, sfid, time.Now()) }

// watch weighs the evidence, acts on it, and shows it.
func (st *stream) watch(ctx context.Context) {
	state := st.client.Status()
	connected := state.State == bayeux.Connected
	for _, ch := range st.all() {
		live := connected && slices.Contains(state.Channels, ch.name)
		st.dog.live(ch.obj.cfg.Name, live, st.s.sf.ServerTime())
	}
	todo := st.dog.tick(time.Now(), connected)
	if todo.probe {
		st.sing(true)
	}
	if todo.push {
		st.push(ctx)
	}
	if len(todo.again) > 0 {
		st.doubt() // perhaps somebody has changed a topic
	}
	for _, ch := range st.all() {
		name := ch.obj.cfg.Name
		if slices.Contains(todo.again, name) {
			st.log.Info().Str("event", "asked_again").Str("object", name).Msg("a poll found what no event announced")
			st.subscribe(ch)
		}
		if slices.Contains(todo.anew, name) && ch.from() != bayeux.FromNew {
			st.forget(ch, "no event has come since the last position")
			st.subscribe(ch)
		}
		if slices.Contains(todo.poll, name) {
			ch.obj.wantPoll()
		}
	}
	if todo.renew {
		st.log.Warn().Str("event", "session_renewed").Msg("the stream is suspect, opening a new session")
		st.mu.Lock()
		st.renew()
		st.mu.Unlock()
	}
	st.show(state)
}

// show puts on the board whether the stream works, object by object.
func (st *stream) show(state bayeux.Status) {
	mute, doubts := st.dog.doubts()
	if state.State == bayeux.Connected || !st.any() {
		st.up, st.down = time.Now(), false
	}
	if away := time.Since(st.up); !st.down && away > streamDownAfter {
		st.down = true
		for _, ch := range st.all() {
			st.reread(ch, st.s.sf.ServerTime().Add(-away))
		}
	}
	text := "off"
	switch {
	case !st.any():
		st.s.resume("stream")
	case state.State == bayeux.Connected && mute:
		text = "muted"
		st.s.stop("stream", "connected, but no events arrive; polling every "+quickPoll.String())
	case state.State == bayeux.Connected:
		text = "connected"
		st.s.resume("stream")
	case st.down:
		text = "waiting"
		reason := "not connected"
		if state.LastError != nil {
			reason = state.LastError.Error()
		}
		st.s.stop("stream", reason)
	default:
		text = "connecting"
	}
	st.s.board.Connection(func(c *status.Connection) { c.Streaming = text })
	for _, ch := range st.all() {
		o := ch.obj
		why := doubts[o.cfg.Name]
		live := state.State == bayeux.Connected && slices.Contains(state.Channels, ch.name)
		if mute && live && why == "" {
			why = "no events arrive"
		}
		o.streamed.Store(live && why == "")
		st.suspect(ch, why, mute)
		st.miss(ch, state.State == bayeux.Connected, live)
	}
}

// suspect shows that o's events are in doubt, or no longer.
func (st *stream) suspect(ch *channel, why string, mute bool) {
	name := ch.obj.cfg.Name
	if why != "" {
		if ch.kind == changeKind {
			why += "; see that Setup → Change Data Capture selects the object"
		}
		why += "; polled every " + quickPoll.String()
	}
	was := st.shown[name]
	if was == why {
		return
	}
	st.shown[name] = why
	if was == "" {
		st.reread(ch, st.s.sf.ServerTime())
	}
	st.s.board.Object(name, func(b *status.Object) {
		if b.Message == was || b.Message == "" {
			b.Message = why
		}
	})
	if why == "" {
		st.log.Info().Str("event", "trusted").Str("object", name).Msg("events arrive again, or no more are missed")
		st.s.resume("stream of " + name)
		return
	}
	st.log.Error().Str("event", "suspect").Str("object", name).Str("reason", why).Msg("events are in doubt")
	if !mute { // else one stop for all is enough
		st.s.stop("stream of "+name, why)
	}
}
