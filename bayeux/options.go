package bayeux

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

const (
	// Salesforce holds an idle connect for 110 s ("Streaming API Developer
	// Guide, Clients and Timeouts") and says so in its advice.
	defaultPollTimeout = 110 * time.Second
	defaultPollGrace   = 20 * time.Second

	// "Platform Events Developer Guide, Subscribe with CometD" asks for buffers
	// of at least 10 MB.
	defaultMaxReply = 64 << 20

	// The server removes a session 40 s after its last reply.
	handlerTimeout    = 30 * time.Second
	answerTimeout     = 30 * time.Second // of all that is not held
	stallTimeout      = 30 * time.Second // of the rest of a reply that has begun
	disconnectTimeout = 5 * time.Second
)

// Option changes a default of [New].
type Option func(*options)

type options struct {
	log         zerolog.Logger
	httpClient  *http.Client
	pollTimeout time.Duration
	pollGrace   time.Duration
	maxReply    int64
	quick       func(attempt int) time.Duration
	login       func(attempt int) time.Duration
	slow        func(attempt int) time.Duration
	spent       func(attempt int) time.Duration
	webSocket   bool
	ack         bool
}

func defaultOptions() options {
	return options{
		log:         zerolog.Nop(),
		pollTimeout: defaultPollTimeout,
		pollGrace:   defaultPollGrace,
		maxReply:    defaultMaxReply,
		quick:       exponential(time.Second, 30*time.Second),
		login:       exponential(time.Second, 5*time.Minute),
		slow:        exponential(time.Minute, 5*time.Minute),
		spent:       exponential(time.Minute, time.Hour),
	}
}

// WithLogger sets where the client logs, overriding the default of nowhere.
// Sessions are reported at info, what heals by itself at warn.
func WithLogger(log zerolog.Logger) Option {
	return func(o *options) { o.log = log }
}

// WithHTTPClient takes the transport of hc instead of one of the package's own.
// Its jar, redirect policy and timeout are not used: every session has a jar of
// its own, redirects are refused, and each request has a deadline of its own.
func WithHTTPClient(hc *http.Client) Option {
	return func(o *options) { o.httpClient = hc }
}

// WithPollTimeout sets how long the server is expected to hold an idle connect
// as long as it has not advised a timeout itself, overriding the default of
// 110 s.
func WithPollTimeout(d time.Duration) Option {
	return func(o *options) { o.pollTimeout = d }
}

// WithPollGrace sets how long past the server's timeout a reply may take before
// the connection counts as dead, overriding the default of 20 s.
func WithPollGrace(d time.Duration) Option {
	return func(o *options) { o.pollGrace = d }
}

// WithBackoff sets the wait before the attempt-th retry in a row, counted from
// 1, overriding the default that doubles from 1 s to 30 s (to 5 min after
// refused tokens), less up to half of it as jitter. The first new session after
// a lost one, and the first new token, do not wait.
func WithBackoff(wait func(attempt int) time.Duration) Option {
	return func(o *options) { o.quick, o.login = wait, wait }
}

// WithSlowBackoff sets the wait after the attempt-th refusal in a row that only
// time can heal (server too busy, limits of the org used up), overriding the
// default that doubles from 1 min to 5 min (to 1 h where the events of the day are
// used up), less up to half of it as jitter.
func WithSlowBackoff(wait func(attempt int) time.Duration) Option {
	return func(o *options) { o.slow, o.spent = wait, wait }
}

// WithMaxReply sets how many bytes a reply may have after decompression,
// overriding the default of 64 MB. A larger one is not used; see
// [Error.TooLarge].
func WithMaxReply(bytes int64) Option {
	return func(o *options) { o.maxReply = bytes }
}

// WithWebSocket goes over to a WebSocket after the handshake where the server
// offers that, overriding the default of long-polling only, which is all that
// Salesforce has. If the server then refuses, or the WebSocket breaks within
// 10 s, long-polling is used for the next 10 min. Proxy, dialer and TLS
// settings are those of the transport in [WithHTTPClient], if that is an
// [*http.Transport].
func WithWebSocket() Option {
	return func(o *options) { o.webSocket = true }
}

// WithAck offers CometD's acknowledgement extension, overriding the default of
// not doing so; Salesforce does not have it. If the server agrees, an event
// counts as received when the handler has returned nil for it: after a lost
// reply and after a handler's error the events are asked for again in the same
// session. The price is that the next poll waits for the handler, which must
// then be faster than the server's patience (CometD's maxInterval, 10 s).
func WithAck() Option {
	return func(o *options) { o.ack = true }
}

func (o *options) validate() error {
	var problems []error
	if o.pollTimeout <= 0 {
		problems = append(problems, fmt.Errorf("poll timeout %s: must be positive", o.pollTimeout))
	}
	if o.pollGrace <= 0 {
		problems = append(problems, fmt.Errorf("poll grace %s: must be positive", o.pollGrace))
	}
	if o.maxReply <= 0 {
		problems = append(problems, fmt.Errorf("reply limit %d: must be positive", o.maxReply))
	}
	if o.quick == nil || o.slow == nil {
		problems = append(problems, errors.New("backoff: is nil"))
	}
	return errors.Join(problems...)
}

// newTransport speaks HTTP/1.1 only: a dead HTTP/2 connection would take every
// session after it down, since requests that time out do not close it.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: 2, // the parked connect and one beside it
		IdleConnTimeout:     90 * time.Second,

		MaxResponseHeaderBytes: 256 << 10,
	}
}
