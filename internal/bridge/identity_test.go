package bridge

import (
	"context"
	"errors"
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

// A schema whose table says later that it is another org's ends a start, as it does at first.
func TestOrgOfTheSchemaIsEdited(t *testing.T) {
	t.Parallel()
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), migrated(t), nil)
	s.orgID = "00D000000000001EAA"
	if err := errors.Join(s.pin(t.Context()), s.installAll(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE salesforce._hcmeta SET org_id = '00D000000000002EAA'"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := s.forever(ctx, "set up", s.installAll)
	if ce, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(ce.Text, "schema salesforce belongs to org 00D000000000002EAA by its table _hcmeta, but the user logs in to org 00D000000000001EAA") {
		t.Error(err)
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

// A copy of the server's files is at another address, was started for itself, and has no
// later timeline (fault 100). What differs in one of these alone is no copy, and is
// remembered. Once it is unsafe it stays so until a person says otherwise.
func TestPlaceTellsACopy(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), pool, nil)
	if _, err := pool.Exec(t.Context(), "INSERT INTO hcbridge.instance (schema, org_id) VALUES ('salesforce', '00D000000000001EAA')"); err != nil {
		t.Fatal(err)
	}
	const here = "SELECT (address, started, timeline)::text FROM hcbridge.instance"
	look := func() (unsafe, place string) {
		t.Helper()
		unsafe, err := s.checkIdentity(t.Context())
		if err == nil {
			err = pool.QueryRow(t.Context(), here).Scan(&place)
		}
		if err != nil {
			t.Fatal(err)
		}
		return unsafe, place
	}
	unsafe, place := look()
	if unsafe != "" || strings.Contains(place, ",,") {
		t.Fatalf("the first look finds %q, and remembers %s", unsafe, place)
	}
	for _, c := range []struct {
		name, was string
		safe      bool
	}{
		{"started again", "started = started - interval '1 day'", true},
		{"reached by another name", "address = 'elsewhere:5432/app'", true},
		{"promoted", "address = 'elsewhere:5432/app', started = started - interval '1 day', timeline = '00000000'", true},
		{"copied", "address = 'elsewhere:5432/app', started = started - interval '1 day'", false},
		{"copied from a promoted one", "address = 'elsewhere:5432/app', started = started - interval '1 day', timeline = 'FFFFFFFF'", false},
		{"copied where timelines are not told", "address = 'elsewhere:5432/app', started = started - interval '1 day', timeline = NULL", false},
		{"known to an earlier version", "address = NULL, started = NULL, timeline = NULL", true},
	} {
		if _, err := pool.Exec(t.Context(), "UPDATE hcbridge.instance SET "+c.was); err != nil {
			t.Fatal(err)
		}
		if unsafe, _, err := placed(t.Context(), pool, s.cfg, placeSQL); err != nil || (unsafe == "") != c.safe {
			t.Errorf("%s: asked without noting it, %q: %v", c.name, unsafe, err)
		}
		for range 2 {
			unsafe, now := look()
			if (unsafe == "") != c.safe || (now == place) != c.safe {
				t.Errorf("%s: %q, and remembers %s", c.name, unsafe, now)
			}
			if !c.safe && (!strings.Contains(unsafe, "elsewhere:5432/app") || !strings.Contains(unsafe, "copy")) {
				t.Errorf("%s: %q does not say why", c.name, unsafe)
			}
		}
		if _, err := pool.Exec(t.Context(), adoptSQL, "salesforce"); err != nil {
			t.Fatal(err)
		}
		if unsafe, now := look(); unsafe != "" || now != place {
			t.Errorf("%s: after adopt %q, and remembers %s", c.name, unsafe, now)
		}
	}
}

// Of a connection string the place counts: not who connects, in which order servers are
// named, or whether TLS is tried.
func TestAddressOf(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:secret@DB.example.com/app?sslmode=prefer":              "db.example.com:5432/app",
		"postgres://v:other@db.example.com:5432/app?sslmode=disable":         "db.example.com:5432/app",
		"postgres://u@two:5433,one:5432/app?target_session_attrs=read-write": "one:5432,two:5433/app",
		"host=one,two port=5432,5433 dbname=app user=w":                      "one:5432,two:5433/app",
		"postgres://u@[::1]:5432/app":                                        "[::1]:5432/app",
		"host=/var/run/postgresql dbname=app user=u":                         "/var/run/postgresql:5432/app",
	} {
		if got, err := addressOf(url); err != nil || got != want {
			t.Errorf("%s is at %q, want %q: %v", url, got, want, err)
		}
	}
	if _, err := addressOf("postgres://u:secret@db:port/app"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("what is no address is %v", err)
	}
}
