// Package bayeux is a client of Bayeux 1.0, the protocol of CometD servers, and
// of its dialect in Salesforce's Streaming API. It subscribes and does not go
// deaf: what time, a new token or a new session can heal, it heals.
//
// It speaks HTTP long polling, and a WebSocket where that is wanted and offered
// ([WithWebSocket]). It knows Salesforce's replay of missed events
// ([Subscription].From) and CometD's acknowledgement ([WithAck]). [Client.Publish]
// sends messages to servers that take some. Salesforce needs neither of the
// options nor Publish: its server has long polling and replay only.
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
// A handshake that is answered with 404, and each fifth in a row that gets no usable
// reply, asks for a token as a 401 does: the server may be elsewhere now.
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
// Without replay, and without acknowledgement, events that pass between two
// sessions are lost. With acknowledgement those of a lost reply are sent again,
// but those of a lost session are not.
//
// The next poll is sent before the handler runs, so that the server can gather
// events meanwhile: at most one reply is with the handler and one is waiting.
// Salesforce forgets a client that stays away for 40 s ("Streaming API
// Developer Guide, Clients and Timeouts"), therefore the handler has 30 s; if
// it needs longer or fails, the session is dropped and resumed from From.
//
// A channel added while a poll is open is subscribed on a second connection,
// and messages are published there. Events may then come on either, so they are
// held back until both have spoken (or 250 ms have passed) and are delivered in
// replay order. Events without replay ids have only the order in which they
// came.
//
// Over a WebSocket the server sends each event when it likes. What came in while
// the handler worked is its next call; at most as much as a reply may have is
// kept, the rest waits at the server.
//
// # Channels
//
// All events go to the one Handler, which tells them apart by [Message.Channel].
// A subscription may be a pattern, "/room/*" or "/room/**" ([Match]); a server
// may send an event once for each subscription that fits. Service channels are
// not subscribed at the server: a subscription only says that messages from
// there are waited for.
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
// concurrent use. Handler, From, hooks and Credentials are called on the
// goroutine that called Run. The requests of a session run in an errgroup that
// Run waits for; nothing outlives Run.
package bayeux
