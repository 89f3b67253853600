package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"
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
