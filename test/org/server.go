package org

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/test/org/bulk"
	"hcbridge/test/org/cometd"
	"hcbridge/test/org/sobject"
)

// Server is a simulated org. Make one with [New], then [Server.Start] or
// [Server.Listen]. All methods are safe for concurrent use.
type Server struct {
	opt     Options
	log     zerolog.Logger
	store   *sobject.Memory
	org     *sobject.Org
	stream  *cometd.Server
	jobs    *bulk.Server
	topics  *topics
	capture *capture
	journal *journal
	cursors *cursors

	orgID string
	user  *user // the integration user

	closing chan struct{}
	serving sync.WaitGroup

	// writing makes a composite request, or a condition and its write, one step
	// to the other writers. It is taken before mu and before the org's locks.
	writing sync.Mutex

	mu             sync.Mutex
	users          map[string]*user // by user name
	sessions       map[string]*session
	refreshToken   string // the one that is good now
	refreshRevoked bool
	assertions     map[string]time.Time // jti → exp
	faults         []*Injected
	mounts         map[string]http.Handler
	servers        []*http.Server
	addresses      []string // base URLs, the first is URL
	moved          string   // base URL of the instance after MovesTo
	calls          int      // API calls counted against the limit
	limit          int
	lag            time.Duration // of latestDateCovered
	defined        time.Time     // when the schema changed last
	triggers       []func(*sobject.Draft) error
	hidden         map[string]map[string]bool // object → field, both in lower case
	denyTopics     bool
	denyChannels   bool
	denied         map[string]bool // objects, by lower-case name
	erased         map[string]bool // deleted fields, by lower-case object.field
	omitted        map[string]bool // object.field in lower case, left out of events
	veiled         map[string]bool // ids out of the integration user's sight
	archived       map[string]bool // ids that only queryAll shows
	reversed       bool            // the events of every two changes
	shortIDs       bool            // ids of 15 characters in answers
	heldBack       []sobject.Change
	closed         bool
}

// New returns an org that does not listen yet. It panics if the schema lacks
// User, Organization or PushTopic.
func New(opt Options) *Server {
	opt = opt.withDefaults()
	s := &Server{
		opt:          opt,
		refreshToken: opt.RefreshToken,
		log:          opt.Log,
		store:        sobject.NewMemory(),
		journal:      newJournal(),
		closing:      make(chan struct{}),
		users:        map[string]*user{},
		sessions:     map[string]*session{},
		assertions:   map[string]time.Time{},
		mounts:       map[string]http.Handler{},
		hidden:       map[string]map[string]bool{},
		limit:        opt.DailyLimit,
		lag:          opt.ReplicationLag,
		defined:      opt.Now(),
	}
	for _, o := range opt.Objects {
		s.store.Define(o)
	}
	s.org = sobject.NewOrg(s.store, opt.Now)
	s.cursors = newCursors(opt.Now)
	s.settle()
	s.stream = s.newStream()
	s.jobs = s.newJobs()
	s.topics = newTopics(s, opt.TopicLimit)
	s.capture = newCapture(s)
	s.org.SetAccess(s.access)
	s.Trigger(s.checkTopic)
	s.org.Watch(s.topics.watch)
	s.org.Watch(s.capture.watch)
	s.org.Watch(s.count)
	return s
}

// settle gives the users that the org is born with their names.
func (s *Server) settle() {
	s.orgID = s.org.ID()
	for id, name := range map[string]string{s.org.Integration(): s.opt.Username, s.org.Admin(): DefaultOther} {
		s.setUp(sobject.Op{Kind: sobject.Update, Object: "User", ID: id, Fields: map[string]any{"Username": name, "Email": name}})
		s.users[name] = s.userOf(id)
	}
	s.user = s.users[s.opt.Username]
}

// setUp carries out one operation of the administrator that cannot fail.
func (s *Server) setUp(op sobject.Op) string {
	res := s.org.Commit(sobject.Origin{API: "setup"}, true, []sobject.Op{op})[0]
	if res.Err != nil {
		panic(fmt.Sprintf("org: %s %s: %v", op.Kind, op.Object, res.Err))
	}
	return res.ID
}

func (s *Server) userOf(id string) *user {
	ob := s.store.Object("User")
	rec, _ := s.store.Get("User", id)
	text := func(field string) string { v, _ := rec.Get(ob, field).(string); return v }
	return &user{ID: id, Username: text("Username"), Name: text("Name"), Email: text("Email")}
}

// count keeps the truth log of writes.
func (s *Server) count(tx sobject.Tx) {
	ids := make([]string, len(tx.Changes))
	for i, c := range tx.Changes {
		if ids[i] = c.After.ID; ids[i] == "" {
			ids[i] = c.Before.ID
		}
	}
	s.journal.wrote(tx.Origin.API, ids)
}

// Start listens on a free loopback port. It panics if there is none.
func (s *Server) Start() *Server {
	if err := s.Listen("127.0.0.1:0"); err != nil {
		panic("org: " + err.Error())
	}
	return s
}

// Listen serves on a TCP address, such as "127.0.0.1:8801", until Close. A
// second call adds a second address; [Server.URL] stays the first.
func (s *Server) Listen(addr string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = l.Close()
		return http.ErrServerClosed
	}
	s.servers = append(s.servers, srv)
	s.addresses = append(s.addresses, baseURL(l.Addr()))
	s.serving.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.serving.Done()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error().Err(err).Str("component", "org").Str("event", "serve_failed").Msg("no longer serving")
		}
	}()
	return nil
}

// baseURL names a listener; one on all addresses is named by loopback.
func baseURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// URL is the base URL, "http://127.0.0.1:PORT"; "" before the first Listen.
// It serves as login URL and as instance URL.
func (s *Server) URL() string {
	if urls := s.urls(); len(urls) > 0 {
		return urls[0]
	}
	return ""
}

func (s *Server) urls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[:len(s.addresses):len(s.addresses)]
}

// instanceURL is what token answers call the org.
func (s *Server) instanceURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.moved != "":
		return s.moved
	case s.opt.InstanceURL != "":
		return s.opt.InstanceURL
	case len(s.addresses) > 0:
		return s.addresses[0]
	}
	return ""
}

// Close stops serving: held answers and parked polls go, connections are
// closed, jobs end. It returns when the server's goroutines have ended.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	servers := s.servers
	s.mu.Unlock()
	close(s.closing)
	s.stream.Close()
	s.jobs.Close()
	for _, srv := range servers {
		_ = srv.Close() // the listener is ours to close, whatever it says
	}
	s.serving.Wait()
}

// Handle serves a path prefix, such as "/_org/", by h: beside the org, out of
// reach of faults, counters and the journal.
func (s *Server) Handle(prefix string, h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounts[prefix] = h
}
