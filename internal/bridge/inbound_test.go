package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

// Which events are applied from their payload and which are read back: the
// rule that keeps hidden fields and reversed events out of the rows.
func TestDecide(t *testing.T) {
	t.Parallel()
	const (
		id    = "001000000000001AAA"
		whole = `{"Id":"001000000000001AAA","SystemModstamp":"2026-01-02T12:00:00.000Z","Name":"A","BillingCity":null,"Secret__c":null,"External_Id__c":null,"IsDeleted":false}`
	)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

	type bundle struct {
		in *inbound
		ch *channel
	}
	setup := func(t *testing.T) *bundle {
		t.Helper()
		m, err := mapObject(t.Context(), testOrg(), config.Object{Name: "Account"}, "salesforce", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := newObject(m)
		o.loaded.Store(true)
		s := &session{Bridge: New(&config.Config{}, "test", zerolog.Nop())}
		return &bundle{in: newInbound(s), ch: &channel{name: "/topic/hc_Account", obj: o}}
	}
	send := func(b *bundle, typ pushtopic.Type, at time.Time, body string) pgsink.Batch {
		var batch pgsink.Batch
		topicEvent{pushtopic.Event{Type: typ, CreatedAt: at, SFID: id, SObject: json.RawMessage(body)}}.decide(b.in, b.ch.obj, &batch)
		return batch
	}
	applied := func(t *testing.T, b pgsink.Batch, k pgsink.Kind) {
		t.Helper()
		if len(b.Changes) != 1 || b.Changes[0].Kind != k || len(b.Marks) != 0 {
			t.Errorf("changes %v, marks %v; want one change of kind %v", b.Changes, b.Marks, k)
		}
	}
	marked := func(t *testing.T, b pgsink.Batch) {
		t.Helper()
		if len(b.Changes) != 0 || len(b.Marks) != 1 || b.Marks[0].SFID != id {
			t.Errorf("changes %v, marks %v; want one mark", b.Changes, b.Marks)
		}
	}

	t.Run("WholeEventIsApplied", func(t *testing.T) {
		t.Parallel()
		applied(t, send(setup(t), pushtopic.TypeUpdated, noon, whole), pgsink.Event)
	})
	t.Run("MissingFieldIsReadBack", func(t *testing.T) {
		t.Parallel()
		marked(t, send(setup(t), pushtopic.TypeUpdated, noon, `{"Id":"001000000000001AAA","SystemModstamp":"2026-01-02T12:00:00.000Z","Name":"A"}`))
	})
	t.Run("UndeleteIsReadBack", func(t *testing.T) {
		t.Parallel()
		marked(t, send(setup(t), pushtopic.TypeUndeleted, noon, whole))
	})
	t.Run("DeleteIsApplied", func(t *testing.T) {
		t.Parallel()
		applied(t, send(setup(t), pushtopic.TypeDeleted, noon, `{"Id":"001000000000001AAA"}`), pgsink.Delete)
	})
	t.Run("DeleteWithinASecondOfAnotherEventIsReadBack", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		applied(t, send(b, pushtopic.TypeUpdated, noon, whole), pgsink.Event)
		marked(t, send(b, pushtopic.TypeDeleted, noon.Add(900*time.Millisecond), `{"Id":"001000000000001AAA"}`))
	})
	t.Run("DeleteLaterIsApplied", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		applied(t, send(b, pushtopic.TypeUpdated, noon, whole), pgsink.Event)
		applied(t, send(b, pushtopic.TypeDeleted, noon.Add(1100*time.Millisecond), `{"Id":"001000000000001AAA"}`), pgsink.Delete)
	})
	t.Run("EventRightAfterADeleteIsReadBack", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		applied(t, send(b, pushtopic.TypeDeleted, noon, `{"Id":"001000000000001AAA"}`), pgsink.Delete)
		marked(t, send(b, pushtopic.TypeUpdated, noon.Add(500*time.Millisecond), whole))
	})
	t.Run("DeleteDuringTheLoadIsLookedAtAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.ch.obj.loaded.Store(false)
		batch := send(b, pushtopic.TypeDeleted, noon, `{"Id":"001000000000001AAA"}`)
		if len(batch.Changes) != 1 || len(batch.Marks) != 1 {
			t.Errorf("changes %v, marks %v; want the delete and a mark", batch.Changes, batch.Marks)
		}
	})
}

func TestChannelFrom(t *testing.T) {
	t.Parallel()
	ch := &channel{}
	if got := ch.from(); got != bayeux.FromNew {
		t.Errorf("a channel without a position begins at %d", got)
	}
	ch.accept("", 7)
	if got := ch.from(); got != 7 {
		t.Errorf("after event 7 it begins at %d", got)
	}
	ch.accept("", 5)
	if got := ch.from(); got != 7 {
		t.Errorf("after event 5 came again it begins at %d", got)
	}
	ch.forget("0IF000000000002AAA")
	ch.accept("", 9)
	if got := ch.from(); got != bayeux.FromNew {
		t.Errorf("an event of the topic's former life moved it to %d", got)
	}
}

// With the applier standing still no more than the queue is taken, and the
// position stays at what was.
func TestHandleIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, handleIsBounded)
}

func handleIsBounded(t *testing.T) {
	s := &session{Bridge: New(&config.Config{}, "test", zerolog.Nop())}
	s.in = newInbound(s)
	ch := &channel{name: "/topic/hc_Account", obj: newObject(&mapping{cfg: config.Object{Name: "Account"}}), topicID: "0IF"}
	s.stream = &stream{s: s, dog: newWatchdog(), channels: map[string]*channel{ch.name: ch}}
	next := int64(0)
	var err error
	for replies := 0; err == nil; replies++ {
		if replies > 100 {
			t.Fatal("a million events are in memory")
		}
		msgs := make([]bayeux.Message, 10_000)
		for i := range msgs {
			next++
			msgs[i] = bayeux.Message{Channel: ch.name, ReplayID: next, Data: fmt.Appendf(nil,
				`{"event":{"createdDate":"2026-01-02T12:00:00.000Z","replayId":%d,"type":"updated"},"sobject":{"Id":"001000000000001AAA"}}`, next)}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err = s.in.handle(ctx, msgs)
		cancel()
	}
	if got, want := ch.from(), int64(maxQueue*maxBatch); got != want {
		t.Errorf("taken up to event %d, want %d, which is what the queue holds", got, want)
	}
}
