// Package check is the one checker of what a bridge promises. A suite lets its app
// write through an [App], does to the bridge what it is about, and asks a [Checker]
// in the end. It shares no code with the bridge: it reads the tables, the trigger
// log and hcbridge's tables by SQL, the org's own records and history (package
// truth), and what the suite hands it.
//
//	c := &check.Checker{Pool: pool, Schema: "salesforce", Org: check.Local(truth.Listen(sf)), Objects: []string{"Account"}, App: app}
//	… faults …
//	violations, err := c.Converged(ctx, time.Minute)
//
// # Invariants
//
//	     holds when                                    reads                          cannot see
//	I1   every field of a record equals its column     rows, records                  a column that is no field
//	I2   nothing waits; what failed says why           trigger log and archive        an entry that capture never made: I6
//	I3   an insert made at most one record             history, App's marks           objects without a mark
//	I4   one row per sfid, and per external id         rows                           -
//	I5   what others changed in the org is in a row    rows, records, read_error      what was changed again before it was looked at
//	I6   what the app committed is in the org, or a    App, history, conflict,        values that the org itself alters (rounded,
//	     conflict or a refusal says why not            trigger log                    trimmed): let the app write what it keeps
//	I7   per record and field our values come in the   App, history                   writes of a value that is there already
//	     order of the app's commits, the last one last
//	I8   our changes of a record are no more than the  App, history, Quiet            writes that change nothing, except in the
//	     app's, and nothing happens once all is equal                                 quiet time
//	I9   at most one streaming client                  Samples                        writes of an older epoch: test/standby
//	I10  no app transaction fails, or waits for the    App                            short waits under [App.Patience]
//	     bridge
//	I11  who has stood still for a minute says so      Samples                        between samples
//	I12  memory, descriptors, goroutines, connections  Samples, Bounds                between samples
//	     and API calls stay within bounds
//	I13  no position is ahead of its rows or marks     position, rows, mark, history  Change Data Capture; events out of order;
//	     ([Checker.Cut], while no bridge runs)                                        the marks of polls
//	I14  nothing is deleted without a delete           rows, App, history             rows that nobody told us of
//	I15  no secret is in a log, a metric or a table    Texts, tables of hcbridge and  core files, memory
//	                                                   of the schema
//
// I1 to I8, I14 and I15 are looked at when all is at rest, by [Checker.Converged],
// which waits for that; I2 or I1 is what it returns if that does not come.
//
// # Violations
//
// They are data, [Violation]; an error is that the checker could not look.
//
// # Concurrency
//
// App and Samples are safe for concurrent use. A Checker may be used by one
// goroutine at a time; it only reads, and may look while everything runs, but then
// sees what is under way as violations.
package check
