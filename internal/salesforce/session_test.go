package salesforce

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	expired    = `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`
	refusal    = `{"error":"invalid_grant","error_description":"authentication failure"}`
	limitsBody = `{"DailyApiRequests":{"Max":15000,"Remaining":14998}}`
)

// numbered gives every login its own token, of which only the newest is valid.
func (o *fakeOrg) numbered() {
	o.token = func(n int) string { return fmt.Sprintf("00Dx0000000BV7z!token-%d", n) }
	o.api = func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		valid := r.Header.Get("Authorization") == "Bearer "+o.token(o.logins)
		o.mu.Unlock()
		if !valid {
			reply(w, 401, expired)
			return
		}
		reply(w, 200, limitsBody)
	}
}

func TestSessionFromGrant(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	s, err := o.client().Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Session{
		Token: canaryToken, InstanceURL: o.URL, Username: "sync@acme.example",
		OrgID: "00Dx0000000BV7zEAG", UserID: "005x00000012Q9PAAU",
	}
	if s != want {
		t.Errorf("got %#v, want %#v", s, want)
	}
	if o.apiCalls() != 0 {
		t.Error("asked for a user name that the configuration holds")
	}
}

func TestRefusedTokenIsReplacedAndTheRequestRepeatedOnce(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.numbered()
	c := o.client()
	if _, err := c.Limits(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	o.logins++ // revokes the first token
	o.mu.Unlock()
	c.longAgo()
	if _, err := c.Limits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := o.loginCount(); got != 3 {
		t.Errorf("%d logins, want one more", got-1)
	}

	// A server that refuses every token is asked twice, not for ever.
	o.answers(401, expired)
	calls := o.apiCalls()
	c.longAgo()
	_, err := c.Limits(t.Context())
	expect(t, err, Auth, CodeInvalidSession, false)
	if got := o.apiCalls() - calls; got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
}

// However many requests a revoked token fails, one login follows (fault 69).
func TestManyRefusalsCauseOneLogin(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.numbered()
	c := o.client()
	if _, err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	o.logins++
	o.mu.Unlock()
	c.longAgo()

	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.Limits(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("a worker failed: %v", err)
			}
		})
	}
	wg.Wait()
	if got := o.loginCount() - 1; got != 2 {
		t.Errorf("%d logins for 50 refusals, want 1", got-1)
	}
}

func TestManyFailuresShareOneLogin(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	release := make(chan struct{})
	o.grant = func(w http.ResponseWriter, _ *http.Request) {
		<-release
		reply(w, 400, refusal)
	}
	c := o.client()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := c.Token(t.Context(), "")
			if ClassOf(err) != Auth || CodeOf(err) != "invalid_grant" {
				t.Errorf("got %v", err)
			}
		})
	}
	close(release)
	wg.Wait()
	if got := o.loginCount(); got != 1 {
		t.Errorf("%d attempts with refused credentials, want 1: more lock the user out", got)
	}
}

func TestManyCallersShareOneOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, _ *http.Request) {
				attempts++
				time.Sleep(5 * time.Second)
				reply(w, 503, `{"error":"server_error"}`)
			})
		})
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.Token(t.Context(), ""); ClassOf(err) != Transient {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if attempts != 1 || time.Since(start) != 5*time.Second {
			t.Errorf("%d attempts in %s, want all to share one", attempts, time.Since(start))
		}

		// The next attempt is a second away, not ten: no session was lost.
		_, _ = c.Token(t.Context(), "")
		if attempts != 2 || time.Since(start) != 11*time.Second {
			t.Errorf("%d attempts in %s", attempts, time.Since(start))
		}
	})
}

// However many ask, and however often, an outage sees one attempt for each step
// of the back-off.
func TestAnOutageSeesOneAttemptAStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, _ *http.Request) {
				at = append(at, time.Since(start))
				reply(w, 503, `{"error":"server_error"}`)
			})
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for n := range 10 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = c.Token(ctx, "")
					time.Sleep(time.Duration(n+1) * 100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		for i, seconds := range []int{0, 1, 3, 7, 15, 31, 61, 91} {
			want := time.Duration(seconds) * time.Second
			if i >= len(at) || at[i] < want || at[i] > want+2*time.Second {
				t.Errorf("attempts at %v, want number %d after %s", at, i+1, want)
			}
		}
		if len(at) > 8 {
			t.Errorf("%d attempts in two minutes: %v", len(at), at)
		}
	})
}

// A caller that goes away takes only its own attempt with it.
func TestOneCallersEndIsNotTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			next := inMemory(func(w http.ResponseWriter, _ *http.Request) { writeGrant(w, "http://127.0.0.1:9", canaryToken) }).Transport
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				attempts++
				select {
				case <-time.After(5 * time.Second):
					return next.RoundTrip(r)
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Token(ctx, "")
			expect(t, err, Transient, "", false)
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := c.Token(t.Context(), ""); err != nil {
				t.Errorf("failed with another's context: %v", err)
			}
		})
		wg.Wait()
		if attempts != 2 {
			t.Errorf("%d attempts, want 2", attempts)
		}
	})
}

