// Package cputime tells how much processor time a database server and this process
// have used. Unlike rates, that says something on a machine that is not idle. It
// reads /proc, so it is for Linux, and for a server on this machine.
package cputime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Time is processor time, of user and system together.
type Time struct {
	Postgres time.Duration // the server with all its processes, those that have ended too
	Self     time.Duration // this process
}

// Sub returns what was used since u.
func (t Time) Sub(u Time) Time { return Time{t.Postgres - u.Postgres, t.Self - u.Self} }

// Sum is both.
func (t Time) Sum() time.Duration { return t.Postgres + t.Self }

// Spent returns what has been used so far. The server's is counted in hundredths
// of a second.
func Spent(ctx context.Context, pool *pgxpool.Pool) (t Time, err error) {
	var backend int
	if err := pool.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return t, fmt.Errorf("processor time: %w", err)
	}
	postmaster := stat(backend)[ppid]
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return t, fmt.Errorf("processor time: %w", err)
	}
	ticks := 0
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		switch f := stat(pid); {
		case pid == postmaster:
			ticks += f[utime] + f[utime+1] + f[utime+2] + f[utime+3] // with those that have ended
		case f[ppid] == postmaster:
			ticks += f[utime] + f[utime+1]
		}
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return t, fmt.Errorf("processor time: %w", err)
	}
	return Time{
		Postgres: time.Duration(ticks) * 10 * time.Millisecond,
		Self:     time.Duration(self.Utime.Nano() + self.Stime.Nano()),
	}, nil
}

// Positions of numbers in what stat returns.
const (
	ppid  = 1
	utime = 11 // then stime, cutime, cstime
)

// stat is /proc/PID/stat from the state on (proc_pid_stat(5)); what is no number is
// 0. It is all zeros for a process that is gone.
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
