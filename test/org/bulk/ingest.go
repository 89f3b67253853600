package bulk

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// multipartLimit is how many characters of CSV a multipart create may hold.
const multipartLimit = 100_000

// createIngest answers POST /jobs/ingest: a job, or with a multipart body a
// job and its data at once.
func (s *Server) createIngest(w http.ResponseWriter, r *http.Request, c call) {
	spec, content, ok := readCreate(w, r)
	if !ok {
		return
	}
	var body struct {
		Object, Operation, ExternalIDFieldName, ContentType, ColumnDelimiter, LineEnding string
	}
	if err := json.Unmarshal(spec, &body); err != nil {
		refuse(w, http.StatusBadRequest, "JSON_PARSER_ERROR", "Unexpected content in the request body")
		return
	}
	j := &job{
		Job:     Job{Kind: "ingest", Operation: body.Operation, Object: body.Object, State: stateOpen, User: s.cfg.User(r)},
		version: c.version, client: client(r), external: body.ExternalIDFieldName,
	}
	if !j.format(w, body.ContentType, body.ColumnDelimiter, body.LineEnding) {
		return
	}
	if text := s.invalid(j); text != "" {
		refuse(w, http.StatusBadRequest, "INVALIDJOB", text)
		return
	}
	if j.Operation == "hardDelete" && !s.cfg.HardDelete(j.User) {
		refuse(w, http.StatusBadRequest, "FEATURENOTENABLED", "FeatureNotEnabled : hardDelete operation requires special user profile permission, please contact your system administrator")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(j)
	if content != nil {
		j.data, j.uploaded = content, true
		s.process(j)
	}
	answer(w, http.StatusOK, j.json(false))
}

// readCreate returns the job's JSON and, of a multipart body, the CSV.
func readCreate(w http.ResponseWriter, r *http.Request) (spec, content []byte, ok bool) {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if !strings.HasPrefix(kind, "multipart/") {
		spec, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			refuse(w, http.StatusBadRequest, "INVALIDJOB", "InvalidJob : the body could not be read")
		}
		return spec, nil, err == nil
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	for {
		p, err := parts.NextPart()
		if err != nil {
			break
		}
		data, err := io.ReadAll(io.LimitReader(p, multipartLimit*4+1))
		if err != nil {
			break
		}
		switch p.FormName() {
		case "job":
			spec = data
		case "content":
			content = data
		}
	}
	if spec == nil || content == nil || len([]rune(string(content))) > multipartLimit {
		refuse(w, http.StatusBadRequest, "INVALIDJOB", "InvalidJob : a multipart request has the parts job and content of at most 100,000 characters")
		return nil, nil, false
	}
	return spec, content, true
}

// invalid returns what is wrong with a new ingest job, "" if nothing is. It
// puts the names into their canonical case.
func (s *Server) invalid(j *job) string {
	ob := s.cfg.Org.Store().Object(j.Object)
	if ob == nil {
		return "InvalidJob : Unable to find object: " + j.Object
	}
	j.Object = ob.Name
	switch j.Operation {
	case "insert", "update", "delete", "hardDelete":
		return ""
	case "upsert":
	default:
		return "InvalidJob : Invalid operation: " + j.Operation
	}
	f := ob.Field(j.external)
	if f == nil || (!f.ExternalID && !f.IDLookup) {
		return "InvalidJob : Field name provided, " + j.external + " does not match an External ID, Salesforce Id, or indexed field for " + ob.Name
	}
	j.external = f.Name
	return ""
}

// upload answers PUT .../batches. A job takes one upload.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, j *job) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "text/csv" {
		refuse(w, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be text/csv")
		return
	}
	var data bytes.Buffer
	n, err := data.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	if err != nil || n > maxBody {
		refuse(w, http.StatusRequestEntityTooLarge, "REQUEST_ENTITY_TOO_LARGE", "Maximum size of an upload is 150 MB")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case j.State != stateOpen:
		invalidState(w, "Job is "+j.State+", data can be uploaded only while it is Open")
	case j.uploaded:
		invalidState(w, "Found multiple contents for job: <"+j.ID+">, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.")
	default:
		j.data, j.uploaded = data.Bytes(), true
		w.WriteHeader(http.StatusCreated)
	}
}
