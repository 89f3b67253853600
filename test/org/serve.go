package org

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
)

// ServeHTTP answers one request: journal, then faults, then the endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.mount(r.URL.Path); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	start := s.opt.Now()
	began := time.Now()
	normalise(r)
	body, err := drain(r)
	entry := Request{
		At: start, Kind: kind(r), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host,
		Header: plainHeader(r.Header), Body: bytes.Clone(body[:min(len(body), keptBody)]),
	}
	if r.Method == http.MethodPost {
		if m := r.URL.Query().Get("_HttpMethod"); m != "" {
			r.Method = strings.ToUpper(m)
			entry.Kind = kind(r)
		}
	}
	s.journal.arrive(entry.Kind)
	cw := &statusWriter{ResponseWriter: w, date: s.date}
	defer func() {
		entry.Status, entry.Took = cw.status, time.Since(began)
		s.journal.add(entry)
		s.log.Debug().Str("component", "org").Str("event", "request").Str("kind", entry.Kind).Str("method", entry.Method).
			Str("path", entry.Path).Int("status", entry.Status).Str("fault", string(entry.Fault)).
			Int64("took_ms", entry.Took.Milliseconds()).Msg("answered")
	}()
	if err != nil {
		fail(http.StatusBadRequest, "JSON_PARSER_ERROR", "request body unreadable: "+err.Error()).write(cw, r)
		return
	}
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	route := s.route
	if under(segments(r), "services", "data") && s.shortens() {
		route = func(w http.ResponseWriter, r *http.Request) { s.shorten(w, r, s.route) }
	}
	if f := s.matching(r, target, body); f != nil {
		entry.Fault = f.fault.Verb
		s.spoil(f, cw, r, route)
		return
	}
	route(cw, r)
}

// date is the Date header of an answer.
func (s *Server) date() string { return s.opt.Now().UTC().Format(http.TimeFormat) }

func (s *Server) mount(path string) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	for prefix, h := range s.mounts {
		if strings.HasPrefix(path, prefix) || path == strings.TrimSuffix(prefix, "/") {
			return h
		}
	}
	return nil
}

// maxBody is the most a request body may hold after decompression; ingest
// uploads are the largest, at 150 MB.
const maxBody = 160 << 20

// drain reads the body, which the fault filter and the journal need before the
// endpoint does, and gives r a new one.
func drain(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	in, err := inflate(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(in, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return body, err
}

func plainHeader(h http.Header) http.Header {
	h = h.Clone()
	h.Del("Authorization")
	h.Del("Cookie")
	return h
}

// statusWriter remembers the status for the journal.
type statusWriter struct {
	http.ResponseWriter
	date   func() string
	status int
}

// WriteHeader notes the status and dates the answer by the org's clock.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.Header().Get("Date") == "" {
			w.Header().Set("Date", w.date())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write notes the implied status.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach Flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
