package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// wire is a way that can be spoilt, from an address of its own to a server.
type wire struct {
	t  *testing.T
	mu sync.Mutex
	p  *toxiproxy.Proxy
}

func newWire(t *testing.T, name, upstream string) *wire {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	w := &wire{t: t, p: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	if err := w.p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.p.Stop)
	return w
}

func (w *wire) addr() string { return w.p.Listen }

// toxic is one way to spoil a wire, as toxiproxy takes it.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float32        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`
}

func (w *wire) add(x toxic) {
	body, err := json.Marshal(x)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.p.Toxics.AddToxicJson(strings.NewReader(string(body))); err != nil {
		w.t.Errorf("toxic %s: %v", body, err)
	}
}

func (w *wire) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.p.Toxics.RemoveToxic(context.Background(), name); err != nil {
		w.t.Errorf("toxic %s: %v", name, err)
	}
}

// cut closes all connections and takes new ones at once.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.Stop()
	err := w.p.Start()
	for deadline := time.Now().Add(10 * time.Second); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); err = w.p.Start() {
		time.Sleep(10 * time.Millisecond) // somebody's connection has got the port for a moment
	}
	if err != nil {
		w.t.Errorf("restart of the proxy: %v", err)
	}
}

// hostOf is the address in a URL such as http://127.0.0.1:80.
func hostOf(t *testing.T, url string) string {
	t.Helper()
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	if _, _, err := net.SplitHostPort(host); err != nil {
		t.Fatal(err)
	}
	return host
}
