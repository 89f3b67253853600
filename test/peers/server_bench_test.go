package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/bayeux"
	"hcbridge/test/bench/figure"
	"hcbridge/test/org"
)

const (
	burst  = 50_000
	steady = 3000
	rate   = 500 // events a second
)

// cost is what events cost a client: a burst and a steady stream of them.
type cost struct {
	CPU     float64 // µs per event
	Seconds float64
	Wrong   int // events out of order
	Files   int // descriptors more than before
	P50     float64
	P99     float64 // ms from publish to handler
}

// TestServerCost measures our client and three others one after another on the
// same cometd-nodejs-server, if HCBRIDGE_BENCH is set; make bench does that.
// Otherwise it takes a hundredth of the events and measures nothing, but all
// must come in order.
func TestServerCost(t *testing.T) {
	n, m, runs := burst/100, steady/100, 1
	if os.Getenv("HCBRIDGE_BENCH") != "" {
		n, m, runs = burst, steady, 3
	} else {
		t.Parallel()
	}
	clients := []struct {
		name  string
		start func(*testing.T, *server) func(n int, publish func()) cost
	}{
		{"ours", ours}, {"cometd", theirs("cometd")}, {"faye", theirs("faye")}, {"jsforce", theirs("jsforce")},
	}
	bursts, steadies := map[string][]cost{}, map[string][]cost{}
	for range runs {
		for _, c := range clients {
			s := serve(t, "SERVER=cometd")
			measure := c.start(t, s)
			measure(n/10, func() { s.publish(n / 10) }) // warm
			b := measure(n, func() { s.publish(n) })
			l := measure(m, func() { s.do(`{"do":"publish","channel":%q,"n":%d,"rate":%d}`, topic, m, rate) })
			if b.Wrong+l.Wrong > 0 && c.name == "ours" {
				t.Errorf("%d events out of order", b.Wrong+l.Wrong)
			}
			if b.Files+l.Files > 0 && c.name == "ours" && runs > 1 { // else other tests open some
				t.Errorf("%d and %d descriptors more than before", b.Files, l.Files)
			}
			bursts[c.name], steadies[c.name] = append(bursts[c.name], b), append(steadies[c.name], l)
			s.stop()
		}
	}
	if os.Getenv("HCBRIDGE_BENCH") == "" {
		return
	}
	t.Logf("medians of %d, on the same cometd-nodejs-server", runs)
	t.Logf("%-8s %12s %10s %10s %10s %12s %13s %6s", "client", "burst µs/ev", "events/s", "p50 ms", "p99 ms", "500/s µs/ev", "out of order", "files")
	for _, c := range clients {
		b, l := median(bursts[c.name]), median(steadies[c.name])
		t.Logf("%-8s %12.2f %10.0f %10.2f %10.2f %12.0f %13d %+6d", c.name, b.CPU, float64(n)/b.Seconds, l.P50, l.P99, l.CPU, b.Wrong+l.Wrong, max(b.Files, l.Files))
	}
	us, we := median(bursts["ours"]), median(steadies["ours"])
	keep := func(what, unit string, of func(burst, steady cost) float64, goal float64) {
		f := figure.Figure{Job: "streaming client, on cometd-nodejs-server", What: what, Unit: unit, Ours: of(us, we), Peers: map[string]float64{}}
		for _, c := range clients[1:] {
			f.Peers[c.name] = of(median(bursts[c.name]), median(steadies[c.name]))
			f.Goals = append(f.Goals, figure.Goal{Of: c.name, AtMost: goal})
		}
		figure.Keep(t, f)
	}
	keep(fmt.Sprintf("processor, a burst of %d events", n), "µs an event", func(b, _ cost) float64 { return b.CPU }, 1)
	keep(fmt.Sprintf("%d events/s, p50 to the handler", rate), "ms", func(_, l cost) float64 { return l.P50 }, 1)
	keep(fmt.Sprintf("%d events/s, p99 to the handler", rate), "ms", func(_, l cost) float64 { return l.P99 }, 1)
	for _, c := range clients[1:] {
		b, l := median(bursts[c.name]), median(steadies[c.name])
		t.Logf("ours / %-7s burst CPU %.2f, p50 %.2f, p99 %.2f, steady CPU %.2f", c.name, us.CPU/b.CPU, we.P50/l.P50, we.P99/l.P99, we.CPU/l.CPU)
	}
}

// ours measures the client of this module, in this process.
func ours(t *testing.T, s *server) func(int, func()) cost {
	t.Helper()
	var got, want, last, wrong atomic.Int64
	var waits []float64
	var timed atomic.Bool
	all := make(chan struct{}, 1)
	client, err := bayeux.New(
		func(context.Context, string) (string, string, error) { return s.url, "token", nil },
		func(_ context.Context, msgs []bayeux.Message) error {
			for _, m := range msgs {
				if m.ReplayID <= last.Load() {
					wrong.Add(1)
				}
				last.Store(m.ReplayID)
				if timed.Load() {
					var data struct {
						Event struct {
							At float64 `json:"at"`
						} `json:"event"`
					}
					if err := json.Unmarshal(m.Data, &data); err != nil {
						return err
					}
					waits = append(waits, float64(time.Now().UnixNano())/1e6-data.Event.At)
				}
			}
			if got.Add(int64(len(msgs))) == want.Load() {
				all <- struct{}{}
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	client.Subscribe(bayeux.Subscription{Channel: topic})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for client.Status().State != bayeux.Connected {
		time.Sleep(10 * time.Millisecond)
	}
	return func(n int, publish func()) cost {
		got.Store(0)
		want.Store(int64(n))
		waits = waits[:0]
		timed.Store(n <= steady)
		before, _ := os.ReadDir("/proc/self/fd")
		cpu, begun := used(), time.Now()
		publish()
		<-all
		after, _ := os.ReadDir("/proc/self/fd")
		c := cost{CPU: float64((used() - cpu).Nanoseconds()) / 1000 / float64(n), Seconds: time.Since(begun).Seconds(), Wrong: int(wrong.Swap(0)), Files: len(after) - len(before)}
		if timed.Load() {
			slices.Sort(waits)
			c.P50, c.P99 = waits[n/2], waits[n*99/100]
		}
		return c
	}
}

// used is the CPU time of this process.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// theirs measures a client that somebody else wrote, in a process of its own.
func theirs(name string) func(*testing.T, *server) func(int, func()) cost {
	return func(t *testing.T, s *server) func(int, func()) cost {
		t.Helper()
		c := run(t, started(t, org.Options{}), "server-bench.mjs", "CLIENT="+name, "URL="+s.url, "CHANNEL="+topic)
		c.next("ready", nil)
		return func(n int, publish func()) (result cost) {
			c.tell(fmt.Sprint(n))
			c.next("armed", nil)
			publish()
			c.next("result", &result)
			return result
		}
	}
}

// median has the middle of what was measured, the sum of what came out of order
// and the most descriptors.
func median(list []cost) cost {
	middle := func(of func(cost) float64) float64 {
		var values []float64
		for _, c := range list {
			values = append(values, of(c))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	m := cost{
		CPU: middle(func(c cost) float64 { return c.CPU }), Seconds: middle(func(c cost) float64 { return c.Seconds }),
		P50: middle(func(c cost) float64 { return c.P50 }), P99: middle(func(c cost) float64 { return c.P99 }),
	}
	for _, c := range list {
		m.Wrong += c.Wrong
		m.Files = max(m.Files, c.Files)
	}
	return m
}
