package bridge

import (
	"testing"
	"time"
)

// Records are counted anew when rows came or went, and not when nothing happens.
func TestCountIsDue(t *testing.T) {
	t.Parallel()
	last := counted{at: time.Now(), rows: 100}
	for _, c := range []struct {
		last counted
		rows int64
		want bool
	}{
		{counted{}, -1, true},
		{last, 100, false},
		{last, 105, true},
		{last, 99, true},
		{last, exactRows + 1, false}, // an estimate, which moves by itself
		{counted{at: time.Now().Add(-time.Hour), rows: 100}, 100, true},
	} {
		if got := c.last.due(c.rows, time.Second, 60); got != c.want {
			t.Errorf("with %d rows after %d: %t", c.rows, c.last.rows, got)
		}
	}
}
