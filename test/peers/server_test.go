package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/bayeux"
	"hcbridge/test/org"
)

// server is a Bayeux server that somebody else wrote, and the counts it last
// told.
type server struct {
	*script
	url    string
	counts struct {
		Requests, Upgrades, Sessions, Handshakes, Refused, Published, Forgotten, Cut int
	}
}

func serve(t *testing.T, environ ...string) *server {
	t.Helper()
	s := &server{script: run(t, started(t, org.Options{}), "server.mjs", environ...)}
	var ready struct {
		URL string `json:"url"`
	}
	s.next("ready", &ready)
	s.url = ready.URL
	return s
}

// do gives a command and waits until it is done.
func (s *server) do(format string, args ...any) {
	s.t.Helper()
	s.tell(fmt.Sprintf(format, args...))
	s.next("done", &s.counts)
}

const topic = "/topic/peer"

// publish lets the server publish n events on topic.
func (s *server) publish(n int) {
	s.t.Helper()
	s.do(`{"do":"publish","channel":%q,"n":%d}`, topic, n)
}

// listener is our client on a server. It notes what is wrong with the order.
type listener struct {
	t      *testing.T
	client *bayeux.Client
	stop   context.CancelFunc
	done   chan error

	mu      sync.Mutex
	grown   chan struct{} // closed when last grows
	last    int64         // replay id of the newest event
	again   int           // events that came once more
	lost    []string
	others  []string // events without a replay id
	refused []string
	logins  int
}

// listen runs our client on s, with replay if that is wanted.
func listen(t *testing.T, s *server, replay bool, opts ...bayeux.Option) *listener {
	t.Helper()
	l := &listener{t: t, grown: make(chan struct{}), done: make(chan error, 1)}
	client, err := bayeux.New(
		func(context.Context, string) (string, string, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.logins++
			return s.url, fmt.Sprintf("token%d", l.logins), nil
		}, l.handle, opts...)
	if err != nil {
		t.Fatal(err)
	}
	l.client = client
	sub := bayeux.Subscription{Channel: topic}
	if replay {
		sub.From = l.from
		sub.Refused = func(_ context.Context, err *bayeux.Error) bayeux.Verdict {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.refused = append(l.refused, err.Error())
			if err.ReplayInvalid() && len(l.refused) == 1 {
				return bayeux.Again
			}
			return bayeux.Retry
		}
	}
	client.Subscribe(sub)
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go func() { l.done <- client.Run(ctx) }()
	t.Cleanup(func() { l.end() })
	return l
}

// from is the newest event, or all of them after a refusal.
func (l *listener) from() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 || len(l.refused) > 0 {
		return bayeux.FromAll
	}
	return l.last
}

func (l *listener) handle(_ context.Context, msgs []bayeux.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range msgs {
		switch {
		case m.ReplayID == 0:
			l.others = append(l.others, m.Channel+" "+string(m.Data))
		case m.ReplayID <= l.last:
			l.again++
		default:
			if m.ReplayID != l.last+1 {
				l.lost = append(l.lost, fmt.Sprintf("%d after %d", m.ReplayID, l.last))
			}
			l.last = m.ReplayID
		}
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return nil
}

// until waits for cond to hold, looking after each delivery and twice a second.
func (l *listener) until(what string, within time.Duration, cond func() bool) {
	l.t.Helper()
	deadline := time.After(within)
	for {
		l.mu.Lock()
		ok, grown := cond(), l.grown
		state := fmt.Sprintf("last %d, lost %v, others %v, refused %v, status %+v", l.last, l.lost, l.others, l.refused, l.client.Status())
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-grown:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			l.t.Fatalf("%s: not in %s; %s", what, within, state)
		}
	}
}

// reaches waits for event n, which all before it must have preceded.
func (l *listener) reaches(n int64, within time.Duration) {
	l.t.Helper()
	l.until(fmt.Sprintf("event %d", n), within, func() bool { return l.last >= n })
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lost) > 0 || l.last != n {
		l.t.Fatalf("at event %d, want %d; out of order: %v", l.last, n, l.lost)
	}
}

func (l *listener) connected(transport string) {
	l.t.Helper()
	l.until("connection", 20*time.Second, func() bool {
		s := l.client.Status()
		return s.State == bayeux.Connected && len(s.Channels) > 0
	})
	if s := l.client.Status(); s.Transport != transport {
		l.t.Errorf("connected over %s, want %s", s.Transport, transport)
	}
}

