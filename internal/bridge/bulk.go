package bridge

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"slices"

	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/outbox"
)

// bulk does the outbox's large calls by Bulk API 2.0 ingest jobs.
type bulk struct {
	s *session
}

var _ outbox.Bulk = bulk{}

// Start implements outbox.Bulk.
func (b bulk) Start(ctx context.Context, call outbox.Call, opened func(job string) error) error {
	data, err := upload(call)
	if err != nil {
		return err
	}
	j, err := b.s.sf.CreateIngestJob(ctx, call.Object, call.Op.String(), call.ExternalID)
	if err == nil {
		if err = b.s.sf.UploadIngest(ctx, j.ID, data); err == nil {
			err = opened(j.ID)
		}
		if err != nil { // it was never closed; a day from now the org drops it
			_, _ = b.s.sf.AbortIngestJob(ctx, j.ID)
		}
	}
	b.s.salesforce(err)
	if err != nil {
		return err
	}
	_, _ = b.s.sf.CloseIngestJob(ctx, j.ID) // Result sees whether it came through
	return nil
}

// Result implements outbox.Bulk.
func (b bulk) Result(ctx context.Context, id string, of *outbox.Table) (map[string]outbox.Outcome, bool, error) {
	j, err := b.s.sf.IngestJob(ctx, id)
	if err == nil && j.State == salesforce.JobOpen {
		j, err = b.s.sf.CloseIngestJob(ctx, id)
	}
	b.s.salesforce(err)
	switch {
	case salesforce.CodeOf(err) == salesforce.CodeNotFound:
		return nil, true, nil
	case err != nil:
		return nil, false, failure(err)
	case !j.Final():
		return nil, false, nil
	}
	// An upload has the one or the other; not every answer says which.
	keys := []string{"Id", j.ExternalID, of.ExternalID}
	outcomes := make(map[string]outbox.Outcome, j.Records)
	err = b.s.sf.IngestResults(ctx, j, keys, func(key string, r salesforce.SaveResult) {
		o := outbox.Outcome{SFID: r.ID, Created: r.Created}
		if !r.Success {
			o.Failure = b.s.schema.refused(ofRecord(r.Errors[0]))
		}
		outcomes[key] = o
		if r.ID != "" {
			outcomes[r.ID] = o
		}
	})
	if err != nil {
		f := failure(err)
		f.InDoubt, f.Ended = true, true
		return nil, false, f
	}
	b.s.board.Object(of.Object, func(o *status.Object) {
		o.Counters.WritesSent += j.Records - j.RecordsFailed
		o.Counters.WritesFailed += j.RecordsFailed
	})
	return outcomes, true, nil
}

// upload renders a call as CSV. Records need not set the same fields: what one
// does not set is empty, which leaves it as it is.
func upload(call outbox.Call) ([]byte, error) {
	at := map[string]int{}
	header := []string{}
	column := func(name string) int {
		n, known := at[name]
		if !known {
			n = len(header)
			at[name], header = n, append(header, name)
		}
		return n
	}
	if call.Op != outbox.Upsert {
		column("Id")
	}
	lines := make([][]string, len(call.Records))
	for n, r := range call.Records {
		line := make([]string, len(header), len(header)+len(r.Fields))
		put := func(name, value string) {
			i := column(name)
			for len(line) <= i {
				line = append(line, "")
			}
			line[i] = value
		}
		if call.Op != outbox.Upsert {
			put("Id", r.SFID)
		}
		for name, value := range r.Fields {
			if parent, ok := value.(map[string]any); ok {
				for field, of := range parent {
					put(name+"."+field, cell(of))
				}
				continue
			}
			put(name, cell(value))
		}
		lines[n] = line
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(header)
	for _, line := range lines {
		line = slices.Concat(line, make([]string, len(header)-len(line)))
		if err := w.Write(line); err != nil {
			return nil, fmt.Errorf("csv: %w", err)
		}
	}
	w.Flush()
	if out.Len() > salesforce.MaxIngest {
		return nil, fmt.Errorf("csv: %d bytes are too many for a job", out.Len())
	}
	return out.Bytes(), nil
}

// cell is a value in CSV: #N/A clears, nothing at all leaves as it is.
func cell(value any) string {
	text := ""
	if value != nil {
		text = fmt.Sprint(value)
	}
	if text == "" {
		return "#N/A"
	}
	return text
}
