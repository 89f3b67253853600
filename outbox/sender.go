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

// Sender delivers calls to Salesforce. It is safe for concurrent use.
type Sender interface {
	// Send returns one outcome per record, in order. An error is about the
	// whole call: a *Failure, or anything else, which counts as Transient and
	// InDoubt. It must honour the deadline of ctx, never retry an insert by
	// itself, and set InDoubt wherever the request may have taken effect.
	Send(ctx context.Context, call Call) ([]Outcome, error)
}

// Bulk does large calls in the background, by jobs that Salesforce works on in
// its own time. Records are told apart by a key: the id for Update and Delete,
// the external id's value for Upsert.
type Bulk interface {
	// Start hands a call over. Before anything can take effect it calls opened
	// with the job's id, which makes it durable. An error means that the job
	// will never run; nil that it may have begun.
	Start(ctx context.Context, call Call, opened func(job string) error) error

	// Result returns what became of the records of a job, all of one table, by
	// key, or done false while it is not over. Records without an outcome were not touched.
	// A job that Salesforce does not know any more is done without outcomes. An
	// error that is a [Failure] with Ended says that the job is over, and only its
	// results cannot be read.
	Result(ctx context.Context, job string, of *Table) (outcomes map[string]Outcome, done bool, err error)
}

// Settled is what became of one record, told to Config.Settle in the
// transaction that writes it down.
type Settled struct {
	Table    string
	RecordID int64  // the row's id
	SFID     string // "" where it is not known
	Op       Op
	Job      bool     // by a job of Bulk
	Changed  bool     // as far as is known, by what was sent: an event of it will come
	OK       bool     // false: refused, the entry is FAILED
	Failure  *Failure // why, nil if OK

	// Dismissed says that nothing was sent, as a user has dismissed what was refused: the
	// row shows it until it is read back.
	Dismissed bool
}
