package bridge

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/test/org"
)

// With the budget of API calls used up next to nothing goes on, which readiness and the
// log say once, however many calls follow; it ends when there is room again.
func TestBudgetUsedUpStops(t *testing.T) {
	t.Parallel()
	server := org.New(org.Options{}).Start()
	defer server.Close()
	sf, closeIdle, err := clientOf(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	var log strings.Builder
	s := newSession(New(scheduleConfig(), "test", zerolog.New(&log)), nil, sf)
	s.resume("start")
	for _, step := range []struct {
		budget int
		ready  bool
	}{{1_000, true}, {50, false}, {50, false}, {1_000, true}} {
		s.cfg.APIDailyBudget = config.Budget{Calls: step.budget}
		server.UseCalls(60)
		if _, err := sf.Count(t.Context(), "SELECT COUNT() FROM Account"); err != nil {
			t.Fatal(err)
		}
		s.connection(nil, nil)
		ready, stops := s.board.Ready()
		if ready != step.ready || !ready && (stops[0].Part != "api calls" || !strings.Contains(stops[0].Reason, "the 50 API calls")) {
			t.Errorf("budget %d: ready %v, %v", step.budget, ready, stops)
		}
	}
	if n := strings.Count(log.String(), "flow_stopped"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}
