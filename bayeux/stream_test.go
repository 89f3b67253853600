package bayeux

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// tube is a fake that can be upgraded.
type tube struct {
	*fake
	refuse   bool
	upgrades int
	end      context.CancelCauseFunc // of the newest
	in       chan []byte
}

type tubeEnd struct {
	*tube
	ctx context.Context
	end context.CancelCauseFunc
	in  chan []byte
}

func (f *tube) upgrade(context.Context) (duplex, error) {
	f.upgrades++
	if f.refuse {
		return nil, &Error{HTTPStatus: 405, Err: websocket.ErrBadHandshake}
	}
	f.in = make(chan []byte, 1000)
	var ctx context.Context
	ctx, f.end = context.WithCancelCause(context.Background())
	return &tubeEnd{tube: f, ctx: ctx, end: f.end, in: f.in}, nil
}

func (e *tubeEnd) read() ([]byte, error) {
	select {
	case frame := <-e.in:
		return frame, nil
	case <-e.ctx.Done():
		return nil, &Error{Err: context.Cause(e.ctx)}
	}
}

func (e *tubeEnd) write(batch []byte) error {
	if e.ctx.Err() != nil {
		return context.Cause(e.ctx)
	}
	go func() {
		out, err := e.exchange(e.ctx, batch)
		if err != nil {
			e.end(err)
			return
		}
		e.in <- out
	}()
	return nil
}

func (e *tubeEnd) close() { e.end(errors.New("closed")) }

// push sends an event in a frame of its own.
func (f *tube) push(ids ...int64) {
	for _, id := range ids {
		f.in <- []byte("[" + event(topic, id) + "]")
	}
}

func tubes(t *testing.T, test func(b *bundle, f *tube), opts ...Option) {
	t.Helper()
	bubble(t, func(b *bundle) {
		f := &tube{fake: b.server}
		b.client.open = func(string, string) (transport, error) { return f, nil }
		b.subscribe()
		test(b, f)
	}, append(opts, WithWebSocket())...)
}

func TestStream(t *testing.T) {
	t.Parallel()

	t.Run("GoesOverToIt", func(t *testing.T) {
		t.Parallel()
		tubes(t, func(b *bundle, f *tube) {
			b.run(5 * time.Minute)
			equal(t, "requests", f.requests(), "handshake", "subscribe", "connect", "connect", "connect", "connect")
			if h := f.on(metaHandshake)[0].batch[0]; fmt.Sprint(h.SupportedConnectionTypes) != "[long-polling websocket]" {
				t.Errorf("handshake was %+v", h)
			}
			if m := f.on(metaConnect)[1].batch[0]; m.ConnectionType != "websocket" {
				t.Errorf("connect was %+v", m)
			}
			f.push(1, 2, 3)
			f.publish(event(topic, 4)) // on the reply to the connect
			b.pass(time.Second)
			f.push(5)
			b.pass(time.Second)
			equal(t, "events", b.ids(), 1, 2, 3, 4, 5)
			if s := b.client.Status(); s.Transport != "websocket" || s.Sessions != 1 || s.State != Connected {
				t.Errorf("status is %+v", s)
			}
			b.stop()
			if err := <-b.done; err != nil {
				t.Error(err)
			}
			b.stop = nil
			equal(t, "at the end", f.requests()[len(f.requests())-1:], "disconnect")
		})
	})

	t.Run("OneCallForWhatCameMeanwhile", func(t *testing.T) {
		t.Parallel()
		tubes(t, func(b *bundle, f *tube) {
			b.handle = func(ctx context.Context, _ []Message) error {
				sleep(ctx, 25*time.Second) // past the deadline of the connect, too
				return nil
			}
			b.run(time.Second)
			b.pass(100 * time.Second)
			f.push(1)
			b.pass(time.Second)
			f.push(2, 3, 4, 5)
			b.pass(2 * time.Minute)
			equal(t, "events", b.ids(), 1, 2, 3, 4, 5)
			equal(t, "calls", []int{b.calls, b.client.Status().Sessions}, 2, 1)
		})
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		tubes(t, func(b *bundle, f *tube) {
			f.refuse = true
			b.run(time.Minute)
			f.publish(event(topic, 1))
			b.pass(time.Second)
			equal(t, "events", b.ids(), 1)
			equal(t, "handshakes and upgrades", []int{len(f.on(metaHandshake)), f.upgrades}, 1, 1)
			f.control(metaConnect, unknownClient)
			f.publish(event(topic, 2))
			b.pass(time.Second)
			equal(t, "soon after", []int{len(f.on(metaHandshake)), f.upgrades}, 2, 1)
			b.pass(10 * time.Minute)
			f.control(metaConnect, unknownClient)
			f.publish(event(topic, 3))
			b.pass(2 * time.Minute)
			equal(t, "later", []int{len(f.on(metaHandshake)), f.upgrades}, 3, 2)
			equal(t, "events", b.ids(), 1, 2, 3)
		})
	})

	t.Run("Broken", func(t *testing.T) {
		t.Parallel()
		tubes(t, func(b *bundle, f *tube) {
			b.run(time.Minute)
			f.push(1, 2)
			b.pass(0)
			f.end(errors.New("connection reset"))
			b.pass(5 * time.Second)
			equal(t, "positions", f.positions(topic), any(float64(-2)), any(float64(2)))
			equal(t, "upgrades", []int{f.upgrades}, 2)
			f.end(errors.New("connection reset")) // at once again
			b.pass(5 * time.Second)
			if s := b.client.Status(); s.Transport != "long-polling" || s.Sessions != 3 || s.State != Connected {
				t.Errorf("status is %+v", s)
			}
		})
	})

	t.Run("Silent", func(t *testing.T) {
		t.Parallel()
		tubes(t, func(b *bundle, f *tube) {
			b.run(time.Second)
			f.control(metaConnect, stuck)
			f.publish(event(topic, 1))
			b.pass(129 * time.Second) // the timeout of the server and the grace
			equal(t, "before", []int{len(f.on(metaHandshake))}, 1)
			b.pass(5 * time.Second)
			equal(t, "after", []int{len(f.on(metaHandshake))}, 2)
		})
	})

	t.Run("Nonsense", func(t *testing.T) {
		t.Parallel()
		for _, frame := range []string{"", "{", "<html>", "[1]", `[{"channel":"/meta/disconnect","successful":true}]`} {
			tubes(t, func(b *bundle, f *tube) {
				b.run(time.Minute)
				f.in <- []byte(frame)
				b.pass(5 * time.Second)
				equal(t, frame, f.positions(topic), any(float64(-2)), any(float64(-2)))
				if s := b.client.Status(); s.State != Connected {
					t.Errorf("status is %+v", s)
				}
			})
		}
	})

	t.Run("WithAcknowledgementItGoesOnOverLongPolling", func(t *testing.T) {
		t.Parallel()
		tubes(t, func(b *bundle, f *tube) {
			f.acks = true
			b.client.Unsubscribe(topic)
			b.client.Subscribe(Subscription{Channel: topic})
			b.run(time.Minute)
			f.publish(event(topic, 1))
			b.pass(time.Second)
			f.end(errors.New("connection reset"))
			f.publish(event(topic, 2))
			b.pass(5 * time.Second)
			equal(t, "events", b.ids(), 1, 2)
			if s := b.client.Status(); s.Transport != "long-polling" || s.Sessions != 1 {
				t.Errorf("status is %+v", s)
			}
		}, WithAck())
	})
}

