package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// wire is a way that can be spoilt, from an address of its own to a server. It leads
// through one proxy for each toxic that there may be at a time: toxiproxy loses count
// of a connection's toxics when one that has ended it is removed before the next has
// noticed, and panics at the one after.
type wire struct {
	t  *testing.T
	mu sync.Mutex
	// proxies lead from the bridge, first, to the server.
	proxies []*toxiproxy.Proxy
	holds   []string // each proxy's toxic; "" if none
}

// atOnce is how many toxics a wire may have at a time.
const atOnce = 6

func newWire(t *testing.T, name, upstream string) *wire {
	t.Helper()
	w := &wire{t: t, proxies: make([]*toxiproxy.Proxy, atOnce), holds: make([]string, atOnce)}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	for i := range slices.Backward(w.proxies) {
		p := toxiproxy.NewProxy(server, fmt.Sprint(name, i), "127.0.0.1:0", upstream)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Stop)
		w.proxies[i], upstream = p, p.Listen
	}
	return w
}

func (w *wire) addr() string { return w.proxies[0].Listen }

// toxic is one way to spoil a wire, as toxiproxy takes it.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float32        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`
}

// add spoils the wire, nearest to the bridge where nothing else does; a wire that is
// spoilt in every place stays as it is.
func (w *wire) add(x toxic) {
	body, err := json.Marshal(x)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.holds, "")
	if i < 0 {
		w.t.Logf("one toxic too many: %s", body)
		return
	}
	if _, err := w.proxies[i].Toxics.AddToxicJson(bytes.NewReader(body)); err != nil {
		w.t.Errorf("toxic %s: %v", body, err)
		return
	}
	w.holds[i] = x.Name
}

func (w *wire) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.holds, name)
	if i < 0 {
		return
	}
	if err := w.proxies[i].Toxics.RemoveToxic(context.Background(), name); err != nil {
		w.t.Errorf("toxic %s: %v", name, err)
	}
	w.holds[i] = ""
}

// cut closes all connections and takes new ones at once.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.proxies {
		p.Stop()
	}
	for _, p := range slices.Backward(w.proxies) {
		err := p.Start()
		for deadline := time.Now().Add(10 * time.Second); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); err = p.Start() {
			time.Sleep(10 * time.Millisecond) // somebody's connection has got the port for a moment
		}
		if err != nil {
			w.t.Errorf("restart of a proxy: %v", err)
		}
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
