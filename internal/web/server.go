package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hcbridge/internal/status"
)

// Failure is a write that Salesforce refused or a record that could not be
// stored.
type Failure struct {
	Direction string    `json:"direction"` // "write" to Salesforce or "read" from it
	ID        int64     `json:"id,omitempty"`
	Object    string    `json:"object"`
	Table     string    `json:"table"`
	RecordID  int64     `json:"record_id,omitempty"`
	SFID      string    `json:"sfid,omitempty"`
	Action    string    `json:"action,omitempty"`
	Code      string    `json:"code,omitempty"`
	Message   string    `json:"message"`
	At        time.Time `json:"at"`
}

// Errors lists what failed, newest first, at most limit.
type Errors func(ctx context.Context, limit int) ([]Failure, error)

// Config says what to serve and to whom.
type Config struct {
	Board   *status.Board
	Errors  Errors
	Retry   Settle
	Ignore  Settle
	Plan    Plan
	Addr    string // host:port
	Token   string // empty = none
	Version string
}

// Server serves the pages. See the package comment for who may see what.
type Server struct {
	cfg      Config
	loopback bool
	handler  http.Handler

	began     time.Time
	listening atomic.Int32 // pages
}

// New returns a server. It does no I/O.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, loopback: IsLoopback(cfg.Addr), began: time.Now()}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(cfg.Board, cfg.Version),
	)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /{$}", s.guard(s.page))
	mux.Handle("GET /assets/", s.guard(http.FileServerFS(files).ServeHTTP))
	mux.Handle("GET /live", s.guard(s.live))
	own := http.NewCrossOriginProtection() // what another site chose must not be taken for one's own
	mux.Handle("GET /mapping", s.guard(s.mappingGet))
	mux.Handle("POST /mapping", own.Handler(s.guard(s.mappingPost)))
	mux.Handle("POST /mapping/env", own.Handler(s.guard(s.download("hcbridge.env", "text/plain; charset=utf-8", func(m Mapping) string { return m.Block }))))
	mux.Handle("POST /mapping/file", own.Handler(s.guard(s.download("mapping.json", "application/json", func(m Mapping) string { return m.File }))))
	mux.Handle("POST /api/errors/retry", s.actor(s.act("sent or read again", cfg.Retry)))
	mux.Handle("POST /api/errors/ignore", s.actor(s.act("dismissed", cfg.Ignore)))
	mux.Handle("GET /api/status", s.guard(s.status))
	mux.Handle("GET /api/errors", s.guard(s.errors))
	mux.Handle("GET /api/objects", s.guard(s.objects))
	mux.Handle("GET /api/objects/{name}", s.guard(s.object))
	s.handler = secure(routed(mux))
	return s
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run listens until ctx ends. It returns nil exactly when ctx ended.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return err //nolint:wrapcheck // names the address
	}
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// IsLoopback reports whether an address, with or without a port, is of this machine only.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
