package outbox

import "strings"

// States of a log entry that the outbox reads or writes.
const (
	stateNew     = "NEW"
	statePending = "PENDING"
	stateSuccess = "SUCCESS"
	stateMerged  = "MERGED"
	stateFailed  = "FAILED"
	stateIgnore  = "IGNORE"
	stateIgnored = "IGNORED"
)

// Actions of a log entry.
const (
	actionInsert = "INSERT"
	actionUpdate = "UPDATE"
	actionDelete = "DELETE"
)

// key names a row of a mapped table, which is what changes are ordered by: the
// Salesforce id may not be known yet.
type key struct {
	table string
	id    int64
}

// entry is one row of the trigger log.
type entry struct {
	id      int64
	at      int64 // its place in the order of changes, see order.go; 0 = id
	txid    int64 // of the app's transaction; 0 = unknown
	key     key
	state   string
	action  string
	sfid    string // "" = none
	message string // sf_message

	values map[string]*string // row after, or what changed
	old    map[string]*string // row before; not read for inserts
	broken error              // values or old could not be read
}

// inDoubt reports whether the entry may already have taken effect. The mark is
// in the log, so that it outlives the process.
func (e *entry) inDoubt() bool { return strings.HasPrefix(e.message, CodeInDoubt) }

// backlog is what one run plans over: the oldest NEW entries and what else is
// known about their records.
type backlog struct {
	entries []*entry            // NEW, ids ascending
	open    map[key][]*entry    // PENDING, FAILED, and deletes that are IGNORE; ids ascending
	rows    map[key]string      // rows that exist, with their sfid; asked only for those in asked
	asked   map[key]bool        // rows that were looked up
	busy    map[string]bool     // tables that somebody holds locked, so that they were not
	lost    map[reference]int64 // named external ids of records whose insert FAILED, and its entry
	flight  []*item             // in jobs that are not over, or in doubt
	hidden  map[string]int64    // objects that are mentioned from these entries on by changes of held tables
	moving  map[key]bool        // records of which something is on its way under an earlier key of their row
	more    map[key]bool        // records of which not all NEW entries were read
	cut     int64               // from here on changes that mention other records may be missing; 0 = none are
	stuck   []*item             // traces of records that are not read, as nothing of them may go
	blind   int64               // from here on traces may be missing; 0 = none are
}

// mentions reports whether changes of held tables may mention the item's record.
func (b backlog) mentions(i *item) bool {
	for _, object := range []string{"", strings.ToLower(i.table.Object)} {
		if from := b.hidden[object]; from > 0 && i.position() > from {
			return true
		}
	}
	return false
}

// reference names a record by an external id field of its object, such as
// "account.external_id__c". Of a lookup to several objects it is
// ".external_id__c", which a record of any may go by.
type reference struct{ field, value string }

func refTo(object, field, value string) reference {
	return reference{strings.ToLower(object + "." + field), value}
}
