// Package poll is everything that reads Salesforce by asking: the first load,
// the polls that find what no event announced, the comparison of everything,
// and the reading back of marked records.
//
//	Poll:    SystemModstamp ≥ last time − look-back ─▶ ids ─▶ differs from the row? ─▶ mark
//	         getDeleted since the last answer       ─▶ ids ─▶ still in the table?  ─▶ mark
//	Full:    id, stamp, lookups, moving fields      ─▶ differs from the row?       ─▶ mark
//	Verify:  every field of all                     ─▶ differs, and stays so?      ─▶ report
//	Hydrate: marks ─▶ up to 10,000 records in one call               ─▶ rows, marks removed
//	Load:    all records, by REST or as a Bulk 2.0 query             ─▶ rows where none is newer
//
// Only Hydrate, Load and a Poll of very many changes write rows; the others only
// find ids, which is cheap (2,000 per call), so that windows can overlap
// generously.
//
// # Completeness
//
// Salesforce sets SystemModstamp when a record is saved, but the record
// becomes visible when its transaction commits, and the stamp's resolution is
// one second. Polls therefore have layers, which differ in two numbers only:
//
//	         every             looks back
//	fast     HC_POLL_INTERVAL  15 min
//	late     10 min            1 h
//	drift    6 h               48 h, or as far as getUpdated's latestDateCovered
//	full     7 days, or 24 h if fields are mapped that move without a stamp
//
// While a proven stream tells that nothing happens, and nobody has set an interval,
// the first two are 90 minutes apart ([Pace]): as good as no call is spent on an
// idle org.
//
// Each looks back behind the beginning of its last run, so an outage of any
// length is made up for. A deeper layer that is due does the shallower ones'
// work. Windows are paged by (SystemModstamp, Id), so that equal stamps are not
// skipped, changes between pages shift nothing, and no locator expires; times
// are the server's only, and the marks are durable.
//
// A record that is read in the very second of its stamp may change again within
// it, and would look the same. So the first poll after that second marks all that
// bears its stamp, differing or not. Without a stream it is also read again at once.
// The second change may even become visible when that has been done, if its
// transaction commits late. So the fast layer marks each record once more when its
// stamp is 30 s old, and the late one when it is 20 min old. All this costs three
// readings back for every 2,000 records that change.
//
// Formulas, roll-ups and fields of parents change without a new stamp: only the
// full comparison sees that. So it is with lookups that a merge changed of which
// nobody heard, as its loser was undeleted before the next poll.
//
// # Deletes
//
// A record that a read does not return is asked for with queryAll, and read with it if
// it is archived. Only IsDeleted, or getDeleted or an event together with absence, removes a row, and the
// latter only if the row is not of after that deletion: a record that has merely
// become invisible stays, and is counted; when a poll or a comparison sees it again,
// it is read back, whatever its stamp, and the drift layer asks for 2,000 of them by id:
// nothing else tells that a record is shared again. So that this is known of those, too,
// whose stamp a poll had to settle, it marks rows that it should have seen and did not
// (not where it reads by Bulk API, and 2,000 at most). What polls learn
// to be deleted is remembered ([pgsink.Sink.Bury]), even where there is no row: an
// older event may be on its way, also to a row of before the load. When a record
// is gone, the rows that refer to it are read: Salesforce deletes them, empties
// their lookups or, after a merge, points them to the winner, all without a word.
// That is so where it never had a row, or the app has deleted it, too, and the
// hydrator's work alone: what it has read of a child before, it has written by then.
// A load or a Bulk read that ends, and an object that was put aside, looks in turn for
// its rows that refer to what is remembered as deleted.
// When a record comes back, Salesforce is asked who refers to it: it gives lookups
// back as silently as it has emptied them.
//
// # Calls
//
// What polls of several objects ask at about the same time is one API call
// ([salesforce.Together]), and spans are counted from one moment for all, so
// that they do ask at the same time. So is what reads back up to five times 2,000
// records of an object, if so many wait and about 12 MB can hold them; each 2,000 fail
// alone. After a failure that one of them may be to blame for, half as many are asked
// for, until that one is alone; it is put off for up to an hour and then asked for
// apart from the others. A window of more than 10,000 changes is read by Bulk API. [PaceOf] is the one
// rule for saving calls.
//
// # Errors
//
// Errors are those of internal/salesforce and pgsink; every step is safe to
// repeat.
//
// # Concurrency
//
// Poll asks its questions side by side, Hydrate reads several answers at once, and
// a Bulk load fetches and decodes in one goroutine and writes in others. All of these
// end before the call returns. One [Reader] may be used by several goroutines, but
// one object's Load and Poll by one at a time, and Hydrate by one at a time. Of Full,
// one runs at a time.
package poll