// The inbox must not grow without bound while the handler works.
func TestInboxIsBounded(t *testing.T) {
	t.Parallel()
	b := newInbox(100)
	var n, taken int
	var mu sync.Mutex
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b.add(frame{size: 60}) {
			mu.Lock()
			n++
			mu.Unlock()
		}
	}()
	for range 50 {
		<-b.wake
		got := len(b.take())
		if got > 2 {
			t.Fatalf("%d frames of 60 bytes in an inbox of 100", got)
		}
		taken += got
	}
	b.close()
	<-done
	mu.Lock()
	defer mu.Unlock()
	if n < taken || n > taken+2 {
		t.Errorf("%d frames went in, %d came out", n, taken)
	}
}

// The real thing, with the token and the cookies of its session.
func TestSocket(t *testing.T) {
	t.Parallel()
	s := newWire(t)
	upgrader := websocket.Upgrader{}
	var mu sync.Mutex
	var headers []http.Header
	from := map[string]string{} // channel -> where its first request came from
	large := true
	s.hook = func(w http.ResponseWriter, r *http.Request, batch []request) bool {
		mu.Lock()
		if from[batch[0].Channel] == "" {
			from[batch[0].Channel] = r.RemoteAddr
		}
		mu.Unlock()
		if batch[0].Channel != metaHandshake {
			return false
		}
		http.SetCookie(w, &http.Cookie{Name: "BAYEUX_BROWSER", Value: "c1", Path: "/cometd/"})
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"ext":{"replay":true},"clientId":"c1","channel":"/meta/handshake","id":%q,"successful":true,`+
			`"supportedConnectionTypes":["websocket","long-polling"]}]`, batch[0].ID)
		return true
	}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !websocket.IsWebSocketUpgrade(r) {
			s.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		headers = append(headers, r.Header)
		mu.Unlock()
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.problem(err.Error())
			return
		}
		defer conn.Close()
		for {
			var batch []request
			if conn.ReadJSON(&batch) != nil {
				return
			}
			for _, m := range batch {
				if m.Channel == metaConnect && m.Advice == nil {
					if large {
						large = false
						_ = conn.WriteMessage(websocket.TextMessage, []byte("["+strings.Repeat(event(topic, 6)+",", 100)+event(topic, 7)+"]"))
					}
					_ = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
					continue
				}
				_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil,
					`[{"channel":%q,"id":%q,"subscription":%q,"successful":true}]`, m.Channel, m.ID, m.Subscription))
			}
		}
	})
	failed := false
	s.serve(t, func(c *Client, _ []string) bool {
		st := c.Status()
		var e *Error
		failed = failed || errors.As(st.LastError, &e) && e.TooLarge()
		return failed && st.State == Connected && len(st.Channels) == 1
	}, WithWebSocket(), WithMaxReply(10_000))
	mu.Lock()
	defer mu.Unlock()
	if len(headers) != 1 { // it broke at once, so the second session stays with long-polling
		t.Fatalf("%d upgrades", len(headers))
	}
	h := headers[0]
	if h.Get("Authorization") != "Bearer secret1" || h.Get("Cookie") != "BAYEUX_BROWSER=c1" {
		t.Errorf("the upgrade had headers %v", h)
	}
	if hello, bye := from[metaHandshake], from[metaDisconnect]; bye == "" || bye == hello {
		t.Errorf("the handshake came from %s, the goodbye after the socket broke from %q: a connection that may have broken with it", hello, bye)
	}
}
