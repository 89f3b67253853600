// Package outbox carries committed changes of mapped tables from Postgres to
// Salesforce: it captures them by triggers, plans them, hands them to a
// [Sender] and writes down what came of each.
//
// The queue is the trigger log that Heroku Connect made known, <schema>._trigger_log,
// with its archive beside it. The app's transaction only appends to it; every
// other step belongs to the one [Worker] that holds the schema:
//
//	app's commit
//	     │ trigger                        user: state = 'NEW'
//	     ▼            claim (committed)   ┌───────────────────────────┐
//	   ┌─────┐  ────────────────────▶ ┌───┴─────┐  refused        ┌───┴────┐
//	   │ NEW │     or an attempt      │ PENDING ├────────────────▶│ FAILED │
//	   └──▲──┘ ◀──────────────────────┴───┬─────┘  undecidable    └───┬────┘
//	      │     transient: back-off       │ answered                  │ user: 'IGNORED'
//	      │                               ▼                           ▼
//	┌─────┴─────────────────────────────────────────────────────────────────┐
//	│ archive: SUCCESS, MERGED, IGNORE, IGNORED, READONLY, REQUEUE(D)       │
//	└───────────────────────────────────────────────────────────────────────┘
//
// [Install] makes log, functions and triggers. [Worker.Run] decides when;
// [Worker.RunOnce] reads the oldest NEW entries, plans them (plan.go, pure) and
// works through the calls of the plan: claim, send, settle. Up to [Config.Calls]
// of those that have nothing to do with each other are under way at a time
// (flight.go), fewer while Salesforce does not cope. [Listener] turns
// notifications into wake-ups.
//
// # Capture
//
// Changes are logged by AFTER STATEMENT triggers from transition tables, one
// entry for each changed row, as Heroku Connect's row triggers do it. The
// trigger of its name, hc_<t>_logtrigger, logs the updates; hc_<t>_logtrigger_insert
// and _delete are beside it and rest while it is disabled. A statement is logged when
// it has ended, and so behind what the app's row triggers, or its foreign keys, did to
// the same row meanwhile; the planner puts that right (order.go).
//
// An app's transaction never waits for another writer or fails because of
// capture: functions only append, take no lock that is waited for, look up no
// name by the app's search_path, and notify only if nobody else is about to. A
// server that allows prepared transactions is never notified, see log.sql.tmpl.
// [Inspect] shows whether what captures is still there.
//
// # Delivery
//
// What one run looks at is bounded (scan.go): a record with thousands of changes
// is read by its oldest ones, and others are found behind it. A delete waits
// while such a record has unread changes that may mention the deleted one.
//
// Entries are found by their state, never by a position: ids are drawn before
// the commit, so a reader that remembers the highest id loses what commits
// late. Per record the order of ids is the order of transactions, because an id is
// drawn while the row is locked and the sequence caches nothing; within one, the
// images of the row tell the order of changes. Across records
// only what depends on each other is ordered: a parent's insert goes before the
// children that name it by external id, a delete goes after the earlier changes
// that mention the record. A row is named by its primary key: where an app changes that,
// what is open of the row gets the new one before it is planned (rekey.go). Of two rows
// with one external id the second is refused before it is sent (twin.go).
//
// That an entry is about to be sent is committed before its request leaves, and no
// transaction is open while it travels. Entries become PENDING. Where a backlog goes by
// full calls, its updates and deletes are only noted as an attempt
// (_trigger_log_attempt, a row for each call) and stay NEW: an entry costs most by the
// indexes of the log that it is written to, and what can be repeated needs no state of
// its own. A restart makes PENDING what attempts name.
//
// A crash therefore leaves entries whose fate is unknown, as does every lost answer.
// A delete is repeated at once. An update stays PENDING until the record was compared
// with what was sent (standing.go), or an event told that it took effect (echo.go),
// and is repeated if it did not.
// The first request may still run and write its old values after all, so newer
// changes of the same fields wait until it hardly can (late.go), also after a
// restart: what was repeated is marked as such in log and archive. If it does so even
// then, the newer values are sent once more (undone.go), and what it makes again of a
// record that the app deleted meanwhile is deleted once more. Where Salesforce itself
// answered, with an internal error, nothing runs on, and nothing waits.
//
// A creation in doubt stays PENDING, for which the record's later changes wait,
// and is looked for by the [Finder] (doubt.go): an upsert by its key, a plain
// insert by what was sent, among the records that our user has made since and
// that have no row. What is found is adopted. What is not is sent again: an upsert
// at once, since it cannot make a second record, and an insert when the request
// cannot run any more ([Config.InDoubt], counted from processed_at of the entry).
// Where our user has made a record since that is like nothing that was sent, as
// automation may have changed it, the insert is parked as FAILED with code
// [CodeInDoubt]. As long as one is, and nothing was answered since, no other plain
// insert is sent: it would be in doubt, too, and wait for as long.
//
// A call that Salesforce does not answer for [Config.Patience] is set aside (aside.go):
// its records and what depends on them wait, all else goes on.
//
// Long runs of like updates, deletes and upserts go by jobs (see [Bulk], job.go),
// which nothing waits for. Their entries stay PENDING with the job's id, by which
// a restart asks what became of them; what a job did not do goes by calls.
//
// # What Postgres believes of the log
//
// The log is empty most of the time, also when autovacuum counts what is in it. From
// then on Postgres takes any plan for as good, and a statement on a full log would take
// seconds, for which the app waits where rows are locked. So a run that finds more than
// a few entries has it counted anew where the statistics are wrong ([pgstats.Correct]).
// What a burst leaves in the indexes is vacuumed after it (sweep.go).
//
// # API calls
//
// Each call costs one of the org's daily allowance, whatever it carries. Plans are
// paid from a purse (governor.go, Config.Budget), which outlives the process if the
// caller keeps it ([Worker.Purse]). While it is half full all go at
// once; below, a plan waits the longer the emptier the purse is and the less full its
// calls are, and its rows go together with those that come meanwhile. Waiting counts
// as no attempt.
//
// # Errors
//
// What Salesforce refuses is a [Failure], and its [Class] decides: Transient
// waits and is sent again, only that record; Limit stops the worker for a
// while and counts as no attempt; Permanent and Conflict are written to the log (sf_message) and the row
// (_hc_err). Errors that RunOnce returns are about the database or the link.
//
// In ordered mode the newest change of a record, when it is refused, goes once more in one
// update with those that were refused before (together.go), as these may need each other.
// Until then it is NEW.
//
// What the app writes to a field that Salesforce does not show any more is kept in an
// entry that is FAILED with [CodeFrozen] (frozen.go). [Thaw] sends it once the field can
// be seen again.
//
// # Concurrency
//
// One Worker per schema; Run, RunOnce and Recover must not overlap. [Worker.Suspect]
// may be called beside them. The
// functions of admin.go and users' SQL on the log may run beside it. RunOnce
// starts a goroutine for each call and returns when they have ended, or are set aside;
// then a later RunOnce, or the end of Run, takes down what came of them;
// [Sender.Send] is called by several at a time, Config.Settle by one at a time.
//
// # Time
//
// Back-off, polls and retention follow the clock of this process; what is
// written to the log follows the clock of the database.
package outbox
