package org_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
)

func TestFault(t *testing.T) {
	t.Parallel()
	const create = `{"Name":"A"}`
	path := "/services/data/v66.0/sobjects/Account"
	count := func(r *rig) int { return len(r.s.Records("Account")) }

	t.Run("Reject", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		f := r.s.Fault(org.Fault{Method: "POST", Path: `/sobjects/Account$`, Verb: org.Reject, Times: 2, After: 1})
		if a := r.do("POST", path, create); a.status != 201 {
			t.Errorf("the request before answered %d", a.status)
		}
		for range 2 {
			r.do("POST", path, create).want(t, 503, `[{"message":"server too busy","errorCode":"SERVER_UNAVAILABLE"}]`)
		}
		if a := r.do("POST", path, create); a.status != 201 || f.Hits() != 2 || count(r) != 2 {
			t.Errorf("after two hits got %d, %d hits, %d records", a.status, f.Hits(), count(r))
		}
		r.s.Fault(org.Fault{Match: `"Name":"odd"`, Verb: org.Reject, Status: 500, Body: `[{"message":"x","errorCode":"UNABLE_TO_LOCK_ROW"}]`})
		a := r.do("POST", path, `{"Name":"odd"}`)
		a.want(t, 500, `[{"message":"x","errorCode":"UNABLE_TO_LOCK_ROW"}]`)
		if got := a.header.Get("Content-Type"); got != "application/json;charset=UTF-8" {
			t.Errorf("Content-Type is %q", got)
		}
		r.s.ClearFaults()
		if a := r.do("POST", path, `{"Name":"odd"}`); a.status != 201 {
			t.Errorf("after ClearFaults got %d", a.status)
		}
	})

	t.Run("FailAfterWrite", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Path: "/sobjects/Account", Verb: org.FailAfterWrite, Times: 1})
		if a, err := r.try("POST", path, create); err == nil {
			t.Errorf("the answer arrived: %d %s", a.status, a.body)
		}
		if n := count(r); n != 1 {
			t.Errorf("%d records were written, want 1", n)
		}
		r.s.Fault(org.Fault{Path: "/sobjects/Account", Verb: org.FailAfterWrite, Status: 502, Body: "<html>bad gateway</html>"})
		r.do("POST", path, create).want(t, 502, "<html>bad gateway</html>")
		if n := count(r); n != 2 {
			t.Errorf("%d records were written, want 2", n)
		}
	})

	t.Run("Hold", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		f := r.s.Fault(org.Fault{Path: "/sobjects/Account", Verb: org.Hold})
		got := make(chan reply, 1)
		go func() { got <- r.do("POST", path, create) }()
		r.must(f.Wait(t.Context(), 1))
		for count(r) == 0 { // the work is done while the answer is held
			time.Sleep(time.Millisecond)
		}
		select {
		case a := <-got:
			t.Fatalf("the answer was not held: %d", a.status)
		case <-time.After(20 * time.Millisecond):
		}
		r.clock.advance(time.Minute)
		f.Release()
		a := <-got
		if a.status != 201 || a.header.Get("Date") != "Sun, 01 Mar 2026 12:00:00 GMT" {
			t.Errorf("got %d of %s", a.status, a.header.Get("Date"))
		}
		if a := r.do("POST", path, create); a.status != 201 {
			t.Errorf("a released fault answered %d", a.status)
		}
	})

	t.Run("HoldBefore", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		f := r.s.Fault(org.Fault{Path: "/sobjects/Account", Verb: org.Hold, Before: true})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := r.tryContext(ctx, "POST", path, create)
			done <- err
		}()
		r.must(f.Wait(t.Context(), 1))
		cancel() // the client gives up
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if n := count(r); n != 0 {
			t.Fatalf("%d records before the release", n)
		}
		f.Release()
		for count(r) == 0 { // and the write happens all the same
			time.Sleep(time.Millisecond)
		}
	})

	t.Run("Slow", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Path: "/sobjects/Account", Verb: org.Slow, Delay: 50 * time.Millisecond})
		began := time.Now()
		if a := r.do("POST", path, create); a.status != 201 {
			t.Errorf("got %d", a.status)
		}
		if took := time.Since(began); took < 50*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})

	t.Run("HTML", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Path: "^/services/oauth2/token", Verb: org.HTML, Status: 200})
		a := r.form("/services/oauth2/token", "grant_type", "password")
		if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(a.body, "<html>") {
			t.Errorf("got %d %s %s", a.status, a.header.Get("Content-Type"), a.body)
		}
	})

	t.Run("Redirect", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Verb: org.Redirect, Body: "https://evil.example/steal"})
		if a := r.do("GET", path, ""); a.status != 302 || a.header.Get("Location") != "https://evil.example/steal" {
			t.Errorf("got %d %v", a.status, a.header)
		}
	})

	t.Run("Cut", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Path: "/describe", Verb: org.Cut})
		a, err := r.try("GET", path+"/describe", "")
		if !errors.Is(err, io.ErrUnexpectedEOF) || a.status != 200 || len(a.body) == 0 {
			t.Errorf("got %d with %d bytes and %v", a.status, len(a.body), err)
		}
	})

	t.Run("Garble", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Path: "/describe", Verb: org.Garble})
		a := r.do("GET", path+"/describe", "")
		if a.status != 200 || json.Valid([]byte(a.body)) {
			t.Errorf("got %d %.60s", a.status, a.body)
		}
	})

	t.Run("Drop", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.s.Fault(org.Fault{Method: "POST", Path: path, Verb: org.Drop})
		if a, err := r.try("POST", path, create); err == nil || count(r) != 0 {
			t.Errorf("got %d, %v and %d records", a.status, err, count(r))
		}
	})

	t.Run("Streaming", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Acc", "SELECT Id, Name FROM Account", "")
		st := r.handshake()
		st.subscribe("/topic/Acc")
		r.s.Fault(org.Fault{Path: "^/cometd", Verb: org.FailAfterWrite, Match: "/meta/connect", Times: 1})
		r.insert("Account", map[string]any{"Name": "lost on the way"})
		if _, err := r.try("POST", "/cometd/66.0", text(`[{"channel":"/meta/connect","clientId":"%s","connectionType":"long-polling"}]`, st.clientID)); err == nil {
			t.Error("the reply arrived")
		}
		again := r.handshake()
		again.subscribe("/topic/Acc")
		again.read(1)
	})

	t.Run("Unknown", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		var unknown *org.UnknownVerbError
		if _, err := r.s.TryFault(org.Fault{Verb: "explode"}); !errors.As(err, &unknown) {
			t.Errorf("got %v", err)
		}
		if _, err := r.s.TryFault(org.Fault{Verb: org.Drop, Path: "("}); err == nil {
			t.Error("a broken expression was taken")
		}
	})
}
