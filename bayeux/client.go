package bayeux

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Credentials returns the endpoint, for example
// "https://acme.my.salesforce.com/cometd/64.0", and a token for it. It is asked
// before every session. refused is the token that the server has just refused
// (then another is wanted, and perhaps another endpoint), and "" otherwise. It
// is called once per refusal; if it fails, again after a wait of 30 s at most, so
// what makes logins has to space them. A token counts as refused, too, where the
// endpoint redirects, or where nobody there answers handshakes: the server may have
// moved. What happened is in [Status].LastError.
type Credentials func(ctx context.Context, refused string) (endpoint, token string, err error)

// Client subscribes to channels and delivers their events.
type Client struct {
	options
	cred    Credentials
	handler Handler

	subs    *registry
	posts   posts
	board   board
	running atomic.Bool

	base http.RoundTripper
	own  *http.Transport // base if it is ours to close, else nil

	socketFrom time.Time // when a WebSocket may be tried again; Run's

	// patient gives the first connect of the next session, which is to be answered
	// at once, the time of one that is held: the last was not answered, as where a
	// server holds it all the same or a long reply comes slowly. Run's.
	patient bool

	// open makes the transport of a session; tests put their own here.
	open func(endpoint, token string) (transport, error)
}

// New returns a client that takes its endpoint and token from cred and hands
// events to h. It does no I/O.
func New(cred Credentials, h Handler, opts ...Option) (*Client, error) {
	o := defaultOptions()
	for _, opt := range opts {
		opt(&o)
	}
	problem := o.validate()
	if cred == nil || h == nil {
		problem = errors.Join(problem, errors.New("credentials or handler: is nil"))
	}
	if problem != nil {
		return nil, fmt.Errorf("bayeux: %w", problem)
	}
	o.log = o.log.With().Str("component", "bayeux").Logger()

	c := &Client{options: o, cred: cred, handler: h, subs: newRegistry()}
	switch {
	case o.httpClient == nil:
		c.own = newTransport()
		c.base = c.own
	case o.httpClient.Transport != nil:
		c.base = o.httpClient.Transport
	default:
		c.base = http.DefaultTransport
	}
	c.open = func(endpoint, token string) (transport, error) {
		return newLongPolling(c.base, endpoint, token, c.maxReply)
	}
	return c, nil
}

// Subscribe adds a subscription, or replaces that of the same channel. While
// Run is active it takes effect at once, without disturbing the others.
func (c *Client) Subscribe(s Subscription) { c.subs.add(s) }

// Unsubscribe removes the subscription of channel, written as it was for
// Subscribe. Events that are already under way may still arrive.
func (c *Client) Unsubscribe(channel string) { c.subs.remove(channel) }

// Status returns what the client is doing.
func (c *Client) Status() Status { return c.board.read() }

// Run subscribes and delivers events until ctx ends, then disconnects, which
// takes 5 s at most, and returns nil. A session that is just being opened is
// disconnected too. It returns an error, that is [ErrRefused]
// or [ErrEndpoint], if no retry can heal what is wrong. Without subscriptions
// it waits for one, or for something to publish.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return fmt.Errorf("bayeux: %w", ErrRunning)
	}
	defer c.running.Store(false)
	defer c.board.enter(Stopped)
	defer c.closeIdle()

	pace := pacer{quick: c.quick, login: c.login, slow: c.slow, spent: c.spent}
	refused := ""
	for ctx.Err() == nil {
		if c.await(ctx); ctx.Err() != nil {
			break
		}
		c.board.enter(Connecting)
		e, token, connected := c.session(ctx, refused)
		if ctx.Err() != nil {
			break
		}
		if e.act == actStop {
			c.log.Error().Str("event", "stopped").Err(e.err).Msg("the server will not have us")
			return fmt.Errorf("bayeux: %w", e.err)
		}
		if token != "" { // else there was none to refuse this time
			refused = ""
			if pace.astray(e) || e.act == actLogin {
				refused = token
			}
		}
		wait := pace.next(e, connected)
		c.lost(e, &pace, wait)
		sleep(ctx, wait)
	}
	return nil
}

// session runs one session from token to end. It also returns the token, "" if
// none could be had, and how long the session was connected.
func (c *Client) session(ctx context.Context, refused string) (end, string, time.Duration) {
	endpoint, token, err := c.cred(ctx, refused)
	if err == nil && token == "" {
		err = errors.New("empty token")
	}
	if err != nil {
		// Not actLogin: no token was refused, and logins are spaced by those who make them.
		return end{act: actAgain, err: fmt.Errorf("credentials: %w", err)}, "", 0
	}
	t, err := c.open(endpoint, token)
	if err != nil {
		return end{act: actStop, err: err}, token, 0
	}
	s := newSession(c, t)
	e := s.run(ctx)
	var connected time.Duration
	if !s.connectedAt.IsZero() {
		connected = time.Since(s.connectedAt)
	}
	if unusable := (*Error)(nil); errors.As(e.err, &unusable) && unusable.unanswered() {
		c.closeIdle() // what broke one connection has often broken all
	}
	return e, token, connected
}

// await returns when there is something to subscribe or publish, or ctx ends.
func (c *Client) await(ctx context.Context) {
	for len(c.subs.snapshot()) == 0 && c.posts.empty() {
		c.board.enter(Idle)
		select {
		case <-ctx.Done():
			return
		case <-c.subs.wake:
		}
	}
}

// lost reports the end of a session that Run goes on from.
func (c *Client) lost(e end, pace *pacer, wait time.Duration) {
	if e.err == nil {
		return
	}
	c.board.enter(Waiting)
	failures := pace.failures + pace.refusals + pace.slows
	c.board.update(func(s *Status) { s.Failures, s.LastError = failures, e.err })
	level := zerolog.WarnLevel
	if e.act == actResume && failures == 1 {
		level = zerolog.InfoLevel // servers move; this is their way to say so
	}
	c.log.WithLevel(level).Str("event", "session_lost").Err(e.err).
		Int("attempt", failures).Int64("wait_ms", wait.Milliseconds()).Msg("session lost")
}

// closeIdle lets the next exchange dial, where the connections are ours.
func (c *Client) closeIdle() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}
