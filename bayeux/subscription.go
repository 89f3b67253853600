package bayeux

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Positions with a meaning of their own for [Subscription.From]. Any other
// value is an id the server gave out. ("Streaming API Developer Guide, Message
// Durability")
const (
	FromNew int64 = -1 // events after the subscription
	FromAll int64 = -2 // all events kept, 24 h or of high-volume channels 72 h, then new ones
)

// Subscription asks for the events of one channel.
type Subscription struct {
	// Channel, for example "/topic/hc_Account", with or without a filter
	// ("?Industry='Energy'"), or a pattern ("/room/*", "/room/**", see [Match]).
	// Channels tell subscriptions apart.
	Channel string

	// From says after which replay id to start. It is asked at every subscribe
	// and resubscribe, so it should return what is durable by then. Nil means
	// no replay: new events only, and those that pass during a lost session
	// are lost.
	From func() int64

	// Refused decides what becomes of a channel the server refused, did not
	// answer for ([Error.NoReply]), or whose events no longer fit a reply
	// ([Error.TooLarge]). Refusals that concern
	// the whole session, and servers too busy, are not put to it. Its context
	// has at most 30 s. Nil means Retry.
	Refused func(ctx context.Context, err *Error) Verdict

	// Confirmed is told each time the server has accepted the subscription,
	// before the first event of the channel is delivered. Its context has at
	// most 30 s. May be nil.
	Confirmed func(ctx context.Context)

	// Quiet says that the channel is subscribed again and again, so that it is
	// no news when it is.
	Quiet bool
}

// Verdict is what to do about a refused subscription.
type Verdict int

// The verdicts on a refused subscription.
const (
	Retry Verdict = iota // ask again, with back-off
	Again                // ask again at once, since From has changed
	Drop                 // forget the channel; the others live on
)

// String returns the verdict in lower case, for logs.
func (v Verdict) String() string {
	switch v {
	case Again:
		return "again"
	case Drop:
		return "drop"
	default:
		return "retry"
	}
}

// replayKey is the channel without its filter, the key Salesforce wants in
// ext.replay and the channel it puts on events.
func replayKey(channel string) string {
	key, _, _ := strings.Cut(channel, "?")
	return key
}

// registration is a subscription with a number that tells it from an earlier
// one of the same channel.
type registration struct {
	Subscription
	gen uint64
}

// registry holds what the caller wants subscribed, in the order asked for. It
// is the only state that Subscribe and Unsubscribe share with Run.
type registry struct {
	mu      sync.Mutex
	items   []registration
	version atomic.Uint64 // moves with every change
	wake    chan struct{} // one pending notice at most
}

func newRegistry() *registry {
	return &registry{wake: make(chan struct{}, 1)}
}

func (r *registry) add(s Subscription) {
	r.mu.Lock()
	r.items = slices.DeleteFunc(r.items, func(i registration) bool { return i.Channel == s.Channel })
	r.items = append(r.items, registration{s, r.version.Add(1)})
	r.mu.Unlock()
	r.notify()
}

func (r *registry) remove(channel string) {
	r.mu.Lock()
	r.version.Add(1)
	r.items = slices.DeleteFunc(r.items, func(i registration) bool { return i.Channel == channel })
	r.mu.Unlock()
	r.notify()
}

// drop removes a registration unless it has been replaced meanwhile.
func (r *registry) drop(old registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version.Add(1)
	r.items = slices.DeleteFunc(r.items, func(i registration) bool { return i.gen == old.gen })
}

func (r *registry) snapshot() []registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.items)
}

func (r *registry) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
