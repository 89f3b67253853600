package org

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// matching returns the fault that applies to a request, and counts it.
func (s *Server) matching(r *http.Request, target string, body []byte) *Injected {
	for _, f := range s.Faults() {
		if f.take(r, target, body) {
			return f
		}
	}
	return nil
}

// spoil runs next under the fault f.
func (s *Server) spoil(f *Injected, w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	rule := f.fault
	switch rule.Verb {
	case Reject:
		r.Header.Del("Accept-Encoding") // what speaks in place of the endpoint does not compress
		rule.answer(w, r, http.StatusServiceUnavailable, `[{"message":"server too busy","errorCode":"SERVER_UNAVAILABLE"}]`)
		return
	case HTML:
		rule.page(w)
		return
	case Redirect:
		status := rule.Status
		if status == 0 {
			status = http.StatusFound
		}
		http.Redirect(w, r, rule.Body, status)
		return
	case Drop:
		panic(http.ErrAbortHandler)
	}
	if rule.Before && (rule.Verb == Hold || rule.Verb == Slow) {
		s.pause(f, nil)
		next(w, r)
		return
	}
	if rule.Verb == Cut || rule.Verb == Garble || rule.Verb == Trickle {
		r.Header.Del("Accept-Encoding") // half an answer shall be readable
	}
	rec := httptest.NewRecorder()
	next(rec, r)
	rec.Header().Set("Date", s.date()) // of the work, not of a late delivery
	switch rule.Verb {
	case FailAfterWrite:
		if rule.Status == 0 {
			panic(http.ErrAbortHandler)
		}
		rule.answer(w, r, rule.Status, `[{"message":"server too busy","errorCode":"SERVER_UNAVAILABLE"}]`)
	case Hold, Slow:
		s.pause(f, r.Context().Done())
		replay(w, rec, rec.Body.Bytes())
	case Cut:
		rec.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		replay(w, rec, rec.Body.Bytes()[:rec.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Trickle:
		s.trickle(w, r, rec)
	case Garble:
		half := rec.Body.Bytes()[:rec.Body.Len()/2]
		rec.Header().Set("Content-Length", strconv.Itoa(len(half)))
		replay(w, rec, half)
	}
}

// pause waits for the end of a Hold or Slow, of the server, or of gone.
func (s *Server) pause(f *Injected, gone <-chan struct{}) {
	var due <-chan time.Time
	if f.fault.Verb == Slow {
		t := time.NewTimer(f.fault.Delay)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-due:
	case <-f.released:
	case <-gone:
	case <-s.closing:
	}
}

// trickle sends an answer byte by byte until it is all there or nobody waits.
func (s *Server) trickle(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) {
	body := rec.Body.Bytes()
	rec.Header().Set("Content-Length", strconv.Itoa(len(body)))
	replay(w, rec, nil)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for _, b := range body {
		if _, err := w.Write([]byte{b}); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
	}
}

func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

func (f Fault) answer(w http.ResponseWriter, r *http.Request, status int, body string) {
	if f.Status != 0 {
		status = f.Status
	}
	if f.Body != "" {
		body = f.Body
	}
	a := answer{status: status, text: body}
	if body[0] == '{' || body[0] == '[' {
		a.header = http.Header{"Content-Type": {"application/json;charset=UTF-8"}}
	}
	if status == http.StatusNoContent {
		a.text = ""
	}
	a.write(w, r)
}

// page is what the edge shows while an org is down for maintenance.
func (f Fault) page(w http.ResponseWriter) {
	status, body := f.Status, f.Body
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	if body == "" {
		body = "<!DOCTYPE html><html><head><title>We are down for maintenance.</title></head>" +
			"<body><h1>We are down for maintenance.</h1><p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>"
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
}
