package bayeux

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAck(t *testing.T) {
	t.Parallel()

	// acked returns what the connects said, -1 for nothing.
	acked := func(b *bundle) []float64 {
		var list []float64
		for _, s := range b.server.on(metaConnect) {
			n, ok := s.batch[0].Ext["ack"].(float64)
			if !ok {
				n = -1
			}
			list = append(list, n)
		}
		return list
	}
	ack := func(t *testing.T, test func(b *bundle)) {
		t.Helper()
		bubble(t, func(b *bundle) {
			b.server.acks = true
			b.client.Subscribe(Subscription{Channel: topic})
			test(b)
		}, WithAck())
	}

	t.Run("SaysWhatItHas", func(t *testing.T) {
		t.Parallel()
		ack(t, func(b *bundle) {
			b.run(time.Second)
			b.server.publish(event(topic, 1))
			b.pass(time.Second)
			b.server.publish(event(topic, 2), event(topic, 3))
			b.pass(time.Second)
			equal(t, "acknowledged", acked(b), 0, 1, 2, 3)
			equal(t, "events", b.ids(), 1, 2, 3)
			if h := b.server.on(metaHandshake)[0].batch[0]; h.Ext["ack"] != true {
				t.Errorf("handshake was %+v", h)
			}
		})
	})

	t.Run("OnlyIfTheServerAgrees", func(t *testing.T) {
		t.Parallel()
		ack(t, func(b *bundle) {
			b.server.acks = false
			b.run(time.Second)
			equal(t, "acknowledged", acked(b), -1, -1)
		})
	})

	t.Run("AsksAgainInTheSameSession", func(t *testing.T) {
		t.Parallel()
		for _, how := range []string{lost, eaten, "503", "<html>"} {
			ack(t, func(b *bundle) {
				b.run(time.Second)
				b.server.control(metaConnect, how, how)
				b.server.publish(event(topic, 1))
				b.pass(time.Second)
				b.server.publish(event(topic, 2), event(topic, 3))
				b.pass(10 * time.Second)
				equal(t, how+": events", b.ids(), 1, 2, 3)
				equal(t, how+": sessions", []int{b.client.Status().Sessions}, 1)
			})
		}
	})

	t.Run("ANewTokenIsANewSession", func(t *testing.T) {
		t.Parallel()
		ack(t, func(b *bundle) {
			b.run(20 * time.Second)
			b.server.control(metaConnect, "401")
			b.server.publish(event(topic, 1))
			b.pass(time.Second)
			equal(t, "tokens used", b.server.tokens, "token0", "token1")
		})
	})

	t.Run("AcknowledgesAfterTheHandler", func(t *testing.T) {
		t.Parallel()
		ack(t, func(b *bundle) {
			fails := 2
			b.handle = func(context.Context, []Message) error {
				equal(t, "acknowledged while it works", acked(b)[len(acked(b))-1:], 1)
				if fails--; fails >= 0 {
					return errors.New("database is down")
				}
				return nil
			}
			b.run(time.Second)
			b.server.publish(event(topic, 1), event(topic, 2))
			b.pass(10 * time.Second)
			equal(t, "events", b.ids(), 1, 2)
			equal(t, "sessions", []int{b.client.Status().Sessions}, 1)
			equal(t, "acknowledged", acked(b), 0, 1, 1, 1, 4)
		})
	})

	t.Run("GivesUpInTheEnd", func(t *testing.T) {
		t.Parallel()
		ack(t, func(b *bundle) {
			many(b.server, metaConnect, lost)
			b.run(10 * time.Minute)
			if s := b.client.Status(); s.Sessions < 2 || len(b.server.requests()) > 250 {
				t.Errorf("%d sessions, %d requests in ten minutes", s.Sessions, len(b.server.requests()))
			}
		})
	})
}
