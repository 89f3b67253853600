package web_test

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

var update = flag.Bool("update", false, "rewrite the table in docs/metrics.md from what /metrics says")

// full is a board that has something to say about everything.
func full() *status.Board {
	now := time.Now()
	board := status.New()
	board.Stop("stream", "no events for 60 s")
	board.Connection(func(c *status.Connection) { c.APICalls = status.APICalls{Used: 1, Limit: 10, Budget: 8} })
	board.Object("Account", func(o *status.Object) {
		o.RowsSalesforce, o.RowsPostgres, o.PendingWrites = 1, 1, 1
		o.PendingSince, o.LastEventAt, o.LastPollAt, o.LastWriteAt = &now, &now, &now, &now
	})
	return board
}

func metrics(t *testing.T, board *status.Board) string {
	t.Helper()
	code, body := get(t, web.New(web.Config{Board: board, Addr: "127.0.0.1:0", Version: "v1"}), "http://127.0.0.1/metrics")
	if code != http.StatusOK {
		t.Fatalf("code %d", code)
	}
	return body
}

// docs/metrics.md lists every metric with its type, labels and meaning, and no
// other: alerts are built on them.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	type entry struct{ kind, help, labels string }
	all := map[string]*entry{}
	at := func(name string) *entry {
		if all[name] == nil {
			all[name] = &entry{}
		}
		return all[name]
	}
	lines := bufio.NewScanner(strings.NewReader(metrics(t, full())))
	for lines.Scan() {
		line := lines.Text()
		var name, rest string
		switch {
		case strings.HasPrefix(line, "# HELP hcbridge_"):
			name, rest, _ = strings.Cut(strings.TrimPrefix(line, "# HELP "), " ")
			at(name).help = rest
		case strings.HasPrefix(line, "# TYPE hcbridge_"):
			name, rest, _ = strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
			at(name).kind = rest
		case strings.HasPrefix(line, "hcbridge_"):
			name, rest, _ = strings.Cut(line, "{")
			if inner, _, found := strings.Cut(rest, "} "); found {
				var labels []string
				for pair := range strings.SplitSeq(inner, ",") {
					label, _, _ := strings.Cut(pair, "=")
					labels = append(labels, label)
				}
				for _, suffix := range []string{"_sum", "_count"} {
					if base := strings.TrimSuffix(name, suffix); all[base] != nil {
						name = base
					}
				}
				at(name).labels = strings.Join(labels, ", ")
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d metrics were found: the search is broken", len(all))
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var table strings.Builder
	table.WriteString("| metric | type | labels | means |\n| --- | --- | --- | --- |\n")
	for _, name := range names {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, all[name].kind, all[name].labels, all[name].help)
	}

	const path, begin, end = "../../docs/metrics.md", "<!-- metrics -->\n", "<!-- /metrics -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	old, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no table between the marks", path)
	}
	if old == table.String() {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table in %s is not what /metrics says; run make golden. It should be\n%s", path, table.String())
}

// What is not known is left out, rather than a number that is wrong.
func TestMetricsLeaveOutWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	board := status.New()
	board.Object("Account", func(*status.Object) {})
	unknown := metrics(t, board)
	known := metrics(t, full())
	for _, name := range []string{
		"hcbridge_rows_salesforce", "hcbridge_rows_postgres", "hcbridge_oldest_pending_write_timestamp_seconds", "hcbridge_last_event_timestamp_seconds",
		"hcbridge_last_poll_timestamp_seconds", "hcbridge_last_write_timestamp_seconds",
		"hcbridge_api_calls_used", "hcbridge_api_calls_limit", "hcbridge_api_calls_left", "hcbridge_api_calls_budget",
	} {
		if strings.Contains(unknown, name) {
			t.Errorf("%s is told although nobody knows it", name)
		}
		if !strings.Contains(known, name) {
			t.Errorf("%s is not told", name)
		}
	}
}

// Salesforce lets an org go beyond its allowance for a while.
func TestMetricsTellCallsLeft(t *testing.T) {
	t.Parallel()
	for used, want := range map[int]string{1: "999", 1001: "0"} {
		board := status.New()
		board.Connection(func(c *status.Connection) { c.APICalls.Used, c.APICalls.Limit = used, 1000 })
		if body := metrics(t, board); !strings.Contains(body, "\nhcbridge_api_calls_left "+want+"\n") {
			t.Errorf("with %d of 1000 used %s are not left", used, want)
		}
	}
}

// Alerts can tell which of two processes works.
func TestMetricsTellTheRole(t *testing.T) {
	t.Parallel()
	board := status.New()
	board.Go("start")
	board.Connection(func(c *status.Connection) { c.State = status.Standby })
	if body := metrics(t, board); !strings.Contains(body, "\nhcbridge_active 0\n") || !strings.Contains(body, "\nhcbridge_ready 1\n") {
		t.Error("a process that stands by is not ready, or says that it works")
	}
	board.Connection(func(c *status.Connection) { c.State, c.Role = status.Idle, "active" })
	if body := metrics(t, board); !strings.Contains(body, "\nhcbridge_active 1\n") {
		t.Error("the process that works says that it does not")
	}
}
