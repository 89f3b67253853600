// Package retry waits between attempts. It is the only place that knows how
// long to wait and when to give up, and the only importer of the back-off
// library: that library gives up after 15 minutes unless told otherwise, which
// for a bridge means that one long outage ends it for good.
//
//	attempt ──ok──▶ nil
//	   │ ▲
//	   │ └── wait 500 ms, 750 ms, … 30 s, each ±50 % ──┐
//	   ├── heals(err) ─────────────────────────────────┘
//	   └── otherwise ──▶ err
//
// # Errors
//
// [Forever] returns the operation's own error, unwrapped, when it cannot heal,
// and the context's error when the context ended.
//
// # Concurrency
//
// Nothing here keeps state between calls.
//
// # Time
//
// Waits are measured by the monotonic clock and end at once when the context
// does.
package retry
