package bridge

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/rs/zerolog"

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
		m, err := mapObject(t.Context(), testOrg(), config.Object{Name: "Account"}, "salesforce", false)
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
		b.in.decide(delivery{ch: b.ch, event: pushtopic.Event{Type: typ, CreatedAt: at, SFID: id, SObject: json.RawMessage(body)}}, &batch)
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
	if got := ch.from(); got != replayNewOnly {
		t.Errorf("a channel without a position begins at %d", got)
	}
	ch.accept(7)
	if got := ch.from(); got != 7 {
		t.Errorf("after event 7 it begins at %d", got)
	}
}
