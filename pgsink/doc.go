// Package pgsink keeps Salesforce records in Postgres tables, laid out as
// Heroku Connect lays them out.
//
// A [Table] knows an object's names, column types and SQL. Records come in
// three forms, events, REST and Bulk CSV, and all become a [Row] of canonical
// values: the same value is the same text, whichever way it came. A [Sink]
// applies them:
//
//	event JSON ─┐           ┌─ Event: newer than the row ──────▶ written
//	            ├─▶ Row ────┤         same second, other values ▶ mark
//	REST JSON ──┘           │         older ────────────────────▶ ignored
//	                        ├─ Patch: newer than the row ──────▶ its fields written,
//	                        │                                    not its stamp
//	                        │         no row, or being loaded ──▶ mark
//	                        │         else ────────────────────▶ as an event
//	                        ├─ Read:  not older than the row ──▶ written
//	                        │         same second, other values,
//	                        │         the row older when read ──▶ mark
//	                        ├─ Delete ─────────────────────────▶ row removed
//	Bulk CSV ─▶ LoadChunk ──┴─ no row, no mark ───────────────▶ copied
//	                          in every case: equal ────────────▶ not written
//	                          the app has an unsent change ────▶ held: mark
//	                          no row, and an insert of the app's
//	                          is on its way or in doubt ───────▶ held: mark, unless a
//	                                                             Read says that another
//	                                                             user made the record
//	                          Postgres refuses the record ─────▶ parked
//
// A mark (hcbridge.mark) says "this record must be read back". Whatever is not
// provably right leaves one, and a Read that names the mark's seq answers it.
// A mark set again meanwhile has another seq and stays. If it was a delete that
// set it, the Read, made too early, is not applied either. A patch renews a mark
// like a delete: its row is newer than its stamp says. So is that of a change of the
// app that Salesforce has accepted ([Mark].Bars).
//
// A deletion is remembered for 16 days (hcbridge.gone). An event or a loaded
// record of before it, which would bring the record back, is read back instead,
// and a delete event of before the row's stamp does not remove the row. A record
// that is taken back from Salesforce's recycle bin, where it stays for 15 days,
// gets the local id that its row had, if no other row has it by then. A row that
// the app deleted itself gives its id up.
//
// A [Comparison] finds what differs between all records and all rows, in
// constant memory and by the same canonical forms and casts, and writes nothing
// but the ids it has met.
//
// # Loads
//
// A load is cut into chunks ([Chunks], [Chunk]) that are read before their
// transaction begins. What the table does not know yet goes into it by COPY, in
// the binary format, which is several times as fast as anything else. Everything
// that makes that less than certainly right sends records through the merge
// instead, which decides as for events: a row or a mark of the record, a change
// that the app has not sent, a value without a binary form. If Postgres refuses
// the copy after all, for whatever reason, it is undone and the chunk merged.
//
// # Delivery
//
// [Sink.Apply] makes marks and positions durable together and never before their
// rows, nearly always in one transaction. Applying a batch again, or
// an old one late, changes nothing that is newer. No record ever has two rows:
// the unique index on sfid has the last word.
//
// A row is only written if it is still the version that the decision was made
// on, and the decision sees the app's log entries of the same moment. So a
// local change that was not sent is never overwritten, and a row that an app
// holds locked is skipped and marked, not waited for. So is one that goes or gets
// another key while an app refers to it in a transaction that is still open. A key
// that an app is taking, or a table that somebody is altering, is waited for, for a
// second or so, and then the records that need it are held.
//
// A row whose update Salesforce refused takes what Salesforce has, and stays FAILED
// with the reason in _hc_err while the trigger log has it as FAILED. The status
// trigger would make it SYNCED, as Heroku Connect's does with every write of the
// bridge that says nothing new of the row, so transactions of ours say that they do.
//
// # Errors
//
// Records that Postgres refuses (a value, a constraint, the app's own trigger) or
// that a trigger swallows are found, by halving if need be, and put into
// hcbridge.read_error with SQLSTATE and message but without their values; the others go
// on. Deadlocks are tried again a few times. Everything else is returned and means that
// the caller should come back later. [Mismatch] is a table that needs a person,
// [RecordError] a record that is none, [ErrFenced] the end of a lease.
//
// # Concurrency
//
// Everything is safe for concurrent use. Nothing here starts a goroutine.
// Batches of the same records are serialised by their rows and marks. Whoever writes
// several kinds of rows in one transaction does so in one order, or two would wait for
// each other: marks, by object and id, then deletions, then the rest. A mapped row is
// locked after the marks that are known by then, since an app may wait for it.
//
// # Conflicts
//
// A record that says of a field what the app neither had nor made of it, and that
// is newer than what the app had, is somebody else's edit that the app did not know:
// both values go to hcbridge.conflict. Until what Salesforce stored in the end has
// been read, it may be what became of our own value there, and is not settled.
//
// # Time
//
// Only Salesforce's stamps are compared with each other, and only the
// database's clock decides when a mark is due.
package pgsink
