package bayeux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a real HTTP server. hook, if not nil, may answer instead.
type wire struct {
	*httptest.Server
	mu       sync.Mutex
	hook     func(w http.ResponseWriter, r *http.Request, batch []request) bool
	dumps    []string
	problems []string
	sessions int
	polls    map[string]int
	release  chan struct{}
}

func newWire(t *testing.T) *wire {
	t.Helper()
	s := &wire{polls: map[string]int{}, release: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dump, _ := httputil.DumpRequest(r, true)
	body, _ := io.ReadAll(r.Body)
	var batch []request
	err := json.Unmarshal(body, &batch)
	s.mu.Lock()
	s.dumps = append(s.dumps, string(dump))
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/cometd/64.0" ||
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || r.Header.Get("Accept") != "application/json" {
		s.problems = append(s.problems, string(dump))
	}
	hook := s.hook
	s.mu.Unlock()
	if err != nil || hook != nil && hook(w, r, batch) {
		return
	}
	s.answer(w, r, batch)
}

func (s *wire) answer(w http.ResponseWriter, r *http.Request, batch []request) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	m := batch[0]
	if m.Channel == metaHandshake {
		s.mu.Lock()
		s.sessions++
		id := fmt.Sprintf("client%d", s.sessions)
		s.mu.Unlock()
		if len(r.Cookies()) > 0 {
			s.problem("a handshake with cookies of another session")
		}
		http.SetCookie(w, &http.Cookie{Name: "BAYEUX_BROWSER", Value: id, Path: "/cometd/"})
		fmt.Fprintf(w, `[{"ext":{"replay":true},"clientId":%q,"channel":"/meta/handshake","id":%q,"version":"1.0","successful":true}]`, id, m.ID)
		return
	}
	if c, err := r.Cookie("BAYEUX_BROWSER"); err != nil || c.Value != m.ClientID {
		s.problem("a request without the cookie of its session")
	}
	if m.Channel == metaConnect {
		s.mu.Lock()
		s.polls[m.ClientID]++
		first := s.polls[m.ClientID] == 1
		s.mu.Unlock()
		if !first {
			select {
			case <-s.release:
			case <-r.Context().Done():
			}
		}
	}
	var out []string
	for _, m := range batch {
		out = append(out, fmt.Sprintf(`{"channel":%q,"id":%q,"subscription":%q,"successful":true}`, m.Channel, m.ID, m.Subscription))
	}
	fmt.Fprintf(w, "[%s]", strings.Join(out, ","))
}

func (s *wire) problem(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, what)
}

