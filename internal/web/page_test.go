package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

// failing is a bridge with failures that can be retried.
type failing struct {
	mu      sync.Mutex
	list    []web.Failure
	retried []string
}

func (f *failing) errors(context.Context, int) ([]web.Failure, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list), nil
}

func (f *failing) retry(_ context.Context, ids []string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(ids, "none") {
		return 0, errors.New("secret dsn")
	}
	if slices.Contains(ids, "abc") {
		return 0, fmt.Errorf("%w: secret dsn", web.ErrFailureID)
	}
	f.retried = append(f.retried, ids...)
	n := int64(len(f.list))
	f.list = nil
	return n, nil
}

func open(t *testing.T, token string) (*httptest.Server, *status.Board, *failing) {
	t.Helper()
	board := status.New()
	board.Go("start")
	f := &failing{list: []web.Failure{{Direction: "write", ID: 7, Object: "Account", RecordID: 3, Action: "INSERT", Message: `FIELD: <b>no</b>`, At: time.Unix(0, 0)}}}
	s := httptest.NewServer(web.New(web.Config{Board: board, Addr: "127.0.0.1:0", Token: token, Version: "v1", Errors: f.errors, Retry: f.retry, Ignore: f.retry}))
	t.Cleanup(s.Close)
	return s, board, f
}

func TestPage(t *testing.T) {
	t.Parallel()
	s, board, _ := open(t, "")
	board.Object("Account", func(o *status.Object) {
		o.Access, o.RowsSalesforce, o.RowsPostgres, o.ToLoad, o.Loaded = "read_write", 1234567, -1, 10, 4
	})
	board.Stop("stream", "no events")
	code, body := get(t, s.Config.Handler, s.URL+"/")
	for _, want := range []string{"1,234,567", "–", "4 of 10", "no events", "&lt;b&gt;no&lt;/b&gt;", `name="id" value="7"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the page (code %d)", want, code)
		}
	}
	for _, path := range []string{"/assets/page.js", "/assets/page.css"} {
		if code, body := get(t, s.Config.Handler, s.URL+path); code != http.StatusOK || body == "" {
			t.Errorf("%s: code %d", path, code)
		}
	}
	if strings.Contains(body, "<script>") || strings.Contains(body, "style=") {
		t.Error("the policy forbids scripts and styles within the page")
	}
}

// A change is in the stream of parts at once, and nothing that has not changed.
func TestLive(t *testing.T) {
	t.Parallel()
	s, board, f := open(t, "")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/live", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	events := make(chan [2]string, 100) // kind or part, HTML
	go func() {
		defer close(events)
		kind := ""
		for in := bufio.NewScanner(resp.Body); in.Scan(); {
			if after, ok := strings.CutPrefix(in.Text(), "event: "); ok {
				kind = after
			}
			if data, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				var part struct{ ID, HTML string }
				_ = json.Unmarshal([]byte(data), &part)
				events <- [2]string{kind + part.ID, part.HTML}
			}
		}
	}()
	next := func() [2]string {
		select {
		case e := <-events:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is sent")
			return [2]string{}
		}
	}
	for _, want := range []string{"flow", "connection", "objects", "activity", "errors"} {
		if got := next(); got[0] != "part"+want {
			t.Fatalf("%s is sent, want part %s", got[0], want)
		}
	}
	change := func() [2]string { // leaving out that a minute has passed
		for {
			if got := next(); got[0] != "partactivity" {
				return got
			}
		}
	}
	board.Object("Account", func(o *status.Object) { o.RowsPostgres = 42 })
	if got := change(); got[0] != "partobjects" || !strings.Contains(got[1], "42") {
		t.Errorf("%v is sent, want the objects", got)
	}
	if got := change(); got[0] != "beat" {
		t.Errorf("%v is sent, want a beat", got)
	}
	f.mu.Lock()
	f.list = nil
	f.mu.Unlock()
	for got := change(); got[0] != "parterrors" || !strings.Contains(got[1], "No errors"); got = change() {
		if got[0] != "beat" {
			t.Errorf("%v is sent", got)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	form := "application/x-www-form-urlencoded"
	post := func(s *httptest.Server, body string, header ...string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/api/errors/retry", strings.NewReader(body))
		r.Header.Set("Content-Type", form)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.Config.Handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	one := url.Values{"id": {"7"}}.Encode()
	token := []string{"Authorization", "Bearer s3cret"}

	s, _, f := open(t, "s3cret")
	for i, c := range []struct {
		body   string
		header []string
		want   int
	}{
		{one, nil, http.StatusUnauthorized},
		{one, []string{"Authorization", "Bearer wrong"}, http.StatusUnauthorized},
		{one, append(token, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{one, append(token, "Content-Type", "text/plain"), http.StatusUnsupportedMediaType},
		{"", token, http.StatusBadRequest},
		{one + "&all=1", token, http.StatusBadRequest},
		{"id=none", token, http.StatusServiceUnavailable},
		{"id=abc", token, http.StatusBadRequest},
	} {
		if code, body := post(s, c.body, c.header...); code != c.want || strings.Contains(body, "secret dsn") {
			t.Errorf("%d: code %d, want %d: %s", i, code, c.want, body)
		}
	}
	if len(f.retried) > 0 {
		t.Fatalf("%v was retried", f.retried)
	}
	if code, body := post(s, one, token...); code != http.StatusOK || !strings.Contains(body, "1 sent or read again") || fmt.Sprint(f.retried) != "[7]" {
		t.Errorf("code %d, %s; retried %v", code, body, f.retried)
	}
	if code, _ := post(s, "all=1", append(token, "Accept", "text/html")...); code != http.StatusSeeOther {
		t.Errorf("code %d for a browser without scripts, want 303", code)
	}
	open, _, f := open(t, "")
	if code, body := post(open, one); code != http.StatusForbidden || !strings.Contains(body, "HC_HTTP_TOKEN") || len(f.retried) > 0 {
		t.Errorf("without a token configured: code %d, %s", code, body)
	}
}
