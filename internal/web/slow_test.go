package web_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

// Hundreds of clients that send a byte now and then keep nobody else from asking,
// and are hung up on; headers have a limit (T20 of docs/threat-model.md).
func TestSlowClients(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only finds a free port
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	s := web.New(web.Config{Board: status.New(), Addr: addr, Errors: func(context.Context, int) ([]web.Failure, error) { return nil, nil }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	dial := func() net.Conn {
		for began := time.Now(); ; {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err == nil {
				return conn
			}
			if time.Since(began) > 10*time.Second {
				t.Fatal(err)
			}
		}
	}
	var slow []net.Conn
	for range 400 {
		conn := dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if took := time.Since(began); res.StatusCode != http.StatusOK || took > 3*time.Second {
		t.Errorf("code %d after %s", res.StatusCode, took)
	}
	large := dial()
	defer large.Close()
	// The server may hang up in the middle of it.
	_, _ = fmt.Fprintf(large, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	if text, _ := io.ReadAll(large); strings.Contains(string(text), "200 OK") {
		t.Error("headers of 64 KiB were taken")
	}
	for _, conn := range slow { // by now or soon, as the limit for headers is 5 s
		if err := conn.SetReadDeadline(began.Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatalf("a slow client is not hung up on: %v", err)
		}
	}
}

// There is nothing to be debugged over HTTP: memory holds tokens (T31 of docs/threat-model.md). And what is
// there is there by one method.
func TestOnlyWhatIsMeantIsServed(t *testing.T) {
	t.Parallel()
	s := web.New(web.Config{Board: status.New(), Addr: "127.0.0.1:0", Errors: func(context.Context, int) ([]web.Failure, error) { return nil, nil }})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/debug/requests", "/actions", "/../etc/passwd", "/assets/../page.html", "/.env"} {
		if code, body := get(t, s, "http://127.0.0.1"+path); code == http.StatusOK {
			t.Errorf("%s is served: %.80s", path, body)
		}
	}
}

// FuzzForm sends any body and headers to what takes forms.
func FuzzForm(f *testing.F) {
	f.Add("/api/errors/retry", "id=7", "application/x-www-form-urlencoded", "Bearer s3cret")
	f.Add("/api/errors/ignore", "all=1&id=%zz", "application/x-www-form-urlencoded;charset=x", "Basic OnMzY3JldA==")
	f.Add("/mapping", "object=Account&field=%00&block=HC_OBJECTS%3DAccount%0A", "application/x-www-form-urlencoded", "Bearer s3cret")
	f.Add("/mapping/file", strings.Repeat("a=b&", 2000), "multipart/form-data; boundary=\"", "Bearer wrong")
	f.Add("/mapping/env", "object=\xff;q=%", "text/plain", "")
	f.Fuzz(func(t *testing.T, path, body, kind, authorization string) {
		acted := false
		act := func(context.Context, []string) (int64, error) { acted = true; return 1, nil }
		s := web.New(web.Config{
			Board: status.New(), Addr: "0.0.0.0:8080", Token: "s3cret", Retry: act, Ignore: act,
			Plan:   func(context.Context, web.Choice) web.Mapping { acted = true; return web.Mapping{Block: "b", File: "f"} },
			Errors: func(context.Context, int) ([]web.Failure, error) { return nil, nil },
		})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://bridge/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path = "/" + strings.TrimPrefix(path, "/")
		r.Header["Content-Type"] = []string{kind}
		r.Header["Authorization"] = []string{authorization}
		w := recorder{header: http.Header{}}
		s.ServeHTTP(&w, r)
		if _, password, _ := r.BasicAuth(); acted && authorization != "Bearer s3cret" && password != "s3cret" {
			t.Errorf("acted for %q", authorization)
		}
		if w.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s is answered without the headers that protect", r.URL.Path)
		}
	})
}

// recorder is the least of a response.
type recorder struct{ header http.Header }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
