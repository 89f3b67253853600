// Package salesforce calls one org's REST and Bulk API 2.0 and keeps its session.
//
//	           ┌────────────── 401 (once per request) ─────────────┐
//	           ▼                                                   │
//	call ─▶ Token ──▶ pinned transport ──▶ instance host ──▶ answer ┴▶ caller
//	           │                                              │
//	           ▼ one at a time, repeated ones 10 s apart       ├─ Date ─────▶ ServerTime
//	      token host ─▶ instance_url policy ─▶ Session        └─ Limit-Info ▶ Usage
//
// Reads made with a context of [Together] travel in one composite request, five of
// them queries or collections of up to 2,000 records, and so do up to five collections
// of a large write.
//
// An instance that cannot be reached, redirects, does not know the API, or answers with
// pages for half a minute may be one that the org has left: the token host is then asked
// where the org lives, once a minute at most. Only if it names another host does that
// change anything.
//
// When the calls of the day are used up, all requests fail at once, unsent, but for
// one in ten minutes; while the org is read only, writes but for one a minute.
//
// # Delivery
//
// A read either returns everything the org sent or an error: bodies are read to
// their end, capped, checked to be JSON by content type and first byte, and
// matched to what was asked. A write is sent once. It is repeated by this package
// only after a 401, which says that nothing happened. When the answer to a write
// was lost, cut, not readable, or does not match the request, the error (or the
// record's result) is InDoubt: the write may have taken effect and must be looked
// up before it is sent again. So it is after an internal error of Salesforce, which
// proves no rollback, but then nothing runs on (Ended).
//
// # Errors
//
// All failures are of type [*Error], sorted into a [Class] by Salesforce's
// errorCode, because the same code arrives with different statuses. [ClassOf] is
// the one question callers ask. An Error prints its code but, for writes, not its
// Message, which may quote a record's values; no secret and no body is ever in it.
//
// # Security
//
// The bearer token goes only to the instance host named by the token response,
// which must be a Salesforce host or the login host; the transport refuses any
// other destination. Redirects are not followed. Links in answers (nextRecordsUrl)
// are used by their path only. There is no cookie jar.
//
// # Concurrency
//
// A [Client] is safe for concurrent use and starts no goroutines. Any number of
// concurrent refusals of a token lead to one login.
//
// # Time
//
// [Client.ServerTime] follows the Date header of the newest answer, so that
// windows and assertions do not depend on this machine's clock.
package salesforce
