package outbox

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// events counts the lines of a log that have an event, at warn and below that.
func events(log, event string) (warn, debug int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"event":"`+event+`"`) {
			if strings.Contains(line, `"level":"warn"`) {
				warn++
			} else {
				debug++
			}
		}
	}
	return warn, debug
}

// While the org refuses everybody, the log tells so once for some minutes, and nothing of
// calls that have not been sent.
func TestLimitIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log strings.Builder
	var calls atomic.Int64
	b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
		return nil, &Failure{Class: Limit, Code: "REQUEST_LIMIT_EXCEEDED", Unsent: calls.Add(1) > 1}, false
	})
	b.restart(func(c *Config) { c.Log = zerolog.New(zerolog.SyncWriter(&log)) })
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	stop := b.runs()
	eventually(t, "tried again and again", func() bool { return calls.Load() > 10 })
	stop()
	if warn, debug := events(log.String(), "limit_reached"); warn != 1 || debug < 9 {
		t.Errorf("the limit is told %d times, and %d times below that", warn, debug)
	}
	if warn, debug := events(log.String(), "sent"); warn != 1 || debug != 0 {
		t.Errorf("%d calls are told, and %d below that, of which one was sent", warn, debug)
	}
}

// Looks for what is in doubt that find out nothing are told once for some minutes.
func TestDoubtIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log strings.Builder
	b.sf.script(loseAnswers(1, false))
	b.restart(b.finding(time.Hour), func(c *Config) { c.Log = zerolog.New(&log) })
	look := func(wantWarn, wantDebug int) {
		t.Helper()
		log.Reset()
		for range 3 {
			for _, d := range b.worker.doubts {
				d.due = time.Time{}
			}
			b.tryRun()
		}
		if warn, debug := events(log.String(), "in_doubt"); warn != wantWarn || debug != wantDebug {
			t.Errorf("told %d times, and %d below that, want %d and %d", warn, debug, wantWarn, wantDebug)
		}
	}
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	b.tryRun()
	look(1, 2)
	look(0, 3)
	for _, d := range b.worker.doubts {
		d.said = d.said.Add(-quiet)
	}
	look(1, 2)
	b.want("log", b.live(), "INSERT/PENDING")
}
