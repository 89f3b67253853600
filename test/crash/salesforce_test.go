package crash

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// salesforceDoor stands between a bridge and the org and numbers requests and
// answers.
type salesforceDoor struct {
	http   *http.Server
	url    string
	org    atomic.Value // string, base URL
	fate   *fate
	client *http.Transport
	ended  chan struct{}
}

type lifeKey struct{}

func openSalesforce(f *fate) (*salesforceDoor, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the world
	if err != nil {
		return nil, err
	}
	d := &salesforceDoor{fate: f, url: "http://" + l.Addr().String(), client: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}, ended: make(chan struct{})}
	d.http = &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, lifeKey{}, f.join(func() { _ = c.Close() }))
	}}
	go func() {
		defer close(d.ended)
		_ = d.http.Serve(l) // it ends with close
	}()
	return d, nil
}

func (d *salesforceDoor) close() {
	_ = d.http.Close()
	<-d.ended
	d.client.CloseIdleConnections()
}

// ServeHTTP implements [http.Handler]. A panic is how a handler drops a connection.
func (d *salesforceDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	life, _ := r.Context().Value(lifeKey{}).(int)
	what := r.Method + " " + r.URL.Path
	body, err := io.ReadAll(r.Body)
	if err != nil || !d.fate.effect(life, func() string { return "written: " + what }) {
		panic(http.ErrAbortHandler)
	}
	// Who listens at the stream goes when he dies; other requests run on.
	ctx := context.WithoutCancel(r.Context())
	stream := strings.HasPrefix(r.URL.Path, "/cometd")
	if stream {
		ctx = r.Context()
	}
	writes := r.Method != http.MethodGet && !stream && !strings.HasPrefix(r.URL.Path, "/services/oauth2")
	alive := !writes || d.fate.effect(life, func() string { return "passed on: " + what })
	base, _ := d.org.Load().(string)
	to, err := url.Parse(base)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	to.Path, to.RawPath, to.RawQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
	q := (&http.Request{Method: r.Method, URL: to, Header: r.Header.Clone(), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Proto: r.Proto}).WithContext(ctx)
	q.Header.Del("Connection")
	answer, err := d.client.RoundTrip(q)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !alive || !d.fate.effect(life, func() string { return "answered: " + what }) {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(text) // who has gone needs no answer
}
