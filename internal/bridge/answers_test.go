package bridge

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/test/org"
)

// A load and a poll that Salesforce accepts and does not answer are told long before
// Salesforce's own limit, and what is asked again then has all the time.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	server := org.New(org.Options{}).Start()
	defer server.Close()
	sf, closeIdle, err := clientOf(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	cfg := scheduleConfig()
	cfg.Objects = []config.Object{{Name: "Account", Fields: []string{"Name"}, Mode: config.ModePolling, PollInterval: time.Hour}}
	b := New(cfg, "test", zerolog.Nop())
	b.resume("start")
	s := newSession(b, pool, sf)
	s.orgID = server.ID()
	if err := s.pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.mapAll(t.Context()); err != nil || len(s.objects) != 1 {
		t.Fatal(len(s.objects), err)
	}
	if s.answers != answerWithin {
		t.Errorf("it is told after %s", s.answers)
	}
	s.answers = 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ready := func(want bool, says string) {
		t.Helper()
		for {
			changed := s.board.Changed()
			ready, stops := s.board.Ready()
			if ready == want && (ready || strings.HasPrefix(stops[0].Reason, says) && strings.Contains(stops[0].Reason, "no answer in 500ms")) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("ready %v, %v", ready, stops)
			}
		}
	}
	defer beside(ctx, func(ctx context.Context) { _ = b.sample(ctx) })()
	held := server.Fault(org.Fault{Path: "/query", Verb: org.Hold, Before: true})
	defer beside(ctx, func(ctx context.Context) { _ = s.runObject(ctx, s.objects[0]) })()
	ready(false, "load: ")
	if err := held.Wait(ctx, 2); err != nil { // it is asked again
		t.Fatal(err)
	}
	held.Release()
	ready(true, "")
	held = server.Fault(org.Fault{Path: "/query|/composite", Verb: org.Hold, Before: true})
	s.objects[0].wantPoll()
	ready(false, "poll: ")
	held.Release()
	ready(true, "")
}
