package config

import "time"

// Auth is an OAuth 2.0 flow.
type Auth string

// The flows, as HC_SALESFORCE_AUTH spells them.
const (
	AuthJWT               Auth = "jwt"
	AuthClientCredentials Auth = "client_credentials"
	AuthRefreshToken      Auth = "refresh_token"
	AuthPassword          Auth = "password"
)

// How changes of an object are noticed, as HC_OBJECT_<NAME>_MODE spells it.
const (
	ModeStreaming = "streaming" // PushTopic events
	ModeCDC       = "cdc"       // Change Data Capture events
	ModePolling   = "polling"   // the poll only
)

// Who may write an object's table, as HC_OBJECT_<NAME>_ACCESS spells it.
const (
	AccessReadOnly  = "read_only"
	AccessReadWrite = "read_write"
)

// How captured writes are sent, as HC_WRITE_ALGORITHM spells it.
const (
	WriteOrdered = "ordered" // every change
	WriteMerged  = "merged"  // the newest value of each field
)

// The column type of new number columns, as HC_NUMBER_TYPE spells it.
const (
	NumberDouble  = "double"
	NumberNumeric = "numeric"
)

// Config is the whole configuration. Every field has been checked and has its
// default where nothing was set; see [Reference] for variables and defaults.
type Config struct {
	DatabaseURL       Secret // DATABASE_URL; a URL or a libpq keyword/value string
	ListenDatabaseURL Secret // HC_LISTEN_DATABASE_URL; equal to DatabaseURL if not set
	Schema            string // HC_SCHEMA

	Salesforce Salesforce

	// Objects are in the order of HC_OBJECTS, else of the mapping file. There
	// may be none: commands that explore an org need none.
	Objects []Object

	MappingFile  []byte   // what HC_MAPPING_FILE holds; nil if not set
	MappingNotes []string // what it asks for that is not done, and keys that are not known
	MappingOrgID string   // the org that it was exported of; empty if it does not say

	PollInterval   time.Duration // HC_POLL_INTERVAL; 1s to 24h
	WriteAlgorithm string        // HC_WRITE_ALGORITHM; WriteOrdered or WriteMerged
	NumberType     string        // HC_NUMBER_TYPE; NumberDouble or NumberNumeric
	APIDailyBudget Budget        // HC_API_DAILY_BUDGET

	SynchronousCommit bool // HC_SYNCHRONOUS_COMMIT; whether inbound transactions wait for the disk

	HTTPAddr  string // HC_HTTP_ADDR; host:port, empty = off
	HTTPToken Secret // HC_HTTP_TOKEN; may be empty

	LogLevel      string        // HC_LOG_LEVEL; debug, info, warn, error
	LogFormat     string        // HC_LOG_FORMAT; json, console
	ShutdownGrace time.Duration // HC_SHUTDOWN_GRACE; 1s to 10m
}

// Salesforce says which org, and how to log in. What the flow needs is set.
type Salesforce struct {
	LoginURL     string // scheme and host, without a slash at the end
	Auth         Auth
	ClientID     string
	ClientSecret Secret
	Username     string
	Password     Secret
	JWTKey       Secret // an RSA private key in PEM
	RefreshToken Secret
	APIVersion   string // for example "64.0"
}

// Object is one Salesforce object to sync.
type Object struct {
	Name         string        // API name as written, for example "Invoice__c"
	Mode         string        // ModeStreaming, ModeCDC or ModePolling
	Access       string        // AccessReadOnly or AccessReadWrite
	Fields       []string      // API names, "Account__r.External_Id__c" for a parent's external id; empty = every mappable field
	ExternalID   string        // API name; empty = none
	Indexes      []string      // API names of fields to index besides those that always are
	PollInterval time.Duration // 1s to 24h
	PollRelaxed  bool          // no interval was set anywhere: polls may be further apart while a proven stream brings nothing
}

// Budget is what the bridge may use of the org's daily API calls: a share or a
// number, the other one being zero.
type Budget struct {
	Share float64 // above 0, at most 1
	Calls int     // at least 1
}

// Of returns the number of calls that the budget allows an org with limit
// calls a day.
func (b Budget) Of(limit int) int {
	if b.Calls > 0 {
		return min(b.Calls, limit)
	}
	return int(b.Share * float64(limit))
}