// end stops the client, which must say goodbye.
func (l *listener) end() {
	l.t.Helper()
	if l.stop == nil {
		return
	}
	l.stop()
	l.stop = nil
	if err := <-l.done; err != nil {
		l.t.Errorf("Run ended with %v", err)
	}
}

// way is one way to be connected to one of the servers.
type way struct {
	name      string
	environ   []string
	opts      []bayeux.Option
	transport string
}

var ways = []way{
	{"CometD", []string{"SERVER=cometd"}, nil, "long-polling"},
	{"CometDAck", []string{"SERVER=cometd", "ACK=1"}, []bayeux.Option{bayeux.WithAck()}, "long-polling"},
	{"Faye", []string{"SERVER=faye"}, nil, "long-polling"},
	{"FayeWebSocket", []string{"SERVER=faye"}, []bayeux.Option{bayeux.WithWebSocket()}, "websocket"},
}

// TestServerFaults is the fault table: 50 events, the fault, 50 events, and 50
// more. All 150 must come, in order and without a flood of requests.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name, command string
		http          bool
	}{
		{"Expire", `{"do":"expire"}`, false},
		{"ServerDisconnect", `{"do":"disconnect"}`, false},
		{"ReplayRefused", `{"do":"replay"}`, false},
		{"HTTP401", `{"do":"http","times":1,"status":401,"type":"application/json","body":"[{\"message\":\"Session expired or invalid\",\"errorCode\":\"INVALID_SESSION_ID\"}]"}`, true},
		{"HTTP503", `{"do":"http","times":3,"status":503,"type":"text/html","body":"<html>busy</html>"}`, true},
		{"HTML200", `{"do":"http","times":1,"status":200,"type":"text/html","body":"<html>down for maintenance</html>"}`, true},
		{"Cut", `{"do":"cut"}`, false},
		{"Restart", `{"do":"restart","down":300}`, false},
	}
	for _, w := range ways {
		for _, f := range faults {
			t.Run(w.name+f.name, func(t *testing.T) {
				t.Parallel()
				s := serve(t, w.environ...)
				l := listen(t, s, true, w.opts...)
				l.connected(w.transport)
				s.publish(50)
				l.reaches(50, 20*time.Second)
				hit := time.Now()
				s.do("%s", f.command)
				if f.http && w.transport == "websocket" {
					s.do(`{"do":"cut"}`) // there are no requests before that
				}
				s.publish(50)
				l.reaches(100, 20*time.Second)
				s.publish(50)
				l.reaches(150, 20*time.Second)
				healed := time.Since(hit)
				l.end()
				s.do(`{"do":"count"}`)
				t.Logf("healed in %d ms, %d requests, %d handshakes, %d events again", healed.Milliseconds(), s.counts.Requests, s.counts.Handshakes, l.again)
				if s.counts.Requests > 40 || s.counts.Handshakes > 3 {
					t.Errorf("%d requests and %d handshakes are too many", s.counts.Requests, s.counts.Handshakes)
				}
				// Behind HTTP that fails nobody hears that a session is over.
				if left := s.counts.Sessions; left > 0 && (!f.http || left >= s.counts.Handshakes) {
					t.Errorf("%d sessions are left at the server", s.counts.Sessions)
				}
				if f.name == "ReplayRefused" && (s.counts.Refused != 1 || len(l.refused) != 1) {
					t.Errorf("the server refused %d positions, the client knows of %v", s.counts.Refused, l.refused)
				} else if f.name != "ReplayRefused" && l.again > 0 {
					t.Errorf("%d events came twice", l.again)
				}
				s.ended()
			})
		}
	}
}

// TestServerOrder takes 10,000 events, through the loss of the session and a
// restart of the server in their midst.
func TestServerOrder(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, w.environ...)
			l := listen(t, s, true, w.opts...)
			l.connected(w.transport)
			s.publish(4000)
			s.do(`{"do":"expire"}`)
			s.publish(3000)
			l.reaches(7000, 30*time.Second)
			s.publish(1000)
			s.do(`{"do":"restart","down":500}`)
			s.publish(2000)
			l.reaches(10_000, 30*time.Second)
			l.end()
			s.do(`{"do":"count"}`)
			t.Logf("%d requests, %d handshakes, %d events again", s.counts.Requests, s.counts.Handshakes, l.again)
			s.ended()
		})
	}
}

