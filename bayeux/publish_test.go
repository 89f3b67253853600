package bayeux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// say publishes in a goroutine and returns where the outcome comes.
func (b *bundle) say(ctx context.Context, channel string, data any) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.client.Publish(ctx, channel, data) }()
	return done
}

func TestPublish(t *testing.T) {
	t.Parallel()

	t.Run("WaitsForTheReply", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			early := b.say(b.t.Context(), "/room", map[string]int{"n": 1}) // before Run
			b.run(time.Second)
			if err := <-early; err != nil {
				t.Error(err)
			}
			for i := range 3 {
				if err := <-b.say(b.t.Context(), "/room", i); err != nil {
					t.Error(err)
				}
			}
			var got []string
			for _, s := range append(b.server.on(metaSubscribe), b.server.on("/room")...) {
				for _, m := range s.batch {
					got = append(got, m.Channel+string(m.Data))
				}
			}
			equal(t, "messages", got, "/meta/subscribe", `/room{"n":1}`, "/room0", "/room1", "/room2")
			equal(t, "sessions", []int{b.client.Status().Sessions}, 1)
		})
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(time.Second)
			b.server.control("/room", `[{"channel":"/room","id":"$id","successful":false,"error":"403::publish_denied"}]`)
			var e *Error
			if err := <-b.say(b.t.Context(), "/room", 1); !errors.As(err, &e) || e.Text != "publish_denied" || e.Channel != "/room" || e.InDoubt() {
				t.Errorf("got %v", err)
			}
			equal(t, "sessions", []int{b.client.Status().Sessions}, 1)
		})
	})

	t.Run("InDoubt", func(t *testing.T) {
		t.Parallel()
		for _, how := range []string{lost, eaten, "503", "[]", unknownClient} {
			bubble(t, func(b *bundle) {
				b.subscribe()
				b.run(time.Second)
				b.server.control("/room", how)
				var e *Error
				if err := <-b.say(b.t.Context(), "/room", 1); !errors.As(err, &e) || !e.InDoubt() {
					t.Errorf("%s: got %v", how, err)
				}
				b.pass(5 * time.Second)
				equal(t, how+": sent", []int{len(b.server.on("/room"))}, 1)
				if err := <-b.say(b.t.Context(), "/room", 2); err != nil {
					t.Errorf("%s: the next: %v", how, err)
				}
			})
		}
	})

	t.Run("GivenUp", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
			defer cancel()
			unsent := b.say(ctx, "/room", 1)
			b.pass(2 * time.Second)
			if err := <-unsent; !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "doubt") {
				t.Errorf("without a session: %v", err)
			}
			b.run(time.Second)
			equal(t, "sent", []int{len(b.server.on("/room"))}, 0)
			b.server.control("/room", stuck)
			ctx, cancel = context.WithTimeout(b.t.Context(), time.Second)
			defer cancel()
			var e *Error
			if err := <-b.say(ctx, "/room", 1); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !e.InDoubt() {
				t.Errorf("without a reply: %v", err)
			}
		})
	})

	t.Run("NotInAHandler", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			var inHandler error
			b.handle = func(ctx context.Context, _ []Message) error {
				inHandler = b.client.Publish(ctx, "/room", 1)
				return nil
			}
			b.subscribe()
			b.run(time.Second)
			b.server.publish(event(topic, 1))
			b.pass(time.Second)
			if !errors.Is(inHandler, ErrInHandler) {
				t.Errorf("got %v", inHandler)
			}
		})
	})

	t.Run("NotEverywhere", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			for _, channel := range []string{"", "room", "/meta/connect", "/room/*", "/room/**"} {
				if err := b.client.Publish(b.t.Context(), channel, 1); err == nil {
					t.Errorf("published to %q", channel)
				}
			}
			if err := b.client.Publish(b.t.Context(), "/room", make(chan int)); err == nil {
				t.Error("published a channel")
			}
		})
	})

	t.Run("WithoutSubscriptions", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.run(time.Second)
			for range 3 {
				if err := <-b.say(b.t.Context(), "/room", 1); err != nil {
					t.Error(err)
				}
				b.pass(30 * time.Second)
			}
			equal(t, "requests", b.server.requests(), "handshake", "/room", "connect", "connect", "/room", "/room")
			b.pass(time.Minute)
			equal(t, "then", b.server.requests()[6:], "connect", "disconnect")
			if s := b.client.Status(); s.State != Idle {
				t.Errorf("status is %+v", s)
			}
		})
	})

	t.Run("ManyInFewRequests", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			var all []<-chan error
			for range 100 {
				all = append(all, b.say(b.t.Context(), "/room", strings.Repeat("x", 1000)))
			}
			all = append(all, b.say(b.t.Context(), "/room", strings.Repeat("x", 100_000)))
			b.pass(0)
			b.run(time.Second)
			for _, done := range all {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if n := len(b.server.on("/room")); n > 5 {
				t.Errorf("%d requests", n)
			}
			for _, s := range b.server.on("/room") {
				if s.size > maxRequest && len(s.batch) > 1 {
					t.Errorf("a request of %d bytes with %d messages", s.size, len(s.batch))
				}
			}
		})
	})

	// The server may put events on the reply to a publish. Those on the connect
	// may be older.
	t.Run("KeepsTheOrder", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(time.Second)
			b.server.control("/room", "["+event(topic, 2)+`,{"channel":"/room","id":"$id","successful":true}]`)
			done := b.say(b.t.Context(), "/room", 1)
			b.pass(0)
			equal(t, "at once", b.ids())
			b.server.publish(event(topic, 1))
			b.pass(0)
			equal(t, "then", b.ids(), 1, 2)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
}

