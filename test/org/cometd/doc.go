// Package cometd is the Streaming API endpoint of a simulated Salesforce org:
// a Bayeux 1.0 server that speaks long polling in Salesforce's dialect.
//
// It is written from public documentation and recorded traffic only, so that
// a client tested against it is tested against the protocol and not against
// the assumptions of its own author.
//
//	             handshake                first connect          connect
//	(no session) ─────────▶ established ───────────────▶ open ◀─────────▶ parked
//	      ▲                      │                         │                 │
//	      └────── 40 s without a request, disconnect, Forget, DisconnectAll ─┘
//
// # Delivery
//
// A channel is one log of events, kept for 24 hours. A subscription is a
// position in that log and a session holds nothing else, so a session that
// never polls costs no memory. Events leave on whichever reply of the session
// goes first: a connect reply, or the reply of a subscribe. What was handed to
// a reply counts as delivered, whether it arrived or not; a client that wants
// it again subscribes from an older replay id.
//
// # Errors
//
// Protocol errors are Bayeux messages with HTTP status 200. Only a request
// that holds no Bayeux message is refused by status: 400, 405, 413.
//
// # Time
//
// Holds and session life run on the runtime's clock (or a synctest bubble).
// The retention of events and the daily allocation run on [Config.Clock], so a
// test can let a day pass.
//
// # Concurrency
//
// Everything exported is safe for concurrent use. The callbacks of [Config]
// run without the server's lock, except the build function of [Server.Publish].
// The package starts no goroutines.
package cometd
