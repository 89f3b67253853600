package bridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A status that was saved before the login does not make a schema of Heroku Connect's
// one of ours, from which all may be sent. Afterwards nobody is asked again.
func TestPinAfterAStatus(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA salesforce; CREATE TABLE salesforce._hcmeta (id int, org_id text, details text)"); err != nil {
		t.Fatal(err)
	}
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), pool, nil)
	s.orgID = "00D000000000001EAA"
	for _, want := range []string{"Heroku Connect", ""} { // "" once a person has said so
		if _, err := pool.Exec(t.Context(), snapshotSQL, "salesforce", "{}"); err != nil {
			t.Fatal(err)
		}
		if err := s.pin(t.Context()); err != nil {
			t.Fatal(err)
		}
		w, err := readWishes(t.Context(), pool, "salesforce")
		if err != nil || !strings.Contains(w.unsafe, want) || (want == "") != (w.unsafe == "") {
			t.Errorf("nothing is sent because of %q, want %q: %v", w.unsafe, want, err)
		}
		if _, err := pool.Exec(t.Context(), "UPDATE hcbridge.instance SET unsafe = NULL"); err != nil {
			t.Fatal(err)
		}
	}
}

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
