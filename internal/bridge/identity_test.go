package bridge

import (
	"testing"
	"testing/synctest"
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

// A fail-over loses moments, and only of what this process has begun is known that
// it was moments (fault 89).
func TestEpochLostByAFailOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b begun
		if b.lost(1) {
			t.Error("an epoch that another process began")
		}
		b.begin(2)
		if !b.lost(2) || b.lost(3) || b.lost(1) {
			t.Error("of all epochs the one begun here may be lost")
		}
		time.Sleep(50 * time.Second)
		b.see()
		time.Sleep(time.Hour) // until another server takes over
		if !b.lost(2) {
			t.Error("50 seconds are no fail-over")
		}
		b.see()
		if b.lost(2) {
			t.Error("an hour is a fail-over")
		}
	})
}
