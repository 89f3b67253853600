package status_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"hcbridge/internal/status"
)

// A stop is news at once and its reason always current, but reasons that
// differ at each attempt do not fill a log: after a few,
// another one is told once a minute, and the one that stays is told in the end.
func TestReasonsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := status.New()
		news := 0
		for i := range 600 { // ten minutes
			reason := fmt.Sprintf("connection from port %d refused", 40000+i)
			if b.Stop("database", reason) {
				news++
			}
			if _, stops := b.Ready(); stops[0].Reason != reason {
				t.Fatalf("%q is shown as %q", reason, stops[0].Reason)
			}
			time.Sleep(time.Second)
		}
		if news != 14 {
			t.Errorf("told %d times in ten minutes, want 5 and then one a minute", news)
		}
		told := false
		for range 61 {
			told = b.Stop("database", "read only") || told
			time.Sleep(time.Second)
		}
		if !told || b.Stop("database", "read only") {
			t.Error("the reason that stays is not told, or told again")
		}
		if was, after := b.Go("database"); !was || after < 11*time.Minute {
			t.Errorf("flows again: %v after %s", was, after)
		}
		if !b.Stop("database", "read only") {
			t.Error("a new stop is not told")
		}
	})
}