// serve runs a client against s until stop says so, looking every 5 ms.
func (s *wire) serve(t *testing.T, stop func(c *Client, refused []string) bool, opts ...Option) {
	t.Helper()
	var mu sync.Mutex
	var refused []string
	cred := func(_ context.Context, r string) (string, string, error) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, r)
		return s.URL + "/cometd/64.0", fmt.Sprintf("secret%d", len(refused)), nil
	}
	opts = append(opts, WithBackoff(func(int) time.Duration { return 10 * time.Millisecond }))
	c, err := New(cred, func(context.Context, []Message) error { return nil }, opts...)
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe(Subscription{Channel: topic, From: func() int64 { return 5 }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ok := false; !ok && ctx.Err() == nil; <-tick.C {
		mu.Lock()
		ok = stop(c, refused)
		mu.Unlock()
	}
	if ctx.Err() != nil {
		t.Errorf("it did not happen in 30 s; status %+v", c.Status())
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.problems {
		t.Errorf("the server saw:\n%s", p)
	}
}

func connected(c *Client, _ []string) bool { return c.Status().State == Connected }

// again is true in a later session than the first.
func again(c *Client, _ []string) bool {
	s := c.Status()
	return s.State == Connected && s.Sessions > 1
}

func TestLongPolling(t *testing.T) {
	t.Parallel()

	t.Run("SendsWhatSalesforceWants", func(t *testing.T) {
		t.Parallel()
		s := newWire(t)
		s.serve(t, func(c *Client, r []string) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.dumps) >= 4
		})
		want := []string{
			`[{"channel":"/meta/handshake","id":"1","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["long-polling"],"ext":{"replay":true}}]`,
			`[{"channel":"/meta/subscribe","id":"2","clientId":"client1","subscription":"/topic/hc_Account","ext":{"replay":{"/topic/hc_Account":5}}}]`,
			`[{"channel":"/meta/connect","id":"3","clientId":"client1","connectionType":"long-polling","advice":{"timeout":0}}]`,
			`[{"channel":"/meta/connect","id":"4","clientId":"client1","connectionType":"long-polling"}]`,
			`[{"channel":"/meta/disconnect","id":"5","clientId":"client1"}]`,
		}
		for i, dump := range s.dumps {
			_, body, _ := strings.Cut(dump, "\r\n\r\n")
			if i < len(want) && body != want[i] {
				t.Errorf("request %d:\n got %s\nwant %s", i, body, want[i])
			}
			if !strings.Contains(dump, "Authorization: Bearer secret1\r\n") {
				t.Errorf("request %d without token", i)
			}
		}
		if len(s.dumps) != len(want) {
			t.Errorf("%d requests, want %d", len(s.dumps), len(want))
		}
	})

	t.Run("NewSessionNewCookies", func(t *testing.T) {
		t.Parallel()
		s := newWire(t)
		s.hook = func(w http.ResponseWriter, _ *http.Request, batch []request) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if m := batch[0]; m.Channel == metaConnect && m.ClientID == "client1" && s.polls["client1"] == 1 {
				_, _ = io.WriteString(w, strings.ReplaceAll(unknownClient, "$id", m.ID))
				return true
			}
			return false
		}
		s.serve(t, again)
	})

	t.Run("RefusesRedirects", func(t *testing.T) {
		t.Parallel()
		for _, status := range []int{301, 302, 303, 307, 308} {
			var leaked atomic.Value
			leaked.Store("")
			thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				leaked.Store(r.Method + " " + r.Header.Get("Authorization"))
			}))
			t.Cleanup(thief.Close)
			s := newWire(t)
			s.hook = func(w http.ResponseWriter, r *http.Request, _ []request) bool {
				if r.Header.Get("Authorization") == "Bearer secret1" {
					http.Redirect(w, r, thief.URL+"/login", status)
					return true
				}
				return false
			}
			s.serve(t, func(c *Client, refused []string) bool {
				return leaked.Load() != "" || connected(c, nil) && len(refused) == 2 && refused[1] == "secret1"
			})
			if leaked.Load() != "" {
				t.Errorf("HTTP %d was followed: %s", status, leaked.Load())
			}
		}
	})

	t.Run("TakesANewTokenAfterHTTP401", func(t *testing.T) {
		t.Parallel()
		s := newWire(t)
		s.hook = func(w http.ResponseWriter, r *http.Request, _ []request) bool {
			if r.Header.Get("Authorization") != "Bearer secret1" {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`)
			return true
		}
		s.serve(t, func(c *Client, refused []string) bool {
			return connected(c, nil) && len(refused) == 2 && refused[1] == "secret1"
		})
	})

	// Each fault hits the first parked connect of the first session.
	faults := map[string]func(w http.ResponseWriter){
		"HTTP503": func(w http.ResponseWriter) { w.Header().Set("Retry-After", "0"); w.WriteHeader(503) },
		"HTTP403": func(w http.ResponseWriter) { w.WriteHeader(403) },
		"HTTP204": func(w http.ResponseWriter) { w.WriteHeader(204) },
		"HTML":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<!DOCTYPE html>down for maintenance") },
		"HTMLAsJSON": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "<p>")
		},
		"JSONAsHTML": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "[]")
		},
		"Empty":       func(http.ResponseWriter) {},
		"HalfAReply":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, "["+event(topic, 1)+",") },
		"WrongLength": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "9999"); _, _ = io.WriteString(w, "[]") },
		"TooLong":     func(w http.ResponseWriter) { _, _ = io.WriteString(w, "["+strings.Repeat(" ", 5000)+"]") },
		"TooLongChunked": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "[")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, strings.Repeat(" ", 5000)+"]")
		},
		"ConnectionReset": func(w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWire(t)
			s.hook = func(w http.ResponseWriter, _ *http.Request, batch []request) bool {
				s.mu.Lock()
				hit := batch[0].Channel == metaConnect && batch[0].ClientID == "client1" && s.polls["client1"] == 1
				s.mu.Unlock()
				if hit {
					fault(w)
				}
				return hit
			}
			s.serve(t, func(c *Client, refused []string) bool {
				return again(c, nil) && strings.Join(refused, "") == ""
			}, WithMaxReply(4000))
		})
	}

	t.Run("GivesUpOnAConnectionThatTrickles", func(t *testing.T) {
		t.Parallel()
		s := newWire(t)
		s.hook = func(w http.ResponseWriter, r *http.Request, batch []request) bool {
			if batch[0].Channel != metaConnect || batch[0].ClientID != "client1" {
				return false
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				<-tick.C
			}
			return true
		}
		s.serve(t, again, WithPollTimeout(100*time.Millisecond), WithPollGrace(100*time.Millisecond))
	})

	t.Run("UsesTheTransportGiven", func(t *testing.T) {
		t.Parallel()
		s := newWire(t)
		var used atomic.Bool
		tr := newTransport()
		t.Cleanup(tr.CloseIdleConnections)
		hc := &http.Client{Timeout: time.Nanosecond, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			used.Store(true)
			return tr.RoundTrip(r)
		})}
		s.serve(t, connected, WithHTTPClient(hc))
		if !used.Load() || hc.Jar != nil || hc.CheckRedirect != nil {
			t.Errorf("used %t, client now %+v", used.Load(), hc)
		}
	})
}

func TestReplyLimit(t *testing.T) {
	t.Parallel()
	const limit = 100000
	var size int
	var chunked bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body := strings.Repeat("x", size)
		if chunked {
			_, _ = io.WriteString(w, body[:1])
			_ = http.NewResponseController(w).Flush()
			body = body[1:]
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	tr := newTransport()
	t.Cleanup(tr.CloseIdleConnections)
	p, err := newLongPolling(tr, s.URL, "secret", limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, chunked = range []bool{false, true} {
		for _, size = range []int{1, limit - 1, limit, limit + 1, 2 * limit} {
			body, err := p.exchange(t.Context(), []byte("[]"))
			var e *Error
			if large := errors.As(err, &e) && e.TooLarge(); large != (size > limit) || !large && len(body) != size {
				t.Errorf("%d bytes, chunked %t: got %d bytes, %v", size, chunked, len(body), err)
			}
		}
	}
}

// drip is a body that comes one byte at a time, and waits before each.
type drip struct {
	ctx   context.Context
	waits []time.Duration
}

func (d *drip) Read(b []byte) (int, error) {
	if len(d.waits) == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(d.waits[0])
	defer timer.Stop()
	d.waits = d.waits[1:]
	select {
	case <-timer.C:
		b[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d *drip) Close() error { return nil }

// A reply may be long in coming, and slow, but what has begun goes on.
func TestReplyThatStalls(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for name, c := range map[string]struct {
		waits []time.Duration
		took  time.Duration
		err   string
	}{
		"held":           {[]time.Duration{110 * second}, 110 * second, ""},
		"slow":           {[]time.Duration{second, 29 * second, 29 * second, 29 * second}, 88 * second, ""},
		"stalls":         {[]time.Duration{second, time.Hour}, 31 * second, "no more of the reply in 30s"},
		"stalls at last": {[]time.Duration{second, 20 * second, time.Hour}, 51 * second, "no more of the reply in 30s"},
		"never begins":   {[]time.Duration{time.Hour}, 130 * second, "no whole reply"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, err := newLongPolling(roundTripper(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: &drip{r.Context(), c.waits}, Request: r}, nil
				}), "https://acme.my.salesforce.com/cometd/64.0", "secret", 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), 130*second, errors.New("no whole reply"))
				defer cancel()
				begun := time.Now()
				body, err := p.exchange(ctx, []byte("[]"))
				if took := time.Since(begun); took != c.took || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("%d bytes and %v after %s", len(body), err, took)
				}
			})
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"https://acme.my.salesforce.com/cometd/64.0": true,
		"http://127.0.0.1:8080/cometd/64.0":          true,
		"http://[::1]:8080/cometd/64.0":              true,
		"http://localhost/cometd/64.0":               true,
		"http://acme.my.salesforce.com/cometd/64.0":  false,
		"http://localhost.evil.com/cometd/64.0":      false,
		"https://user@acme.my.salesforce.com/":       false,
		"ftp://127.0.0.1/":                           false,
		"/cometd/64.0":                               false,
		"":                                           false,
		"https://a b/":                               false,
	} {
		cred := func(context.Context, string) (string, string, error) { return endpoint, "secret", nil }
		c, err := New(cred, func(context.Context, []Message) error { return nil }, WithHTTPClient(&http.Client{
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) { return nil, errors.New("offline") }),
		}))
		if err != nil {
			t.Fatal(err)
		}
		c.Subscribe(Subscription{Channel: topic})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err = c.Run(ctx)
		cancel()
		if ok != (err == nil) || !ok && !errors.Is(err, ErrEndpoint) {
			t.Errorf("%q: Run ended with %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v shows the token", err)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	cred := func(context.Context, string) (string, string, error) { return "", "", nil }
	handler := func(context.Context, []Message) error { return nil }
	if _, err := New(cred, handler); err != nil {
		t.Errorf("defaults: %v", err)
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("no credentials, no handler: no error")
	}
	_, err := New(cred, handler, WithPollTimeout(0), WithPollGrace(-1), WithMaxReply(0), WithBackoff(nil))
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("four bad options: %v", err)
	}
}
