package bridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
)

// One object that is not read is its own trouble; where none is, nothing comes in.
func TestStands(t *testing.T) {
	t.Parallel()
	b := New(scheduleConfig(), "test", zerolog.Nop())
	b.board.Go("start")
	s := &session{Bridge: b}
	for _, name := range []string{"Account", "Contact"} {
		s.objects = append(s.objects, &object{mapping: &mapping{cfg: config.Object{Name: name}}})
	}
	for _, step := range []struct {
		stop, resume string
		want         bool
	}{{"stream", "", false}, {"Account", "", false}, {"Contact", "", true}, {"", "Account", false}, {"inbound", "", true}} {
		if step.stop != "" {
			b.board.Stop(step.stop, "why")
		} else {
			b.board.Go(step.resume)
		}
		if got := s.stands(); got != step.want {
			t.Errorf("after %+v: %v", step, got)
		}
	}
}

// What was ready says after a moment that it cannot begin, and why; one that begins at
// once is ready all the time.
func TestTellStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(scheduleConfig(), "test", zerolog.Nop())
		b.board.Go("start")
		s := &session{Bridge: b}
		begun := beside(t.Context(), s.tellStart)
		down := time.Now().Add(time.Minute)
		done := make(chan error, 1)
		go func() {
			done <- s.forever(t.Context(), "set up", func(context.Context) error {
				if time.Now().Before(down) {
					return errors.New("no answer")
				}
				return nil
			})
		}()
		for _, step := range []struct {
			at    time.Duration
			ready bool
			why   string
		}{{startWithin / 2, true, ""}, {startWithin + refreshEvery, false, "set up: no answer"}, {2 * time.Minute, false, "starting"}} {
			time.Sleep(time.Until(down.Add(step.at - time.Minute)))
			synctest.Wait()
			ready, stops := b.board.Ready()
			if ready != step.ready || !ready && (len(stops) != 1 || stops[0].Part != "start" || stops[0].Reason != step.why) {
				t.Errorf("after %s: ready %v, %v", step.at, ready, stops)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		begun()
		if was, _ := b.board.Go("start"); !was {
			t.Error("it has not been stopped")
		}
		time.Sleep(time.Minute)
		if ready, stops := b.board.Ready(); !ready {
			t.Errorf("once it has begun: %v", stops)
		}
	})
}
