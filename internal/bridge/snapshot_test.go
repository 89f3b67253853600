package bridge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"hcbridge/config"
	"hcbridge/outbox"
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
