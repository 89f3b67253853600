package out

import (
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/bench/cputime"
)

// cpu is processor time: of the server, this process, and the worker's.
type cpu struct {
	cputime.Time

	worker time.Duration
}

func (c cpu) sum() time.Duration { return c.Sum() + c.worker }

func (c cpu) per(n int) string {
	us := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(n) }
	return fmt.Sprintf("postgres %.1f µs, worker %.1f µs, test with the sink %.1f µs", us(c.Postgres), us(c.worker), us(c.Self))
}

// cpu is the processor time used since another. That of a worker is known when it
// has ended.
func (b *bench) cpu(since cpu) cpu {
	b.Helper()
	now, err := cputime.Spent(b.Context(), b.pool)
	if err != nil {
		b.Fatal(err)
	}
	return cpu{Time: now.Sub(since.Time)}
}

// statements logs what the server's statements took since the last time, if a
// profile is wanted.
func (b *bench) statements(n int) {
	b.Helper()
	if os.Getenv(profile) == "" {
		return
	}
	b.exec("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
	rows, err := b.pool.Query(b.Context(), `SELECT calls, total_exec_time * 1000 / $1, left(regexp_replace(query, '\s+', ' ', 'g'), 110)
		FROM pg_stat_statements WHERE total_exec_time > 1 ORDER BY total_exec_time DESC LIMIT 25`, float64(n))
	if err != nil {
		b.Fatal(err)
	}
	var calls int64
	var took float64
	var query string
	if _, err := pgx.ForEachRow(rows, []any{&calls, &took, &query}, func() error {
		b.Logf("%6.1f µs a row in %5d calls: %s", took, calls, query)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.exec("SELECT pg_stat_statements_reset()")
}
