package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/bayeux"
	"hcbridge/test/org/cometd"
)

// flow is the Bayeux client of the bridge against the simulated server, with a
// handler that checks each event as it commits it: nothing lost, nothing out of
// order.
type flow struct {
	t       *testing.T
	server  *cometd.Server
	channel string

	mu        sync.Mutex
	committed int64 // replay id
	next      int   // number of the event that must come next
	again     int   // events that came once more
	wrong     string
}

func (f *flow) publish(n int) {
	f.server.Publish(f.channel, time.Now(), func(replayID int64) any {
		return rawEvent(fmt.Sprintf(`{"event":{"createdDate":"2026-01-02T03:04:05.000Z","replayId":%d,"type":"updated"},"sobject":{"Id":"001000000000001AAA","N":%d}}`, replayID, n))
	})
}

func (f *flow) handle(_ context.Context, msgs []bayeux.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range msgs {
		_, tail, _ := bytes.Cut(m.Data, []byte(`"N":`))
		n := 0
		for _, c := range tail {
			if c < '0' || c > '9' {
				break
			}
			n = n*10 + int(c-'0')
		}
		switch {
		case m.ReplayID <= f.committed:
			f.again++
			continue
		case n != f.next && f.wrong == "":
			f.wrong = fmt.Sprintf("event %d came when %d was due", n, f.next)
		}
		f.next, f.committed = n+1, m.ReplayID
	}
	return nil
}

func (f *flow) from() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.committed == 0 {
		return bayeux.FromAll
	}
	return f.committed
}

