package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
)

// A poll that fails once is tried again and no stop. One that goes on failing is told
// though the next try is minutes away, and one that Salesforce refuses for good at once.
func TestPollFalters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		heals  time.Duration
		events string
	}{
		"heals":   {&salesforce.Error{Class: salesforce.Transient, Status: 503}, status.Grace / 2, "warn flow_falters"},
		"lasts":   {errors.New("connection reset"), time.Minute, "warn flow_falters, error flow_stopped, info flow_resumed"},
		"refused": {&salesforce.Error{Class: salesforce.Permanent, Status: 403}, time.Second, "error flow_stopped, info flow_resumed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				b := New(scheduleConfig(), "test", zerolog.New(zerolog.SyncWriter(&log)))
				b.board.Go("start")
				s := &session{Bridge: b}
				o := &object{mapping: &mapping{cfg: config.Object{Name: "Account"}}}
				ctx, cancel := context.WithCancel(t.Context())
				defer beside(ctx, func(ctx context.Context) { _ = b.sample(ctx) })()
				defer cancel()
				synctest.Wait()
				s.pollFailed(o, zerolog.Nop(), c.err, 1, 5*time.Minute)
				time.Sleep(c.heals)
				synctest.Wait()
				stops := strings.Contains(c.events, "flow_stopped")
				if ready, list := b.board.Ready(); ready == stops {
					t.Errorf("ready %v, %v", ready, list)
				}
				s.resume(o.cfg.Name)
				if got := told(t, log.String()); got != c.events {
					t.Errorf("told %s, want %s", got, c.events)
				}
			})
		})
	}
}

// told lists the events of a log with their levels.
func told(t *testing.T, log string) string {
	t.Helper()
	var list []string
	for line := range strings.Lines(log) {
		level, event := between(line, `"level":"`), between(line, `"event":"`)
		list = append(list, level+" "+event)
	}
	return strings.Join(list, ", ")
}

func between(line, key string) string {
	_, rest, _ := strings.Cut(line, key)
	word, _, _ := strings.Cut(rest, `"`)
	return word
}
