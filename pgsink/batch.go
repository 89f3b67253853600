package pgsink

import "time"

// Kind says where a change comes from, and with it which rule decides.
type Kind int

const (
	// Event is a complete record from an event. It is written where the row
	// is older; equal stamps with other values leave a mark.
	Event Kind = iota + 1
	// Read is a record read back from Salesforce. It is written where the row is not
	// newer. Where the row has come to the record's stamp while it was read, with
	// other values, they may be the newer ones, and a mark is left.
	Read
	// Delete removes the row. Only SFID and Stamp are looked at: a row that is not
	// older than Stamp, the second of the deletion, may be of after it and is
	// marked instead. The zero Stamp removes any row.
	Delete
	// Patch is what an event says has changed: the fields in Row.Missing are
	// left alone. Row.Stamp, which SystemModstamp is not earlier than, decides as
	// an Event's does, but is not written: the row keeps the stamp of what is
	// known in full, so that a poll finds it older and has it read. Patches of a
	// record are taken in the order of the batch. Where there is no row, or a load
	// or a poll by Bulk API is under way, a mark is left instead.
	Patch
)

// Row is one record in canonical form.
type Row struct {
	SFID    string    // 18 characters
	Stamp   time.Time // SystemModstamp, zero if the record has none
	Values  []*string // aligned with Table.Columns; nil is null
	Missing []string  // mapped fields that the record does not mention, API names
	Nested  []string  // those of Missing that an event has in a form the column cannot hold, an object or array
	Deleted bool      // IsDeleted is true
	Known   bool      // of a Read: the row had this stamp before the record was read
	Foreign bool      // of a Read: another user made it, so it comes of no insert of ours that is on its way
}

// Change is one record to apply.
type Change struct {
	Table *Table
	Kind  Kind
	Row   Row
}

// Position is how far a channel's events are durable.
type Position struct {
	Channel  string
	TopicID  string // empty if unknown
	ReplayID int64
	EventAt  time.Time // zero if unknown
}

// Done names a mark that a Read or Delete of the same batch answers. The mark
// is removed only if nobody has set it again since. A Read is applied all the
// same, or a record that changes all the time would never be written, unless the
// record was deleted since; a Delete is not, because the record may be back.
type Done struct {
	Object, SFID string
	Seq          int64
}

// Batch is what one transaction does.
type Batch struct {
	Changes   []Change
	Marks     []Mark
	Positions []Position
	Done      []Done
	Echoes    []int64 // entries of the trigger log, on their way, whose values an event has told
}

// Result counts what became of a batch's records. Every record is counted once
// among Inserted to Parked, except that Marked counts the marks set beside
// that (Batch.Marks and records in need of reading).
type Result struct {
	Inserted, Updated, Deleted int
	Unchanged                  int // already as it should be
	Stale                      int // older than the row, or read before its mark was set again
	Marked                     int // to be read: equal stamps, missing fields, or asked for by Batch.Marks
	Held                       int // the app has an unsent change, or is writing the row now
	Parked                     int // refused by Postgres, see hcbridge.read_error

	// Objects has what was written, and what needed no writing, per object.
	Objects map[string]Written

	swallowed []swallowed // counted as Held, until it is known
}

// Written is what became of one object's rows, and how many conflicts with
// changes of the app came to light.
type Written struct{ Inserted, Updated, Deleted, Unchanged, Conflicts int }

// count adds to an object's figures.
func (r *Result) count(object string, w Written) {
	if r.Objects == nil {
		r.Objects = map[string]Written{}
	}
	old := r.Objects[object]
	r.Objects[object] = Written{old.Inserted + w.Inserted, old.Updated + w.Updated, old.Deleted + w.Deleted, old.Unchanged + w.Unchanged, old.Conflicts + w.Conflicts}
}

// Add sums counts.
func (r *Result) Add(o Result) {
	r.Inserted += o.Inserted
	r.Updated += o.Updated
	r.Deleted += o.Deleted
	r.Unchanged += o.Unchanged
	r.Stale += o.Stale
	r.Marked += o.Marked
	r.Held += o.Held
	r.Parked += o.Parked
	r.swallowed = append(r.swallowed, o.swallowed...)
	for object, w := range o.Objects {
		r.count(object, w)
	}
}
