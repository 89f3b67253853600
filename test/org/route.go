package org

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// maxURI is the longest URI; maxHeaders the most a URI and all headers hold.
// (REST API Developer Guide, "Status Codes": 414 and 431 above 16,384 bytes.)
const maxURI = 16384

// normalise folds double slashes and drops trailing ones, as the edge does for
// clients that join URLs carelessly.
func normalise(r *http.Request) {
	var kept []string
	for part := range strings.SplitSeq(r.URL.EscapedPath(), "/") {
		if part != "" {
			kept = append(kept, part)
		}
	}
	raw := "/" + strings.Join(kept, "/")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return
	}
	r.URL.Path, r.URL.RawPath = path, raw
}

// segments splits the normalised path; a segment may hold an escaped slash.
func segments(r *http.Request) []string {
	raw := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	out := make([]string, len(raw))
	for i, part := range raw {
		text, err := url.PathUnescape(part)
		if err != nil {
			text = part
		}
		out[i] = text
	}
	return out
}

func inflate(r *http.Request) (io.Reader, error) {
	encoding := r.Header.Get("Content-Encoding")
	switch strings.ToLower(encoding) {
	case "gzip":
		r.Header.Del("Content-Encoding")
		return gzip.NewReader(r.Body)
	case "deflate":
		r.Header.Del("Content-Encoding")
		return zlib.NewReader(r.Body)
	}
	return r.Body, nil
}

// route passes a request to the service that its path names.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if a, refused := tooLong(r); refused {
		a.write(w, r)
		return
	}
	seg := segments(r)
	switch {
	case under(seg, "services", "oauth2"):
		s.oauth(r, seg[2:]).write(w, r)
	case under(seg, "services", "Soap"):
		s.soap(r, seg).write(w, r)
	case under(seg, "services", "data"):
		s.data(w, r, seg[2:])
	case under(seg, "id"):
		s.identity(r, seg).write(w, r)
	case under(seg, "cometd"):
		if !s.lives(r.Host) {
			r.Header.Set("Authorization", "Bearer of-another-instance")
		}
		s.stream.ServeHTTP(w, r)
	default:
		answer{status: http.StatusNotFound, text: "<html><body><h1>URL No Longer Exists</h1></body></html>"}.write(w, r)
	}
}

func under(seg []string, prefix ...string) bool {
	if len(seg) < len(prefix) {
		return false
	}
	for i, p := range prefix {
		if !strings.EqualFold(seg[i], p) {
			return false
		}
	}
	return true
}

// tooLong answers 414 or 431 as the web server in front does: not in JSON.
func tooLong(r *http.Request) (answer, bool) {
	size := len(r.RequestURI)
	if size > maxURI {
		return answer{status: http.StatusRequestURITooLong, text: "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>"}, true
	}
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	if size > maxURI {
		return answer{status: http.StatusRequestHeaderFieldsTooLarge, text: "<h1>Bad Message 431</h1><pre>reason: Request Header Fields Too Large</pre>"}, true
	}
	return answer{}, false
}

func (s *Server) oauth(r *http.Request, seg []string) answer {
	if len(seg) == 1 {
		switch seg[0] {
		case "token":
			return s.token(r)
		case "revoke":
			return s.revoke(r)
		case "userinfo":
			return s.userinfo(r)
		}
	}
	return answer{status: http.StatusNotFound, text: "<html><body><h1>URL No Longer Exists</h1></body></html>"}
}

var versionForm = regexp.MustCompile(`^v(\d{1,3})\.0$`)

// data serves /services/data: the free version list, then authorization, the
// daily limit, and the resources of a version.
func (s *Server) data(w http.ResponseWriter, r *http.Request, seg []string) {
	if len(seg) == 0 {
		// Free: neither a token nor a call. (REST API Developer Guide, "Limit Info Header".)
		s.versions(r).write(w, r)
		return
	}
	used, allowed := s.spend()
	w.Header().Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/%d", used, s.dailyLimit()))
	sess, refused := s.authorize(r)
	if refused != nil {
		refused.write(w, r)
		return
	}
	if !allowed {
		fail(http.StatusForbidden, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").write(w, r)
		return
	}
	version, gone := parseVersion(seg[0])
	if gone != nil {
		gone.write(w, r)
		return
	}
	if len(seg) > 2 && seg[1] == "jobs" {
		s.jobs.ServeHTTP(w, r.WithContext(withSession(r.Context(), sess)))
		return
	}
	c, err := newCall(s, r, sess, version, seg[1:])
	if err != nil {
		fail(http.StatusBadRequest, "JSON_PARSER_ERROR", err.Error()).write(w, r)
		return
	}
	c.run().write(w, r)
}

// parseVersion reads "v64.0".
func parseVersion(text string) (int, *answer) {
	m := versionForm.FindStringSubmatch(text)
	if m == nil {
		a := notFound()
		return 0, &a
	}
	n, _ := strconv.Atoi(m[1]) // the pattern lets only digits through
	switch {
	case n < OldestVersion:
		a := fail(http.StatusGone, "GONE", "The requested API version is retired")
		return 0, &a
	case n > NewestVersion:
		a := notFound()
		return 0, &a
	}
	return n, nil
}

// spend counts an API call; false if the day's are used up.
func (s *Server) spend() (used int, allowed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls >= s.limit {
		return s.calls, false
	}
	s.calls++
	return s.calls, true
}

func (s *Server) dailyLimit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

// kind names the endpoint of a request for [Server.Calls].
func kind(r *http.Request) string {
	seg := segments(r)
	switch {
	case under(seg, "services", "oauth2") && len(seg) == 3:
		return seg[2]
	case under(seg, "services", "Soap"):
		return "soap"
	case under(seg, "id"):
		return "identity"
	case under(seg, "cometd"):
		return "cometd"
	case under(seg, "services", "data"):
		return dataKind(r.Method, seg[2:])
	}
	return "other"
}

func dataKind(method string, seg []string) string {
	switch len(seg) {
	case 0:
		return "versions"
	case 1:
		return "resources"
	}
	verb := map[string]string{
		http.MethodGet: "retrieve", http.MethodHead: "retrieve", http.MethodPost: "create",
		http.MethodPatch: "update", http.MethodDelete: "delete",
	}[method]
	rest := seg[2:]
	switch seg[1] {
	case "sobjects":
		switch {
		case len(rest) == 0:
			return "describe_global"
		case len(rest) == 1 && method == http.MethodGet:
			return "describe"
		case len(rest) == 2:
			switch rest[1] {
			case "describe", "deleted", "updated":
				return rest[1]
			}
		case len(rest) == 3 && method == http.MethodPatch:
			return "upsert"
		}
		return verb
	case "query", "queryAll":
		if len(rest) > 0 {
			return "query_more"
		}
		return "query"
	case "limits":
		return "limits"
	case "jobs":
		return "bulk"
	case "composite":
		switch {
		case len(rest) == 0:
			return "composite"
		case rest[0] == "batch":
			return "composite_batch"
		case rest[0] == "sobjects":
			switch {
			case len(rest) == 3 && method == http.MethodPatch:
				verb = "upsert"
			case len(rest) == 2 && method == http.MethodPost:
				verb = "retrieve"
			}
			return "collections_" + verb
		}
	}
	return "other"
}
