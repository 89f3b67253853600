// Package poll is everything that reads Salesforce by asking: the first load,
// the poll that finds what no event announced, and the reading back of marked
// records.
//
//	Changes: SystemModstamp ≥ what was seen − look-back ─▶ ids ─▶ differs from the row? ─▶ mark
//	Deletes: getDeleted since the last answer           ─▶ ids ─▶ still in the table?  ─▶ mark
//	Hydrate: marks ─▶ up to 2,000 records in one call   ─▶ rows, marks removed
//	Load:    all records, by REST or as a Bulk 2.0 query ─▶ rows where none is newer
//
// Only Hydrate and Load write rows; the polls only find ids, which is cheap
// (2,000 per call), so that windows can overlap generously.
//
// # Completeness
//
// Salesforce sets SystemModstamp when a record is saved, but the record
// becomes visible when its transaction commits, and the stamp's resolution is
// one second. Changes therefore looks back [Lookback] behind what it has seen,
// pages by (SystemModstamp, Id) so that equal stamps are not skipped, and takes
// its times from the server only. A record of an object without a stream that
// is read in the very second of its stamp is read once more, because a second
// change within that second would look the same.
//
// # Deletes
//
// A record that a read does not return is asked for with queryAll. Only
// IsDeleted, or getDeleted together with absence, removes a row: a record that
// has merely become invisible stays.
//
// # Errors
//
// Errors are those of internal/salesforce and pgsink; every step is safe to
// repeat.
//
// # Concurrency
//
// One [Reader] may be used by several goroutines, but one object's Load,
// Changes and Deletes by one at a time, and Hydrate by one at a time.
package poll
