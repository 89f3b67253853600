package bridge

import (
	"testing"
	"time"
)

// The identity is checked once in each hour of Salesforce's clock, however late in
// it the session began (fault 99).
func TestIdentityIsDueEachHour(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 1, 10, 50, 0, 0, time.UTC)
	id, checks := identity{checked: began}, []string{}
	for now := began; now.Before(began.Add(3 * time.Hour)); now = now.Add(time.Second) {
		if id.due(now, epochEvery) {
			id.checked = now
			checks = append(checks, now.Format("15:04:05"))
		}
	}
	if got := len(checks); got != 3 || checks[0] != "11:00:00" {
		t.Errorf("checked at %v", checks)
	}
}
