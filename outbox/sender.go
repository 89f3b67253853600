package outbox

import "context"

// Call is one request: records of one object, one operation, at most
// Config.BatchSize of them and no record twice.
type Call struct {
	Object     string
	Op         Op
	ExternalID string // field to match on; set for Upsert only
	Records    []Record
}

// Record is one record of a call.
type Record struct {
	SFID   string         // set for Update and Delete
	Fields map[string]any // nil, bool, string, json.Number, or for a parent named by external id map[string]any
}

// Outcome is the answer to one record.
type Outcome struct {
	SFID    string   // the record's id where the call succeeded; may be left out for Update and Delete
	Created bool     // an upsert made a new record
	Failure *Failure // nil = done
}

// Sender delivers calls to Salesforce.
type Sender interface {
	// Send returns one outcome per record, in order. An error is about the
	// whole call: a *Failure, or anything else, which counts as Transient and
	// InDoubt. It must honour the deadline of ctx, never retry an insert by
	// itself, and set InDoubt wherever the request may have taken effect.
	Send(ctx context.Context, call Call) ([]Outcome, error)
}

// Settled is what became of one record, told to Config.Settle in the
// transaction that writes it down.
type Settled struct {
	Table    string
	RecordID int64  // the row's id
	SFID     string // "" where it is not known
	Op       Op
	OK       bool // false: refused, the entry is FAILED
}
