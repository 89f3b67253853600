package org_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hcbridge/test/org"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the tests' orgs begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: noon} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is an org, its clock, and a client of it.
type rig struct {
	t     *testing.T
	s     *org.Server
	clock *clock
	http  *http.Client
	token string
	base  string
}

// start makes an org and logs in.
func start(t *testing.T, change ...func(*org.Options)) *rig {
	t.Helper()
	c := newClock()
	opt := org.Options{Now: c.now, PollTimeout: 2 * time.Second}
	for _, fn := range change {
		fn(&opt)
	}
	s := org.New(opt).Start()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	r := &rig{t: t, s: s, clock: c, base: s.URL(), http: &http.Client{
		Transport:     transport,
		Jar:           jar,
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	r.login()
	return r
}

func (r *rig) login() {
	r.t.Helper()
	a := r.form("/services/oauth2/token", "grant_type", "client_credentials", "client_id", org.DefaultClientID, "client_secret", org.DefaultClientSecret)
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.AccessToken == "" {
		r.t.Fatalf("login answered %d %s", a.status, a.body)
	}
	r.token = body.AccessToken
}

// reply is an answer of the org.
type reply struct {
	status int
	header http.Header
	body   string
}

// try sends a request with the token; body is JSON text. Headers come in pairs.
func (r *rig) try(method, path, body string, headers ...string) (reply, error) {
	return r.tryContext(context.Background(), method, path, body, headers...)
}

func (r *rig) tryContext(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text)}, err
}

func (r *rig) do(method, path, body string, headers ...string) reply {
	r.t.Helper()
	a, err := r.try(method, path, body, headers...)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// data is do below the version that most tests use.
func (r *rig) data(method, path, body string, headers ...string) reply {
	r.t.Helper()
	return r.do(method, "/services/data/v66.0"+path, body, headers...)
}

func (r *rig) query(soql string, headers ...string) reply {
	r.t.Helper()
	return r.data("GET", "/query?q="+url.QueryEscape(soql), "", headers...)
}

// form posts pairs as a form, without the token.
func (r *rig) form(path string, pairs ...string) reply {
	r.t.Helper()
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return r.do("POST", path, v.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", "")
}

func (r *rig) insert(object string, fields map[string]any) string {
	r.t.Helper()
	id, err := r.s.Insert(object, fields)
	if err != nil {
		r.t.Fatalf("insert %s: %v", object, err)
	}
	return id
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// want compares status and body; {} in the wanted body stands for each id.
func (a reply) want(t *testing.T, status int, body string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		body = strings.Replace(body, "{}", id, 1)
	}
	if a.status != status || a.body != body {
		t.Errorf("got  %d %s\nwant %d %s", a.status, a.body, status, body)
	}
}

// id returns the id in the body of a create.
func (a reply) id(t *testing.T) string {
	t.Helper()
	var body struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.ID == "" {
		t.Fatalf("no id in %d %s", a.status, a.body)
	}
	return body.ID
}

func (a reply) decode(t *testing.T, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
}

func notFound() string {
	return `[{"message":"The requested resource does not exist","errorCode":"NOT_FOUND"}]`
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func text(format string, args ...any) string { return fmt.Sprintf(format, args...) }
