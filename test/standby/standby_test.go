package standby

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/org"
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

// A stop keeps the lease until what is in hand is answered and written down: the other
// waits for it, and has nothing to look for.
func TestEndedWithACallInHand(t *testing.T) {
	t.Parallel()
	r := rig.New(t, "HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_ACCESS=read_write") // an insert cannot be repeated
	old := r.Start()
	r.Synced()
	next := r.Start()
	r.Eventually("to stand by", 20*time.Second, func() error {
		if !strings.Contains(next.Log.String(), `"event":"standby"`) {
			return errors.New("it does not")
		}
		return nil
	})
	held := r.SF.Fault(org.Fault{Method: "POST", Path: "/composite/sobjects", Verb: org.Hold})
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('In hand')")
	r.Must(held.Wait(t.Context(), 1))
	var ends time.Time
	lease := func() (epoch int, until time.Time) {
		r.Must(r.Pool.QueryRow(t.Context(), "SELECT epoch, expires_at FROM hcbridge.lease").Scan(&epoch, &until))
		return epoch, until
	}
	epoch, _ := lease()
	r.Must(old.Cmd.Process.Signal(syscall.SIGTERM))
	for renewed := 0; renewed < 3; { // one may have been before the signal
		r.Eventually("the lease to be renewed", 10*time.Second, func() error {
			e, until := lease()
			if e != epoch || until.Before(ends) {
				t.Fatal("it is given up before the answer has come")
			}
			if !until.After(ends) {
				return errors.New("it is not")
			}
			ends = until
			return nil
		})
		renewed++
	}
	held.Release()
	<-old.Done
	if n := r.Count("SELECT count(*) FROM salesforce._trigger_log"); n > 0 {
		t.Errorf("%d entries were left to the other", n)
	}
	if log := old.Log.String(); strings.Contains(log, `"event":"fenced"`) || strings.Contains(log, `"event":"grace_over"`) {
		t.Error("it could not write the answer down")
	}
	r.Eventually("the other to work", 20*time.Second, func() error {
		if !strings.Contains(next.Log.String(), `"event":"running"`) {
			return errors.New("it does not")
		}
		return nil
	})
	r.Equal("Contact")
	if n := len(r.SF.Records("Contact")); n != 1 {
		t.Errorf("%d records were made", n)
	}
	if strings.Contains(next.Log.String(), `"event":"recovered_pending"`) {
		t.Error("the other found it in doubt")
	}
}

// One that has taken over and cannot begin says so, though it was ready as it stood by.
func TestCannotBegin(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	old := r.Start()
	r.Synced()
	r.Env["HC_OBJECT_CONTACT_ACCESS"], r.Env["HC_HTTP_ADDR"] = "read_write", rig.FreeAddr(t) // triggers are to be made
	r.Start()
	ready := func(want int, says string) {
		t.Helper()
		r.Eventually(fmt.Sprintf("/readyz to answer %d", want), 30*time.Second, func() error {
			resp, err := http.Get("http://" + r.Env["HC_HTTP_ADDR"] + "/readyz") //nolint:noctx // of a test
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err == nil && (resp.StatusCode != want || !strings.Contains(string(body), says)) {
				err = fmt.Errorf("%d: %s", resp.StatusCode, body)
			}
			return err
		})
	}
	ready(http.StatusOK, "")
	app, err := r.Pool.Begin(t.Context())
	r.Must(err)
	defer func() { _ = app.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = app.Exec(t.Context(), "UPDATE salesforce.contact SET lastname = lastname")
	r.Must(err)
	old.End(syscall.SIGTERM)
	ready(http.StatusServiceUnavailable, "waits to be altered")
	r.Must(app.Rollback(t.Context()))
	ready(http.StatusOK, "")
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
