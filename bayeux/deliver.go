package bayeux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// deliver calls the hooks and then the handler, once per reply. All together
// have 30 s, since the next answer to a poll is not looked at meanwhile.
func (s *session) deliver(ctx context.Context, t *turn) error {
	if len(t.hooks) == 0 && len(t.events) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, handlerTimeout, fmt.Errorf("handler took %s", handlerTimeout))
	defer cancel()
	ctx = context.WithValue(ctx, insideKey{}, s.Client)
	for _, hook := range t.hooks {
		hook(ctx)
	}
	for _, events := range t.events {
		if err := s.handler(ctx, events); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return fmt.Errorf("%w (%w)", err, cause)
			}
			return err
		}
	}
	// A handler that ignored its deadline has kept the poll waiting all the same.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// hold keeps back the events of channels that are being subscribed while a
// connect is open. They can come with either answer, and the two answers in
// either order ("Bayeux 1.0, message order is not kept over two connections"):
// delivered as they come, a position could move past events still under way. A
// publish may be answered with events of any channel, so while it is under way
// all are kept. Where events come in order by themselves nothing is held.
type hold struct {
	keys    map[string]bool // the channels, without filters
	all     bool
	carried bool      // the answer to the subscribe or publish had events
	until   time.Time // zero while the subscribe is under way, or nothing is held
	events  []Message
	parts   int // answers that events came from
}

// begin starts to hold the events of members.
func (h *hold) begin(members []*member) {
	if h.keys == nil {
		h.keys = make(map[string]bool)
	}
	for _, m := range members {
		h.keys[replayKey(m.Channel)] = true
	}
	h.until = time.Time{}
}

// take returns the events that are free to go and keeps the others.
func (h *hold) take(events []Message) []Message {
	if len(h.keys) == 0 && !h.all || !slices.ContainsFunc(events, h.holds) {
		return events
	}
	h.parts++
	free := make([]Message, 0, len(events))
	for _, m := range events {
		if h.holds(m) {
			h.events = append(h.events, m)
		} else {
			free = append(free, m)
		}
	}
	return free
}

func (h *hold) holds(m Message) bool {
	if h.all || h.keys[m.Channel] {
		return true
	}
	for key := range h.keys {
		if Match(key, m.Channel) {
			return true
		}
	}
	return false
}

// end notes that the subscribe was answered. If a connect is open, its answer
// may be under way and hold earlier events, so there is some time left for it.
func (h *hold) end(now time.Time, polling bool) {
	switch {
	case polling && (h.carried || len(h.keys) > 0):
		h.until = now.Add(settleWithin)
	case len(h.events) == 0:
		*h = hold{} // the answer's own events need not be kept either
	default:
		h.until = now
	}
}

// settle notes that the connect was answered that was open at end.
func (h *hold) settle(now time.Time) {
	if !h.until.IsZero() {
		h.until = now
	}
}

// release returns the events that were held, once nothing can come before them.
func (h *hold) release(now time.Time) []Message {
	if h.until.IsZero() || now.Before(h.until) {
		return nil
	}
	events := h.events
	if h.parts > 1 {
		slices.SortStableFunc(events, func(a, b Message) int {
			return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.ReplayID, b.ReplayID))
		})
	}
	*h = hold{}
	return events
}
