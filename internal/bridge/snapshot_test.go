package bridge

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"hcbridge/config"
	"hcbridge/outbox"
	"hcbridge/test/pgtest"
)

// Failed reads are listed among failed writes, by when they failed, also where more
// writes have failed than are listed, and one that failed again is not where it was.
func TestFailuresAreNewestFirst(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	ctx := t.Context()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := makeSchema(ctx, tx, "salesforce"); err != nil {
			return err
		}
		return outbox.Install(ctx, tx, "salesforce", nil, nil, "00D000000000001EAA")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		// The lower the id, the later it failed.
		`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, processed_at)
			SELECT 'FAILED', 'UPDATE', 'account', n, now() - n * interval '1 minute' FROM generate_series(1, 20) AS n`,
		`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, processed_at) VALUES ('NEW', 'UPDATE', 'account', 99, now())`,
		`INSERT INTO hcbridge.read_error (schema, object, sfid, at) VALUES
			('salesforce', 'Account', 'new', now()), ('salesforce', 'Account', 'between', now() - interval '150 seconds'), ('salesforce', 'Account', 'old', now() - interval '1 day')`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Failures(ctx, pool, &config.Config{Schema: "salesforce"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, fmt.Sprintf("%s %d%s", f.Direction, f.RecordID, f.SFID))
	}
	if want := []string{"read 0new", "write 1", "write 2", "read 0between", "write 3"}; !slices.Equal(got, want) {
		t.Errorf("listed %s, want %s", got, want)
	}
}

// Before a bridge has run on the schema there is nothing to list, to retry or to dismiss,
// and that is what is said: also of a schema that only Heroku Connect has kept.
func TestNoFailuresBeforeTheFirstRun(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	ctx := t.Context()
	for _, sql := range []string{
		"SELECT",
		"CREATE SCHEMA salesforce",
		"CREATE TABLE salesforce._trigger_log (id bigint, table_name text, record_id bigint, sfid text, action text, state text, sf_message text, created_at timestamptz, updated_at timestamptz, processed_at timestamptz)",
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
		if _, err := Failures(ctx, pool, &config.Config{Schema: "salesforce"}, 5); !errors.Is(err, ErrNeverRan) {
			t.Errorf("after %q listing says %v", sql, err)
		}
		for _, ids := range [][]string{nil, {"42"}, {"001000000000001AAA"}} {
			if _, err := Retry(ctx, pool, "salesforce", ids); !errors.Is(err, ErrNeverRan) {
				t.Errorf("after %q retry of %q says %v", sql, ids, err)
			}
			if _, err := Ignore(ctx, pool, "salesforce", ids); !errors.Is(err, ErrNeverRan) {
				t.Errorf("after %q ignore of %q says %v", sql, ids, err)
			}
		}
	}
}

// Where no settings name objects, those are mapped that a bridge has mapped.
func TestMapped(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	ctx, cfg := t.Context(), &config.Config{Schema: "salesforce"}
	if err := Mapped(ctx, pool, cfg, "Account"); !errors.Is(err, ErrNeverRan) {
		t.Errorf("before any is mapped it says %v", err)
	}
	if _, err := pool.Exec(ctx, "INSERT INTO hcbridge.object (schema, object) VALUES ('salesforce', 'Account'), ('other', 'Lead')"); err != nil {
		t.Fatal(err)
	}
	if err := Mapped(ctx, pool, cfg, "account"); err != nil {
		t.Errorf("of one that is mapped it says %v", err)
	}
	if err := Mapped(ctx, pool, cfg, "Lead"); err == nil || err.Error() != "HC_OBJECTS: Lead is not mapped: mapped are Account" {
		t.Errorf("of one that is not it says %v", err)
	}
}
