package bayeux

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDeliver(t *testing.T) {
	t.Parallel()

	t.Run("EventsOnAnyReplyInWireOrder", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaSubscribe, "["+event(topic, 1)+","+event(topic, 2)+
				`,{"channel":"/meta/subscribe","id":"$id","subscription":"/topic/hc_Account","successful":true},`+event(topic, 3)+"]")
			b.server.control(metaConnect,
				`[{"channel":"/meta/connect","id":2,"successful":true},`+event(topic, 5)+","+event("/topic/x", 9)+","+event(topic, 4)+"]",
				"["+event(topic, 6)+`,{"channel":"/meta/connect","id":"x","error":"403::Unknown client","successful":false}]`)
			b.subscribe()
			b.run(time.Second)
			equal(t, "events", b.ids(), 1, 2, 3, 5, 9, 4, 6)
			if b.calls != 3 {
				t.Errorf("%d calls of the handler, want one per reply", b.calls)
			}
		})
	})

	t.Run("PollsBeforeTheHandlerRuns", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			inside := 0
			b.handle = func(ctx context.Context, _ []Message) error {
				if inside++; inside > 1 {
					t.Error("two calls at a time")
				}
				if d, ok := ctx.Deadline(); !ok || time.Until(d) != 30*time.Second {
					t.Errorf("the handler has %s", time.Until(d))
				}
				sleep(ctx, 25*time.Second)
				inside--
				return nil
			}
			b.subscribe()
			b.run(time.Second)
			b.server.publish(event(topic, 1))
			b.pass(time.Second)
			equal(t, "connects while it works", []int{len(b.server.on(metaConnect))}, 3)
			b.server.publish(event(topic, 2))
			b.pass(time.Second)
			b.server.publish(event(topic, 3))
			b.pass(2 * time.Minute)
			equal(t, "events", b.ids(), 1, 2, 3)
			equal(t, "sessions", []int{b.client.Status().Sessions}, 1)
		})
	})

	t.Run("DropsTheSessionWhenTheHandlerFails", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			down := errors.New("database is down")
			fail := true
			b.handle = func(_ context.Context, msgs []Message) error {
				if msgs[0].ReplayID == 2 && fail {
					fail = false
					return down
				}
				return nil
			}
			b.subscribe()
			b.run(20 * time.Second)
			b.server.publish(event(topic, 1))
			b.pass(0)
			b.server.publish(event(topic, 2))
			b.pass(0)
			if s := b.client.Status(); s.State != Waiting || !errors.Is(s.LastError, down) {
				t.Errorf("status is %+v", s)
			}
			b.server.publish(event(topic, 2), event(topic, 3)) // replayed by the server
			b.pass(2 * time.Second)
			equal(t, "positions", b.server.positions(topic), any(float64(-2)), any(float64(1)))
			equal(t, "events", b.ids(), 1, 2, 3)
			equal(t, "disconnects", []int{len(b.server.on(metaDisconnect))}, 1)
		})
	})

	t.Run("DropsTheSessionWhenTheHandlerIsTooSlow", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			slow := true
			b.handle = func(ctx context.Context, _ []Message) error {
				if slow {
					slow = false
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			b.subscribe()
			b.run(20 * time.Second)
			b.server.publish(event(topic, 1))
			b.pass(29 * time.Second)
			equal(t, "before", []int{len(b.server.on(metaHandshake))}, 1)
			b.pass(3 * time.Second)
			equal(t, "after", b.server.positions(topic), any(float64(-2)), any(float64(-2)))
		})
	})

	t.Run("StopsTheHandlerWithRun", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.handle = func(ctx context.Context, _ []Message) error {
				<-ctx.Done()
				return ctx.Err()
			}
			b.subscribe()
			b.run(time.Second)
			b.server.publish(event(topic, 1))
			b.pass(time.Second)
			begun := time.Now()
			b.stop()
			<-b.done
			b.stop = nil
			if took := time.Since(begun); took > 0 {
				t.Errorf("stop took %s", took)
			}
		})
	})
}
