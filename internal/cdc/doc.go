// Package cdc reads change events, Salesforce's other kind of record change
// (Change Data Capture), and names their channels.
//
//	object ──▶ Channel ──▶ /data/AccountChangeEvent
//	                              │
//	Event ◀── Decode ◀── bayeux.Message
//
// # What an event holds
//
// There is one event for each record that a transaction changed, with what was
// committed in the end, in commit order. CREATE and UNDELETE hold every field
// that is not null, UPDATE the changed ones alone, null included, DELETE none.
// An event of several records means the same change of each. Events hold neither
// IsDeleted nor SystemModstamp nor derived values, formulas not reliably, and
// person names, addresses and geolocations by their parts. Instead of a text of
// 1,000 characters and more there may be its difference to the one before; this
// package does not apply it.
//
// GAP_ events say which record changed and not how. GAP_OVERFLOW, and an id that
// is a pattern ("001*"), mean that any number of records may have changed
// ([Event.All]).
//
// Sources: "Change Data Capture Developer Guide" (Change Event Message Structure,
// ChangeEventHeader Fields, Change Event Fields, Gap Events, Overflow Events,
// General Considerations, Sending Data Differences for Fields of Updated
// Records), and events recorded from CometD.
//
// # Errors and concurrency
//
// There is no state, and the only error is [ErrMalformed].
package cdc
