package main

import (
	"regexp"
	"strings"
	"testing"

	"hcbridge/test/bench/figure"
)

func TestRender(t *testing.T) {
	got := render([]figure.Figure{
		{Job: "load", What: "a million rows", Unit: "rows/s", Ours: 100_000, Bound: 200_000, Naive: 10_000, Goals: []figure.Goal{{Of: "bound", AtLeast: 0.6}, {Of: "naive", AtLeast: 5}}},
		{Job: "load", What: "a million rows", Unit: "rows/s", Ours: 140_000, Bound: 200_000, Naive: 10_000},
		{Job: "load", What: "a million rows", Unit: "rows/s", Ours: 120_000, Bound: 160_000, Naive: 10_000},
		{Job: "load", What: "peak memory", Unit: "MB", Ours: 42.34, Goals: []figure.Goal{{AtMost: 64}}},
		{Job: "latency", What: "p50", Unit: "ms", Ours: 1.5, Peers: map[string]float64{"jsforce": 3, "faye": 2}, Goals: []figure.Goal{{Of: "faye", AtMost: 0.5}}},
	})
	want := `| job | figure | ours | bound | naive | others | promised | reached |
| --- | --- | --- | --- | --- | --- | --- | --- |
| load | a million rows, rows/s | 120,000 [100,000..140,000] | 200,000 | 10,000 |  | ≥ 0.60 × bound; ≥ 5.00 × naive | 0.70 × bound ✓; 12.0 × naive ✓ |
|  | peak memory, MB | 42.3 |  |  |  | ≤ 64.0 | 42.3 ✓ |
| latency | p50, ms | 1.50 |  |  | faye 2.00; jsforce 3.00 | ≤ 0.50 × faye | 0.75 × faye ✗ |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInsert(t *testing.T) {
	text := "before\n" + begin + "old\n" + end + "after\n"
	got, err := insert([]byte(text), "new\n")
	if want := strings.Replace(text, "old", "new", 1); err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := insert([]byte("no marks"), "new\n"); err == nil {
		t.Error("a file without marks is written to")
	}
}

// The figures say of which Postgres they are.
func TestPostgres(t *testing.T) {
	if got := postgres(t.Context()); !regexp.MustCompile(`^PostgreSQL [1-9][0-9]`).MatchString(got) {
		t.Errorf("the version of Postgres is %q", got)
	}
}