// TestServerStorm takes 100,000 events while the session is forgotten every 50
// requests, every hundredth answer breaks off in its middle, and the server
// restarts twice.
func TestServerStorm(t *testing.T) {
	t.Parallel()
	for _, w := range ways[:3] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, w.environ...)
			// Back-off is for servers that are like this for long.
			l := listen(t, s, true, append(slices.Clone(w.opts), bayeux.WithBackoff(func(int) time.Duration { return 20 * time.Millisecond }))...)
			l.connected(w.transport)
			s.do(`{"do":"storm","on":true}`)
			for i := range 3 {
				if i > 0 {
					s.do(`{"do":"restart","down":100}`)
				}
				s.do(`{"do":"publish","channel":%q,"n":33333,"every":200,"asked":true}`, topic)
			}
			s.do(`{"do":"storm","on":false}`)
			s.publish(1)
			l.reaches(100_000, time.Minute)
			l.end()
			s.do(`{"do":"count"}`)
			t.Logf("%+v, %d events again", s.counts, l.again)
			if s.counts.Forgotten < 5 || s.counts.Cut < 3 {
				t.Errorf("that was no storm: %+v", s.counts)
			}
			s.ended()
		})
	}
}

// TestServerAck loses replies with events in them on a server without replay:
// only acknowledgement brings them back.
func TestServerAck(t *testing.T) {
	t.Parallel()
	s := serve(t, "SERVER=cometd", "ACK=1")
	l := listen(t, s, false, bayeux.WithAck())
	l.connected("long-polling")
	for i := range 5 {
		s.do(`{"do":"cut"}`)
		s.publish(100)
		l.reaches(int64(100*i+100), 20*time.Second)
	}
	l.end()
	if n := l.client.Status().Sessions; n != 1 {
		t.Errorf("%d sessions, want the one", n)
	}
	s.ended()
}

// TestServerUpgradeRefused stays with long-polling, in the same session.
func TestServerUpgradeRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, "SERVER=faye", "NO_UPGRADE=1")
	l := listen(t, s, true, bayeux.WithWebSocket())
	l.connected("long-polling")
	s.publish(100)
	l.reaches(100, 20*time.Second)
	l.end()
	s.do(`{"do":"count"}`)
	if s.counts.Handshakes != 1 || s.counts.Sessions != 0 {
		t.Errorf("counted %+v", s.counts)
	}
	s.ended()
}

// TestServerPublish publishes through each server to itself, over wildcards and
// a service channel.
func TestServerPublish(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, w.environ...)
			l := listen(t, s, false, w.opts...)
			l.client.Subscribe(bayeux.Subscription{Channel: "/room/*"})
			l.client.Subscribe(bayeux.Subscription{Channel: "/deep/**"})
			l.client.Subscribe(bayeux.Subscription{Channel: "/service/echo"})
			l.until("four subscriptions", 20*time.Second, func() bool { return len(l.client.Status().Channels) == 4 })
			var want []string
			for i := range 200 {
				channel := []string{"/room/one", "/deep/a/b"}[i%2]
				if err := l.client.Publish(t.Context(), channel, map[string]int{"n": i}); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprintf(`%s {"n":%d}`, channel, i))
			}
			if err := l.client.Publish(t.Context(), "/room/two/three", json.RawMessage(`{"n":-1}`)); err != nil {
				t.Fatal(err) // nobody listens, which is no error
			}
			l.until("publishes", 20*time.Second, func() bool { return len(l.others) >= len(want) })
			l.mu.Lock()
			for _, room := range []string{"/room", "/deep"} {
				of := func(list []string) []string {
					return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.HasPrefix(s, room) })
				}
				if !slices.Equal(of(l.others), of(want)) {
					t.Errorf("%s: got %q", room, of(l.others))
				}
			}
			l.mu.Unlock()
			if w.environ[0] == "SERVER=cometd" {
				if err := l.client.Publish(t.Context(), "/service/echo", "hello"); err != nil {
					t.Fatal(err)
				}
				l.until("echo", 20*time.Second, func() bool { return slices.Contains(l.others, `/service/echo {"echo":"hello"}`) })
			}
			l.end()
			s.ended()
		})
	}
}
