package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

const (
	// pageSize is the most that Salesforce puts on one page of a query.
	pageSize = 2000
	// deletesEvery is how often getDeleted is asked; Salesforce throttles more
	// than one call in five minutes (SOAP API Developer Guide, "Polling for
	// Changes").
	deletesEvery = 5 * time.Minute
	// deletesReach is how far back getDeleted is asked: Salesforce keeps 15 days.
	deletesReach = 14 * 24 * time.Hour
	// updatedReach is the same for getUpdated, which looks back 30 days.
	updatedReach = 29 * 24 * time.Hour
	// bulkAbove is how many changes or records are read by Bulk API instead of
	// page by page.
	bulkAbove = 10_000
	// readBack is the most records that one request reads by id, and readParts the
	// most such requests that one call carries (REST API Developer Guide, "Composite").
	readBack, readParts = 2000, 5
	// readBytes is about how large an answer with several of them may become.
	readBytes = 12 << 20
	// maxQuery bounds a query's text: URI and headers together may have 16,384
	// bytes (REST API Developer Guide, "Status Codes and Error Responses").
	maxQuery = 12_000
	// smallLoad is how many records are loaded by REST rather than by Bulk API:
	// what one page holds.
	smallLoad = pageSize
)

// Source is what a Reader needs of Salesforce. *salesforce.Client has it.
type Source interface {
	Query(ctx context.Context, soql string, opts salesforce.QueryOpts) (*salesforce.Page, error)
	Next(ctx context.Context, page *salesforce.Page) (*salesforce.Page, error)
	Retrieve(ctx context.Context, object string, ids, fields []string) ([]json.RawMessage, error)
	Deleted(ctx context.Context, object string, from, to time.Time) (salesforce.DeletedRecords, error)
	Updated(ctx context.Context, object string, from, to time.Time) (salesforce.UpdatedRecords, error)
	Count(ctx context.Context, soql string) (int, error)
	CreateQueryJob(ctx context.Context, soql string, all bool) (salesforce.Job, error)
	QueryJob(ctx context.Context, id string) (salesforce.Job, error)
	QueryResults(ctx context.Context, id, locator string, limit int) (salesforce.Results, error)
	DeleteQueryJob(ctx context.Context, id string) error
	ServerTime() time.Time
}

var _ Source = (*salesforce.Client)(nil)

// Object is one mapped object as this package needs it.
type Object struct {
	Name       string        // API name
	Table      *pgsink.Table // where its rows go
	Fields     []string      // API names to read, with Id and SystemModstamp; parents' as Account.External_Id__c
	Moving     []string      // those of Fields that change without a new SystemModstamp: formulas, roll-ups, parents' fields
	Lookups    []string      // those of Fields that name other records; a merge elsewhere changes them without a new SystemModstamp
	Deletes    bool          // has IsDeleted: queryAll shows its deleted records
	Replicates bool          // getDeleted and getUpdated work for it
	Merges     bool          // has MasterRecordId: a deleted record may name the one it was merged into
	Children   []Child       // mapped lookups to it
	Parents    []Parent      // its own mapped lookups
	Me         string        // id of our user, where it matters who made a record; "" where it does not
	Interval   time.Duration // of the fast layer
	Patched    bool          // events leave the row's SystemModstamp to the next poll

	Found    func(sfid string, stamp time.Time) // told of each difference that Poll marks; may be nil
	Bulk     func(read, total int64)            // told while changes are read by Bulk API; may be nil
	Streamed func() bool                        // events of it arrive now; false makes reads within the second of the stamp repeat
}

// dotted reports whether fields of parents are read, which only a query does.
func (o Object) dotted() bool {
	return slices.ContainsFunc(o.Fields, func(f string) bool { return strings.Contains(f, ".") })
}

// Child is a column that holds ids of an object's records. When one of those is
// deleted, Salesforce deletes the child or empties the lookup, without a new
// stamp or an event.
type Child struct {
	Object string        // API name of the child
	Table  *pgsink.Table // its table
	Column string        // the lookup's column
	Field  string        // and its API name
}

// Parent is a lookup's column and the objects that it may refer to.
type Parent struct {
	Column  string
	Objects []string // API names
}

// Reader reads Salesforce into one sink.
type Reader struct {
	sf       Source
	sink     *pgsink.Sink
	log      zerolog.Logger
	loadPage int           // records a page; defaultLoadPage but in tests
	readMost time.Duration // the constant but in tests
	batch    batches
	full     chan struct{} // held by the one comparison that runs
}

// New returns a reader from sf into sink.
func New(sf Source, sink *pgsink.Sink, log zerolog.Logger) *Reader {
	return &Reader{sf: sf, sink: sink, log: log.With().Str("component", "poll").Logger(), loadPage: defaultLoadPage, readMost: readMost, full: make(chan struct{}, 1)}
}

// pages calls fn with the records of each page of a query until there are no
// more.
func (r *Reader) pages(ctx context.Context, soql string, opts salesforce.QueryOpts, fn func([]json.RawMessage) error) error {
	page, err := r.sf.Query(ctx, soql, opts)
	for {
		if err != nil {
			return err
		}
		if err := fn(page.Records); err != nil {
			return err
		}
		if page.Done {
			return nil
		}
		page, err = r.sf.Next(ctx, page)
	}
}

// rows decodes records into changes of kind k.
func rows(o Object, records []json.RawMessage, k pgsink.Kind) ([]pgsink.Change, error) {
	changes := make([]pgsink.Change, 0, len(records))
	for _, record := range records {
		if len(record) == 0 || string(record) == "null" {
			continue
		}
		row, err := o.Table.Decode(record)
		if err != nil {
			return nil, fmt.Errorf("%s record: %w", o.Name, err)
		}
		row.Foreign = o.Me != "" && foreign(record, o.Me)
		changes = append(changes, pgsink.Change{Table: o.Table, Kind: k, Row: row})
	}
	return changes, nil
}

// foreign reports whether a record says that another user than me made it.
func foreign(record json.RawMessage, me string) bool {
	var by struct {
		CreatedByID string `json:"CreatedById"`
	}
	return json.Unmarshal(record, &by) == nil && by.CreatedByID != "" && salesforce.ID18(by.CreatedByID) != me
}

// askable are the ids that Salesforce can be asked for, as it writes them, each once. One
// that somebody has put into a row and that can be no record's would have all of a query refused.
func askable(ids []string) []string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		if id, ok := salesforce.CanonicalID(id); ok {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// inList renders ids for an IN condition. Ids hold letters and digits only;
// anything else is left out, so that no text from outside gets into a query.
func inList(ids []string) string {
	var b strings.Builder
	for _, id := range ids {
		if !isID(id) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\'')
		b.WriteString(id)
		b.WriteByte('\'')
	}
	return b.String()
}

func isID(s string) bool {
	if len(s) != 15 && len(s) != 18 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// soqlTime renders t as a SOQL literal. Salesforce keeps whole seconds.
func soqlTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
