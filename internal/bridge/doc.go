// Package bridge wires the parts into one process that keeps Salesforce and
// Postgres in step. It is the only package that knows all the others: a
// pushtopic.Event or a cdc.Event becomes a pgsink.Change here, and an outbox.Call becomes
// requests to Salesforce here, and nowhere else.
//
//	            ┌────────────┐ events  ┌─────────┐ changes + positions
//	Salesforce ─▶   stream   ├────────▶│ inbound ├─────────┐
//	            └────────────┘         └────┬────┘         ▼
//	            ┌────────────┐ differences  │ marks    ┌────────┐
//	Salesforce ─▶   poller   ├──────────────┼─────────▶│ tables │
//	            └────────────┘              ▼          └───┬──▲─┘
//	            ┌────────────┐         ┌─────────┐ rows    │  │
//	Salesforce ─▶  read back ◀─────────┤  marks  ├─────────┼──┘
//	            └────────────┘         └────▲────┘         ▼ triggers
//	            ┌────────────┐ calls   ┌────┴────┐    ┌──────────────┐
//	Salesforce ◀┤   sender   ◀─────────┤ outbox  ◀────┤ _trigger_log │
//	            └────────────┘         └─────────┘    └──────────────┘
//
// The one concept that carries the inbound guarantees is the mark: a durable
// note that a record must be read back. An event that is provably right is
// applied from its payload. Every other event, every difference that a poll
// finds and every answered write leaves a mark, and the hydrator reads marked
// records until none is left.
//
// # Invariants
//
//  1. A stream position moves only in the transaction that makes its rows or
//     its marks durable.
//  2. A poll's mark of the past moves only after the marks for what it found
//     are committed.
//  3. A mark is removed only in the transaction that writes its row, and only
//     if nobody marked the record again meanwhile.
//  4. A row is deleted only on a positive sign: a delete event, IsDeleted from
//     queryAll, or getDeleted. Absence is never one.
//  5. A row with an unsent local change is not touched by anything inbound; it
//     is marked and read when the change has been answered. A field that both
//     sides changed is written down.
//  6. Nothing is sent before a committed transaction says so, by the state PENDING
//     of its log entry or by an attempt that names it, and no transaction is open
//     while a request is.
//     An insert that was not answered is never sent again before it is known, or
//     certain by the time that has passed, that it did not take effect. Until then
//     a record without a row waits, unless another user has made it.
//  7. Our own writes to mapped tables are hidden from the capture triggers by a
//     setting that ends with the transaction, never with the session.
//  8. Polling is the guarantee; events and notifications are hints that make it
//     quick.
//
// # Comparing
//
// Once a week, or once a day where fields are mapped that change without a new
// stamp, all records are compared with all rows, and differences are marked. It
// is the last resort behind the polls, and finds what they cannot: see package
// poll. [Compare] does it for a person and reports instead.
//
// # API calls
//
// Where no poll interval is set, polls rest while the canary proves that the
// stream lives and it has told of nothing for ten minutes; the first event or write
// wakes them within half a minute. What has no event then waits for up to 90 minutes.
//
// As the budget runs low, polls are stretched first, comparisons stop, and then
// reading back slows down. While thousands of changes of an object are sent, reading
// back gathers what a call can carry, for up to half a minute. Events go on, and writes at the pace that the outbox's
// governor keeps. What the org refuses everybody, because its calls are used up or
// because it is read only, the client of package salesforce keeps back for all
// loops at once; each goes on trying, which costs nothing.
//
// # A deaf stream
//
// A stream can be connected and bring nothing. The watchdog trusts evidence
// only: a canary event of our own, the echoes of our own writes, and what polls
// find that no event announced. Suspicion makes polls quick, has the channel
// asked for again from its last position, and opens a new session at most every
// ten minutes.
//
// # The disk
//
// What comes in is committed without waiting for Postgres' disk, unless the
// configuration wants it: that is most of what an event would wait for. A crash
// may take the last such commits back, each whole and only the last ones, so the
// tables and the positions in them stay of one time. Only this process then
// remembers more than the database holds: the two are compared before a new
// connection applies anything, and every two seconds.
//
// # Topics
//
// Anybody may deactivate, edit or delete a topic, and the session goes on as if
// nothing had happened. One query shows all topics, but one every ten minutes is
// 144 API calls a day, several times what all objects together may cost while
// nothing happens. So the topics are compared at the start, in each session, when
// a subscription is refused, and ten minutes after the last time if anything has
// changed in the org since: an event came, a write of ours was answered, or a poll
// found a difference. A subscription that was given up is asked for again as often,
// changes or not. While nothing changes nothing can be missed. An idle day
// costs one call for each session, which Salesforce ends every few hours at the
// most; a day on which something changes every ten minutes costs 144 for the org.
//
// A spoilt topic is therefore mended within ten minutes of a change that anything
// but that topic itself announces. If it is the only thing that changes, and other
// users make the changes, its poll is what notices, so then it is mended when the
// next poll of its object ends.
//
// # Change events
//
// An object in cdc mode has a channel too; only what its messages mean differs.
// Change events tell what changed, in commit order, and neither SystemModstamp
// nor derived fields. So an update is applied as a patch, and the row keeps its
// stamp: whatever the patch rests on, and it may be the event before that was
// lost, the next poll finds the row older than its record and has it read. What
// comes twice is read back, since a patch of before could undo a later one. There
// is nothing to verify: what an administrator has not selected is refused, or is
// silent and found by the watchdog, which remembers what events announced, as
// polls are bound to find it again.
//
// # What waits for a person
//
// A mass change waits for Approve, which lets go what is in the log then. A
// database that is a copy, was set back, or has a log that another has kept, only
// receives until Adopt. A pause ends
// the session and keeps the lease. All three are rows of hcbridge, looked at every
// second, so they outlast the process; the session ends and begins anew where one of
// the last two changes.
//
// # Taking over
//
// Tables that Heroku Connect has kept are made ours by the same additive step as
// any other, after it was asked whose rows they are. Rows that are there are not
// loaded: the polls begin at the newest stamp among them, and all records are
// compared once, which reads two fields of each instead of all. Where columns were
// added a reload fills them. Whether anybody else still sends what waits in the log
// cannot be known, so Adopt is waited for. [Check] shows all of it before.
//
// # A schema that changes
//
// A mapping never changes while it is used. When a request fails as it does
// when a field or an object has gone, when a value does not fit its column, and
// otherwise every six hours, all objects are described again, by one API call.
// If some mapping would be another now, its table is altered first, additively
// and without waiting for a lock, while everything goes on; then the session
// ends and a new one begins with the new mappings, where all positions are.
//
// hcbridge.object remembers what was mapped. A field that was and is gone is
// frozen: neither read nor sent, its column left alone. What the app writes to it waits
// in the trigger log, and goes before the field is read again. One that is new to
// loaded rows is filled by a reload, which is a load of everything beside the
// changes and leaves alone what is right. An object that cannot be mapped is
// put aside, its table captured as before, and looked at again ever more
// rarely.
//
// # Choosing
//
// The mapping page asks the org by the client of the bridge that runs, once it has
// logged in, and remembers the answers for a minute. It maps what was chosen as a
// session would, so the table that it shows is the one that a start makes.
//
// # Capture
//
// Three times a minute the triggers are compared with what was installed. What
// was dropped or replaced is made again; what was disabled stays so, as whoever
// loads in bulk may have done it, and stops readiness until it is enabled.
//
// # Lifecycle
//
// [Bridge.Run] waits for the database, takes the lease, logs in, and runs one
// session after the other: it maps the objects and starts the loops. When the
// lease is lost it stops them and stands by. It starts all long-lived goroutines of
// the process and waits for each; what others start ends before their call returns.
//
// # Two processes
//
// One holds the lease and works, the others ask for it twice a second. It lasts six
// seconds, so that a crash is followed by a take-over within seven, and it is given
// up at the end of a clean stop, when what was in hand is written down. Each take-over
// makes a new epoch.
//
// A process may stand still at any point, or its machine, and go on as if nothing had
// happened when another has long taken over. Towards Postgres a [fence] keeps it
// from harm: all that a session does there goes through one, and is refused in an
// older epoch. A take-over waits for the transactions of the last holder, and ends
// those that do not end.
//
// Who stands by is prepared: it has logged in and asked what the objects are, which
// it asks again every six hours. So it begins with what it knows, unless that is not
// what whoever worked before has mapped, and compares it with the org soon after.
//
// Salesforce knows no epochs. But for those questions no request is begun, and no token
// handed out, unless the lease was renewed less than five seconds ago, by the clocks of
// this machine. What
// remains is a process that stands still between that look and the write of the
// request. What it sends then has been noted as attempted before, so whoever has
// taken over has looked for it already or waits until it cannot take effect any more;
// and it can note no answer. If a virtual machine is suspended, its monotonic clock may
// stand with it, so the wall clock counts as well, which may be put right a moment late.
//
// Who stands by holds no streaming session, and who loses the lease ends his.
//
// # Errors
//
// Run returns nil exactly when its context ended. It returns a [*ConfigError]
// for what only a person can change and what makes a start senseless: refused
// credentials, another org than the one the schema belongs to, a database that a
// newer version has upgraded. What is wrong with one object makes that object a
// MAPPING_ERROR and stops no other.
package bridge
