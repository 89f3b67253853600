package status_test

import (
	"encoding/json"
	"sync"
	"testing"

	"hcbridge/internal/status"
)

func TestBoard(t *testing.T) {
	t.Parallel()

	t.Run("IsNotReadyBeforeItHasStarted", func(t *testing.T) {
		t.Parallel()
		b := status.New()
		if ok, stops := b.Ready(); ok || len(stops) != 1 || stops[0].Part != "start" {
			t.Errorf("ready %v, stops %v; want not ready because of start", ok, stops)
		}
		b.Go("start")
		if ok, stops := b.Ready(); !ok {
			t.Errorf("stops %v after the start, want none", stops)
		}
	})

	t.Run("ToldTwiceIsNewsOnce", func(t *testing.T) {
		t.Parallel()
		b := status.New()
		if !b.Stop("stream", "muted") {
			t.Error("the first stop is no news")
		}
		if b.Stop("stream", "muted") {
			t.Error("the same stop again is news")
		}
		if !b.Stop("stream", "refused") {
			t.Error("another reason is no news")
		}
		if was, _ := b.Go("stream"); !was {
			t.Error("Go did not find the stop")
		}
		if was, _ := b.Go("stream"); was {
			t.Error("Go found a stop that was taken back")
		}
	})

	t.Run("SnapshotIsACopyInOrder", func(t *testing.T) {
		t.Parallel()
		b := status.New()
		b.Object("Contact", func(o *status.Object) { o.Loaded = 1 })
		b.Object("Account", func(o *status.Object) { o.Loaded = 2 })
		s := b.Snapshot()
		s.Objects[0].Loaded = 99
		again := b.Snapshot()
		if again.Objects[0].Object != "Contact" || again.Objects[0].Loaded != 1 || again.Objects[1].Object != "Account" {
			t.Errorf("objects %+v", again.Objects)
		}
	})

	t.Run("ANoteStaysBehindWhateverMessageComes", func(t *testing.T) {
		t.Parallel()
		b := status.New()
		b.Object("Account", func(o *status.Object) { o.Note = "frozen" })
		for message, want := range map[string]string{"": "frozen", "polled": "polled; frozen"} {
			b.Object("Account", func(o *status.Object) { o.Message = message })
			if got := b.Snapshot().Objects[0].Message; got != want {
				t.Errorf("message %q is shown as %q, want %q", message, got, want)
			}
			b.Object("Account", func(o *status.Object) {
				if o.Message != message {
					t.Errorf("the note has got into the message: %q", o.Message)
				}
			})
		}
	})

	t.Run("WhatIsHeldIsShownFirst", func(t *testing.T) {
		t.Parallel()
		b := status.New()
		b.Object("Account", func(o *status.Object) { o.Held, o.Message, o.Note = "held", "polled", "frozen" })
		if got := b.Snapshot().Objects[0].Message; got != "held; polled; frozen" {
			t.Errorf("shown as %q", got)
		}
	})

	t.Run("ChangedWakesEveryWaiter", func(t *testing.T) {
		t.Parallel()
		b := status.New()
		var wg sync.WaitGroup
		for range 5 {
			ch := b.Changed()
			wg.Go(func() { <-ch })
		}
		b.Connection(func(c *status.Connection) { c.State = status.Idle })
		wg.Wait()
	})
}

// The names are a promise to scripts: a change here is a change for users.
func TestJSONNames(t *testing.T) {
	t.Parallel()
	b := status.New()
	b.Object("Account", func(*status.Object) {})
	got, err := json.Marshal(b.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"connection":{"state":"STARTING","org_id":"","username":"","instance_url":"","api_version":"","api_calls":{"used":0,"limit":0,"budget":0},"streaming":"off","role":"standby","write_algorithm":""},` +
		`"objects":[{"object":"Account","table":"","mode":"","mode_effective":"","state":"INITIAL","access":"","rows_salesforce":-1,"rows_postgres":-1,"pending_writes":0,"failed_writes":0,"failed_reads":0,"lag_ms":0,"last_event_at":null,"last_poll_at":null,"last_write_at":null,"loaded":0,"to_load":0,"message":""}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
