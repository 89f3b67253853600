// Package bayeux speaks Bayeux 1.0 over HTTP long polling, in the dialect of
// Salesforce's Streaming API.
//
// A [Client] owns one session at a time. [Client.Run] takes a token, shakes
// hands, subscribes, and keeps exactly one /meta/connect request open until its
// context ends:
//
//	                ┌── unknown client, advice handshake, /meta/disconnect ──┐
//	                │   lost or unreadable reply, handler error              │
//	                ▼                                                        │
//	┌───────┐   ┌───────────┐  ok  ┌───────────┐  ok  ┌─────────┐            │
//	│ token ├──▶│ handshake ├─────▶│ subscribe ├─────▶│ connect │◀┐ retry    │
//	└───────┘   └─────┬─────┘      └─────┬─────┘      └──┬───┬──┴─┘          │
//	    ▲             │                  │               │   └───────────────┘
//	    ├── 401 ──────┴──────────────────┴───────────────┤
//	    │                                                │
//	  wait ◀── 503, limits (minutes to an hour) ─────────┘
//
// Advice "none" with any other cause ends Run with [ErrRefused]. The first loss
// of a session is answered at once; losses that follow each other within
// seconds wait ever longer, with jitter.
//
// # Delivery
//
// At least once, and in wire order. The [Handler] gets all events of one reply
// in one call, never two calls at a time. A reply is used whole or not at all:
// if it is cut off, too large, not JSON or late, the events in it may be lost
// to this session although the server counts them as delivered, so the session
// is dropped and every channel is subscribed again from what its
// [Subscription.From] says then. Storing positions, in the same transaction as
// the data, is the caller's work; the package remembers none.
//
// The next poll is sent before the handler runs, so that the server can gather
// events meanwhile: at most one reply is with the handler and one is waiting.
// Salesforce forgets a client that stays away for 40 s ("Streaming API
// Developer Guide, Clients and Timeouts"), therefore the handler has 30 s; if
// it needs longer or fails, the session is dropped and resumed from From.
//
// A channel added while a poll is open is subscribed on a second connection.
// Its events may then come on either, so they are held back until both have
// spoken (or 250 ms have passed) and are delivered in replay order.
//
// # Errors
//
// What the server says is parsed once, into [*Error], with Salesforce's
// ext.sfdc.failureReason before the error field. Run heals what time, a new
// token or a new session can heal, for ever. It returns nil exactly when its
// context ended, and otherwise an error that is [ErrRefused] or
// [ErrEndpoint]. A single channel that is refused is put to
// [Subscription.Refused] and does not disturb the others.
//
// # Concurrency
//
// Run may be active once at a time per Client. All other methods are safe for
// concurrent use. Handler, hooks and Credentials are called on the goroutine
// that called Run. The requests of a session run in an errgroup that Run waits
// for; nothing outlives Run.
package bayeux
