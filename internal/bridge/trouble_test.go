package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/status"
	"hcbridge/test/pgtest"
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

// Where rights are missing in Postgres, a start names what says which.
func TestMissingRightsHaveARemedy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, grants, want string }{
		"schemas": {"", "", "permission denied for database"},
		"hstore":  {"DROP EXTENSION hstore", "CREATE SCHEMA hcbridge AUTHORIZATION @; CREATE SCHEMA salesforce AUTHORIZATION @", "permission denied to create extension"},
		"table":   {"CREATE SCHEMA salesforce; CREATE TABLE salesforce.account (id serial PRIMARY KEY, sfid varchar(18), systemmodstamp timestamp, isdeleted boolean, _hc_lastop varchar(32), _hc_err text)", "CREATE SCHEMA hcbridge AUTHORIZATION @; GRANT ALL ON SCHEMA salesforce TO @; GRANT ALL ON ALL TABLES IN SCHEMA salesforce TO @", "must be owner of table account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newChecked(t, pgtest.URL(t))
			x.exec(c.before)
			x.as(c.grants)
			x.start()
			x.env["HC_HTTP_ADDR"] = ""
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			b := New(x.load(), "test", zerolog.Nop())
			end := make(chan error, 1)
			go func() { end <- b.Run(ctx) }()
			told := func(text string) bool {
				return strings.Contains(text, c.want) && strings.Contains(text, "`hcbridge check` says what to GRANT")
			}
			for {
				changed := b.board.Changed()
				if slices.ContainsFunc(b.board.Snapshot().Objects, func(o status.Object) bool { return told(o.Message) }) {
					cancel()
					<-end
					return
				}
				select {
				case <-changed:
				case err := <-end:
					if err == nil || !told(err.Error()) {
						t.Error(err, b.board.Snapshot().Objects)
					}
					return
				}
			}
		})
	}
}