func TestServiceChannels(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bundle) {
		confirmed := 0
		b.client.Subscribe(Subscription{Channel: "/service/echo", Confirmed: func(context.Context) { confirmed++ }})
		b.run(time.Second)
		b.server.publish(`{"channel":"/service/echo","data":{"n":1}}`)
		b.pass(time.Second)
		equal(t, "requests", b.server.requests(), "handshake", "connect", "connect", "connect")
		if len(b.got) != 1 || b.got[0].Channel != "/service/echo" || confirmed != 1 {
			t.Errorf("got %+v, confirmed %d times", b.got, confirmed)
		}
		equal(t, "channels", b.client.Status().Channels, "/service/echo")
		b.client.Subscribe(Subscription{Channel: topic})
		b.client.Unsubscribe("/service/echo")
		b.pass(time.Second)
		equal(t, "then", b.server.requests()[4:], "subscribe")
		equal(t, "channels", b.client.Status().Channels, topic)
	})
}

func TestWildcards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, channel string
		want             bool
	}{
		{"/a/b", "/a/b", true},
		{"/a/b", "/a/b/c", false},
		{"/a/b?x='*'", "/a/b", true},
		{"/a/*", "/a/b", true},
		{"/a/*", "/a", false},
		{"/a/*", "/a/", false},
		{"/a/*", "/a/b/c", false},
		{"/a/*", "/ab/c", false},
		{"/a/**", "/a/b", true},
		{"/a/**", "/a/b/c", true},
		{"/a/**", "/a", false},
		{"/**", "/a/b/c", true},
		{"/*", "/a", true},
		{"/*", "/a/b", false},
	} {
		if got := Match(c.pattern, c.channel); got != c.want {
			t.Errorf("Match(%q, %q) is %t", c.pattern, c.channel, got)
		}
	}

	// Events of a pattern that is being subscribed are held like others.
	bubble(t, func(b *bundle) {
		b.subscribe()
		b.run(time.Second)
		b.server.control(metaSubscribe, "["+event("/topic/x", 2)+`,{"channel":"/meta/subscribe","id":"$id","subscription":["/topic/*"],"successful":true}]`)
		b.client.Subscribe(Subscription{Channel: "/topic/*", From: b.from})
		b.pass(0)
		b.server.publish(event("/topic/x", 1))
		b.pass(time.Second)
		equal(t, "events", b.ids(), 1, 2)
	})
}

// One reply may speak of several subscriptions, and a reply need not repeat
// its id.
func TestSubscriptionArray(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bundle) {
		var want []string
		for i := range 3 {
			want = append(want, fmt.Sprintf("/topic/%d", i))
			b.client.Subscribe(Subscription{Channel: want[i]})
		}
		list, _ := json.Marshal(want)
		b.server.control(metaSubscribe, fmt.Sprintf(`[{"channel":"/meta/subscribe","subscription":%s,"successful":true}]`, list))
		b.run(time.Minute)
		equal(t, "channels", b.client.Status().Channels, want...)
		if n := slices.Index(b.server.requests()[2:], "subscribe"); n >= 0 {
			t.Error("asked once more")
		}
	})
}
