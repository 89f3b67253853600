package salesforce

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

// The canaries stand for secrets. No test may find one where it does not belong.
const (
	canaryToken    = "00Dx0000000BV7z!CANARYtoken.Zk4"
	canarySecret   = "CANARYclientsecret8721"
	canaryPassword = "CANARY pass+word/5511"
)

// fakeOrg is a token host and an instance on one loopback address. Its answers are
// the strings of the documentation, set by each test.
type fakeOrg struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	logins int
	seen   []*http.Request
	bodies []string
	token  func(n int) string // the token of the nth login, 1-based
	grant  http.HandlerFunc   // replaces the token endpoint
	api    http.HandlerFunc   // everything below /services/data and the rest
}

func newOrg(t *testing.T) *fakeOrg {
	t.Helper()
	o := &fakeOrg{t: t, token: func(int) string { return canaryToken }}
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.Close)
	return o
}

func (o *fakeOrg) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	o.mu.Lock()
	o.seen, o.bodies = append(o.seen, r), append(o.bodies, string(body))
	grant, api := o.grant, o.api
	if r.URL.Path == tokenPath {
		o.logins++
	}
	token := o.token(o.logins)
	o.mu.Unlock()
	switch {
	case r.URL.Path == tokenPath && grant != nil:
		grant(w, r)
	case r.URL.Path == tokenPath:
		writeGrant(w, o.URL, token)
	case api != nil:
		api(w, r)
	default:
		reply(w, 404, `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`)
	}
}

func (o *fakeOrg) loginCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.logins
}

// last returns the newest request to the API and its body.
func (o *fakeOrg) last() (*http.Request, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[len(o.seen)-1], o.bodies[len(o.bodies)-1]
}

// apiCalls counts requests that are not for a token.
func (o *fakeOrg) apiCalls() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen) - o.logins
}

// client returns a client that logs in to o with the password flow.
func (o *fakeOrg) client(change ...func(*Config)) *Client {
	o.t.Helper()
	return newClient(o.t, o.URL, change...)
}

func newClient(t *testing.T, login string, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		LoginURL: login, Auth: AuthPassword, ClientID: "3MVG9consumer", ClientSecret: canarySecret,
		Username: "sync@acme.example", Password: canaryPassword, APIVersion: "66.0", Log: zerolog.Nop(),
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.GetClient().CloseIdleConnections)
	return c
}

// writeGrant answers as in the documentation's sample.
func writeGrant(w http.ResponseWriter, instance, token string) {
	reply(w, 200, fmt.Sprintf(`{"id":"https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P",
 "issued_at":"1278448832702",
 "instance_url":%q,
 "signature":"0CmxinZir53Yex7nE0TD+zMpvIWYGb/bdJh6XfOH6EQ=",
 "access_token":%q}`, instance, token))
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Sforce-Limit-Info", "api-usage=20/101000")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// answers makes the API answer everything with one status and JSON body.
func (o *fakeOrg) answers(status int, body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.api = func(w http.ResponseWriter, _ *http.Request) { reply(w, status, body) }
}

// html makes the API answer with a page, as the edge does.
func (o *fakeOrg) html(status int, page string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.api = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, page)
	}
}

// roundTrip is a transport without a network, for tests on virtual time.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inMemory serves h without a network.
func inMemory(h http.HandlerFunc) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		w := httptest.NewRecorder()
		h(w, r)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})}
}

// asError returns err as an *Error or fails the test.
func asError(t *testing.T, err error) *Error {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	e, ok := err.(*Error) //nolint:errorlint // every error of the package is one, unwrapped
	if !ok {
		t.Fatalf("%T is not an *Error: %v", err, err)
	}
	if strings.Contains(err.Error(), "CANARY") {
		t.Errorf("the error tells a secret: %v", err)
	}
	return e
}

func expect(t *testing.T, err error, class Class, code string, inDoubt bool) {
	t.Helper()
	e := asError(t, err)
	if e.Class != class || e.Code != code || e.InDoubt != inDoubt {
		t.Errorf("got %s %q in doubt %t, want %s %q in doubt %t (%v)", e.Class, e.Code, e.InDoubt, class, code, inDoubt, err)
	}
}

// longAgo has the next login not wait for the one before.
func (c *Client) longAgo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastTry = c.lastTry.Add(-loginEvery)
}
