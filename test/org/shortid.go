package org

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"

	"hcbridge/test/org/sobject"
)

// ShortIDs makes the REST and Bulk APIs answer ids in their form of 15 characters.
// (Object Reference, "ID Field Type": some clients and reports show that one, and every
// API takes both.)
func (s *Server) ShortIDs(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shortIDs = on
}

func (s *Server) shortens() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shortIDs
}

// quotedID is what may be an id, as a whole value of JSON or CSV.
var quotedID = regexp.MustCompile(`"[0-9A-Za-z]{15}[A-Z0-5]{3}"`)

// shorten runs next and cuts the ids in its answer.
func (s *Server) shorten(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Header.Del("Accept-Encoding")
	rec := httptest.NewRecorder()
	next(rec, r)
	rec.Header().Set("Date", s.date())
	body := quotedID.ReplaceAllFunc(rec.Body.Bytes(), func(quoted []byte) []byte {
		id := string(quoted[1:19])
		if _, err := sobject.NormalizeID(id); err != nil {
			return quoted
		}
		return []byte(`"` + id[:15] + `"`)
	})
	rec.Header().Set("Content-Length", strconv.Itoa(len(body)))
	replay(w, rec, body)
}
