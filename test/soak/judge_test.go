package soak

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is what the process looked like at a moment of the run.
type sample struct {
	at          time.Duration // since traffic began
	rss         int64         // bytes resident
	heap        int64         // bytes in use by the Go heap
	goroutines  int
	descriptors int
	connections int     // to Postgres
	cpu         float64 // of one core, since the sample before
	in, out     int     // changes made in Salesforce and in Postgres so far
	ready       bool    // as the process says
}

const header = "     time      rss MB  heap MB  goroutines  descriptors  connections   cpu %       in      out"

func (s sample) String() string {
	return fmt.Sprintf("%9s  %10.2f %8.2f  %10d  %11d  %11d  %6.2f %8d %8d", s.at.Round(time.Second),
		float64(s.rss)/1e6, float64(s.heap)/1e6, s.goroutines, s.descriptors, s.connections, 100*s.cpu, s.in, s.out)
}

// What may not happen from the first tenth after the warm-up to the last.
const (
	warmUp  = 5 * time.Minute
	growth  = 1e6 // bytes of resident memory
	atLeast = 10  // samples to judge by

	// A fault is over at once, and so must be what the process says of it.
	unready = time.Minute
)

// steady leaves out the warm-up.
func steady(samples []sample, length time.Duration) []sample {
	from := min(warmUp, length/4)
	return slices.DeleteFunc(slices.Clone(samples), func(s sample) bool { return s.at < from })
}

// judge tells what has grown in a run, one sentence each, and the figures that
// it goes by.
func judge(samples []sample, length time.Duration) (grown []string, report string) {
	var since time.Duration
	for i, s := range samples {
		if s.ready || i == 0 {
			since = s.at
		} else if s.at-since > unready {
			grown = append(grown, fmt.Sprintf("not ready from %s to %s", since.Round(time.Second), s.at.Round(time.Second)))
			break
		}
	}
	s := steady(samples, length)
	if len(s) < atLeast {
		return []string{fmt.Sprintf("only %d samples after the warm-up, want %d to judge by", len(s), atLeast)}, ""
	}
	first, last := ends(s, 10)
	var b strings.Builder
	fmt.Fprintf(&b, "medians of %d samples until %s and of as many from %s on:\n", len(first), first[len(first)-1].at.Round(time.Second), last[0].at.Round(time.Second))
	rss := func(s sample) int64 { return s.rss }
	was, is := median(first, rss), median(last, rss)
	fmt.Fprintf(&b, "  %-12s %8.2f MB -> %8.2f MB, %+.2f MB\n", "resident", float64(was)/1e6, float64(is)/1e6, float64(is-was)/1e6)
	if is-was >= growth {
		grown = append(grown, fmt.Sprintf("resident memory grew by %.2f MB", float64(is-was)/1e6))
	}
	// Pools breathe with the load, for minutes: their ends are longer.
	first, last = ends(s, 3)
	fmt.Fprintf(&b, "of %d samples until %s and from %s on (lowest in brackets):\n", len(first), first[len(first)-1].at.Round(time.Second), last[0].at.Round(time.Second))
	for _, c := range []struct {
		name string
		of   func(sample) int
	}{
		{"goroutines", func(s sample) int { return s.goroutines }},
		{"descriptors", func(s sample) int { return s.descriptors }},
		{"connections", func(s sample) int { return s.connections }},
	} {
		was, is := median(first, c.of), median(last, c.of)
		low, lowest := least(first, c.of), least(last, c.of)
		fmt.Fprintf(&b, "  %-12s %5d (%d) -> %5d (%d)\n", c.name, was, low, is, lowest)
		if is > was && lowest > low {
			grown = append(grown, fmt.Sprintf("%d more %s, at the least %d", is-was, c.name, lowest-low))
		}
	}
	return grown, b.String()
}

// ends are the first and the last nth of samples, at least three each.
func ends(s []sample, n int) (first, last []sample) {
	n = max(3, len(s)/n)
	return s[:n], s[len(s)-n:]
}

func median[T cmp.Ordered](samples []sample, of func(sample) T) T {
	var values []T
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func least[T cmp.Ordered](samples []sample, of func(sample) T) T {
	low := of(samples[0])
	for _, s := range samples {
		low = min(low, of(s))
	}
	return low
}

// The judge is red for a leak of each kind, however small, and not for what
// comes and goes.
func TestJudge(t *testing.T) {
	t.Parallel()
	const hour, every = time.Hour, 10 * time.Second
	run := func(change func(i int, s *sample)) []sample {
		var samples []sample
		for at := time.Duration(0); at < hour; at += every {
			i := len(samples)
			s := sample{at: at, rss: 34e6 + int64(i*7919%1_500_000), goroutines: 60 + i%4, descriptors: 21 + i%3, connections: 7, ready: i%40 > 2}
			change(i, &s)
			samples = append(samples, s)
		}
		return samples
	}
	for name, c := range map[string]struct {
		change func(i int, s *sample)
		want   string
	}{
		"nothing": {func(int, *sample) {}, ""},
		"warm-up": {func(i int, s *sample) {
			if s.at < warmUp {
				s.rss, s.goroutines, s.descriptors, s.connections = s.rss/2, s.goroutines/2, s.descriptors/2, s.connections/2
			}
		}, ""},
		"requests in hand": {func(i int, s *sample) {
			if i%30 == 0 {
				s.goroutines, s.descriptors, s.connections, s.rss = 300, 90, 10, 60e6
			}
		}, ""},
		"pools that breathe": {func(i int, s *sample) {
			s.goroutines += []int{0, 1, 2, 4}[i/30%4]
			s.descriptors += []int{0, 1, 2, 3}[i/30%4]
		}, ""},
		"memory":           {func(i int, s *sample) { s.rss += int64(i) * 3500 }, "resident memory grew by"},
		"memory at once":   {func(i int, s *sample) { s.rss += int64(i/200) * 1_100_000 }, "resident memory grew by"},
		"one goroutine":    {func(i int, s *sample) { s.goroutines += i / 200 }, "more goroutines"},
		"one descriptor":   {func(i int, s *sample) { s.descriptors += i / 220 }, "more descriptors"},
		"one connection":   {func(i int, s *sample) { s.connections += i / 220 }, "more connections"},
		"not ready":        {func(i int, s *sample) { s.ready = s.ready && (i < 200 || i > 210) }, "not ready from"},
		"a slow goroutine": {func(i int, s *sample) { s.goroutines += i / 100 }, "more goroutines"},
	} {
		grown, report := judge(run(c.change), hour)
		switch text := strings.Join(grown, "; "); {
		case c.want == "" && text != "":
			t.Errorf("%s: red: %s\n%s", name, text, report)
		case c.want != "" && !strings.Contains(text, c.want):
			t.Errorf("%s: %q, want %q\n%s", name, text, c.want, report)
		}
	}
	if grown, _ := judge(run(func(int, *sample) {})[:35], hour); len(grown) == 0 {
		t.Error("green with nothing to judge by")
	}
}
