package status_test

import (
	"testing"
	"time"

	"hcbridge/internal/status"
)

func TestActivity(t *testing.T) {
	t.Parallel()
	b := status.New()
	now := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
	count := func(object string, in, deleted, out, failed int64) {
		b.Object(object, func(o *status.Object) {
			o.Counters.RowsWritten += in
			o.Counters.RowsDeleted += deleted
			o.Counters.WritesSent += out
			o.Counters.WritesFailed += failed
		})
	}
	count("Account", 3, 1, 0, 0)
	b.Sample(now)
	count("Contact", 2, 0, 5, 1)
	b.Sample(now.Add(20 * time.Second))
	b.Sample(now.Add(70 * time.Second)) // nothing more
	count("Account", 0, 0, 4, 0)
	b.Sample(now.Add(2 * time.Minute))

	got := b.Activity(now.Add(2*time.Minute), 4)
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC) }
	want := []status.Minute{
		{At: at(-1)},
		{At: at(0), In: 6, Out: 5, Failed: 1},
		{At: at(1)},
		{At: at(2), Out: 4},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("minute %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	// What is a day old does not appear again in its place.
	for _, m := range b.Activity(now.Add(24*time.Hour+time.Minute), 24*60) {
		if m.In != 0 {
			t.Errorf("%+v is of yesterday", m)
		}
	}
}
