package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/cdc"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
)

const created = "403:denied_by_security_policy:create_denied"

// denying is an org that gives tokens and refuses subscribes, on the clock of the test.
type denying struct {
	mu     sync.Mutex
	denied int    // subscribes to Account that are to be refused
	text   string // with this error, without one they are not answered
	ended  bool   // the session is to end with the connect that is held
	away   bool   // there is no way to the stream
}

func (d *denying) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/services/oauth2/token" {
		_, _ = fmt.Fprintf(w, `{"access_token":"token","instance_url":"http://%s","id":"http://x/id/00Dx0000000BV7z/005x00000012Q9P"}`, r.URL.Host)
		return w.Result(), nil
	}
	d.mu.Lock()
	away := d.away
	d.mu.Unlock()
	if away {
		return nil, errors.New("no route to host")
	}
	var batch []struct {
		Channel, ID, Subscription string
		Advice                    *struct{}
	}
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		return nil, err
	}
	var out []string
	for _, m := range batch {
		success, more := true, `"clientId":"client"`
		switch m.Channel {
		case "/meta/handshake":
			more += `,"supportedConnectionTypes":["long-polling"],"ext":{"replay":true}`
		case "/meta/subscribe":
			d.mu.Lock()
			if success = d.denied == 0 || m.Subscription != cdc.Channel("Account"); !success {
				d.denied--
			}
			silent := !success && d.text == ""
			more += fmt.Sprintf(`,"subscription":%q,"error":%q`, m.Subscription, d.text)
			d.mu.Unlock()
			if silent {
				continue
			}
		case "/meta/connect":
			if m.Advice == nil {
				select {
				case <-time.After(110 * time.Second):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			d.mu.Lock()
			if d.away {
				d.mu.Unlock()
				return nil, errors.New("connection reset")
			}
			if d.ended {
				d.ended = false
				success, more = false, `"error":"403::Unknown client","advice":{"reconnect":"handshake"}`
			}
			d.mu.Unlock()
		}
		out = append(out, fmt.Sprintf(`{"channel":%q,"id":%q,"successful":%t,%s}`, m.Channel, m.ID, success, more))
	}
	_, _ = fmt.Fprintf(w, "[%s]", strings.Join(out, ","))
	return w.Result(), nil
}

func (d *denying) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.denied
}

// noPool is a database that is not there.
type noPool struct{ pgPool }

func (noPool) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, errors.New("no database")
}

// A channel may be denied for a moment only, be it the first time it is asked for. One
// that is denied for long is polled, and asked for again although nothing else happens.
func TestDeniedForAMoment(t *testing.T) {
	t.Parallel()
	const rights = "403::User not allowed to subscribe CDC without View All Data permissions"
	for name, c := range map[string]struct {
		text   string
		denied int
		polled time.Duration // when it is, 0 for never
		left   int           // refusals to come then, one for every ten minutes
		back   time.Duration // when it is streamed for certain
	}{
		"Once":           {created, 1, 0, 0, 2 * time.Second},
		"FiveTimes":      {created, 5, 0, 0, 32 * time.Second},
		"Longer":         {created, 6, 32 * time.Second, 0, 11 * time.Minute},
		"MuchLonger":     {created, 8, 32 * time.Second, 2, 31 * time.Minute},
		"ForAReason":     {rights, 1, time.Second, 0, 11 * time.Minute},
		"ForAReasonLong": {rights, 3, time.Second, 2, 31 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &denying{denied: c.denied, text: c.text}
				mode, streamed := deniedStream(t, d, "Account")
				shows := func(when, wanted string, left int) {
					t.Helper()
					synctest.Wait()
					if mode() != wanted || streamed() != (wanted == config.ModeCDC) || d.left() != left {
						t.Errorf("%s: %s, streamed %t, with %d refusals to come; want %s, with %d", when, mode(), streamed(), d.left(), wanted, left)
					}
				}
				if c.polled > 0 {
					time.Sleep(c.polled)
					shows("at first", config.ModePolling, c.left)
					time.Sleep(c.back - 2*time.Minute - c.polled)
					shows("later", config.ModePolling, 0)
					time.Sleep(2 * time.Minute)
				} else {
					time.Sleep(c.back)
				}
				shows("then", config.ModeCDC, 0)
				// What was denied before does not count any more.
				d.mu.Lock()
				d.ended, d.denied, d.text = true, 5, created
				d.mu.Unlock()
				time.Sleep(3 * time.Minute)
				shows("in another session", config.ModeCDC, 0)
			})
		})
	}
}

