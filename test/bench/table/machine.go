package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/pgtest"
)

// machine describes where and when the figures are from: enough to know why
// another machine has others.
func machine() string {
	var b strings.Builder
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(&b, "Measured on %s at commit %s: %d × %s, %s of memory, Linux %s, %s, %s; a write of 8 kB with fdatasync takes %.2f ms (median). "+
		"Load at the end: %s. Figures are medians, with the least and the most of several runs.\n",
		time.Now().Format(time.DateOnly), orUnknown(output("git", "rev-parse", "--short", "HEAD")), runtime.NumCPU(), orUnknown(field("/proc/cpuinfo", "model name")),
		memory(), orUnknown(output("uname", "-r")), runtime.Version(), orUnknown(postgres(context.Background())),
		fdatasync(), strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "))
	return b.String()
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func output(name string, args ...string) string {
	out, err := exec.CommandContext(context.Background(), name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// postgres is the version of the server that the benchmarks ran on: one that is
// found as theirs was says it, wherever it is installed.
func postgres(ctx context.Context) string {
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		return ""
	}
	defer server.Close()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return ""
	}
	defer conn.Close(ctx)
	var version string
	if err := conn.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return ""
	}
	return "PostgreSQL " + version
}

// field is the value of the first line of a file that begins with name.
func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func memory() string {
	var kb float64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%f kB", &kb); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GiB", kb/(1<<20))
}

// fdatasync is how long the disk takes to have 8 kB, in ms: the floor under every
// commit. It is nought where the disk of this directory cannot say.
func fdatasync() float64 {
	f, err := os.CreateTemp(".", ".fdatasync-")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	samples := make([]float64, 101)
	for i := range samples {
		began := time.Now()
		if _, err := f.WriteAt(make([]byte, 8<<10), 0); err != nil {
			return 0
		}
		if err := f.Sync(); err != nil {
			return 0
		}
		samples[i] = time.Since(began).Seconds() * 1e3
	}
	slices.Sort(samples)
	return samples[len(samples)/2]
}
