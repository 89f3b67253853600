package bayeux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a Bayeux server behind a transport: it keeps sessions, holds connects
// and records requests, all on the clock of the test. Replies queued with
// control replace its own.
type fake struct {
	mu       sync.Mutex
	start    time.Time
	log      []sent
	queued   map[string][]string // by meta channel
	session  string              // client id of the live session
	sessions int
	polls    int
	hold     time.Duration
	holdsAll bool // the first connect of a session too
	parked   int  // connects held now
	mostly   int  // and the most there ever were
	events   []string
	wake     chan struct{}
	tokens   []string

	acks  bool // offers acknowledgement
	batch int64
	kept  []string // events that were sent but not acknowledged
}

// sent is a request as the server got it.
type sent struct {
	at    time.Duration
	size  int
	batch []request
}

func newFake() *fake {
	return &fake{start: time.Now(), queued: map[string][]string{}, hold: 110 * time.Second, wake: make(chan struct{})}
}

func (f *fake) kind() string { return "long-polling" }

// Replies that are no JSON stand for what happens to a connection.
const (
	lost  = "lost"  // the connection breaks
	stuck = "stuck" // nothing comes until the deadline
	eaten = "eaten" // the server answers, but nobody gets to see it
	late  = "late"  // the server answers after 3 s
)

// control queues replies to requests on channel. In them $id is the id of the
// first message of the request.
func (f *fake) control(channel string, replies ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queued[channel] = append(f.queued[channel], replies...)
}

// publish sends an event with the next connect, or with the one held now.
func (f *fake) publish(messages ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, messages...)
	close(f.wake)
	f.wake = make(chan struct{})
}

func event(channel string, replayID int64) string {
	return fmt.Sprintf(`{"channel":%q,"data":{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":%d,"type":"created"},`+
		`"sobject":{"Id":"a001t000002SlMpAAK"}}}`, channel, replayID)
}

func (f *fake) exchange(ctx context.Context, body []byte) ([]byte, error) {
	var batch []request
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.log = append(f.log, sent{time.Since(f.start), len(body), batch})
	channel, canned := batch[0].Channel, ""
	if q := f.queued[channel]; len(q) > 0 {
		canned, f.queued[channel] = q[0], q[1:]
	}
	f.mu.Unlock()
	switch canned {
	case "":
		return f.answer(ctx, batch)
	case "large":
		return nil, &Error{Err: errTooLarge}
	case lost:
		return nil, &Error{Err: errors.New("connection reset")}
	case eaten:
		_, _ = f.answer(ctx, batch)
		return nil, &Error{Err: errors.New("connection reset")}
	case late:
		select {
		case <-time.After(3 * time.Second):
			return f.answer(ctx, batch)
		case <-ctx.Done():
			return nil, &Error{Err: context.Cause(ctx)}
		}
	case stuck:
		<-ctx.Done()
		return nil, &Error{Err: context.Cause(ctx)}
	}
	if status, err := strconv.Atoi(canned); err == nil {
		return nil, &Error{HTTPStatus: status}
	}
	return []byte(strings.ReplaceAll(canned, "$id", batch[0].ID)), nil
}

// answer is what a server does that nothing is wrong with.
func (f *fake) answer(ctx context.Context, batch []request) ([]byte, error) {
	var out []string
	for _, m := range batch {
		switch m.Channel {
		case metaHandshake:
			f.mu.Lock()
			f.sessions++
			f.polls = 0
			f.session = "client" + strconv.Itoa(f.sessions)
			ext := `"replay":true,"payload.format":true`
			if f.acks {
				ext = `"ack":true`
			}
			out = append(out, fmt.Sprintf(`{"ext":{%s},"minimumVersion":"1.0","clientId":%q,`+
				`"supportedConnectionTypes":["long-polling","websocket"],"channel":"/meta/handshake","id":%q,"version":"1.0","successful":true}`, ext, f.session, m.ID))
			f.mu.Unlock()
		case metaConnect:
			out = append(out, f.connect(ctx, m)...)
			if ctx.Err() != nil {
				return nil, &Error{Err: context.Cause(ctx)}
			}
		default:
			out = append(out, fmt.Sprintf(`{"clientId":%q,"channel":%q,"id":%q,"subscription":%q,"successful":true}`,
				m.ClientID, m.Channel, m.ID, m.Subscription))
		}
	}
	return []byte("[" + strings.Join(out, ",") + "]"), nil
}