// What is asked for on and on is polled meanwhile, as soon as that takes long, whatever
// the reason is, and streamed again when it is subscribed.
func TestRefusedForLong(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"Busy":    "503::Server is too busy.  Please try your request again later.",
		"Limit":   "403::Subscription limit exceeded for this topic",
		"Unknown": "500::Internal error",
		"Silence": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &denying{denied: 1000, text: text}
				var log bytes.Buffer
				s := deniedSession(t, d, &log, "Account", "Contact")
				o := s.objects[0]
				shown := func() (b status.Object) {
					synctest.Wait()
					s.board.Object("Account", func(o *status.Object) { b = *o })
					return b
				}
				polls := 0
				pass := func(end time.Duration) {
					for ; end > 0; end -= time.Second {
						time.Sleep(time.Second)
						select {
						case <-o.pollNow:
							polls++
						default:
						}
					}
				}
				pass(18 * time.Second)
				if b := shown(); b.Message != "" || polls != 0 {
					t.Errorf("already after 18 s: %q, %d polls", b.Message, polls)
				}
				pass(5 * time.Minute)
				if b := shown(); b.ModeEffective != config.ModePolling || !strings.Contains(b.Message, "polled every 30s") || o.streamed.Load() {
					t.Errorf("then: %s, %q, streamed %t", b.ModeEffective, b.Message, o.streamed.Load())
				}
				if polls < 9 || polls > 12 {
					t.Errorf("%d polls in five minutes", polls)
				}
				if n := strings.Count(log.String(), `"not_subscribed"`); n != 1 {
					t.Errorf("told %d times", n)
				}
				var other string
				s.board.Object("Contact", func(o *status.Object) { other = o.ModeEffective + o.Message })
				if other != config.ModeCDC {
					t.Errorf("the other object: %s", other)
				}
				d.mu.Lock()
				d.denied = 0
				d.mu.Unlock()
				pass(16 * time.Minute) // the longest wait between two tries
				if b := shown(); b.ModeEffective != config.ModeCDC || b.Message != "" || !o.streamed.Load() {
					t.Errorf("subscribed again: %s, %q, streamed %t", b.ModeEffective, b.Message, o.streamed.Load())
				}
				polls = 0
				pass(5 * time.Minute)
				if polls != 0 {
					t.Errorf("%d polls for what is streamed", polls)
				}
			})
		})
	}
}

// A new session asks for what was given up in the last one, at once.
func TestDeniedUntilTheNextSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &denying{denied: 6, text: created}
		mode, streamed := deniedStream(t, d, "Account", "Contact")
		time.Sleep(time.Minute)
		if mode() != config.ModePolling || streamed() || d.left() != 0 {
			t.Errorf("after six refusals: %s, streamed %t", mode(), streamed())
		}
		d.mu.Lock()
		d.ended = true
		d.mu.Unlock()
		time.Sleep(time.Minute)
		if mode() != config.ModeCDC || !streamed() {
			t.Errorf("in another session: %s, streamed %t", mode(), streamed())
		}
	})
}

// Row 9: while there is no session, objects are polled every minute, and not only at
// their interval; one whose interval somebody has set, once when the session goes down.
func TestPolledWhileTheSessionIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &denying{}
		s := deniedSession(t, d, io.Discard, "Account", "Contact")
		s.objects[0].cfg.PollRelaxed = true
		go func() { _ = s.stream.pollAway(t.Context()) }()
		polls := func(during time.Duration) (n [2]int) {
			for range int(during / time.Second) {
				time.Sleep(time.Second)
				synctest.Wait()
				for i, o := range s.objects {
					select {
					case <-o.pollNow:
						n[i]++
					default:
					}
				}
			}
			return n
		}
		polls(5 * time.Second) // of what the beginning asks for
		if n, streamed := polls(10*time.Minute), s.objects[0].streamed.Load(); n != [2]int{} || !streamed {
			t.Errorf("streamed %t, polled %d times", streamed, n)
		}
		d.mu.Lock()
		d.away = true
		d.mu.Unlock()
		if n := polls(3 * time.Minute); n[0] < 1 || n[1] != 1 { // the connect that is held ends
			t.Errorf("polled %d times when the session went down", n)
		}
		if n := polls(10 * time.Minute); n != [2]int{10, 0} {
			t.Errorf("polled %d times in ten minutes without a session, want every minute and never", n)
		}
		down := status.SFUnavailable
		s.trouble.Store(&down)
		if n := polls(10 * time.Minute); n != [2]int{} {
			t.Errorf("polled %d times while Salesforce does not answer", n)
		}
	})
}

// deniedStream has a stream work, of objects with change events, and tells of the first.
func deniedStream(t *testing.T, d *denying, names ...string) (mode func() string, streamed func() bool) {
	t.Helper()
	s := deniedSession(t, d, io.Discard, names...)
	mode = func() (m string) {
		s.board.Object(names[0], func(o *status.Object) { m = o.ModeEffective })
		return m
	}
	return mode, s.objects[0].streamed.Load
}

// deniedSession is a session of which nothing but the stream works.
func deniedSession(t *testing.T, d *denying, log io.Writer, names ...string) *session {
	t.Helper()
	hc := &http.Client{Transport: d}
	sf, err := salesforce.New(salesforce.Config{
		LoginURL: "http://127.0.0.1:9", Auth: salesforce.AuthPassword, ClientID: "x", ClientSecret: "secret", Username: "u", Password: "password", HTTPClient: hc,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{sf: sf, pool: noPool{}, unsafe: "a test"}
	cfg := &config.Config{}
	for _, name := range names {
		o := config.Object{Name: name, Mode: config.ModeCDC}
		cfg.Objects = append(cfg.Objects, o)
		s.objects = append(s.objects, &object{mapping: &mapping{cfg: o}, pollNow: make(chan struct{}, 1)})
	}
	s.Bridge = New(cfg, "test", zerolog.Nop())
	s.stream = &stream{
		s: s, log: zerolog.New(log), dog: newWatchdog(), wake: make(chan struct{}, 1), name: "test", caged: true,
		up: time.Now(), channels: map[string]*channel{}, shown: map[string]string{}, renew: func() {},
	}
	s.stream.client, err = bayeux.New(s.stream.credentials, func(context.Context, []bayeux.Message) error { return nil }, bayeux.WithHTTPClient(hc))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.stream.run(ctx) })
	wg.Go(func() { _ = s.stream.keep(ctx, nil) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return s
}
