package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hcbridge/outbox"
)

// A backlog is told of when it is met, every few seconds while it becomes less, and
// when only a few changes wait; a trickle never, and one that stands still no more.
func TestDrain(t *testing.T) {
	t.Parallel()
	var d drain
	var told []string
	start := time.Now()
	for i, n := range []int64{0, 999, 1000, 3000, 2900, 2800, 2700, 2600, 2500, 2500, 2500, 2500, 2500, 2500, 2500, 2500, 2500, 2500, 2500, 2500, 2400, 99, 900, 1500} {
		tell, over := d.step(n, start.Add(time.Duration(i)*time.Second))
		if tell {
			told = append(told, fmt.Sprintf("%d: %d of %d, %t", i, d.most-n, d.most, over))
		}
		if over {
			d = drain{}
		}
	}
	if got, want := strings.Join(told, "; "), "2: 0 of 1000, false; 7: 400 of 3000, false; 12: 500 of 3000, false; 20: 600 of 3000, false; 21: 2901 of 3000, true; 23: 0 of 1500, false"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestUnmapped(t *testing.T) {
	t.Parallel()
	writes := map[string]outbox.Count{"account": {Pending: 2}, "old": {Pending: 3}, "gone": {Failed: 1}, "b": {Pending: 1}}
	if got, want := unmapped(writes, map[string]bool{"account": true}), "changes wait in tables that are not mapped: b (1), old (3); they are sent when these are mapped again"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := unmapped(writes, map[string]bool{"account": true, "old": true, "b": true}); got != "" {
		t.Errorf("%q, want nothing", got)
	}
}
