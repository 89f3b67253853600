package bridge

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/test/org"
)

// A load and a poll that Salesforce accepts and does not answer are told long before
// Salesforce's own limit, and what is asked again then has all the time.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	s, server := polledSession(t, io.Discard)
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
	defer beside(ctx, func(ctx context.Context) { _ = s.sample(ctx) })()
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

// pollsFailed is a log that hears of polls that fail.
type pollsFailed chan struct{}

func (p pollsFailed) Write(line []byte) (int, error) {
	if strings.Contains(string(line), `"poll_failed"`) {
		p <- struct{}{}
	}
	return len(line), nil
}

// polledSession is a session of one object that is polled once an hour, and its org.
func polledSession(t *testing.T, log io.Writer) (*session, *org.Server) {
	t.Helper()
	pool := migrated(t)
	server := org.New(org.Options{}).Start()
	t.Cleanup(server.Close)
	sf, closeIdle, err := clientOf(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeIdle)
	cfg := scheduleConfig()
	cfg.Objects = []config.Object{{Name: "Account", Fields: []string{"Name"}, Mode: config.ModePolling, PollInterval: time.Hour}}
	b := New(cfg, "test", zerolog.New(log))
	b.resume("start")
	s := newSession(b, pool, sf)
	s.orgID = server.ID()
	if err := s.pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.mapAll(t.Context()); err != nil || len(s.objects) != 1 {
		t.Fatal(len(s.objects), err)
	}
	return s, server
}

// A poll that has failed for long, as the org had no calls left, is made as soon as it has
// some again, whoever finds that out.
func TestPollAsSoonAsThereAreCalls(t *testing.T) {
	t.Parallel()
	failed := make(pollsFailed, 100)
	s, server := polledSession(t, failed)
	o := s.objects[0]
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	defer beside(ctx, func(ctx context.Context) { _ = s.runObject(ctx, o) })()
	until := func(what string, fn func(status.Object) bool) {
		t.Helper()
		for {
			changed := s.board.Changed()
			for _, b := range s.board.Snapshot().Objects {
				if fn(b) {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatal(what)
			}
		}
	}
	until("not polled", func(b status.Object) bool { return b.LastPollAt != nil })

	used, _ := server.Usage()
	server.DailyLimit(used)
	for range 10 { // the next of itself is minutes away then
		o.wantPoll()
		select {
		case <-failed:
		case <-ctx.Done():
			t.Fatal("no poll has failed")
		}
	}
	server.DailyLimit(used + 1000)
	lifted := time.Now()
	if _, err := s.sf.Query(ctx, "SELECT Id FROM Account", salesforce.QueryOpts{}); err != nil {
		t.Fatal(err)
	}
	until("not polled again", func(b status.Object) bool { return b.LastPollAt.After(lifted) })
}
