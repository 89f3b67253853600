package status

import "time"

// Connection states, as shown by status and the API.
const (
	Starting         = "STARTING"
	Idle             = "IDLE"
	PollingDBChanges = "POLLING_DB_CHANGES"
	Paused           = "PAUSED"
	Recovery         = "RECOVERY"
	Unauthorized     = "UNAUTHORIZED"
	DBUnavailable    = "DB_UNAVAILABLE"
	SFUnavailable    = "SF_UNAVAILABLE"
	Standby          = "STANDBY"
	APILimit         = "API_LIMIT"
	SystemError      = "SYSTEM_ERROR"
)

// Object states.
const (
	Initial             = "INITIAL"
	ReloadTable         = "RELOAD_TABLE"
	DataSynced          = "DATA_SYNCED"
	PollingSFChanges    = "POLLING_SF_CHANGES"
	PollingSFBulk       = "POLLING_SF_BULK"
	PollingSFForDeletes = "POLLING_SF_FOR_DELETES"
	Resync              = "RESYNC"
	SchemaChanged       = "SCHEMA_CHANGED"
	MappingError        = "MAPPING_ERROR"
)

// Status is the whole picture: what `hcbridge status --json` prints and
// /api/status answers.
type Status struct {
	Connection Connection `json:"connection"`
	Objects    []Object   `json:"objects"`
}

// Connection is the state of the link between the org and the database.
type Connection struct {
	State          string   `json:"state"`
	OrgID          string   `json:"org_id"`
	Username       string   `json:"username"`
	InstanceURL    string   `json:"instance_url"`
	APIVersion     string   `json:"api_version"`
	APICalls       APICalls `json:"api_calls"`
	Streaming      string   `json:"streaming"` // "connected", "connecting", "waiting", "off", or why not
	Role           string   `json:"role"`      // "active" or "standby"
	WriteAlgorithm string   `json:"write_algorithm"`
	Message        string   `json:"message,omitempty"` // what a person should know, empty if nothing

	WritesSpaced time.Duration `json:"-"` // for how long writes are kept back to save API calls
}

// APICalls is the org's use of its daily API requests. Zero means not known
// yet.
type APICalls struct {
	Used   int `json:"used"`   // by everybody in the org, last 24 h
	Limit  int `json:"limit"`  // the org's allowance
	Budget int `json:"budget"` // how many the bridge may use
}

// Object is the state of one mapped object.
type Object struct {
	Object         string     `json:"object"`
	Table          string     `json:"table"`
	Mode           string     `json:"mode"`           // as configured
	ModeEffective  string     `json:"mode_effective"` // as it works now: polling where streaming is refused
	State          string     `json:"state"`
	Access         string     `json:"access"`
	RowsSalesforce int64      `json:"rows_salesforce"` // -1 = not known yet
	RowsPostgres   int64      `json:"rows_postgres"`   // -1 = not known yet
	PendingWrites  int64      `json:"pending_writes"`
	FailedWrites   int64      `json:"failed_writes"`
	FailedReads    int64      `json:"failed_reads"`
	LagMS          int64      `json:"lag_ms"` // age of the oldest record known to be stale; else the delay of the newest applied change
	LastEventAt    *time.Time `json:"last_event_at"`
	LastPollAt     *time.Time `json:"last_poll_at"`
	LastWriteAt    *time.Time `json:"last_write_at"`
	Loaded         int64      `json:"loaded"`
	ToLoad         int64      `json:"to_load"`
	Message        string     `json:"message"`

	// Backlog is how many writes were pending at the most since there were many, 0
	// while there are few.
	Backlog int64 `json:"-"`

	// PendingSince is when the oldest pending write was captured, nil if none is.
	PendingSince *time.Time `json:"-"`

	// StaleMS is the age of the oldest record that is known to be stale, 0 if none
	// is. Snapshots show it as LagMS where it is more.
	StaleMS int64 `json:"-"`

	// Note is about the mapping, and stays as long as it. Snapshots show it as
	// part of Message.
	Note string `json:"-"`

	// Held is why nothing of it is sent before a person says so, and is shown in the
	// same way.
	Held string `json:"-"`

	Counters Counters `json:"-"`
}

// Counters only grow while the process lives.
type Counters struct {
	Events        int64 // stream events received
	RowsWritten   int64 // rows inserted or updated in Postgres from Salesforce
	RowsDeleted   int64
	RowsUnchanged int64 // changes that found the row as it should be, for example an echo
	ReadBacks     int64 // records read back by id
	PollFound     int64 // differences that only the poll noticed
	// Of those, what was stamped before the fast poll looked there, before the
	// one with an hour's look-back did, and what only a comparison of everything showed.
	PollFoundLate, PollFoundDrift, PollFoundFull int64
	WritesSent                                   int64 // records written to Salesforce
	WritesFailed                                 int64
	Conflicts                                    int64 // fields that both sides had changed
	LagSumMS                                     int64 // over LagCount applied events
	LagCount                                     int64
}
