package pgstats

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestCorrect(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	want := func(what string, seen, counted int) {
		t.Helper()
		Correct(t.Context(), pool, zerolog.Nop(), `public."a queue"`, seen)
		var n int
		if err := pool.QueryRow(t.Context(), `SELECT reltuples::int FROM pg_class WHERE oid = '"a queue"'::regclass`).Scan(&n); err != nil || n != counted {
			t.Errorf("%s: %d rows are counted, want %d: %v", what, n, counted, err)
		}
	}
	exec(t, pool, `CREATE TABLE "a queue" (id bigint PRIMARY KEY, name text) WITH (autovacuum_enabled = off)`)
	want("never counted", 1000, 0)
	fill := `INSERT INTO "a queue" SELECT n, 'n' FROM generate_series(1, 1000) AS n`
	exec(t, pool, fill)
	exec(t, pool, `DELETE FROM "a queue"`)
	exec(t, pool, `VACUUM (TRUNCATE FALSE) "a queue"`) // as when somebody has the table in hand
	want("empty", 0, 0)
	exec(t, pool, fill)

	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE "a queue" IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	want("full again, but somebody works on it", 1000, 0)
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	want("full again", 1000, 1000)
	exec(t, pool, `INSERT INTO "a queue" SELECT n, 'n' FROM generate_series(1001, 1010) AS n`)
	want("a few more", 1010, 1000)
	Correct(t.Context(), pool, zerolog.Nop(), "public.none", 1) // is passed over
}
