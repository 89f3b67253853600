package bulk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"hcbridge/test/org/sobject"
)

// chunk is how many rows of a job are one transaction.
const chunk = 200

// outcome is what became of the rows of an ingest job.
type outcome struct {
	table table
	rows  []rowResult // of the rows that were processed
}

type rowResult struct {
	row     int
	id      string
	created bool
	problem string // sf__Error
}

// process starts an ingest job whose data is there. It needs the server's
// lock.
func (s *Server) process(j *job) {
	j.State, j.stamp = stateUploadComplete, s.cfg.Clock()
	fault := s.ingestFault()
	s.start(j, s.cfg.IngestDelay, func(ctx context.Context) error {
		t, err := parseCSV(j.data, delimiters[j.delimiter], j.ending)
		j.data = nil
		if err != nil {
			return err
		}
		cols, err := s.columns(j, t.header)
		s.mu.Lock()
		j.outcome.table = t
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if fault.message != "" && fault.after == 0 {
			return errors.New(fault.message)
		}
		for from := 0; from < len(t.rows); from += chunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			to := min(len(t.rows), from+chunk)
			if fault.message != "" {
				to = min(to, fault.after)
			}
			s.commit(j, cols, from, t.rows[from:to])
			if fault.message != "" && to == fault.after {
				return errors.New(fault.message)
			}
		}
		return nil
	})
}

// target is the field that a column of the upload sets.
type target struct {
	field  *sobject.Field
	parent *sobject.Field // Account__c when the column is Account__r.Key__c
	kind   string         // the type prefix of a polymorphic parent
	key    string         // the parent's external id field
}

// columns finds the fields of the header. An unknown name fails the job.
func (s *Server) columns(j *job, header []string) ([]target, error) {
	ob := s.cfg.Org.Store().Object(j.Object)
	cols := make([]target, len(header))
	for i, name := range header {
		left, key, related := strings.Cut(name, ".")
		kind, relation, prefixed := strings.Cut(left, ":")
		if !prefixed {
			kind, relation = "", left
		}
		switch {
		case related:
			cols[i] = target{parent: ob.Relationship(relation), kind: kind, key: key}
		case !prefixed:
			cols[i] = target{field: ob.Field(name)}
		}
		if cols[i].field == nil && cols[i].parent == nil {
			return nil, errors.New("InvalidBatch : Field name not found : " + name)
		}
	}
	if strings.HasSuffix(strings.ToLower(j.Operation), "delete") && (len(cols) != 1 || cols[0].field == nil || cols[0].field.Name != "Id") {
		return nil, errors.New("InvalidBatch : Batch CSV for " + j.Operation + " must have the one field Id")
	}
	return cols, nil
}

// commit writes up to 200 rows in one transaction, each on its own merits.
func (s *Server) commit(j *job, cols []target, from int, rows [][]string) {
	ops := make([]sobject.Op, len(rows))
	for i, row := range rows {
		ops[i] = j.op(cols, row)
	}
	results := s.cfg.Org.Commit(sobject.Origin{UserID: j.User, API: "bulk", Client: j.client}, false, ops)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range results {
		out := rowResult{row: from + i, id: r.ID, created: r.Created}
		if r.Err != nil {
			out.problem = r.Err.Code + ":" + r.Err.Message + ":" + strings.Join(r.Err.Fields, ",") + " --"
			out.created = false
			j.Failed++
			if j.Operation == "insert" {
				out.id = ""
			} else if out.id == "" {
				out.id = ops[i].ID
			}
		}
		j.Processed++
		j.outcome.rows = append(j.outcome.rows, out)
	}
}

var kinds = map[string]sobject.OpKind{
	"insert": sobject.Insert, "update": sobject.Update, "upsert": sobject.Upsert,
	"delete": sobject.Delete, "hardDelete": sobject.Purge,
}

// op turns a row into an operation. Empty values are not there, #N/A is null.
func (j *job) op(cols []target, row []string) sobject.Op {
	op := sobject.Op{Kind: kinds[j.Operation], Object: j.Object, Fields: map[string]any{}}
	if op.Kind == sobject.Upsert {
		op.ExternalID = j.external
	}
	for i, c := range cols {
		value := row[i]
		switch {
		case value == "":
		case c.parent != nil && value == nullValue:
			op.Fields[c.parent.Name] = nil
		case c.parent != nil:
			parent := map[string]any{c.key: value}
			if c.kind != "" {
				parent["attributes"] = map[string]any{"type": c.kind}
			}
			op.Fields[c.parent.RelationshipName] = parent
		case c.field.Name == "Id" && op.Kind != sobject.Insert:
			op.ID = value
			if op.ExternalID == "Id" {
				op.Fields["Id"] = value
			}
		case value == nullValue:
			op.Fields[c.field.Name] = nil
		default:
			op.Fields[c.field.Name] = value
		}
	}
	return op
}

// ingestResults answers the three result files of an ingest job.
func (s *Server) ingestResults(w http.ResponseWriter, c call, j *job) {
	s.mu.Lock()
	state := j.State
	var file bytes.Buffer
	if j.ended() {
		s.writeResults(&file, c.part, j)
	}
	s.mu.Unlock()
	if state != stateJobComplete && state != stateFailed && state != stateAborted {
		invalidState(w, "Results of a job that is "+state+" are not available")
		return
	}
	w.Header().Set("Content-Type", "text/csv;charset=UTF-8")
	_, _ = w.Write(file.Bytes())
}

// writeResults writes one result file. It needs the server's lock.
func (s *Server) writeResults(to io.Writer, part string, j *job) {
	out := &writer{to: to, delimiter: delimiters[j.delimiter], ending: j.ending}
	t := j.outcome.table
	line := func(first []string, rest []string) {
		for _, v := range first {
			out.value(v)
		}
		for _, v := range rest {
			out.value(v)
		}
		out.end()
	}
	switch part {
	case "successfulResults":
		line([]string{"sf__Id", "sf__Created"}, t.header)
	case "failedResults":
		line([]string{"sf__Id", "sf__Error"}, t.header)
	default:
		if t.header == nil {
			return // the file could not be read
		}
		line(nil, t.header)
		for _, row := range t.rows[len(j.outcome.rows):] {
			line(nil, row)
		}
		return
	}
	order := make([]int, len(j.outcome.rows))
	for i := range order {
		order[i] = i
	}
	// "The order of records in the response is not guaranteed."
	if !s.cfg.NoShuffle {
		s.random.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
	}
	for _, i := range order {
		r := j.outcome.rows[i]
		switch {
		case part == "successfulResults" && r.problem == "":
			created := "false"
			if r.created {
				created = "true"
			}
			line([]string{r.id, created}, t.rows[r.row])
		case part == "failedResults" && r.problem != "":
			line([]string{r.id, r.problem}, t.rows[r.row])
		}
	}
}
