package program

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/bench/figure"
	"hcbridge/test/rig"
)

// ready waits until both directions flow.
func ready(r *rig.Rig) (took time.Duration) {
	r.T.Helper()
	return r.Until("ready", time.Minute, func() error {
		resp, err := http.Get("http://" + r.Env["HC_HTTP_ADDR"] + "/readyz") //nolint:noctx // of a test
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", resp.StatusCode)
		}
		return nil
	})
}

// What a start takes until both directions flow, and what an idle bridge takes.
func TestProgramIdle(t *testing.T) {
	n := of(3, 10)
	r := newRig(t, n, "HC_HTTP_ADDR="+rig.FreeAddr(t))
	b := r.Start()
	r.Synced()
	for range of(1, 5) {
		ready(r)
		b.End(syscall.SIGTERM)
		b = r.Start()
		took := ready(r)
		t.Logf("a start with %d objects whose tables exist takes %s until both directions flow", n, took.Round(time.Millisecond))
		figure.Keep(t, figure.Figure{Job: "start", What: "ten objects, tables exist, until /readyz", Unit: "ms", Ours: figure.MS(took)})
	}
	time.Sleep(of(time.Second, 30*time.Second)) // what a start leaves to do is done
	began, used := time.Now(), cpu(t, b)
	time.Sleep(of(time.Second, 2*time.Minute))
	share := (cpu(t, b) - used).Seconds() / time.Since(began).Seconds() * 100
	memory := process(t, b, "VmRSS")
	t.Logf("idle with %d objects: %.1f MB resident, %.2f %% of a core", n, memory, share)
	figure.Keep(t,
		figure.Figure{Job: "idle, ten objects", What: "resident memory", Unit: "MB", Ours: memory, Goals: []figure.Goal{{AtMost: 30}}},
		figure.Figure{Job: "idle, ten objects", What: "processor", Unit: "% of a core", Ours: share, Goals: []figure.Goal{{AtMost: 0.5}}})
}

// How memory grows with rows loaded, with objects, and with changes that wait.
func TestProgramGrowth(t *testing.T) {
	for _, rows := range of([]int{100, 300}, []int{10_000, 100_000, 400_000}) {
		r := newRig(t, 1)
		fill(r, rows)
		b := r.Start()
		r.Synced()
		peak := process(t, b, "VmHWM")
		t.Logf("%d rows loaded: at most %.1f MB resident", rows, peak)
		figure.Keep(t, figure.Figure{Job: "memory, most", What: fmt.Sprintf("%d rows loaded", rows), Unit: "MB", Ours: peak, Goals: []figure.Goal{{AtMost: 64}}})
		b.End(syscall.SIGTERM)
	}
	for _, n := range of([]int{1, 2}, []int{1, 5, 10}) {
		r := newRig(t, n)
		b := r.Start()
		r.Synced()
		time.Sleep(of(time.Millisecond, 10*time.Second))
		now := process(t, b, "VmRSS")
		t.Logf("%d objects without rows: %.1f MB resident", n, now)
		figure.Keep(t, figure.Figure{Job: "memory, at rest", What: fmt.Sprintf("%d objects", n), Unit: "MB", Ours: now})
		b.End(syscall.SIGTERM)
	}
	for _, rows := range of([]int{100}, []int{10_000, 100_000}) {
		r := newRig(t, 1, "HC_OBJECT_ACCOUNT_ACCESS=read_write")
		fill(r, rows)
		b := r.Start()
		r.Synced()
		b.End(syscall.SIGTERM)
		r.Exec("UPDATE salesforce.account SET site = 'of a backlog'")
		b = r.Start()
		r.Equal()
		peak := process(t, b, "VmHWM")
		t.Logf("a backlog of %d changes: at most %.1f MB resident", rows, peak)
		figure.Keep(t, figure.Figure{Job: "memory, most", What: fmt.Sprintf("%d changes to send at the start", rows), Unit: "MB", Ours: peak})
		b.End(syscall.SIGTERM)
	}
}

// fill gives the org accounts.
func fill(r *rig.Rig, rows int) {
	r.T.Helper()
	_, err := r.SF.InsertMany("Account", func(yield func(map[string]any) bool) {
		for i := range rows {
			if !yield(map[string]any{"Name": fmt.Sprintf("Account %d", i), "Site": "of the load"}) {
				return
			}
		}
	})
	r.Must(err)
}

// API calls for changes of the app, their read-backs with them, and for changes in
// Salesforce.
func TestProgramCalls(t *testing.T) {
	r := newRig(t, 1, "HC_OBJECT_ACCOUNT_ACCESS=read_write")
	n := of(200, 1000)
	fill(r, n)
	r.Start()
	r.Synced()
	r.Equal()
	calls := func(what string, goal float64, change func()) {
		before, _ := charged(r)
		change()
		r.Equal()
		after, kinds := charged(r)
		per := float64(after-before) * 1000 / float64(n)
		t.Logf("%s: %.1f calls per 1,000 rows (%s)", what, per, kinds)
		f := figure.Figure{Job: "API calls", What: what, Unit: "calls per 1,000 rows", Ours: per, Naive: 1000}
		if goal > 0 {
			f.Goals = []figure.Goal{{AtMost: goal}}
		}
		figure.Keep(t, f)
	}
	calls("1,000 updates of the app in one transaction", 0, func() { r.Exec("UPDATE salesforce.account SET site = 'of the app'") })
	calls("1,000 inserts of the app in one transaction, read back", 0, func() {
		r.Exec("INSERT INTO salesforce.account (name) SELECT 'new ' || i FROM generate_series(1, $1::int) AS i", n)
	})
	calls("1,000 records changed in Salesforce", 0, func() {
		for i, one := range r.SF.Records("Account") {
			if i < n {
				r.Must(r.SF.Update("Account", one.ID, map[string]any{"Site": "of a person"}))
			}
		}
	})
}
