package bridge

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/salesforce"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The stream finds an org that has moved even where nothing else asks it anything, and
// takes nobody's token away for that (fault 68).
func TestTheStreamAloneFindsAnOrgThatHasMoved(t *testing.T) {
	t.Parallel()
	const oldHost, newHost = "127.0.0.1:9", "127.0.0.1:10"
	for _, says := range []int{302, 404, 503} {
		synctest.Test(t, func(t *testing.T) {
			var logins, reached atomic.Int64
			var down atomic.Bool // the token endpoint
			org := roundTrip(func(r *http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.URL.Path == "/services/oauth2/token" && down.Load():
					w.WriteHeader(503)
				case r.URL.Path == "/services/oauth2/token":
					at := oldHost
					if logins.Add(1) > 1 {
						at = newHost
					}
					_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","instance_url":"http://%s","id":"http://x/id/00Dx0000000BV7z/005x00000012Q9P"}`, logins.Load(), at)
				case r.URL.Host == newHost:
					reached.Add(1)
					w.WriteHeader(503)
				default:
					w.WriteHeader(says)
				}
				return w.Result(), nil
			})
			sf, err := salesforce.New(salesforce.Config{
				LoginURL: "http://" + oldHost, Auth: salesforce.AuthPassword, ClientID: "x", ClientSecret: "secret", Username: "u", Password: "password",
				HTTPClient: &http.Client{Transport: org},
			})
			if err != nil {
				t.Fatal(err)
			}
			st := &stream{s: &session{Bridge: &Bridge{cfg: &config.Config{}}, sf: sf}}
			st.client, err = bayeux.New(st.credentials, func(context.Context, []bayeux.Message) error { return nil }, bayeux.WithHTTPClient(&http.Client{Transport: org}))
			if err != nil {
				t.Fatal(err)
			}
			st.client.Subscribe(bayeux.Subscription{Channel: "/topic/hc_Account"})
			if _, err := sf.Login(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			down.Store(true)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			run := make(chan error, 1)
			go func() { run <- st.client.Run(ctx) }()
			time.Sleep(2 * time.Minute)
			if s, err := sf.Token(t.Context(), ""); err != nil || s.Token != "token-1" {
				t.Errorf("%d: with %s while the token endpoint is down, want the token of before; %v", says, s, err)
			}
			down.Store(false)
			for start := time.Now(); reached.Load() == 0; time.Sleep(time.Second) {
				if time.Since(start) > 6*time.Minute {
					t.Fatalf("%d: not found in six minutes, with %d logins", says, logins.Load())
				}
			}
			if logins.Load() != 2 {
				t.Errorf("%d: %d logins, want 2", says, logins.Load())
			}
			cancel()
			if err := <-run; err != nil {
				t.Error(err)
			}
		})
	}
}
