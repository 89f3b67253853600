package org

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Verb is what a [Fault] does to a request. The first four are those of
// supabase/etl's fault scripts; the others are what the edge in front of an
// org has been seen to do.
type Verb string

const (
	// Reject answers Status (default 503) and Body in place of the endpoint,
	// which does not run.
	Reject Verb = "reject"
	// FailAfterWrite runs the endpoint, then drops the connection without an
	// answer; with a Status it answers that and Body instead.
	FailAfterWrite Verb = "fail_after_write"
	// Hold runs the endpoint and keeps its answer until [Injected.Release].
	Hold Verb = "hold"
	// Slow runs the endpoint and sends its answer after Delay.
	Slow Verb = "slow"
	// HTML answers a page, status 503 unless Status says otherwise.
	HTML Verb = "html"
	// Redirect answers 302 (or Status) to the URL in Body.
	Redirect Verb = "redirect"
	// Cut runs the endpoint, sends half of its answer and drops the connection.
	Cut Verb = "cut"
	// Garble runs the endpoint and sends half of its answer as if it were all.
	Garble Verb = "garble"
	// Trickle runs the endpoint and sends its answer at a byte per second.
	Trickle Verb = "trickle"
	// Drop closes the connection; the endpoint does not run.
	Drop Verb = "drop"
)

// Verbs lists all verbs.
func Verbs() []Verb {
	return []Verb{Reject, FailAfterWrite, Hold, Slow, HTML, Redirect, Cut, Garble, Trickle, Drop}
}

// Fault is a rule that spoils requests. The first rule in order of [Server.Fault]
// that matches a request and is not used up applies; only that one does.
type Fault struct {
	// Method is the HTTP method; "" is any.
	Method string `json:"method,omitempty"`
	// Path is a regular expression searched in the normalised path and query,
	// such as `/sobjects/Account` or `^/cometd/`; "" is any.
	Path string `json:"path,omitempty"`
	// Match is a regular expression searched in the request body; "" is any.
	Match string `json:"match,omitempty"`
	Verb  Verb   `json:"verb"`
	// Status and Body are the answer where the verb gives one. A JSON error
	// array for a client to read is the caller's to write.
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// Delay is Slow's. In JSON it is in nanoseconds.
	Delay time.Duration `json:"delay,omitempty"`
	// Before makes Hold and Slow wait before the endpoint runs, not after. The
	// endpoint then runs even if the client has gone, as a late write does.
	Before bool `json:"before,omitempty"`
	// Times is how many requests it spoils; 0 is all. After is how many
	// matching requests pass first.
	Times int `json:"times,omitempty"`
	After int `json:"after,omitempty"`
}

// Injected is a fault in force. Its methods are safe for concurrent use.
type Injected struct {
	fault       Fault
	path, match *regexp.Regexp

	mu       sync.Mutex
	seen     int
	hits     int
	off      bool
	entered  chan struct{} // closed and replaced at every hit
	released chan struct{}
}

// Hits returns how many requests the fault has spoilt.
func (f *Injected) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Wait returns nil once the fault has spoilt n requests, or the cause of ctx's
// end. A held request counts when its hold begins.
func (f *Injected) Wait(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		reached, next := f.hits >= n, f.entered
		f.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Release lets all held answers go and turns the fault off.
func (f *Injected) Release() { f.Remove() }

// Remove turns the fault off; held answers go.
func (f *Injected) Remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.off {
		f.off = true
		close(f.released)
	}
}

// take reports whether the fault applies to r, and counts it.
func (f *Injected) take(r *http.Request, target string, body []byte) bool {
	if f.fault.Method != "" && f.fault.Method != r.Method ||
		f.path != nil && !f.path.MatchString(target) ||
		f.match != nil && !f.match.Match(body) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off || f.fault.Times > 0 && f.hits >= f.fault.Times {
		return false
	}
	if f.seen++; f.seen <= f.fault.After {
		return false
	}
	f.hits++
	close(f.entered)
	f.entered = make(chan struct{})
	return true
}

// Fault puts a rule in force, after those that are. It panics if a regular
// expression or the verb is wrong; [Server.TryFault] returns that as an error.
func (s *Server) Fault(f Fault) *Injected {
	injected, err := s.TryFault(f)
	if err != nil {
		panic("org: " + err.Error())
	}
	return injected
}

// TryFault is [Server.Fault] for rules that come from outside.
func (s *Server) TryFault(f Fault) (*Injected, error) {
	if !slices.Contains(Verbs(), f.Verb) {
		return nil, &UnknownVerbError{Verb: f.Verb}
	}
	injected := &Injected{fault: f, entered: make(chan struct{}), released: make(chan struct{})}
	for _, p := range []struct {
		to   **regexp.Regexp
		text string
	}{{&injected.path, f.Path}, {&injected.match, f.Match}} {
		if p.text == "" {
			continue
		}
		re, err := regexp.Compile(p.text)
		if err != nil {
			return nil, err
		}
		*p.to = re
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, injected)
	return injected, nil
}

// UnknownVerbError is a fault whose verb does not exist.
type UnknownVerbError struct{ Verb Verb }

func (e *UnknownVerbError) Error() string {
	return "fault has unknown verb " + strconv.Quote(string(e.Verb))
}

// ClearFaults removes all faults; held answers go.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	faults := s.faults
	s.faults = nil
	s.mu.Unlock()
	for _, f := range faults {
		f.Remove()
	}
}

// Faults returns the rules in force with the number of their hits.
func (s *Server) Faults() []*Injected {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Rule returns what was injected.
func (f *Injected) Rule() Fault { return f.fault }
