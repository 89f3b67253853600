package bulk

import (
	"context"
	"errors"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"hcbridge/test/org/sobject"
	"hcbridge/test/org/soql"
)

// createQuery answers POST /jobs/query. A query that cannot run is refused
// here, not by the job.
func (s *Server) createQuery(w http.ResponseWriter, r *http.Request, c call) {
	var spec struct {
		Operation, Query, ContentType, ColumnDelimiter, LineEnding string
	}
	if !decode(w, r, &spec) {
		return
	}
	if spec.Operation != "query" && spec.Operation != "queryAll" {
		refuse(w, http.StatusBadRequest, "INVALIDJOB", "InvalidJob : Invalid operation: "+spec.Operation)
		return
	}
	j := &job{Job: Job{Kind: "query", Operation: spec.Operation, Query: spec.Query, State: stateUploadComplete, User: s.cfg.User(r)}, version: c.version, client: client(r)}
	if !j.format(w, spec.ContentType, spec.ColumnDelimiter, spec.LineEnding) {
		return
	}
	q, err := s.parse(j)
	if err != nil {
		code := "API_ERROR"
		text := err.Error()
		if e, ok := errors.AsType[*soql.Error](err); ok {
			code, text = e.Code, e.Message
		}
		refuse(w, http.StatusBadRequest, code, text)
		return
	}
	j.Object = q.Object().Name
	s.mu.Lock()
	prepared := s.prepared[strings.ToLower(j.Object)]
	if j.result = prepared; prepared == nil {
		j.result = newSpool(s.cfg.MemoryLimit)
	}
	s.add(j)
	message, body := s.queryFault(), j.json(false)
	s.start(j, s.cfg.QueryDelay, func(ctx context.Context) error {
		if message != "" {
			return errors.New(message)
		}
		if prepared != nil {
			return s.finish(ctx, j)
		}
		return s.run(ctx, j, q)
	})
	s.mu.Unlock()
	answer(w, http.StatusOK, body)
}

// format takes the CSV options of a job, all of which may be absent.
func (j *job) format(w http.ResponseWriter, contentType, delimiter, ending string) bool {
	j.delimiter, j.ending = "COMMA", "LF"
	if delimiter != "" {
		j.delimiter = delimiter
	}
	if ending != "" {
		j.ending = ending
	}
	_, known := delimiters[j.delimiter]
	if !known || (j.ending != "LF" && j.ending != "CRLF") || (contentType != "" && contentType != "CSV") {
		refuse(w, http.StatusBadRequest, "INVALIDJOB", "InvalidJob : unsupported contentType, columnDelimiter or lineEnding")
		return false
	}
	return true
}

// parse checks a query and what Bulk API 2.0 does not support of it.
func (s *Server) parse(j *job) (*soql.Query, error) {
	q, err := soql.Parse(j.Query)
	if err != nil {
		return nil, err
	}
	switch {
	case q.Count || q.Aggregate:
		return nil, errors.New("Aggregate Relationships not supported in Bulk Query") //nolint:staticcheck // Salesforce's words
	case q.Offset >= 0:
		return nil, errors.New("OFFSET is not supported in Bulk Query")
	case q.TypeOf:
		return nil, errors.New("TYPEOF is not supported in Bulk Query")
	case q.Subquery:
		return nil, errors.New("Nested queries are not supported in Bulk Query") //nolint:staticcheck // Salesforce's words
	}
	if err := q.Bind(s.cfg.Org.Store(), s.visible(j.User)); err != nil {
		return nil, err
	}
	for _, c := range columnsOf(q) {
		if f := c.field(s.cfg.Org.Store(), q.Object()); f != nil && f.IsCompound() {
			return nil, errors.New("FeatureNotEnabled : Compound field " + c.name + " is not supported in Bulk Query")
		}
	}
	return q, nil
}

func (s *Server) visible(user string) func(*sobject.Object, *sobject.Field) bool {
	return func(ob *sobject.Object, f *sobject.Field) bool { return s.cfg.Visible(user, ob, f) }
}

// run writes the result of a query. A sorted query needs its rows at once, any
// other one is a walk over one snapshot of the object.
func (s *Server) run(ctx context.Context, j *job, q *soql.Query) error {
	out := &writer{to: j.result, delimiter: delimiters[j.delimiter], ending: j.ending}
	store := s.cfg.Store(j.User, s.cfg.Org.Store())
	cols := columnsOf(q)
	// Until version 50 the columns came in alphabetical order.
	if v, _ := strconv.ParseFloat(j.version, 64); v < 50 {
		sort.SliceStable(cols, func(a, b int) bool { return cols[a].name < cols[b].name })
	}
	for _, c := range cols {
		out.value(c.name)
	}
	out.end()
	j.result.header()
	write := func(r sobject.Record) {
		for _, c := range cols {
			out.value(c.text(store, q.Object(), r))
		}
		out.end()
		j.result.row()
	}
	all := j.Operation == "queryAll"
	if len(q.OrderBy) > 0 {
		rows, _, err := soql.Run(store, q, soql.Opts{All: all, Visible: s.visible(j.User)})
		if err != nil {
			return err
		}
		for _, r := range rows {
			write(r.Record())
		}
	} else {
		n := 0
		store.Scan(q.From, "", func(r sobject.Record) bool {
			if ctx.Err() != nil || j.result.err != nil || (q.Limit >= 0 && n >= q.Limit) {
				return false
			}
			if r.Purged || (r.Deleted && !all) || !q.Match(store, r) {
				return true
			}
			n++
			write(r)
			return true
		})
	}
	if err := j.result.flush(); err != nil {
		return err
	}
	return s.finish(ctx, j)
}

// finish counts the rows of a result.
func (s *Server) finish(ctx context.Context, j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.Processed = j.result.rows()
	return ctx.Err()
}

// column is one selected field, possibly of a parent.
type column struct {
	name string
	path []string
}

// columnsOf returns the columns of a bound query with their canonical names.
func columnsOf(q *soql.Query) []column {
	names := q.Columns()
	cols := make([]column, len(names))
	for i, name := range names {
		cols[i] = column{name: name, path: strings.Split(name, ".")}
	}
	return cols
}

// field returns what the column selects, nil if it is not found.
func (c column) field(store sobject.Store, ob *sobject.Object) *sobject.Field {
	for _, step := range c.path[:len(c.path)-1] {
		f := ob.Relationship(step)
		if f == nil || len(f.ReferenceTo) == 0 {
			return nil
		}
		if ob = store.Object(f.ReferenceTo[0]); ob == nil {
			return nil
		}
	}
	return ob.Field(c.path[len(c.path)-1])
}

// text returns the value of a record in the form of Bulk CSV; a parent that is
// missing has empty values.
func (c column) text(store sobject.Store, ob *sobject.Object, r sobject.Record) string {
	for _, step := range c.path[:len(c.path)-1] {
		f := ob.Relationship(step)
		if f == nil {
			return ""
		}
		id, _ := r.Get(ob, f.Name).(string)
		if id == "" {
			return ""
		}
		if ob = store.ObjectOf(id); ob == nil {
			return ""
		}
		var ok bool
		if r, ok = store.Get(ob.Name, id); !ok {
			return ""
		}
	}
	f := ob.Field(c.path[len(c.path)-1])
	if f == nil || f.Type == "base64" {
		return ""
	}
	return f.CSV(r.Get(ob, f.Name))
}
