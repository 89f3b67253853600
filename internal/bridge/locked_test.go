package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/status"
	"hcbridge/test/org"
)

// An object whose table somebody holds a lock on when its triggers are to be made is
// put aside and shown, while the others are captured; it comes when the lock is gone,
// with its triggers made before (rows 43 and 44).
func TestInstallPassesALockedTable(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	server := org.New(org.Options{}).Start()
	defer server.Close()
	sf, closeIdle, err := clientOf(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	cfg := scheduleConfig()
	for _, name := range []string{"Account", "contact"} {
		cfg.Objects = append(cfg.Objects, config.Object{Name: name, Mode: config.ModeStreaming, Access: accessReadWrite, PollInterval: 10 * time.Minute})
	}
	var log strings.Builder
	s := newSession(New(cfg, "test", zerolog.New(zerolog.SyncWriter(&log))), pool, sf)
	s.orgID = server.ID()
	if err := s.pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.mapAll(t.Context()); err != nil || len(s.objects) != 2 {
		t.Fatal(len(s.objects), err)
	}
	app, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Rollback(context.Background()) }()
	if _, err := app.Exec(t.Context(), "INSERT INTO salesforce.contact (lastname) VALUES ('in an open transaction')"); err != nil {
		t.Fatal(err)
	}
	if err := s.installAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	captured := func(insert string) (entries int) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM salesforce._trigger_log").Scan(&entries); err != nil {
			t.Fatal(err)
		}
		return entries
	}
	if len(s.objects) != 1 || s.byTable["contact"] != nil || s.byTable["account"] == nil {
		t.Fatalf("%d objects are at work", len(s.objects))
	}
	if n := captured("INSERT INTO salesforce.account (name) VALUES ('A')"); n != 1 {
		t.Errorf("%d changes of the other table are captured", n)
	}
	var pid int
	if err := app.QueryRow(t.Context(), "SELECT pg_backend_pid() FROM set_config('application_name', 'the app', false)").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.compareSchema(t.Context()); changed || err != nil {
		t.Errorf("while the lock is held: changed %v, %v", changed, err)
	}
	_, stops := s.board.Ready()
	if o := s.board.Snapshot().Objects[1]; o.State != status.SchemaChanged || !strings.Contains(o.Message, lockedText) {
		t.Errorf("it is shown as %s: %s", o.State, o.Message)
	}
	holder := fmt.Sprintf("; it is held by pid %d (the app) since 20", pid)
	if o := s.board.Snapshot().Objects[1]; !strings.Contains(o.Message, holder) || !strings.Contains(stops[0].Reason, holder) {
		t.Errorf("%q and %q do not say who: %s", o.Message, stops[0].Reason, holder)
	}
	if n := strings.Count(log.String(), "mapping_error"); n != 1 {
		t.Errorf("the log tells it %d times", n)
	}
	if by := s.lockedBy(t.Context(), ""); !strings.Contains(by, holder) {
		t.Errorf("of all tables: %q", by)
	}
	if by := s.lockedBy(t.Context(), "account"); by != " (see pg_locks)" {
		t.Errorf("of a table that nobody has locked: %q", by)
	}
	if !strings.EqualFold(stops[0].Part, "Contact") {
		t.Errorf("stopped: %v", stops)
	}
	if err := app.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.compareSchema(t.Context()); !changed || err != nil {
		t.Errorf("after the lock: changed %v, %v", changed, err)
	}
	if n := captured("INSERT INTO salesforce.contact (lastname) VALUES ('C')"); n != 2 {
		t.Errorf("%d changes are captured, want 2", n)
	}
}
