package salesforce

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// JobOpen is the state of an ingest job that still takes its data. Nothing of it
// is done before CloseIngestJob; the org drops it after a day.
const JobOpen = "Open"

// MaxIngest is the most CSV that one job can hold, in bytes: 150 MB once the org
// has encoded it.
//
// Bulk API 2.0 Developer Guide, "Bulk API 2.0 Limits".
const MaxIngest = 100_000_000

// CreateIngestJob opens a job that takes CSV in UTF-8, with commas and line feeds.
// operation is "update", "upsert" or "delete"; extField is the external id field to
// match on, for "upsert" only. A lost answer leaves at worst a job without data.
//
// Bulk API 2.0 Developer Guide, "Create a Job".
func (c *Client) CreateIngestJob(ctx context.Context, object, operation, extField string) (Job, error) {
	spec := map[string]string{
		"object": object, "operation": operation, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
	}
	if extField != "" {
		spec["externalIdFieldName"] = extField
	}
	r := request{op: "create ingest job", method: http.MethodPost, path: c.base() + "/jobs/ingest"}
	var err error
	if r.body, err = encode(r.op, spec); err != nil {
		return Job{}, err
	}
	return c.job(ctx, r)
}

// UploadIngest gives an open job its data: a header of API names, then one line
// per record. An empty value leaves a field as it is, #N/A clears it. A job takes
// one upload.
//
// Bulk API 2.0 Developer Guide, "Upload Job Data" and "Prepare CSV Files".
func (c *Client) UploadIngest(ctx context.Context, id string, data []byte) error {
	const op = "upload ingest data"
	if !idForm(id) {
		return invalid(op, "not an id")
	}
	if len(data) > MaxIngest {
		return invalid(op, "%d bytes, at most %d", len(data), MaxIngest)
	}
	_, err := c.do(ctx, request{
		op: op, method: http.MethodPut, path: c.base() + "/jobs/ingest/" + id + "/batches", body: data, bare: true,
		header: map[string]string{"Content-Type": "text/csv"},
	})
	return err
}

// CloseIngestJob starts the work on a job's data. If the answer is lost, IngestJob
// tells whether it has begun.
func (c *Client) CloseIngestJob(ctx context.Context, id string) (Job, error) {
	return c.jobByID(ctx, "close ingest job", http.MethodPatch, "ingest", id, []byte(`{"state":"UploadComplete"}`))
}

// AbortIngestJob stops a job. What it has done by then stays.
func (c *Client) AbortIngestJob(ctx context.Context, id string) (Job, error) {
	return c.jobByID(ctx, "abort ingest job", http.MethodPatch, "ingest", id, []byte(`{"state":"Aborted"}`))
}

// IngestJob returns the job's state. One that is over 7 days old is NOT_FOUND.
func (c *Client) IngestJob(ctx context.Context, id string) (Job, error) {
	return c.jobByID(ctx, "ingest job", http.MethodGet, "ingest", id, nil)
}

// IngestResults calls each with every record that the final job has done, in no
// order: the value that the record has in the first of keyColumns that the upload has,
// and what became of it. Records for which it is not called were not processed.
//
// Bulk API 2.0 Developer Guide, "Get Job Successful Record Results" and "Get Job
// Failed Record Results".
func (c *Client) IngestResults(ctx context.Context, j Job, keyColumns []string, each func(key string, r SaveResult)) error {
	if j.Records > j.RecordsFailed {
		if err := c.ingestFile(ctx, j.ID, "successfulResults/", keyColumns, each); err != nil {
			return err
		}
	}
	if j.RecordsFailed > 0 {
		return c.ingestFile(ctx, j.ID, "failedResults/", keyColumns, each)
	}
	return nil
}

func (c *Client) ingestFile(ctx context.Context, id, part string, keyColumns []string, each func(string, SaveResult)) error {
	const op = "ingest results"
	if !idForm(id) {
		return invalid(op, "not an id")
	}
	a, err := c.do(ctx, request{
		op: op, method: http.MethodGet, path: c.base() + "/jobs/ingest/" + id + "/" + part, stream: true,
		header: map[string]string{"Accept": "text/csv"},
	})
	if err != nil {
		return err
	}
	if a.stream == nil {
		return c.mismatch(a, "no CSV")
	}
	defer func() { _ = a.stream.Close() }()
	rows := csv.NewReader(a.stream)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return c.mismatch(a, "no header")
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.ToLower(name)] = i
	}
	n := slices.IndexFunc(keyColumns, func(name string) bool {
		_, known := at[strings.ToLower(name)]
		return known
	})
	sfid, identified := at["sf__id"]
	problem, refused := at["sf__error"]
	created, done := at["sf__created"]
	if n < 0 || !identified || refused == done {
		return c.mismatch(a, "not the columns of a result")
	}
	key := at[strings.ToLower(keyColumns[n])]
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &Error{Op: op, Class: Transient, Err: fmt.Errorf("result cut: %w", err)}
		}
		s := SaveResult{Success: done}
		if idForm(row[sfid]) {
			s.ID = ID18(row[sfid])
		}
		if done {
			s.Created = row[created] == "true"
		} else {
			s.Errors = []*Error{c.newError(op, 0, rowError(row[problem]), true)}
		}
		each(strings.Clone(row[key]), s)
	}
}

// rowError reads "CODE:message:fields --". The message may hold colons itself.
func rowError(text string) wireError {
	text = strings.TrimSuffix(text, " --")
	code, message, _ := strings.Cut(text, ":")
	w := wireError{StatusCode: strings.Clone(code), Message: strings.Clone(message)}
	if i := strings.LastIndexByte(message, ':'); i >= 0 {
		w.Message = strings.Clone(message[:i])
		for f := range strings.SplitSeq(message[i+1:], ",") {
			if f = strings.TrimSpace(f); f != "" {
				w.Fields = append(w.Fields, strings.Clone(f))
			}
		}
	}
	return w
}
