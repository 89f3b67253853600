package salesforce

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// The states of a job, after [JobOpen]. The last three are final.
const (
	JobUploadComplete = "UploadComplete"
	JobInProgress     = "InProgress"
	JobComplete       = "JobComplete"
	JobFailed         = "Failed"
	JobAborted        = "Aborted"
)

// Job is a Bulk API 2.0 query or ingest job.
type Job struct {
	ID           string `json:"id"`
	Operation    string `json:"operation"` // "query", "queryAll"; "update", "upsert", "delete"
	Object       string `json:"object"`
	State        string `json:"state"`
	ErrorMessage string `json:"errorMessage"` // of a Failed job; may be "" even then
	Records      int64  `json:"numberRecordsProcessed"`
	Created      Time   `json:"createdDate"`

	RecordsFailed int64       `json:"numberRecordsFailed"` // among Records; of an ingest job
	ExternalID    string      `json:"externalIdFieldName"` // of an upsert
	APIVersion    json.Number `json:"apiVersion"`
}

// Final reports whether the job's state can no longer change.
func (j Job) Final() bool {
	return j.State == JobComplete || j.State == JobFailed || j.State == JobAborted
}

// Results is one page of a job's result.
type Results struct {
	// Body is CSV in UTF-8: a header, then one line per record, every value quoted,
	// null as the empty value. It must be closed. It ends with io.EOF only where
	// the answer ends.
	Body io.ReadCloser

	// Locator leads to the next page, "" after the last. It stays valid as long as
	// the job, so it is a point to resume from.
	Locator string

	// Count is the number of records in Body, -1 if the org did not say.
	Count int
}

// CreateQueryJob starts a job for a query that may return millions of records;
// with all, deleted and archived records are included. The org answers at once,
// and refuses a query it cannot parse here. A lost answer leaves at worst a job
// that nobody reads; the org removes it after 7 days.
//
// Bulk API 2.0 Developer Guide, "Create a Query Job".
func (c *Client) CreateQueryJob(ctx context.Context, soql string, all bool) (Job, error) {
	operation := "query"
	if all {
		operation = "queryAll"
	}
	r := request{op: "create query job", method: http.MethodPost, path: c.base() + "/jobs/query"}
	var err error
	if r.body, err = encode(r.op, map[string]string{
		"operation": operation, "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
	}); err != nil {
		return Job{}, err
	}
	return c.job(ctx, r)
}

// QueryJob returns the job's state. One that was deleted, or is over 7 days old,
// is NOT_FOUND.
func (c *Client) QueryJob(ctx context.Context, id string) (Job, error) {
	return c.jobByID(ctx, "query job", http.MethodGet, "query", id, nil)
}

// AbortQueryJob stops a job that has not ended.
func (c *Client) AbortQueryJob(ctx context.Context, id string) (Job, error) {
	return c.jobByID(ctx, "abort query job", http.MethodPatch, "query", id, []byte(`{"state":"Aborted"}`))
}

// DeleteQueryJob removes a job that has ended, and its results. A job that is
// already gone is a success.
func (c *Client) DeleteQueryJob(ctx context.Context, id string) error {
	const op = "delete query job"
	if !idForm(id) {
		return invalid(op, "not an id")
	}
	_, err := c.do(ctx, request{op: op, method: http.MethodDelete, path: c.base() + "/jobs/query/" + id})
	if CodeOf(err) == CodeNotFound {
		return nil
	}
	return err
}

// QueryResults opens one page of the result of a job that is JobComplete: from the
// beginning with locator "", else from the Locator of the page before. limit is the most
// records in a page; 0 leaves that to the org. The page must be read without long
// pauses; 60 s without a byte from the org end it.
//
// Bulk API 2.0 Developer Guide, "Get Results for a Query Job".
func (c *Client) QueryResults(ctx context.Context, id, locator string, limit int) (Results, error) {
	const op = "query results"
	if !idForm(id) {
		return Results{}, invalid(op, "not an id")
	}
	q := url.Values{}
	if locator != "" {
		q.Set("locator", locator)
	}
	if limit > 0 {
		q.Set("maxRecords", strconv.Itoa(limit))
	}
	path := c.base() + "/jobs/query/" + id + "/results"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	a, err := c.do(ctx, request{
		op: op, method: http.MethodGet, path: path, stream: true,
		header: map[string]string{"Accept": "text/csv"},
	})
	if err != nil {
		return Results{}, err
	}
	if a.stream == nil {
		return Results{}, c.mismatch(a, "no CSV")
	}
	return c.resultPage(a)
}

// resultPage reads the headers of a page. A page is the last one only if the org
// says so; without both headers we cannot know where we are.
func (c *Client) resultPage(a *answer) (Results, error) {
	count := -1
	if n, err := strconv.Atoi(a.header.Get("Sforce-NumberOfRecords")); err == nil && n >= 0 {
		count = n
	}
	locator := a.header.Get("Sforce-Locator")
	_, err := a.stream.body.Peek(1)
	switch {
	case locator == "" && count < 0:
		_ = a.stream.Close()
		return Results{}, c.mismatch(a, "no locator")
	case err != nil && count != 0:
		_ = a.stream.Close()
		return Results{}, c.mismatch(a, "empty")
	}
	if locator == "null" { // the literal word, on the last page
		locator = ""
	}
	return Results{Body: a.stream, Locator: locator, Count: count}, nil
}

func (c *Client) jobByID(ctx context.Context, op, method, kind, id string, body []byte) (Job, error) {
	if !idForm(id) {
		return Job{}, invalid(op, "not an id")
	}
	return c.job(ctx, request{op: op, method: method, path: c.base() + "/jobs/" + kind + "/" + id, body: body})
}

func (c *Client) job(ctx context.Context, r request) (Job, error) {
	var j Job
	a, err := c.call(ctx, r, &j)
	if err != nil {
		return Job{}, err
	}
	if !idForm(j.ID) || j.State == "" {
		return Job{}, c.mismatch(a, "no job")
	}
	j.ErrorMessage = c.scrub(j.ErrorMessage)
	return j, nil
}
