package bridge

import (
	"io"
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

// The rows of an object are counted when its load is complete, however long the count
// before took while everything was loaded.
func TestRowsAreCountedAfterTheLoad(t *testing.T) {
	t.Parallel()
	s, _ := polledSession(t, io.Discard)
	if err := s.installAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := refresher{churn: map[string]int64{}, drains: map[string]*drain{}, rowsAt: time.Now().Add(time.Hour)}
	if _, err := s.pool.Exec(t.Context(), "INSERT INTO salesforce.account (name) VALUES ('A'), ('B')"); err != nil {
		t.Fatal(err)
	}
	s.begins(s.objects[0])
	if err := s.refreshOnce(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if n := s.rowsOf(s.objects[0]); n != 2 {
		t.Errorf("%d rows are shown, want 2", n)
	}
}
