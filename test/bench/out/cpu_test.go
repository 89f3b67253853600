package out

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// cpu is processor time. Unlike rates it says something on a machine that is not
// idle.
type cpu struct{ postgres, test, worker time.Duration }

func (c cpu) sub(d cpu) cpu {
	return cpu{c.postgres - d.postgres, c.test - d.test, c.worker - d.worker}
}

func (c cpu) sum() time.Duration { return c.postgres + c.test + c.worker }

func (c cpu) per(n int) string {
	us := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(n) }
	return fmt.Sprintf("postgres %.1f µs, worker %.1f µs, test with the sink %.1f µs", us(c.postgres), us(c.worker), us(c.test))
}

// cpu is the time that the server, with all its processes, and this process have
// used. That of a worker is known when it has ended.
func (b *bench) cpu() cpu {
	b.Helper()
	var backend int
	if err := b.pool.QueryRow(b.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		b.Fatal(err)
	}
	postmaster := stat(backend)[1]
	all, _ := filepath.Glob("/proc/[0-9]*")
	var ticks int
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		switch f := stat(pid); {
		case pid == postmaster:
			ticks += f[11] + f[12] + f[13] + f[14] // with those that have ended
		case f[1] == postmaster:
			ticks += f[11] + f[12]
		}
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		b.Fatal(err)
	}
	return cpu{postgres: time.Duration(ticks) * 10 * time.Millisecond, test: time.Duration(self.Utime.Nano() + self.Stime.Nano())}
}

// stat is /proc/PID/stat from the state on, which comes third (proc_pid_stat(5));
// what is no number is 0. It is all zeros for a process that is gone.
func stat(pid int) (f [15]int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	for i, word := range strings.Fields(rest) {
		if i < len(f) {
			f[i], _ = strconv.Atoi(word)
		}
	}
	return f
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
