package bulk

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// maxBody bounds what a request may hold. Uploads are limited to 150 MB by
// "Bulk API and Bulk API 2.0 Limits and Allocations".
const maxBody = 150 << 20

// call is a request path, taken apart.
type call struct {
	base    string // "/services/data/v66.0"
	version string // "66.0"
	kind    string // "query" or "ingest"
	id      string // of the job, "" for the collection
	part    string // "results", "batches", ...
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := parsePath(r.URL.Path)
	if !ok || s.ctx.Err() != nil {
		notFound(w)
		return
	}
	if c.id == "" {
		switch {
		case r.Method == http.MethodGet:
			s.list(w, r, c)
		case r.Method == http.MethodPost && c.kind == "query":
			s.createQuery(w, r, c)
		case r.Method == http.MethodPost:
			s.createIngest(w, r, c)
		default:
			badMethod(w, r)
		}
		return
	}
	s.mu.Lock()
	j, ok := s.jobs[c.id]
	s.mu.Unlock()
	if !ok || j.Kind != c.kind {
		notFound(w)
		return
	}
	switch r.Method + " " + c.part {
	case "GET ":
		s.info(w, j)
	case "PATCH ":
		s.setState(w, r, j)
	case "DELETE ":
		s.remove(w, j)
	case "GET results":
		s.results(w, r, c, j)
	case "GET resultPages":
		s.resultPages(w, r, c, j)
	case "PUT batches":
		s.upload(w, r, j)
	case "GET successfulResults", "GET failedResults", "GET unprocessedrecords":
		s.ingestResults(w, c, j)
	default:
		if _, known := parts[c.part]; known {
			badMethod(w, r)
			return
		}
		notFound(w)
	}
}

// parts are the resources below a job and the kind of job that has them.
var parts = map[string]string{
	"": "", "results": "query", "resultPages": "query",
	"batches": "ingest", "successfulResults": "ingest", "failedResults": "ingest", "unprocessedrecords": "ingest",
}

// parsePath reads /services/data/v66.0/jobs/query/750.../results.
func parsePath(path string) (call, bool) {
	seg := strings.Split(strings.Trim(path, "/"), "/")
	if len(seg) < 5 || len(seg) > 7 || seg[0] != "services" || seg[1] != "data" || seg[3] != "jobs" ||
		!strings.HasPrefix(seg[2], "v") || (seg[4] != "query" && seg[4] != "ingest") {
		return call{}, false
	}
	c := call{base: "/services/data/" + seg[2], version: seg[2][1:], kind: seg[4]}
	if len(seg) > 5 {
		c.id = seg[5]
	}
	if len(seg) > 6 {
		c.part = seg[6]
		for name := range parts {
			if strings.EqualFold(name, c.part) {
				c.part = name
			}
		}
	}
	return c, parts[c.part] == "" || parts[c.part] == c.kind
}

func (s *Server) info(w http.ResponseWriter, j *job) {
	s.mu.Lock()
	body := j.json(true)
	s.mu.Unlock()
	answer(w, http.StatusOK, body)
}

// setState answers PATCH: UploadComplete starts an ingest job, Aborted ends
// any job.
func (s *Server) setState(w http.ResponseWriter, r *http.Request, j *job) {
	var body struct {
		State string `json:"state"`
	}
	if !decode(w, r, &body) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case body.State == stateAborted && !j.ended():
		s.abort(j)
	case body.State == stateUploadComplete && j.Kind == "ingest" && j.State == stateOpen:
		s.process(j)
	case body.State != stateAborted && body.State != stateUploadComplete:
		refuse(w, http.StatusBadRequest, "INVALIDJOB", "InvalidJob : Unable to set state to "+body.State)
		return
	default:
		invalidState(w, "Job state "+j.State+" does not allow the change to "+body.State)
		return
	}
	answer(w, http.StatusOK, j.json(true))
}

func (s *Server) remove(w http.ResponseWriter, j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.State == stateInProgress || (j.State == stateUploadComplete && j.Kind == "ingest") {
		invalidState(w, "Job cannot be deleted while it is "+j.State)
		return
	}
	if j.cancel != nil {
		j.cancel()
	}
	if !j.ended() {
		j.State = stateAborted
	}
	s.drop(j)
	w.WriteHeader(http.StatusNoContent)
}

func decode(w http.ResponseWriter, r *http.Request, to any) bool {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(body, to)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "JSON_PARSER_ERROR", "Unexpected content in the request body")
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// refuse answers with the error array of REST.
func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, []map[string]string{{"errorCode": code, "message": message}})
}

func notFound(w http.ResponseWriter) {
	refuse(w, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
}

func badMethod(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "HTTP Method '"+r.Method+"' not allowed")
}

func invalidState(w http.ResponseWriter, message string) {
	refuse(w, http.StatusBadRequest, "INVALIDJOBSTATE", message)
}

// client returns the client option of Sforce-Call-Options. Documents separate
// options by ";" and by ",".
func client(r *http.Request) string {
	for opt := range strings.FieldsFuncSeq(r.Header.Get("Sforce-Call-Options"), func(c rune) bool { return c == ';' || c == ',' }) {
		if name, value, _ := strings.Cut(strings.TrimSpace(opt), "="); name == "client" {
			return value
		}
	}
	return ""
}
