package cometd

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// user is a client that knows only HTTP: it sends bodies, keeps cookies and
// returns the messages of the reply.
type user struct {
	t       *testing.T
	server  http.Handler
	path    string
	token   string
	id      string
	cookies map[string]string
}

func newUser(t *testing.T, s http.Handler) *user {
	return &user{t: t, server: s, path: "/cometd/66.0", token: "good", cookies: map[string]string{}}
}

type message = map[string]any

func (u *user) post(ctx context.Context, body string) *httptest.ResponseRecorder {
	u.t.Helper()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, u.path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if u.token != "" {
		r.Header.Set("Authorization", "Bearer "+u.token)
	}
	for name, value := range u.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	u.server.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		u.cookies[c.Name] = c.Value
	}
	return w
}

func (u *user) send(body string) []message {
	u.t.Helper()
	w := u.post(u.t.Context(), body)
	var out []message
	if w.Code != http.StatusOK {
		u.t.Fatalf("POST %s: HTTP %d %s", body, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		u.t.Fatalf("reply %q: %v", w.Body, err)
	}
	return out
}

// one sends a message and returns the reply of the same channel.
func (u *user) one(body string) message {
	u.t.Helper()
	for _, m := range u.send(body) {
		if strings.HasPrefix(m["channel"].(string), "/meta/") {
			return m
		}
	}
	u.t.Fatalf("no meta reply to %s", body)
	return nil
}

func (u *user) handshake() message {
	u.t.Helper()
	m := u.one(`{"channel":"/meta/handshake","id":"1","version":"1.0","supportedConnectionTypes":["long-polling"],"ext":{"replay":true}}`)
	u.id, _ = m["clientId"].(string)
	return m
}

func (u *user) connectBody() string {
	return `[{"channel":"/meta/connect","clientId":"` + u.id + `","connectionType":"long-polling","id":7}]`
}

func (u *user) connect() []message { u.t.Helper(); return u.send(u.connectBody()) }

// poll connects in the background.
func (u *user) poll() <-chan []message {
	out := make(chan []message, 1)
	go func() { out <- u.connect() }()
	return out
}

func (u *user) subscribe(channel, replay string) []message {
	u.t.Helper()
	ext := ""
	if replay != "" {
		bare, _, _ := strings.Cut(channel, "?")
		ext = `,"ext":{"replay":{"` + bare + `":` + replay + `}}`
	}
	return u.send(`[{"channel":"/meta/subscribe","clientId":"` + u.id + `","id":"4","subscription":"` + channel + `"` + ext + `}]`)
}

// open makes a session whose first connect is done.
func (u *user) open() *user {
	u.t.Helper()
	if m := u.handshake(); m["successful"] != true {
		u.t.Fatalf("handshake: %v", m)
	}
	u.connect()
	return u
}

// meta returns the reply on a meta channel, events the replay ids of all events.
func meta(msgs []message, channel string) message {
	for _, m := range msgs {
		if m["channel"] == channel {
			return m
		}
	}
	return nil
}

func events(msgs []message) (ids []int64) {
	for _, m := range msgs {
		if data, ok := m["data"].(message); ok {
			ids = append(ids, int64(data["event"].(message)["replayId"].(float64)))
		}
	}
	return ids
}

func publish(s *Server, channel string, n int) {
	for range n {
		now := s.cfg.Clock()
		s.Publish(channel, now, func(id int64) any {
			return message{"event": message{"replayId": id, "type": "updated"}, "sobject": message{"Id": "001", "Industry": "Energy"}}
		})
	}
}

func asJSON(v any) string { b, _ := json.Marshal(v); return string(b) }

// steps is a clock that moves only when told.
type steps struct{ now time.Time }

func (c *steps) Now() time.Time { return c.now }

func contiguous(n int64) func() int64 { return func() int64 { return n } }
