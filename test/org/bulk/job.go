package bulk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"hcbridge/test/org/sobject"
)

// States of a job, Bulk API 2.0 Developer Guide, "Job States".
const (
	stateOpen           = "Open"
	stateUploadComplete = "UploadComplete"
	stateInProgress     = "InProgress"
	stateJobComplete    = "JobComplete"
	stateFailed         = "Failed"
	stateAborted        = "Aborted"
)

// listPage is how many jobs one answer of a list holds.
const listPage = 1000

// delimiters by the names of the API.
var delimiters = map[string]rune{
	"BACKQUOTE": '`', "CARET": '^', "COMMA": ',', "PIPE": '|', "SEMICOLON": ';', "TAB": '\t',
}

// Job is what a test sees of a job.
type Job struct {
	ID        string
	Kind      string // "query" or "ingest"
	Operation string // "query", "queryAll", "insert", "update", ...
	Object    string
	Query     string
	State     string
	User      string
	Processed int
	Failed    int
}

// Jobs returns all jobs, oldest first.
func (s *Server) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Job, len(s.order))
	for i, j := range s.order {
		out[i] = j.Job
	}
	return out
}

// job is a query or ingest job. The server's lock guards it, except for what
// the job's own goroutine fills before it ends: result and outcome.
type job struct {
	Job
	version   string // "66.0"
	client    string // Sforce-Call-Options
	delimiter string
	ending    string // LF or CRLF
	external  string // externalIdFieldName
	created   time.Time
	stamp     time.Time
	took      time.Duration
	message   string // errorMessage
	cancel    context.CancelFunc

	result   *spool  // of a query
	data     []byte  // uploaded CSV
	uploaded bool    // the one PUT has been
	outcome  outcome // of an ingest
}

func (j *job) ended() bool {
	return j.State == stateJobComplete || j.State == stateFailed || j.State == stateAborted
}

// kept is how long an ended job and its results stay.
const kept = 7 * 24 * time.Hour

// add gives a job its id and keeps it. Old jobs go.
func (s *Server) add(j *job) {
	for len(s.order) > 0 && s.order[0].ended() && s.cfg.Clock().Sub(s.order[0].created) > kept {
		s.drop(s.order[0])
	}
	s.made++
	j.ID = sobject.MintID("750", s.made)
	j.created = s.cfg.Clock()
	j.stamp = j.created
	s.jobs[j.ID] = j
	s.order = append(s.order, j)
}

// drop removes a job and its results.
func (s *Server) drop(j *job) {
	delete(s.jobs, j.ID)
	for i, o := range s.order {
		if o == j {
			s.order = append(s.order[:i], s.order[i+1:]...)
			break
		}
	}
	j.result.discard()
}

// abort ends a job that still runs.
func (s *Server) abort(j *job) {
	j.State, j.stamp = stateAborted, s.cfg.Clock()
	if j.cancel != nil {
		j.cancel()
	}
}

// json is the job as every call answers it. full adds what only the calls
// that ask for one job have.
func (j *job) json(full bool) map[string]any {
	version, _ := strconv.ParseFloat(j.version, 64)
	out := map[string]any{
		"id": j.ID, "operation": j.Operation, "object": j.Object, "createdById": j.User,
		"createdDate": j.created.UTC().Format(sobject.RESTTime), "systemModstamp": j.stamp.UTC().Format(sobject.RESTTime),
		"state": j.State, "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": number(version),
		"lineEnding": j.ending, "columnDelimiter": j.delimiter,
	}
	if j.Kind == "ingest" {
		out["jobType"] = "V2Ingest"
		out["contentUrl"] = "services/data/v" + j.version + "/jobs/ingest/" + j.ID + "/batches"
		if j.external != "" {
			out["externalIdFieldName"] = j.external
		}
	}
	if !full {
		return out
	}
	out["retries"] = 0
	out["totalProcessingTime"] = j.took.Milliseconds()
	out["numberRecordsProcessed"] = j.Processed
	if j.Kind == "query" {
		out["jobType"] = "V2Query"
		out["isPkChunkingSupported"] = true
	} else {
		out["numberRecordsFailed"] = j.Failed
		out["apiActiveProcessingTime"] = j.took.Milliseconds()
		out["apexProcessingTime"] = 0
	}
	if j.message != "" {
		out["errorMessage"] = j.message
	}
	return out
}

// number writes 66 as 66.0, as Salesforce writes versions.
func number(v float64) json.Number {
	return json.Number(strconv.FormatFloat(v, 'f', 1, 64))
}

// list answers GET /jobs/query and GET /jobs/ingest.
func (s *Server) list(w http.ResponseWriter, r *http.Request, c call) {
	from := 0
	if locator := r.URL.Query().Get("queryLocator"); locator != "" {
		n, ok := parseLocator(locator)
		if !ok {
			refuse(w, http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
			return
		}
		from = n
	}
	kind := r.URL.Query().Get("jobType")
	records := []map[string]any{}
	next := any(nil)
	s.mu.Lock()
	seen := 0
	for _, j := range s.order {
		if j.Kind != c.kind || (kind != "" && kind != j.json(true)["jobType"]) {
			continue
		}
		if seen++; seen <= from {
			continue
		}
		if len(records) == listPage {
			next = c.base + "/jobs/" + c.kind + "?queryLocator=" + formatLocator(from+listPage)
			break
		}
		entry := j.json(false)
		entry["jobType"] = j.json(true)["jobType"]
		records = append(records, entry)
	}
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"done": next == nil, "nextRecordsUrl": next, "records": records})
}

// formatLocator names a row number as Salesforce does: "MTAwMDA" is 10000.
func formatLocator(row int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(row)))
}

func parseLocator(s string) (int, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(b))
	return n, err == nil && n >= 0
}
