package salesforce

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-resty/resty/v2"
)

// errPinned guards against our own mistakes: it cannot be caused by a server.
var errPinned = errors.New("request leaves the host it was made for")

// pinKey is the context key under which a request carries the only origin it may
// be sent to.
type pinKey struct{}

// pinned refuses every request that is not for the origin in its context, so that
// no redirect, link or bug can carry a token or a login form to another host.
// Neither does one leave that is not allowed any more.
type pinned struct {
	next  http.RoundTripper
	allow func() error // nil = all
}

// forbidden is the refusal of Config.Allow: nothing was sent.
type forbidden struct{ error }

func (f forbidden) Unwrap() error { return f.error }

// RoundTrip implements http.RoundTripper.
func (p pinned) RoundTrip(r *http.Request) (*http.Response, error) {
	origin, _ := r.Context().Value(pinKey{}).(string)
	if origin == "" || r.URL.Scheme+"://"+r.URL.Host != origin {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errPinned
	}
	if p.allow != nil {
		if err := p.allow(); err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, forbidden{err}
		}
	}
	return p.next.RoundTrip(r)
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] reach the transport.
func (p pinned) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// newHTTP builds the one resty client: no cookie jar, no redirects, no overall
// timeout (every request has its own), no output of its own.
func newHTTP(given *http.Client, allow func() error) *resty.Client {
	var next http.RoundTripper
	if given != nil {
		next = given.Transport
	}
	if next == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
		t.MaxIdleConnsPerHost = 16                           // as many as there are senders, loaders and pollers
		// A connection that the server closes just as we write to it leaves that
		// write in doubt, so do not keep one until the server tires of it.
		t.IdleConnTimeout = 30 * time.Second
		t.MaxResponseHeaderBytes = 256 << 10
		t.TLSHandshakeTimeout = 10 * time.Second
		// All requests share one HTTP/2 connection, which one that ends by its
		// deadline leaves open: without asking, a dead one is used for minutes.
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
		next = t
	}
	return resty.NewWithClient(&http.Client{
		Transport:     pinned{next, allow},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).SetLogger(silent{}).SetDisableWarn(true).SetDebug(false)
}

// withPin returns a context whose requests may go to origin only.
func withPin(ctx context.Context, origin string) context.Context {
	return context.WithValue(ctx, pinKey{}, origin)
}

// silent drops resty's own log lines, which would bypass our rules for logs.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
