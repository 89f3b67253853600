package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EnvBin is the environment variable that names the folder of the PostgreSQL
// server binaries to use.
const EnvBin = "PG_BIN"

// ErrNoBinaries reports that no PostgreSQL server is installed. The error
// that wraps it says how to install one here.
var ErrNoBinaries = errors.New("no PostgreSQL server binaries found")

// findBinaries returns the folder that holds postgres and initdb: PG_BIN, else
// the first on PATH, else what pg_config says, else the newest in the places
// where packages put them.
func findBinaries() (string, error) {
	if dir := os.Getenv(EnvBin); dir != "" {
		if !complete(dir) {
			return "", fmt.Errorf("%w: %s=%s holds no postgres and initdb", ErrNoBinaries, EnvBin, dir)
		}
		return filepath.Abs(dir)
	}
	candidates := filepath.SplitList(os.Getenv("PATH"))
	candidates = append(candidates, fromPgConfig()...)
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // PGDG on Fedora, RHEL
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // macOS on ARM
		"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin", // built from source
	} {
		candidates = append(candidates, newestFirst(pattern)...)
	}
	for _, dir := range candidates {
		if filepath.IsAbs(dir) && complete(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrNoBinaries, installHint())
}

// complete reports whether dir holds what is needed.
func complete(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func fromPgConfig() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return nil
	}
	return []string{strings.TrimSpace(string(out))}
}

var digits = regexp.MustCompile(`\d+`)

// newestFirst expands pattern, highest version number first.
func newestFirst(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(digits.FindString(dir)) // none sorts last
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

// installHint names the one command that installs a server on this platform.
func installHint() string {
	command := "install the PostgreSQL server of your platform"
	switch {
	case runtime.GOOS == "darwin":
		command = "brew install postgresql@18"
	case exists("/etc/debian_version"):
		command = "apt-get install postgresql"
	case exists("/etc/fedora-release"), exists("/etc/redhat-release"):
		command = "dnf install postgresql-server postgresql-contrib"
	case exists("/etc/alpine-release"):
		command = "apk add postgresql postgresql-contrib"
	case exists("/etc/arch-release"):
		command = "pacman -S postgresql"
	}
	return fmt.Sprintf("run %q, or set %s to the folder of postgres and initdb, or %s to a running server",
		command, EnvBin, EnvURL)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
