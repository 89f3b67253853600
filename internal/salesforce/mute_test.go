package salesforce

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// wire passes bytes to a server, and may lose all of the connections of before without
// closing any, as a firewall that has forgotten them.
type wire struct {
	net.Listener
	to    string
	mute  atomic.Int64 // connections up to this one
	count atomic.Int64

	mu   sync.Mutex
	open []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			w.pass(near)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.open {
			_ = c.Close()
		}
	})
	return w
}

func (w *wire) pass(near net.Conn) {
	far, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.to)
	if err != nil {
		_ = near.Close()
		return
	}
	w.mu.Lock()
	w.open = append(w.open, near, far)
	w.mu.Unlock()
	n := w.count.Add(1)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(writerFunc(func(p []byte) (int, error) {
				if n <= w.mute.Load() {
					return len(p), nil
				}
				return way[1].Write(p)
			}), way[0])
		}()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A connection of HTTP/2 that has died without a word is found out by asking, and no
// request after that takes it.
func TestMuteConnection(t *testing.T) {
	t.Parallel()
	var protocol atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(r.Proto)
		if r.URL.Path == tokenPath {
			writeGrant(w, "https://"+r.Host, canaryToken)
			return
		}
		reply(w, 200, `{"totalSize":0,"done":true,"records":[]}`)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	w := newWire(t, s.Listener.Addr().String())

	c := newClient(t, "https://"+w.Addr().String())
	transport := c.http.GetClient().Transport.(pinned).next.(*http.Transport)
	if transport.HTTP2 == nil || transport.HTTP2.SendPingTimeout <= 0 {
		t.Fatal("nobody asks whether the connection lives")
	}
	transport.HTTP2.SendPingTimeout /= 10
	transport.HTTP2.PingTimeout /= 10
	transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	transport.TLSClientConfig.RootCAs.AddCert(s.Certificate())
	if _, err := c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{}); err != nil || protocol.Load() != "HTTP/2.0" {
		t.Fatalf("%v, by %v", err, protocol.Load())
	}
	w.mute.Store(w.count.Load())
	if _, err := c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{}); err != nil && !strings.Contains(err.Error(), "connection lost") {
		t.Errorf("the request that meets it: %v", err)
	}
	if _, err := c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{}); err != nil {
		t.Errorf("the one after that: %v", err)
	}
	if n := w.count.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}
