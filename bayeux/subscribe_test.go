package bayeux

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()

	t.Run("AsksTheOwnerAboutAnInvalidPosition", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.at = 1
			b.server.control(metaSubscribe, replayInvalid)
			var asked []*Error
			confirmed := 0
			b.client.Subscribe(Subscription{
				Channel: topic, From: b.from,
				Refused: func(_ context.Context, err *Error) Verdict {
					asked = append(asked, err)
					b.at = FromNew
					return Again
				},
				Confirmed: func(context.Context) { confirmed++ },
			})
			b.run(10 * time.Millisecond)
			if len(asked) != 1 || !asked[0].ReplayInvalid() || asked[0].Subscription != topic {
				t.Fatalf("asked about %v", asked)
			}
			equal(t, "positions", b.server.positions(topic), any(float64(1)), any(float64(-1)))
			if confirmed != 1 {
				t.Errorf("confirmed %d times", confirmed)
			}
			if n := len(b.server.on(metaHandshake)); n != 1 {
				t.Errorf("%d handshakes, want the session kept", n)
			}
		})
	})

	t.Run("TellsOfAChannelAskedForAgainAndAgainOnce", func(t *testing.T) {
		t.Parallel()
		var log strings.Builder
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(time.Second)
			for range 3 {
				b.client.Subscribe(Subscription{Channel: topic, From: b.from, Quiet: true})
				b.pass(time.Second)
			}
			level := func(name string) int {
				return strings.Count(log.String(), fmt.Sprintf(`"level":%q,"component":"bayeux","event":"subscribed"`, name))
			}
			if info, debug := level("info"), level("debug"); info != 1 || debug != 3 {
				t.Errorf("%d times at info and %d at debug, want 1 and 3:\n%s", info, debug, log.String())
			}
		}, WithLogger(zerolog.New(&log)))
	})

	t.Run("DropsOneChannelAndKeepsTheOthers", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaSubscribe, `[{"channel":"/meta/subscribe","id":"$id","subscription":"/topic/no","successful":false,`+
				`"error":"403:denied_by_security_policy:create_denied"},{"channel":"/meta/subscribe","subscription":"/topic/hc_Account","successful":true}]`)
			b.client.Subscribe(Subscription{
				Channel: "/topic/no",
				Refused: func(_ context.Context, err *Error) Verdict {
					if err.Args != "denied_by_security_policy" || err.Text != "create_denied" {
						t.Errorf("refused with %+v", err)
					}
					return Drop
				},
			})
			b.subscribe()
			b.run(time.Hour)
			if n := len(b.server.on(metaSubscribe)); n != 1 {
				t.Errorf("%d subscribes, want 1", n)
			}
			b.server.publish(event(topic, 1))
			b.pass(time.Second)
			equal(t, "events", b.ids(), 1)
			equal(t, "confirmed", b.client.Status().Channels, topic)
		})
	})

	t.Run("RetriesWithBackOffWithoutAnOwner", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			denied := `[{"channel":"/meta/subscribe","id":"$id","successful":false,"error":"403::Restricted channel"}]`
			b.server.control(metaSubscribe, denied, denied, denied)
			b.subscribe()
			b.run(time.Minute)
			var at []time.Duration
			for _, s := range b.server.on(metaSubscribe) {
				at = append(at, s.at)
			}
			s := time.Second
			equal(t, "subscribes", at, 0, 1*s, 3*s, 6*s)
			equal(t, "handshakes", []int{len(b.server.on(metaHandshake))}, 1)
		})
	})

	t.Run("WaitsMinutesForABusyServerWithoutAskingTheOwner", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaSubscribe, `[{"channel":"/meta/subscribe","id":"$id","subscription":"/topic/hc_Account","successful":false,`+
				`"error":"403:denied_by_security_policy:subscribe_denied","ext":{"sfdc":{"failureReason":"503::Server is too busy."}}}]`)
			b.client.Subscribe(Subscription{Channel: topic, Refused: func(context.Context, *Error) Verdict {
				t.Error("the owner was asked")
				return Drop
			}})
			b.run(59 * time.Second)
			equal(t, "before", []int{len(b.server.on(metaSubscribe))}, 1)
			b.pass(2 * time.Second)
			equal(t, "after", []int{len(b.server.on(metaSubscribe))}, 2)
		})
	})

	t.Run("LosesTheSessionOnASubscribe", func(t *testing.T) {
		t.Parallel()
		for _, reason := range []string{"403::Unknown client", "402::session_unknown", "403::Client has not completed handshake", "401::Authentication invalid"} {
			bubble(t, func(b *bundle) {
				b.server.control(metaSubscribe, `[{"channel":"/meta/subscribe","id":"$id","subscription":"/topic/hc_Account","successful":false,"error":"`+reason+`"}]`)
				b.subscribe()
				b.run(time.Second)
				equal(t, reason, b.server.requests(), "handshake", "subscribe", "handshake", "subscribe", "connect", "connect")
			})
		}
	})

	// No connect is sent while the first subscribe is open, and the server waits for
	// one for 40 s only.
	t.Run("GivesUpAReplyThatStalls", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaSubscribe, stuck)
			b.subscribe()
			b.run(32 * time.Second)
			equal(t, "requests", b.server.requests(), "handshake", "subscribe", "disconnect", "handshake", "subscribe", "connect", "connect")
			if h := b.server.on(metaHandshake); len(h) != 2 || h[1].at != 31*time.Second {
				t.Fatalf("handshakes were %+v, want the second after 31s", h)
			}

			// Beside an open connect too.
			b.server.control(metaSubscribe, stuck)
			b.client.Subscribe(Subscription{Channel: "/topic/two"})
			b.pass(32 * time.Second)
			equal(t, "then", b.server.requests()[7:], "subscribe", "disconnect", "handshake", "subscribe", "connect", "connect")
			equal(t, "confirmed", b.client.Status().Channels, topic, "/topic/two")
		})
	})

	t.Run("AddsAndRemovesWithoutDisturbingTheParkedConnect", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(time.Second)
			b.client.Subscribe(Subscription{Channel: "/topic/two", From: func() int64 { return 41 }})
			b.pass(time.Second)
			equal(t, "added", b.server.requests(), "handshake", "subscribe", "connect", "connect", "subscribe")
			equal(t, "positions", b.server.positions("/topic/two"), any(float64(41)))
			equal(t, "confirmed", b.client.Status().Channels, topic, "/topic/two")
			b.client.Unsubscribe("/topic/two")
			b.pass(time.Second)
			equal(t, "removed", b.server.requests()[5:], "unsubscribe")
			equal(t, "left", b.client.Status().Channels, topic)
			// A replaced one starts from its new position.
			b.client.Subscribe(Subscription{Channel: topic, From: func() int64 { return 9 }})
			b.pass(time.Second)
			equal(t, "replaced", b.server.requests()[6:], "unsubscribe")
			equal(t, "positions", b.server.positions(topic), any(float64(-2)), any(float64(9)))
		})
	})

	t.Run("MergesEventsOfTwoConnections", func(t *testing.T) {
		t.Parallel()
		const two = "/topic/two"
		late := func(first, then int64) string {
			return "[" + event(two, first) + `,{"channel":"/meta/subscribe","id":"$id","subscription":"/topic/two","successful":true},` + event(two, then) + "]"
		}
		t.Run("ConnectLast", func(t *testing.T) {
			t.Parallel()
			bubble(t, func(b *bundle) {
				b.subscribe()
				b.run(time.Second)
				b.server.control(metaSubscribe, late(3, 4))
				b.client.Subscribe(Subscription{Channel: two, From: func() int64 { return FromAll }})
				b.pass(100 * time.Millisecond)
				equal(t, "held", b.ids())
				b.server.publish(event(two, 1), event(topic, 50), event(two, 2))
				b.pass(time.Millisecond)
				equal(t, "merged", b.ids(), 50, 1, 2, 3, 4)
			})
		})
		t.Run("NothingOnTheConnect", func(t *testing.T) {
			t.Parallel()
			bubble(t, func(b *bundle) {
				b.subscribe()
				b.run(time.Second)
				b.server.control(metaSubscribe, late(3, 4))
				b.client.Subscribe(Subscription{Channel: two, From: func() int64 { return FromAll }})
				b.pass(time.Second)
				equal(t, "released", b.ids(), 3, 4)
				b.server.publish(event(two, 5))
				b.pass(0)
				equal(t, "not held any more", b.ids(), 3, 4, 5)
			})
		})
	})

	t.Run("KeepsRequestsSmall", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			var want []string
			for i := range 400 {
				channel := fmt.Sprintf("/topic/%03d?Name='%s'", i, strings.Repeat("é", 50))
				want = append(want, channel)
				b.client.Subscribe(Subscription{Channel: channel, From: b.from})
			}
			b.client.Subscribe(Subscription{Channel: "/topic/" + strings.Repeat("x", 40000)})
			b.run(time.Minute)
			var got []string
			for _, s := range b.server.on(metaSubscribe) {
				if s.size >= 32768 {
					t.Errorf("a request of %d bytes", s.size)
				}
				for _, m := range s.batch {
					got = append(got, m.Subscription)
				}
			}
			equal(t, "subscribed", got, want...)
			if n := len(b.server.on(metaSubscribe)); n != 3 {
				t.Errorf("%d requests, want 3", n)
			}
			if i, j := slices.Index(b.server.requests(), "connect"), len(b.server.on(metaSubscribe)); i != 1+j {
				t.Errorf("first connect was request %d, want it after all %d subscribes", i, j)
			}
		})
	})

	t.Run("OwnerMovesPastAReplyThatIsTooLarge", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.client.maxReply = 1
			b.at = 1
			b.client.Subscribe(Subscription{
				Channel: topic, From: b.from,
				Refused: func(_ context.Context, err *Error) Verdict {
					if !err.TooLarge() || err.Subscription != topic {
						t.Errorf("asked about %v", err)
					}
					b.at = FromNew
					return Again
				},
			})
			b.run(time.Second)
			b.client.open = func(string, string) (transport, error) { return b.server, nil }
			b.server.control(metaConnect, "large")
			b.server.publish(event("/topic/x", 0))
			b.pass(5 * time.Second)
			equal(t, "positions", b.server.positions(topic), any(float64(1)), any(float64(-1)))
		})
	})
}
