package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// HCBRIDGE_SOAK is the number of hours, 0.5 too. Without it the run is as short
// as shows that everything here works, and what it measures is not judged: there is
// no steady state in seconds.
func TestSoak(t *testing.T) {
	t.Parallel()
	length, every, check := 15*time.Second, time.Second, 6*time.Second
	text, long := os.LookupEnv("HCBRIDGE_SOAK")
	if long {
		hours, err := strconv.ParseFloat(text, 64)
		if err != nil || hours <= 0 {
			t.Fatalf("HCBRIDGE_SOAK=%q", text)
		}
		length = time.Duration(hours * float64(time.Hour))
		every, check = min(10*time.Second, length/60), min(5*time.Minute, length/4)
	}
	addr := rig.FreeAddr(t)
	tr := &traffic{Rig: rig.New(t, append(settings(), "HC_HTTP_ADDR="+addr, "HC_LOG_LEVEL=warn")...)}
	tr.SF.DailyLimit(100_000_000) // the pace of the calls is not what is tested
	tr.fill()
	b := tr.Start()
	tr.Synced()

	limit := length
	if !long {
		limit = 5 * time.Minute // until both sides were compared
	}
	ctx, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { tr.run(ctx, tr.people, &tr.in, 1) })
	wg.Go(func() { tr.run(ctx, tr.app, &tr.out, 2) })
	wg.Go(func() { tr.trouble(ctx, length) })
	began := time.Now()
	var equal atomic.Int64 // times
	wg.Go(func() {
		tick := time.NewTicker(check)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			tr.quiet.Lock()
			took := tr.equal(ctx)
			tr.quiet.Unlock()
			if ctx.Err() == nil {
				equal.Add(1)
				t.Logf("%s: both sides equal after %s", time.Since(began).Round(time.Second), took.Round(time.Millisecond))
			}
		}
	})

	w := &watch{t: t, tr: tr, pid: b.Cmd.Process.Pid, url: "http://" + addr + "/metrics", began: began}
	t.Log(header)
	var samples []sample
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-b.Done:
			t.Fatal("the bridge has ended")
		case <-tick.C:
			s := w.look()
			samples = append(samples, s)
			t.Log(s)
			if !long && s.at > length && equal.Load() > 0 {
				stop()
			}
		}
	}
	wg.Wait()
	tr.SF.ClearFaults()
	took := tr.equal(t.Context())
	t.Logf("%d changes in Salesforce, %d in Postgres; both sides equal %d times and %s after the last", tr.in.Load(), tr.out.Load(), equal.Load(), took.Round(time.Millisecond))
	if equal.Load() == 0 {
		t.Error("both sides were never compared")
	}
	if !long {
		if len(samples) < 5 || slices.ContainsFunc(samples, func(s sample) bool {
			return s.rss == 0 || s.heap == 0 || s.goroutines == 0 || s.descriptors == 0 || s.connections == 0
		}) {
			t.Errorf("what was measured is not whole: %v", samples)
		}
		return
	}
	grown, report := judge(samples, length)
	t.Logf("%s  cpu          %.2f %% of a core", report, 100*w.cpu/time.Since(began).Seconds())
	for _, text := range grown {
		t.Error(text)
	}
}

// equal waits until both sides are, as often as it takes, and tells how long.
func (tr *traffic) equal(ctx context.Context) time.Duration {
	began := time.Now()
	var objects []string
	for _, k := range kinds {
		objects = append(objects, k.object)
	}
	for ctx.Err() == nil {
		err := tr.Unequal(objects...)
		if err == nil {
			break
		}
		if time.Since(began) > 2*time.Minute {
			tr.T.Errorf("both sides are not equal %s after traffic rests: %v", time.Since(began).Round(time.Second), err)
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return time.Since(began)
}

// watch samples the process.
type watch struct {
	t     *testing.T
	tr    *traffic
	pid   int
	url   string
	began time.Time

	cpu  float64 // seconds used by the time of the last sample
	when time.Time
}

func (w *watch) look() sample {
	w.t.Helper()
	now := time.Now()
	m := w.metrics()
	s := sample{
		at: now.Sub(w.began), heap: int64(m["go_memstats_heap_inuse_bytes"]), goroutines: int(m["go_goroutines"]),
		in: int(w.tr.in.Load()), out: int(w.tr.out.Load()), ready: m["hcbridge_ready"] == 1,
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	w.must(err)
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			w.must(err)
			s.rss = n << 10
		}
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.pid))
	w.must(err)
	s.descriptors = len(open)
	w.must(w.tr.Pool.QueryRow(w.t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge'").Scan(&s.connections))
	used := m["process_cpu_seconds_total"]
	if !w.when.IsZero() {
		s.cpu = (used - w.cpu) / now.Sub(w.when).Seconds()
	}
	w.cpu, w.when = used, now
	return s
}

// metrics reads those without labels.
func (w *watch) metrics() map[string]float64 {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url, nil)
	w.must(err)
	req.Close = true // or the connection counts as one of its descriptors
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	defer resp.Body.Close()
	m := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			m[name] = n
		}
	}
	w.must(lines.Err())
	return m
}

func (w *watch) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
