package standby

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// What is promised of a take-over, until a change each way has arrived: after a
// crash and after a clean end.
const (
	afterCrash = 20 * time.Second
	afterEnd   = 2 * time.Second
)

// A process that is stopped between its last look at the lease and the write of a
// request sends it when it goes on, and nothing can keep it: this many in one round,
// and this soon. They do no harm, as the other has looked for what was attempted.
const (
	begunMost   = 2
	begunWithin = time.Second
)

// campaign is how often each thing is done, by how many pairs side by side, and for
// how long a process is stopped at least; always for longer than the lease. With
// HCBRIDGE_STANDBY=n it is n times and a minute.
func campaign(t *testing.T) (rounds, pairs int, stop time.Duration) {
	t.Helper()
	text := os.Getenv("HCBRIDGE_STANDBY")
	if text == "" {
		return 2, 1, 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HCBRIDGE_STANDBY=%q", text)
	}
	pairs = min(n, 5)
	return (n + pairs - 1) / pairs, pairs, time.Minute
}

func TestKilled(t *testing.T) {
	t.Parallel()
	rounds, pairs, _ := campaign(t)
	each(t, pairs, func(t *testing.T) {
		p := newPair(t)
		for round := range rounds {
			p.round(round, func(old, next *process) {
				old.End(syscall.SIGKILL)
				p.works(next, afterCrash)
				p.start(old.name)
			})
		}
		p.report()
	})
}

// A process that stands still knows nothing of it, and goes on where it was.
func TestStopped(t *testing.T) {
	t.Parallel()
	rounds, pairs, stop := campaign(t)
	each(t, pairs, func(t *testing.T) {
		p := newPair(t)
		for round := range rounds {
			p.round(round, func(old, next *process) {
				began := time.Now()
				p.must(old.Cmd.Process.Signal(syscall.SIGSTOP))
				p.works(next, afterCrash)
				time.Sleep(stop - time.Since(began)) // the campaign wants a minute
				seen := len(old.Log.String())
				p.went = time.Now()
				p.must(old.Cmd.Process.Signal(syscall.SIGCONT))
				p.Eventually("the one that stood still to stand by", 20*time.Second, func() error {
					said := old.Log.String()[seen:]
					if !strings.Contains(said, `"event":"lease_lost"`) || !strings.Contains(said, `"event":"standby"`) {
						return errors.New("it does not say so")
					}
					return nil
				})
				p.fenced += strings.Count(old.Log.String()[seen:], `"event":"fenced"`)
			})
			p.Eventually("one streaming client", 10*time.Second, func() error {
				if n := p.SF.StreamClients(); n != 1 {
					return fmt.Errorf("%d clients", n)
				}
				return nil
			})
		}
		p.report()
	})
}

func TestEnded(t *testing.T) { //nolint:paralleltest // of the two seconds most would be the others'
	rounds, _, _ := campaign(t)
	p := newPair(t)
	p.alone = true
	for round := range rounds {
		p.round(round, func(old, next *process) {
			old.End(syscall.SIGTERM)
			if err := p.holds(old); err == nil {
				t.Error("it did not give the lease back")
			}
			p.works(next, afterEnd)
			p.start(old.name)
		})
	}
	p.report()
}

func each(t *testing.T, pairs int, fn func(t *testing.T)) {
	t.Helper()
	for n := range pairs {
		t.Run(strconv.Itoa(n+1), func(t *testing.T) {
			t.Parallel()
			fn(t)
		})
	}
}
