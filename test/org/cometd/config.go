package cometd

import (
	"encoding/json"
	"math/rand/v2"
	"time"
)

// Ride says which reply the stored events of a new subscription travel on.
// Bayeux 1.0 allows both.
type Ride int

const (
	// RideEither lets a seeded coin decide at every subscribe.
	RideEither Ride = iota
	// RideSubscribe puts stored events on the subscribe reply.
	RideSubscribe
	// RideConnect leaves stored events to the next connect reply.
	RideConnect
)

// Config tunes a Server. The zero value of a field means its default.
type Config struct {
	// Authenticate names the user of a bearer token. A request without a token
	// is refused before it is asked. Default: every token is user "".
	Authenticate func(token string) (user string, ok bool)

	// Authorize returns the Bayeux error that refuses a subscription, for
	// example "403::Restricted channel", or "" to allow it. The subscription
	// is as the client sent it, with its filter ("?Industry='Energy'").
	// Default: everything is allowed.
	Authorize func(user, subscription string) (denial string)

	// View returns what a user sees of an event (field-level security), or
	// false if he sees nothing of it (sharing). Default: the data as published.
	View func(user, channel string, data json.RawMessage) (json.RawMessage, bool)

	Clock func() time.Time // for retention and allocation; default time.Now

	Hold          time.Duration // an idle connect waits this long; default 110 s
	Expiry        time.Duration // a session lives this long between requests; default 40 s
	MultiInterval time.Duration // advised to sessions that share a browser; default 2 s
	Pickup        time.Duration // an event waits this long to be picked up with others; default 0
	Retention     time.Duration // an event can be replayed this long; default 24 h
	BusRetention  time.Duration // the same of high-volume channels (/data/, /event/); default 72 h

	Clients    int          // concurrent sessions; default 2,000
	Allocation int          // events delivered in 24 h; default 0, no limit
	StoreBytes int64        // of stored events over all channels; default 256 MiB
	Gap        func() int64 // distance between replay ids, > 0; default mostly 1, at times up to 9
	Seed       uint64       // of ids, gaps and coins; default 1
	Ride       Ride         // default RideEither

	// SilentReplay accepts an invalid replay id as -1, as some clients have
	// seen, instead of refusing it with 400.
	SilentReplay bool
	// DeafReplay accepts one too, and sends no event to it.
	DeafReplay bool
	// OldHandshakeErrors puts the cause of a refused handshake into "error", as
	// before 2018, instead of into ext.sfdc.failureReason.
	OldHandshakeErrors bool
}

func (c Config) withDefaults() Config {
	if c.Authenticate == nil {
		c.Authenticate = func(string) (string, bool) { return "", true }
	}
	if c.Authorize == nil {
		c.Authorize = func(string, string) string { return "" }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orDuration(&c.Hold, 110*time.Second)
	orDuration(&c.Expiry, 40*time.Second)
	orDuration(&c.MultiInterval, 2*time.Second)
	orDuration(&c.Retention, 24*time.Hour)
	orDuration(&c.BusRetention, 72*time.Hour)
	if c.Clients == 0 {
		c.Clients = 2000
	}
	if c.StoreBytes == 0 {
		c.StoreBytes = 256 << 20
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.Gap == nil {
		c.Gap = randomGap(rand.New(rand.NewPCG(c.Seed, 0x6761_70)))
	}
	return c
}

// randomGap imitates replay ids "not guaranteed to be contiguous" (Streaming
// API Developer Guide, "Message Durability"). It runs under the server's lock.
func randomGap(r *rand.Rand) func() int64 {
	return func() int64 {
		if r.IntN(8) > 0 {
			return 1
		}
		return 2 + r.Int64N(8)
	}
}
