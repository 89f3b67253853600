package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
)

// instance is a host where an org lives until it leaves.
type instance struct {
	*httptest.Server
	gone atomic.Bool
	end  context.CancelFunc // of what is under way
}

// newInstance has the org live at another host than that of its token endpoint.
// Once it has left, left answers there.
func newInstance(r *rig, left http.HandlerFunc) *instance {
	u, err := url.Parse(r.SF.URL())
	r.Must(err)
	ctx, cancel := context.WithCancel(context.Background())
	in := &instance{end: cancel}
	forward := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = u.Scheme, u.Host, p.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) { left(w, r) },
	}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in.gone.Load() {
			left(w, r)
			return
		}
		rctx, stop := context.WithCancel(r.Context())
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		forward.ServeHTTP(w, r.WithContext(rctx))
	}))
	r.T.Cleanup(func() {
		cancel()
		in.Close()
	})
	r.SF.MovesTo(in.URL)
	return in
}

// leave has the org live at the host of its token endpoint, and only that say so.
func (in *instance) leave(r *rig) {
	in.gone.Store(true)
	in.end()
	r.SF.MovesTo(r.SF.URL())
}

// An org that has moved to another instance is found by what the token endpoint says,
// whatever the old host answers, and both directions and the stream go on (fault 68).
func TestOrgMoves(t *testing.T) {
	t.Parallel()
	says := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const html = "text/html; charset=UTF-8"
	for name, left := range map[string]http.HandlerFunc{
		"404":           says(404, html, "<html><body><h1>URL No Longer Exists</h1></body></html>"),
		"503":           says(503, html, "<html><body><h1>We are down for maintenance.</h1></body></html>"),
		"URL_NOT_RESET": says(404, "application/json;charset=UTF-8", `[{"message":"Destination URL not reset. The URL returned from login must be set","errorCode":"URL_NOT_RESET"}]`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := streamRig(t, org.Options{}, "HC_OBJECT_ACCOUNT_ACCESS=read_write")
			old := newInstance(r, left)
			r.Start()
			id := r.streaming()
			lives := func(at string) {
				t.Helper()
				r.shows("instance "+at, 10*time.Second, func(c status.Connection, _ status.Object) bool {
					return c.InstanceURL == at && c.Streaming == "connected"
				})
			}
			lives(old.URL)
			logins := r.SF.Calls()["token"]

			old.leave(r)
			r.set(id, 1)
			r.Exec("UPDATE salesforce.account SET phone = '1' WHERE sfid = $1", id)
			// Logins for the instance's sake are a minute apart, and pages are waited
			// out for half of one.
			r.Promised("the org is found", 3*time.Minute, r.holds(id, 1))
			r.Promised("what was written meanwhile is sent", time.Minute, func() error { return r.Unequal("Account") })
			r.Promised("the stream is open again", time.Minute, func() error {
				if r.SF.StreamClients() == 0 {
					return fmt.Errorf("no session")
				}
				return nil
			})
			lives(r.SF.URL())
			r.set(id, 2)
			r.arrives(id, 2, 10*time.Second)
			if n := r.SF.Calls()["token"] - logins; n > 4 {
				t.Errorf("%d logins, want one a minute at most", n)
			}
			if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'") + r.Count("SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'FAILED'"); n > 0 {
				t.Errorf("%d writes failed", n)
			}
		})
	}
}
