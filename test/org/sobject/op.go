package sobject

import "time"

// OpKind is what an operation or a change does.
type OpKind int

// The kinds of operation. A Change is never an Upsert.
const (
	Insert OpKind = iota + 1
	Update
	Upsert
	Delete   // to the recycle bin, with the children that cascade
	Undelete // out of it, with the children that went along
	Purge    // for good, from the recycle bin or directly (Bulk hardDelete)
)

// String returns the kind in lower case.
func (k OpKind) String() string {
	switch k {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Upsert:
		return "upsert"
	case Delete:
		return "delete"
	case Undelete:
		return "undelete"
	case Purge:
		return "purge"
	}
	return "unknown"
}

// Op is one operation of a transaction.
type Op struct {
	Kind   OpKind
	Object string // may be empty for Delete, Undelete and Purge: the id tells
	ID     string // 15 or 18 characters; not for Insert

	// ExternalID names the field that an Upsert matches on; its value is in
	// Fields. "Id" matches on the id.
	ExternalID string
	// UpdateOnly makes an Upsert without a match fail.
	UpdateOnly bool

	// Into makes a Delete a merge: the id of the record of the same object that
	// takes over the children and gets a new stamp.
	Into string

	// Fields holds the values by field name in any case: nil, string, bool,
	// json.Number, Go numbers, time.Time for datetimes. A parent is named by
	// its external id as {"Account__r": {"External_Id__c": "x"}}. The key
	// "attributes" is ignored.
	Fields map[string]any
}

// Result is the outcome of one Op.
type Result struct {
	ID      string // 18 characters; also set with Err where the record was known
	Created bool
	Err     *Error // nil on success
}

// Origin says who made a transaction.
type Origin struct {
	UserID string // 18 characters; "" is the administrator
	API    string // "rest", "bulk", "ui", "apex"
	Client string // Sforce-Call-Options client
}

// Tx is one committed transaction.
type Tx struct {
	Seq     uint64    // 1, 2, 3, ... in commit order
	At      time.Time // SystemModstamp of all its changes
	Origin  Origin
	Changes []Change // in the order they happened
}

// Change is what a transaction did to one record.
type Change struct {
	Object  *Object
	Kind    OpKind // Insert, Update, Delete, Undelete or Purge
	Before  Record // zero for Insert
	After   Record // for Delete the deleted image; for Purge with Purged set
	Cascade bool   // a consequence of another change of this transaction

	quiet bool // nobody is told
}

// Deletion is one entry of the delete log.
type Deletion struct {
	ID string
	At time.Time
}
