package cometd

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is the Streaming API endpoint of one org. It is an [http.Handler] for
// every path below /cometd.
type Server struct {
	cfg Config

	mu       sync.Mutex
	closed   bool
	random   *rand.Rand
	sessions map[string]*session
	channels map[string]*channel
	seq      uint64
	bus      int64 // newest replay id of the high-volume channels
	stored   int64 // bytes in all channels

	spent      int // events delivered since spentSince
	spentSince time.Time

	faults
	counters
}

// firstBusID is about where recorded replay ids of change events are.
const firstBusID = 37_904_280

// New returns a server. It listens nowhere: mount it.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg:        cfg,
		random:     rand.New(rand.NewPCG(cfg.Seed, 0x636f6d657464)),
		sessions:   map[string]*session{},
		channels:   map[string]*channel{},
		bus:        firstBusID,
		spentSince: cfg.Clock(),
		faults:     faults{copies: 1, controls: map[string][]control{}},
	}
}

// Close answers every parked poll and refuses later requests with 503.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, sess := range s.sessions {
		sess.release(endNow)
	}
}

// exchange is one HTTP request and the reply that grows for it.
type exchange struct {
	w      http.ResponseWriter
	r      *http.Request
	token  string
	user   string
	authed bool
	alone  bool // the request holds one message

	session *session // the newest session a message belonged to
	ride    bool     // pending events may leave with this reply
	replies []reply
	events  []outgoing
	gone    bool // the client went away: nothing to answer
}

// ServeHTTP answers one Bayeux request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	if len(body) > maxRequest {
		http.Error(w, "Maximum Request Size Exceeded", http.StatusRequestEntityTooLarge)
		return
	}
	msgs, err := parseRequests(body)
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	x := &exchange{w: w, r: r, token: bearer(r), alone: len(msgs) == 1}
	if x.token != "" {
		x.user, x.authed = s.cfg.Authenticate(x.token)
	}
	s.serve(x, msgs)
}

func (s *Server) serve(x *exchange, msgs []*request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		http.Error(x.w, "Service Unavailable", http.StatusServiceUnavailable)
		return
	}
	version := versionError(x.r.URL.Path)
	for _, m := range msgs {
		// A handshake travels alone: what came with it is ignored (Bayeux 1.0,
		// "Handshake request message").
		if m.Channel == metaHandshake {
			msgs = []*request{m}
			break
		}
	}
	for _, m := range msgs {
		var answer reply
		switch {
		case version != "":
			answer = m.fail(m.ClientID, version)
			answer["advice"] = reply{"reconnect": "none"}
		case m.Channel == metaHandshake:
			answer = s.handshake(x, m)
		case m.Channel == metaConnect:
			answer = s.connect(x, m)
		case m.Channel == metaSubscribe:
			answer = s.subscribe(x, m)
		case m.Channel == metaUnsubscribe:
			answer = s.unsubscribe(x, m)
		case m.Channel == metaDisconnect:
			answer = s.disconnect(x, m)
		default:
			answer = m.fail("", "403:denied_by_security_policy:publish_denied")
		}
		if x.gone {
			s.mu.Unlock()
			return
		}
		x.replies = append(x.replies, s.controlled(m, answer)...)
	}
	if x.session != nil {
		s.finish(x)
	}
	copies := s.copies
	eventsFirst := s.random.IntN(2) == 0
	s.mu.Unlock()
	write(x.w, x.replies, s.render(x.user, x.events, copies), eventsFirst)
}

// finish adds what leaves with any reply of a session: pending events if they
// may ride along, a new cookie, the end of the session.
func (s *Server) finish(x *exchange) {
	sess := x.session
	sess.last = time.Now()
	if x.ride && x.events == nil {
		if out, wait := s.pending(sess); wait <= 0 {
			x.events = s.take(out)
		}
	}
	if sess.rotate {
		sess.renewStream(s.newID())
		setStream(x, sess.stream)
		sess.rotate = false
	}
	if sess.ending {
		x.replies = append([]reply{{"channel": metaDisconnect, "clientId": sess.id, "successful": true}}, x.replies...)
		s.remove(sess, endGone)
	}
}

// newID returns 27 characters of base 36, as the ids of Salesforce look.
func (s *Server) newID() string {
	var b strings.Builder
	b.WriteByte('1')
	for b.Len() < 27 {
		b.WriteString(strconv.FormatUint(s.random.Uint64N(36), 36))
	}
	return b.String()
}

// bearer returns the token of a request. "OAuth" is as good as "Bearer".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "OAuth") {
		return strings.TrimSpace(token)
	}
	return ""
}

// versionError checks the version in a path such as /cometd/66.0/connect.
// Clients may append the kind of message to the path.
func versionError(path string) string {
	rest := strings.Trim(strings.TrimPrefix(path, "/cometd"), "/")
	version, _, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseFloat(version, 64)
	switch {
	case err != nil:
		return errNoVersion
	case n < 37:
		return errOldVersion
	}
	return ""
}

// plain turns a reply into the types that encoding/json produces.
func (r reply) plain() map[string]any {
	b, err := json.Marshal(r)
	if err != nil {
		return r
	}
	var out map[string]any
	if json.Unmarshal(b, &out) != nil {
		return r
	}
	return out
}