func TestSomeRefusalsAreNotTheTokensFault(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"Connected app is not attached to Agent", "This session is not valid for use with the REST API"} {
		o := newOrg(t)
		o.answers(401, `[{"message":"`+message+`","errorCode":"INVALID_SESSION_ID"}]`)
		_, err := o.client().Limits(t.Context())
		expect(t, err, Auth, CodeInvalidSession, false)
		if o.loginCount() != 1 || o.apiCalls() != 1 {
			t.Errorf("%s: %d logins and %d requests, want one each", message, o.loginCount(), o.apiCalls())
		}
	}
}

// One refused session is replaced at once; a series of them is slowed down.
func TestRepeatedLoginsAreTenSecondsApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		start := time.Now()
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != tokenPath {
					reply(w, 401, expired)
					return
				}
				at = append(at, time.Now())
				writeGrant(w, "http://127.0.0.1:9", fmt.Sprintf("00D!token-%d", len(at)))
			})
		})
		for range 10 {
			_, err := c.Limits(t.Context())
			expect(t, err, Auth, CodeInvalidSession, false)
		}
		if len(at) < 5 {
			t.Fatalf("only %d logins", len(at))
		}
		if gap := at[1].Sub(at[0]); gap != 0 {
			t.Errorf("the first refusal was answered after %s", gap)
		}
		for i := 2; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 10*time.Second {
				t.Errorf("login %d came %s after the one before", i+1, gap)
			}
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("ten requests took %s", took)
		}

		// Waiting for the next login ends with the caller's context.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		_, err := c.Token(ctx, c.session.Token)
		expect(t, err, Transient, "", false)
		if time.Since(before) != time.Second {
			t.Errorf("waited %s", time.Since(before))
		}

		// A session that has held ends the series.
		time.Sleep(2 * loginEvery)
		before = time.Now()
		if _, err := c.Token(t.Context(), c.session.Token); err != nil || time.Since(before) != 0 {
			t.Errorf("a refusal after 20 s was answered after %s: %v", time.Since(before), err)
		}
	})
}

func TestTheSameTokenHandedOutAgainIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		logins := 0
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == tokenPath:
					logins++
					writeGrant(w, "http://127.0.0.1:9", canaryToken)
					broken = logins < 2
				case broken:
					reply(w, 401, expired)
				default:
					reply(w, 200, limitsBody)
				}
			})
		})
		if _, err := c.Limits(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Limits(t.Context()); err != nil || logins != 2 {
			t.Errorf("%d logins, want 2 and no more; %v", logins, err)
		}
	})
}

func TestRefusedCredentialsAreNotTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, _ *http.Request) {
				attempts++
				reply(w, 400, refusal)
			})
		})
		start := time.Now()
		for range 100 {
			_, err := c.Token(t.Context(), "")
			expect(t, err, Auth, "invalid_grant", false)
		}
		if attempts != 1 || time.Since(start) != 0 {
			t.Errorf("%d attempts in %s, want 1 at once", attempts, time.Since(start))
		}
		time.Sleep(loginEvery)
		_, _ = c.Token(t.Context(), "")
		if attempts != 2 {
			t.Errorf("%d attempts after 10 s, want 2", attempts)
		}
		// A caller that asks every second for an hour must not lock the user out.
		for range 3600 {
			time.Sleep(time.Second)
			_, _ = c.Token(t.Context(), "")
		}
		if attempts < 12 || attempts > 18 {
			t.Errorf("%d attempts within an hour, want one every five minutes after the first", attempts)
		}
	})
}

func TestTokenHostInTroubleIsTransient(t *testing.T) {
	t.Parallel()
	for name, grant := range map[string]http.HandlerFunc{
		"503 html": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(503)
			_, _ = w.Write([]byte("<html>down for maintenance</html>"))
		},
		"200 html": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>down for maintenance</html>"))
		},
		"400 html": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(400)
		},
		"500 json":     func(w http.ResponseWriter, _ *http.Request) { reply(w, 500, refusal) },
		"200 no token": func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `{"instance_url":"https://x"}`) },
		"200 bad token": func(w http.ResponseWriter, _ *http.Request) {
			writeGrant(w, "http://127.0.0.1", "a\r\nX-Evil: 1")
		},
		"302": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		},
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrg(t)
			o.Config.ErrorLog = nil
			o.grant = grant
			_, err := o.client().Token(t.Context(), "")
			e := asError(t, err)
			if e.Class != Transient || e.InDoubt || e.Op != "login" {
				t.Errorf("got %s in doubt %t: %v", e.Class, e.InDoubt, err)
			}
		})
	}
}
