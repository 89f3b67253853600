package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

func get(t *testing.T, h http.Handler, url string, header ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestServer(t *testing.T) {
	t.Parallel()

	setup := func(addr, token string) (*web.Server, *status.Board) {
		board := status.New()
		board.Go("start")
		board.Object("Account", func(o *status.Object) {
			o.Message = `<script>alert("x")</script>`
			o.Counters.Events = 7
		})
		return web.New(web.Config{
			Board: board, Addr: addr, Token: token, Version: "v1",
			Errors: func(context.Context, int) ([]web.Failure, error) { return nil, errors.New("secret dsn") },
		}), board
	}

	t.Run("ReadyzSaysWhatStopped", func(t *testing.T) {
		t.Parallel()
		s, board := setup("127.0.0.1:0", "")
		if code, _ := get(t, s, "http://127.0.0.1/readyz"); code != http.StatusOK {
			t.Errorf("code %d, want 200", code)
		}
		board.Stop("stream", "no events for 60 s")
		code, body := get(t, s, "http://127.0.0.1/readyz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "no events for 60 s") {
			t.Errorf("code %d, body %s; want 503 and the reason", code, body)
		}
	})

	t.Run("PageEscapesWhatCameFromOutside", func(t *testing.T) {
		t.Parallel()
		s, _ := setup("127.0.0.1:0", "")
		code, body := get(t, s, "http://localhost/")
		if code != http.StatusOK || strings.Contains(body, `<script>alert`) || !strings.Contains(body, "&lt;script&gt;alert") {
			t.Errorf("code %d, escaped wrongly", code)
		}
	})

	t.Run("LoopbackRefusesForeignHostNames", func(t *testing.T) {
		t.Parallel()
		s, _ := setup("127.0.0.1:8080", "")
		if code, _ := get(t, s, "http://evil.example/api/status"); code != http.StatusForbidden {
			t.Errorf("code %d, want 403", code)
		}
		if code, _ := get(t, s, "http://[::1]:8080/api/status"); code != http.StatusOK {
			t.Errorf("code %d for ::1, want 200", code)
		}
	})

	t.Run("OtherAddressesWantTheToken", func(t *testing.T) {
		t.Parallel()
		s, _ := setup("0.0.0.0:8080", "s3cret")
		for _, c := range []struct {
			url    string
			header []string
			want   int
		}{
			{"http://bridge/", nil, 401},
			{"http://localhost/api/status", nil, 401},
			{"http://bridge/api/status", []string{"Authorization", "Bearer wrong"}, 401},
			{"http://bridge/api/status", []string{"Authorization", "Bearer s3cret"}, 200},
			{"http://bridge/api/status", []string{"Authorization", "Basic OnMzY3JldA=="}, 200},
			{"http://bridge/healthz", nil, 200},
			{"http://bridge/metrics", nil, 200},
		} {
			if code, _ := get(t, s, c.url, c.header...); code != c.want {
				t.Errorf("%s %v: code %d, want %d", c.url, c.header, code, c.want)
			}
		}
		shut, _ := setup("0.0.0.0:8080", "")
		if code, body := get(t, shut, "http://bridge/"); code != http.StatusForbidden || !strings.Contains(body, "HC_HTTP_TOKEN") {
			t.Errorf("code %d, body %q; want 403 naming the variable", code, body)
		}
	})

	t.Run("AllOfTheAPIIsJSON", func(t *testing.T) {
		t.Parallel()
		open, _ := setup("127.0.0.1:0", "")
		shut, _ := setup("0.0.0.0:8080", "")
		token, _ := setup("0.0.0.0:8080", "s3cret")
		for _, c := range []struct {
			s           *web.Server
			method, url string
			header      string // Sec-Fetch-Site
			code        int
			key         string
		}{
			{open, http.MethodGet, "http://localhost/api/nothing", "", 404, "error"},
			{open, http.MethodGet, "http://localhost/api/objects/Nothing", "", 404, "error"},
			{open, http.MethodDelete, "http://localhost/api/status", "", 405, "error"},
			{open, http.MethodPost, "http://localhost/api/status", "", 405, "message"},
			{open, http.MethodGet, "http://localhost/api/errors", "", 503, "error"},
			{open, http.MethodGet, "http://evil.example/api/status", "", 403, "error"},
			{open, http.MethodPost, "http://localhost/api/errors/retry", "cross-site", 403, "message"},
			{open, http.MethodPost, "http://localhost/api/errors/retry", "", 403, "message"},
			{shut, http.MethodGet, "http://bridge/api/status", "", 403, "error"},
			{token, http.MethodGet, "http://bridge/api/status", "", 401, "error"},
			{token, http.MethodPost, "http://bridge/api/errors/ignore", "", 401, "message"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.url, http.NoBody)
			r.Header.Set("Sec-Fetch-Site", c.header)
			w := httptest.NewRecorder()
			c.s.ServeHTTP(w, r)
			body := map[string]string{}
			err := json.Unmarshal(w.Body.Bytes(), &body)
			kind := w.Result().Header.Get("Content-Type")
			if err != nil || w.Code != c.code || body[c.key] == "" || !strings.HasPrefix(kind, "application/json") {
				t.Errorf("%s %s: %d, %s, %q, want %d and JSON", c.method, c.url, w.Code, kind, w.Body, c.code)
			}
			if (w.Code == 405) != (w.Result().Header.Get("Allow") != "") || (w.Code == 401) != (w.Result().Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s %s: %v", c.method, c.url, w.Result().Header)
			}
		}
		if _, body := get(t, open, "http://localhost/nothing"); body != "404 page not found\n" {
			t.Errorf("of a page: %q", body)
		}
	})

	t.Run("ErrorsDoNotLeakTheirCause", func(t *testing.T) {
		t.Parallel()
		s, _ := setup("127.0.0.1:0", "")
		code, body := get(t, s, "http://127.0.0.1/api/errors")
		if code != http.StatusServiceUnavailable || strings.Contains(body, "secret") {
			t.Errorf("code %d, body %s", code, body)
		}
	})

	t.Run("MetricsCarryTheCounters", func(t *testing.T) {
		t.Parallel()
		s, _ := setup("127.0.0.1:0", "")
		_, body := get(t, s, "http://127.0.0.1/metrics")
		for _, want := range []string{`hcbridge_events_total{object="Account"} 7`, "hcbridge_ready 1", `hcbridge_connection_state{state="STARTING"} 1`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in the metrics", want)
			}
		}
	})
}

func TestRunStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := web.New(web.Config{Board: status.New(), Addr: "127.0.0.1:0", Errors: func(context.Context, int) ([]web.Failure, error) { return nil, nil }})
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v, want nil", err)
	}
	taken := web.New(web.Config{Board: status.New(), Addr: "256.0.0.1:1"})
	if err := taken.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "256.0.0.1") {
		t.Errorf("Run returned %v, want an error that names the address", err)
	}
}
