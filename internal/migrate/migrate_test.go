package migrate

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func one[T any](t *testing.T, conn *pgx.Conn, sql string) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestUp(t *testing.T) {
	t.Parallel()

	t.Run("InstallsOnceAndThenDoesNothing", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, pgtest.URL(t))
		for range 2 {
			if err := Up(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
		}
		all, err := load()
		if err != nil {
			t.Fatal(err)
		}
		if got := one[int](t, conn, `SELECT count(*) FROM hcbridge.migration`); got != len(all) {
			t.Errorf("ledger has %d rows, want %d", got, len(all))
		}
		got := one[string](t, conn, `SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
			WHERE relnamespace = 'hcbridge'::regnamespace AND relkind = 'r'`)
		if want := "clock conflict gap gone hold instance invisible lease mark migration object position purse read_error seen"; got != want {
			t.Errorf("tables are %s, want %s", got, want)
		}
	})

	t.Run("SerialisesBridgesThatStartTogether", func(t *testing.T) {
		t.Parallel()
		url := pgtest.URL(t)
		var wg sync.WaitGroup
		for range 5 {
			conn := connect(t, url)
			wg.Go(func() {
				if err := Up(t.Context(), conn); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})

	t.Run("RefusesANewerLedger", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, pgtest.URL(t))
		if err := Up(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `INSERT INTO hcbridge.migration (version) VALUES (999)`); err != nil {
			t.Fatal(err)
		}
		var newer *NewerError
		if err := Up(t.Context(), conn); !errors.As(err, &newer) || newer.Found != 999 {
			t.Errorf("got %v, want a NewerError", err)
		}
	})

	t.Run("NeedsNoRightsItDoesNotUse", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, pgtest.URL(t))
		role := pgx.Identifier{"hcb_" + one[string](t, conn, `SELECT md5(current_database())`)}.Sanitize()
		for _, sql := range []string{
			`CREATE ROLE ` + role, `CREATE SCHEMA hcbridge AUTHORIZATION ` + role, `SET ROLE ` + role,
		} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if err := Up(t.Context(), conn); err != nil {
			t.Error(err)
		}
		for _, sql := range []string{`RESET ROLE`, `DROP OWNED BY ` + role, `DROP ROLE ` + role} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("LeavesNothingBehindWhenItFails", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, pgtest.URL(t))
		if _, err := conn.Exec(t.Context(), `CREATE SCHEMA hcbridge; CREATE TABLE hcbridge.gap (x int)`); err != nil {
			t.Fatal(err)
		}
		if err := Up(t.Context(), conn); err == nil {
			t.Error("a foreign table was passed over")
		}
		if one[bool](t, conn, `SELECT to_regclass('hcbridge.migration') IS NOT NULL OR to_regclass('hcbridge.mark') IS NOT NULL`) {
			t.Error("half of the migration is there")
		}
	})
}
