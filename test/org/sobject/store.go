package sobject

import "time"

// Cursor is a place in id order: the id at which a scan starts, inclusive.
// The zero Cursor is the beginning.
type Cursor string

// Write is the new state of one record. A purged Record removes it.
type Write struct {
	Object *Object
	Record Record
}

// Store holds schema and records. Implementations are safe for concurrent
// use; a scan sees the state at its start and calls fn under no lock.
// Object and field names are taken in any case.
type Store interface {
	// Object returns the object called name, or nil.
	Object(name string) *Object
	// Objects returns all objects in name order.
	Objects() []*Object
	// ObjectOf returns the object with the key prefix of id, or nil.
	ObjectOf(id string) *Object
	// Define adds an object or replaces it by one whose fields begin with
	// the same fields.
	Define(o *Object)

	// Get returns the record, also a deleted one. id has 18 characters.
	Get(object, id string) (Record, bool)
	// Lookup returns the records that are not deleted and whose field has
	// the value, in id order. Indexed (external id, unique, id lookup,
	// cascading reference) fields answer at once, others by a scan.
	Lookup(object, field string, value any) []Record
	// LookupAll is Lookup with deleted records.
	LookupAll(object, field string, value any) []Record
	// Scan passes records in id order, deleted ones included, until fn
	// returns false.
	Scan(object string, from Cursor, fn func(Record) bool)
	// ScanStamp passes records in (SystemModstamp, Id) order, deleted ones
	// included, from a time on, inclusive.
	ScanStamp(object string, from time.Time, fn func(Record) bool)
	// ScanAfter is ScanStamp from the place behind (stamp, id).
	ScanAfter(object string, stamp time.Time, id string, fn func(Record) bool)
	// Len counts the records that are not deleted.
	Len(object string) int

	// Apply stores the writes of one transaction: a reader sees all of
	// one object's or none.
	Apply(writes []Write)
}