func (f *flow) reached() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// run runs the client over transport until the test ends.
func (f *flow) run(endpoint func() string, transport http.RoundTripper) (stop func()) {
	f.t.Helper()
	client, err := bayeux.New(
		func(context.Context, string) (string, string, error) {
			return endpoint() + "/cometd/64.0", "token", nil
		},
		f.handle, bayeux.WithHTTPClient(&http.Client{Transport: transport}),
		bayeux.WithBackoff(func(int) time.Duration { return 2 * time.Millisecond }),
	)
	if err != nil {
		f.t.Fatal(err)
	}
	client.Subscribe(bayeux.Subscription{Channel: f.channel, From: f.from})
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

func (f *flow) wait(n int, within time.Duration) {
	f.t.Helper()
	deadline := time.Now().Add(within)
	for f.reached() < n {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d of %d events within %s", f.reached(), n, within)
		}
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong != "" {
		f.t.Fatal(f.wrong)
	}
}

// cutter cuts answers off in mid-body.
type cutter struct {
	base http.RoundTripper
	cut  func(body []byte) int // how much of it comes through, -1 for all
}

// RoundTrip implements http.RoundTripper.
func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	if n := c.cut(body); n >= 0 {
		res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:min(n, len(body))]), cutOff{}))
	} else {
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	return res, nil
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// 100,000 events while the session is forgotten every 50 polls, one answer in a
// hundred is cut off and the server is restarted twice.
func TestNothingLostInAHundredThousand(t *testing.T) {
	t.Parallel()
	const events = 100_000
	server := cometd.New(cometd.Config{Hold: 2 * time.Second})
	server.ForgetEvery(50)
	var url atomic.Value
	serve := func() *http.Server {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
		go func() { _ = s.Serve(l) }()
		url.Store("http://" + l.Addr().String())
		return s
	}
	s := serve()
	defer func() { _ = s.Close() }()
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	cuts := 0
	transport := &cutter{base: &http.Transport{}, cut: func(body []byte) int {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(100) > 0 {
			return -1
		}
		cuts++
		return random.IntN(len(body) + 1)
	}}
	defer transport.base.(*http.Transport).CloseIdleConnections()
	f := &flow{t: t, server: server, channel: "/topic/T"}
	f.publish(0) // a position to start from
	f.run(func() string { return url.Load().(string) }, transport)
	f.wait(1, 10*time.Second)
	for n := 1; n < events; n++ {
		f.publish(n)
		if n%20 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		if n == events/3 || n == 2*events/3 {
			_ = s.Close()
			server.Forget()
			s = serve()
		}
	}
	f.wait(events, 60*time.Second)
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d events, %d connects, %d sessions, %d answers cut, %d events twice", events, server.Connects(), server.Handshakes(), cuts, f.again)
	if server.Handshakes() < 10 || cuts < 5 {
		t.Error("too few faults to prove anything")
	}
}

// A session that is forgotten at every n-th poll costs no event.
func TestRow1UnknownClientEveryNPolls(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 50; n++ {
		server := cometd.New(cometd.Config{Hold: time.Second})
		s := httptest.NewServer(server)
		f := &flow{t: t, server: server, channel: "/topic/T"}
		server.ForgetEvery(n)
		f.publish(0)
		stop := f.run(func() string { return s.URL }, &cutter{base: s.Client().Transport, cut: func([]byte) int { return -1 }})
		for i := 1; i < 60; i++ {
			f.publish(i)
			f.wait(i, 10*time.Second)
		}
		f.wait(60, 10*time.Second)
		stop()
		if got := server.Handshakes(); got < server.Connects()/n {
			t.Errorf("every %d polls: %d sessions", n, got)
		}
		if got := server.Clients(); got != 0 {
			t.Errorf("every %d polls: %d clients after a stop", n, got)
		}
		s.Close()
	}
}

// A stop in the middle of a handshake leaves no client behind, though the server
// has made one by then.
func TestStopInMidHandshakeLeavesNoClient(t *testing.T) {
	t.Parallel()
	server := cometd.New(cometd.Config{Hold: time.Second})
	s := httptest.NewServer(server)
	defer s.Close()
	answered := make(chan struct{})
	var once sync.Once
	f := &flow{t: t, server: server, channel: "/topic/T"}
	stop := f.run(func() string { return s.URL }, &cutter{base: s.Client().Transport, cut: func(body []byte) int {
		if bytes.Contains(body, []byte(`"/meta/handshake"`)) {
			once.Do(func() { close(answered) })
			time.Sleep(200 * time.Millisecond) // the answer is on its way
		}
		return -1
	}})
	<-answered
	if got := server.Clients(); got != 1 {
		t.Fatalf("%d clients in mid-handshake, want 1", got)
	}
	stop()
	if got := server.Clients(); got != 0 {
		t.Errorf("%d clients after a stop in mid-handshake", got)
	}
}

// A batch of events that is cut off after any byte is used whole or not at all.
func TestRow11CutAfterEveryByte(t *testing.T) {
	t.Parallel()
	server := cometd.New(cometd.Config{Hold: time.Second, Ride: cometd.RideConnect, Gap: func() int64 { return 1 }})
	s := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer func() { _ = s.Close() }()

	var at, size atomic.Int64 // cut the next batch here; how long it was
	at.Store(-1)
	transport := &cutter{base: &http.Transport{}, cut: func(body []byte) int {
		if at.Load() < 0 || !bytes.Contains(body, []byte(`"sobject"`)) {
			return -1
		}
		size.Store(int64(len(body)))
		return int(at.Swap(-1))
	}}
	defer transport.base.(*http.Transport).CloseIdleConnections()
	f := &flow{t: t, server: server, channel: "/topic/T"}
	f.publish(0)
	f.run(func() string { return "http://" + l.Addr().String() }, transport)
	f.wait(1, 10*time.Second)
	n := 1
	for offset := int64(0); offset == 0 || offset < size.Load(); offset++ {
		at.Store(offset)
		f.publish(n)
		f.publish(n + 1)
		n += 2
		f.wait(n, 10*time.Second)
	}
	t.Logf("cut after each of %d bytes, %d sessions, %d events twice", size.Load(), server.Handshakes(), f.again)
}

// With the login endpoint down there is one attempt per step of the back-off.
func TestLoginDownIsNoLoop(t *testing.T) {
	t.Parallel()
	var attempts, steps atomic.Int64
	client, err := bayeux.New(
		func(context.Context, string) (string, string, error) {
			attempts.Add(1)
			return "", "", fmt.Errorf("login: no answer")
		},
		func(context.Context, []bayeux.Message) error { return nil },
		bayeux.WithBackoff(func(int) time.Duration { steps.Add(1); return 20 * time.Millisecond }),
	)
	if err != nil {
		t.Fatal(err)
	}
	client.Subscribe(bayeux.Subscription{Channel: "/topic/T"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := client.Run(ctx); err != nil {
		t.Error(err)
	}
	if a := attempts.Load(); a < 10 || a > 52 || a > steps.Load()+2 {
		t.Errorf("%d attempts in %d steps of 20 ms", a, steps.Load())
	}
	if s := client.Status(); s.LastError == nil || !strings.Contains(s.LastError.Error(), "no answer") {
		t.Errorf("status says %v", s.LastError)
	}
}
