package salesforce

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// raw makes the API answer with any content type.
func (o *fakeOrg) raw(status int, contentType, body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.api = func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func gzipped(t *testing.T, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An answer that is cut, empty or broken is never counted as success (fault 77).
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	const ok = `{"id":"a00B000000FSkcvIAD","success":true,"errors":[]}`
	packed := gzipped(t, ok)
	for name, api := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"empty":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"half of it, said to be all": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, ok[:len(ok)/2])
		},
		"shorter than its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, ok)
		},
		"cut chunks": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, ok)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"cut gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed[:len(packed)-6])
		},
		"broken gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			broken := bytes.Clone(packed)
			broken[len(broken)-5] ^= 0xff // the checksum
			_, _ = w.Write(broken)
		},
		"not gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, ok)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrg(t)
			o.api = api
			c := o.client()
			_, err := c.Create(t.Context(), "Account", map[string]any{"Name": "x"})
			expect(t, err, Transient, "", true)
			_, err = c.Limits(t.Context())
			expect(t, err, Transient, "", false)
		})
	}
	o := newOrg(t)
	o.api = func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("compression was not asked for")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(201)
		_, _ = w.Write(packed)
	}
	if id, err := o.client().Create(t.Context(), "Account", nil); err != nil || id != "a00B000000FSkcvIAD" {
		t.Errorf("gzip: %q, %v", id, err)
	}
}

func TestAWriteThatNeverLeftIsNotInDoubt(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	if _, err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Close()
	c.http.GetClient().CloseIdleConnections()
	_, err := c.Create(t.Context(), "Account", map[string]any{"Name": "x"})
	expect(t, err, Transient, "", false)
	if !c.suspect {
		t.Error("the instance cannot be reached and is not asked for again")
	}
}

// A handshake that fails ends before the request begins.
func TestAWriteToAnUntrustedCertificateIsNotInDoubt(t *testing.T) {
	t.Parallel()
	instance := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a server with an unknown certificate was talked to")
	}))
	instance.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	instance.StartTLS()
	t.Cleanup(instance.Close)
	o := newOrg(t)
	o.grant = func(w http.ResponseWriter, _ *http.Request) { writeGrant(w, instance.URL, canaryToken) }
	c := o.client()
	_, err := c.Create(t.Context(), "Account", map[string]any{"Name": "x"})
	expect(t, err, Transient, "", false)
	_, err = c.Query(t.Context(), "SELECT Id FROM Account WHERE Name = 'Jane'", QueryOpts{})
	if text := asError(t, err).Error(); strings.Contains(text, "Jane") || !strings.Contains(text, "certificate") {
		t.Errorf("got %q: it must name the cause and not the query", text)
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	_, _ = io.WriteString(z, "[")
	for range 2 {
		_, _ = z.Write(chunk)
	}
	_ = z.Close()
	o.api = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}
	c := o.client()
	if c.cap != 64<<20 {
		t.Errorf("answers are capped at %d bytes", c.cap)
	}
	c.cap = 2 << 20 // one byte less than the bomb
	_, err := c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{})
	if !errors.Is(err, errTooBig) {
		t.Errorf("2 MiB: %v", err)
	}
	expect(t, err, Permanent, CodeTooBig, false)

	o.answers(200, `{"totalSize":1,"done":true,"records":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+"}")
	_, err = c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{})
	if err == nil || !strings.Contains(err.Error(), "nested too deep") {
		t.Errorf("5,000 levels: %v", err)
	}
	if tooDeep([]byte(`{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[","b\"[":1}`)) {
		t.Error("brackets inside strings were counted")
	}

	o.grant = func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, `{"access_token":"`+strings.Repeat("x", maxAuth)+`"}`)
	}
	_, err = o.client().Login(t.Context())
	if !errors.Is(err, errTooBig) {
		t.Errorf("login: %v", err)
	}
	expect(t, err, Transient, "", false) // nothing that was read is too much
}

// hang answers logins and never anything else.
func hang(cfg *Config) {
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == tokenPath {
			w := inMemory(func(w http.ResponseWriter, _ *http.Request) { writeGrant(w, "http://127.0.0.1:9", canaryToken) })
			return w.Transport.RoundTrip(r)
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", hang)
		start := time.Now()
		_, err := c.Create(t.Context(), "Account", nil)
		expect(t, err, Transient, "", true)
		if took := time.Since(start); took != 130*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %s", err, took)
		}
		if got, want := err.Error(), "create Account (in doubt): no answer in 2m10s"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Create(ctx, "Account", nil)
		expect(t, err, Transient, "", true)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
			t.Errorf("got %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}
		})
		start := time.Now()
		_, err := c.Login(t.Context())
		expect(t, err, Transient, "", false)
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("login gave up after %s", took)
		}
	})
}

func TestMeterAndClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		info, skew := "", 7*time.Minute
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
				if r.URL.Path == tokenPath {
					writeGrant(w, "http://127.0.0.1:9", canaryToken)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Sforce-Limit-Info", info)
				w.WriteHeader(403)
				_, _ = io.WriteString(w, `[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`)
			})
		})
		for i, g := range []struct {
			info        string
			used, limit int
		}{
			{"api-usage=25/5000", 25, 5000},
			{"api-usage=26/5000; per-app-api-usage=17/250(appName=sample-connected-app)", 26, 5000},
			{"per-app-api-usage=1/2(appName=x)", 26, 5000},
			{"api-usage=x/y", 26, 5000},
			{"api-usage=-1/5000", 26, 5000},
			{"", 26, 5000},
		} {
			info = g.info
			_, _ = c.Limits(t.Context())
			if got, want := c.Usage(), (Usage{Used: g.used, Limit: g.limit, Calls: i + 1}); got != want {
				t.Errorf("%q: %+v, want %+v", g.info, got, want)
			}
		}
		time.Sleep(90 * time.Second)
		if off := time.Until(c.ServerTime()) - skew; off.Abs() > time.Second {
			t.Errorf("server time is %s off", off)
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.answers(201, `{"id":"a00B000000FSkcvIAD","success":true,"errors":[]}`)
	if _, err := o.client().Create(t.Context(), "Movie__c", map[string]any{"Name": "x"}); err != nil {
		t.Fatal(err)
	}
	r, _ := o.last()
	for name, want := range map[string]string{
		"Authorization": "Bearer " + canaryToken, "Sforce-Call-Options": "client=hcbridge", "Sforce-Auto-Assign": "FALSE",
		"Accept": "application/json", "Content-Type": "application/json; charset=UTF-8", "User-Agent": "hcbridge", "Cookie": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if len(r.URL.RawQuery) != 0 || strings.Contains(fmt.Sprint(r.URL), "CANARY") {
		t.Errorf("URL %s", r.URL)
	}
}
