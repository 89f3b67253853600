package bulk

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// maxPages is how many results URLs one answer of resultPages holds.
const maxPages = 5

// results answers GET .../results: one page as CSV. The locator of the next
// page is in a header; the last page has the word null there.
func (s *Server) results(w http.ResponseWriter, r *http.Request, c call, j *job) {
	from, size, ok := s.pageOf(w, r, c, j, "locator")
	if !ok {
		return
	}
	to := min(j.result.rows(), from+size)
	next := "null"
	if to < j.result.rows() {
		next = formatLocator(to)
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv;charset=UTF-8")
	h.Set("Sforce-Locator", next)
	h.Set("Sforce-NumberOfRecords", strconv.Itoa(to-from))
	_, _ = io.Copy(w, j.result.page(from, to))
}

// resultPages answers GET .../resultPages: the addresses of the next pages.
func (s *Server) resultPages(w http.ResponseWriter, r *http.Request, c call, j *job) {
	if v, _ := strconv.ParseFloat(c.version, 64); v < 58 {
		notFound(w)
		return
	}
	from, size, ok := s.pageOf(w, r, c, j, "pageLocator")
	if !ok {
		return
	}
	base := c.base + "/jobs/query/" + j.ID + "/"
	pages := []map[string]string{}
	query := url.Values{"maxRecords": {strconv.Itoa(size)}}
	for ; from < j.result.rows() && len(pages) < maxPages; from += size {
		query.Set("locator", formatLocator(from))
		pages = append(pages, map[string]string{"resultUrl": base + "results?" + query.Encode()})
	}
	next := any(nil)
	if from < j.result.rows() {
		query.Del("locator")
		query.Set("pageLocator", formatLocator(from))
		next = base + "resultPages?" + query.Encode()
	}
	answer(w, http.StatusOK, map[string]any{"resultPages": pages, "nextRecordsUrl": next, "done": next == nil})
}

// pageOf reads the place of a page, or answers why there is none.
func (s *Server) pageOf(w http.ResponseWriter, r *http.Request, c call, j *job, locator string) (from, size int, ok bool) {
	s.mu.Lock()
	state := j.State
	_, exists := s.jobs[j.ID]
	s.mu.Unlock()
	switch {
	case !exists:
		notFound(w)
		return 0, 0, false
	case c.version != j.version:
		refuse(w, http.StatusConflict, "VERSION_CONFLICT", "The job was created with API version "+j.version+", the request has "+c.version)
		return 0, 0, false
	case state != stateJobComplete:
		invalidState(w, "Results of a job that is "+state+" are not available")
		return 0, 0, false
	}
	size = s.cfg.PageSize
	if text := r.URL.Query().Get("maxRecords"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			refuse(w, http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "maxRecords must be a positive number")
			return 0, 0, false
		}
		size = n
	}
	if text := r.URL.Query().Get(locator); text != "" {
		n, valid := parseLocator(text)
		if !valid || n > j.result.rows() {
			refuse(w, http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
			return 0, 0, false
		}
		from = n
	}
	return from, size, true
}