func (f *fake) connect(ctx context.Context, m request) []string {
	f.mu.Lock()
	f.polls++
	first := f.polls == 1
	f.parked++
	f.mostly = max(f.mostly, f.parked)
	if acked, ok := m.Ext["ack"].(float64); f.acks && ok && int64(acked) < f.batch {
		f.events = append(f.kept, f.events...)
	}
	f.kept = nil
	wake, events := f.wake, f.events
	f.mu.Unlock()
	if (!first || f.holdsAll) && len(events) == 0 {
		t := time.NewTimer(f.hold)
		defer t.Stop()
		select {
		case <-t.C:
		case <-wake:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parked--
	if ctx.Err() != nil {
		return nil
	}
	out := f.events
	f.events = nil
	advice := ""
	if f.acks {
		f.kept = slices.Clone(out)
		f.batch++
		advice = fmt.Sprintf(`"ext":{"ack":%d},`, f.batch)
	}
	if first {
		advice += `"advice":{"interval":0,"timeout":110000,"reconnect":"retry"},`
	}
	return append(out, fmt.Sprintf(`{"clientId":%q,%s"channel":"/meta/connect","id":%q,"successful":true}`, m.ClientID, advice, m.ID))
}

// requests returns what was sent, as channel names without "/meta/".
func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, s := range f.log {
		list = append(list, strings.TrimPrefix(s.batch[0].Channel, "/meta/"))
	}
	return list
}

// on returns the requests on one channel.
func (f *fake) on(channel string) []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []sent
	for _, s := range f.log {
		if s.batch[0].Channel == channel {
			list = append(list, s)
		}
	}
	return list
}

// positions returns the positions of channel in all subscribes so far.
func (f *fake) positions(channel string) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []any
	for _, s := range f.log {
		for _, m := range s.batch {
			if replay, ok := m.Ext["replay"].(map[string]any); ok {
				if from, ok := replay[channel]; ok {
					list = append(list, from)
				}
			}
		}
	}
	return list
}

// bundle is a client running against a fake.
type bundle struct {
	t      *testing.T
	server *fake
	client *Client
	stop   context.CancelFunc
	done   chan error

	mu      sync.Mutex
	refused []string  // what credentials were asked for
	got     []Message // in the order the handler got them
	calls   int       // of the handler
	at      int64     // the position, moved by the handler
	handle  func(ctx context.Context, msgs []Message) error
	credErr error
}

const topic = "/topic/hc_Account"

// from returns the position; before the first event that is "all".
func (b *bundle) from() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == 0 {
		return FromAll
	}
	return b.at
}

// defaultPace has a bubble's client wait as it does without options.
func defaultPace(o *options) {
	d := defaultOptions()
	o.quick, o.login, o.slow, o.spent = d.quick, d.login, d.slow, d.spent
}

// bubble runs test on virtual time with a client that is not started yet.
// Whatever test leaves running is stopped and must end cleanly.
func bubble(t *testing.T, test func(b *bundle), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bundle{t: t, server: newFake(), done: make(chan error, 1)}
		fixed := func(d time.Duration) func(int) time.Duration {
			return func(attempt int) time.Duration { return time.Duration(attempt) * d }
		}
		opts := append([]Option{WithBackoff(fixed(time.Second)), WithSlowBackoff(fixed(time.Minute))}, opts...)
		client, err := New(b.credentials, b.handler, opts...)
		if err != nil {
			t.Fatal(err)
		}
		client.open = func(_, token string) (transport, error) {
			b.server.tokens = append(b.server.tokens, token)
			return b.server, nil
		}
		b.client = client
		test(b)
		if b.stop != nil {
			b.stop()
			if err := <-b.done; err != nil {
				t.Errorf("Run ended with %v, want nil", err)
			}
		}
		if b.server.mostly > 1 {
			t.Errorf("%d connects were open at a time", b.server.mostly)
		}
	})
}

func (b *bundle) credentials(_ context.Context, refused string) (string, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = append(b.refused, refused)
	if b.credErr != nil {
		return "", "", b.credErr
	}
	n := len(slices.DeleteFunc(slices.Clone(b.refused), func(s string) bool { return s == "" }))
	return "fake", "token" + strconv.Itoa(n), nil
}

func (b *bundle) handler(ctx context.Context, msgs []Message) error {
	if b.handle != nil {
		if err := b.handle(ctx, msgs); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.got = append(b.got, msgs...)
	b.at = max(b.at, msgs[len(msgs)-1].ReplayID)
	return nil
}

// run starts the client and lets it run for d.
func (b *bundle) run(d time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.stop = cancel
	go func() { b.done <- b.client.Run(ctx) }()
	b.pass(d)
}

// pass lets time pass and everything that is due in it happen.
func (b *bundle) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// ended waits for Run to return by itself.
func (b *bundle) ended() error {
	b.t.Helper()
	b.stop = nil
	select {
	case err := <-b.done:
		return err
	default:
		b.t.Fatal("Run has not returned")
		return nil
	}
}

func (b *bundle) subscribe() { b.client.Subscribe(Subscription{Channel: topic, From: b.from}) }

func (b *bundle) ids() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []int64
	for _, m := range b.got {
		list = append(list, m.ReplayID)
	}
	return list
}

func equal[E comparable](t *testing.T, what string, got []E, want ...E) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
