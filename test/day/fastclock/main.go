// Fastclock makes an overlay for "go build -overlay" in which time runs faster: for
// whatever is built with it an hour is over in a minute, sockets and all. So a
// program can be watched through a day that takes twenty-four minutes.
//
// It changes four files of the standard library, where the clock is read and
// where something waits; it fails if they do not look as it knows them. All that
// is built with one overlay has the same clock. What other programs do, such as
// Postgres, takes its real time, so it seems slower: an answer after 1 ms has
// taken 60.
//
// usage: fastclock TIMES DIRECTORY, and then GOFLAGS=-overlay=DIRECTORY/overlay.json
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// edit is a text that must be found so often in a file, and what stands there.
type edit struct {
	file     string
	old, new string
	times    int
}

var edits = []edit{
	// What the clock says.
	{"time/time.go", "runtimeNano()-startNano", "fastNano()-startNano", 2},
	{"time/time.go", "var startNano int64 = runtimeNano() - 1", "var startNano int64 = fastNano() - 1", 1},
	{"time/time.go", "sec, nsec, mono := runtimeNow()", "sec, nsec, mono := fastNow()", 1},
	// What waits: timers, tickers, sleeps and deadlines of sockets.
	{"time/sleep.go", "t := runtimeNano() + int64(d)", "t := runtimeNano() + (int64(d)+fast-1)/fast", 1},
	{"time/tick.go", "newTimer(when(d), int64(d), ", "newTimer(when(d), (int64(d)+fast-1)/fast, ", 1},
	{"time/tick.go", "resetTimer((*Timer)(unsafe.Pointer(t)), when(d), int64(d))", "resetTimer((*Timer)(unsafe.Pointer(t)), when(d), (int64(d)+fast-1)/fast)", 1},
	{"runtime/time.go", "func timeSleep(ns int64) {", "func timeSleep(ns int64) {\n\tns /= FAST", 1},
	{"internal/poll/fd_poll_runtime.go", "d = int64(time.Until(t))", "d = int64(time.Until(t)) / FAST", 1},
}

// clock is added to package time. The clocks of all programs agree because all of
// them count from the moment at which the overlay was made.
const clock = `package time

const (
	fast  = FAST
	epoch = EPOCH // ns since 1970
)

func fastNano() int64 { return runtimeNano() * fast }

func fastNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	t := epoch + (sec*1e9+int64(nsec)-epoch)*fast
	return t / 1e9, int32(t %% 1e9), mono * fast
}
`

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: fastclock TIMES DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "fastclock:", err)
		os.Exit(1)
	}
}

func run(times, dir string) error {
	if n, err := strconv.Atoi(times); err != nil || n < 1 {
		return fmt.Errorf("%q is not how many times as fast", times)
	}
	root, err := exec.CommandContext(context.Background(), "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src")
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fill := strings.NewReplacer("FAST", times, "EPOCH", strconv.FormatInt(time.Now().UnixNano(), 10), "%%", "%")
	files := map[string]string{"time/fast.go": fill.Replace(clock)}
	for _, e := range edits {
		text, ok := files[e.file]
		if !ok {
			whole, err := os.ReadFile(filepath.Join(src, filepath.FromSlash(e.file)))
			if err != nil {
				return err
			}
			text = string(whole)
		}
		if n := strings.Count(text, e.old); n != e.times {
			return fmt.Errorf("%s has %q %d times, not %d: not a version of Go that is known here", e.file, e.old, n, e.times)
		}
		files[e.file] = strings.ReplaceAll(text, e.old, fill.Replace(e.new))
	}
	replace := map[string]string{}
	for name, text := range files {
		as := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(as, []byte(text), 0o644); err != nil {
			return err
		}
		replace[filepath.Join(src, filepath.FromSlash(name))] = as
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644)
}
