// Package rig runs the real program between a real Postgres and the simulated
// org, as processes of their own with nothing mocked between, for tests of
// whole promises.
//
// A test package calls [Main] in its TestMain, which builds the program once.
// Each test gets a [Rig] of its own: an org, an empty database, and settings for
// a bridge between them. Bridges log at debug, and at their end no secret and no text of
// a record may be in the log.
package rig

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"hcbridge/test/pgtest"
)

// binary is the program under test, built once. It is what is shipped: the race detector
// watches all of it in the tests of its packages, and here where [Rig.Raced] asks for it.
// In each of hundreds of processes it would be a third of what the tests cost.
var binary string

// raced is the program with the race detector, built when it is first asked for.
var raced = sync.OnceValues(func() (string, error) {
	path := binary + "-raced"
	return path, build(path, true)
})

// Binary is the path of the program under test.
func Binary() string { return binary }

// Main builds the program, runs the tests and returns the exit code. Options are
// for goroutines that may be left, see [pgtest.Main].
func Main(m *testing.M, options ...goleak.Option) int {
	// Most tests wait for something, so more of them run than there are cores.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "hcbridge-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "hcbridge")
	if err := build(binary, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return pgtest.Main(m, options...)
}

func build(program string, race bool) error {
	out, err := exec.CommandContext(context.Background(), "go", "build", "-race="+strconv.FormatBool(race), "-ldflags=-w", "-o", program, "hcbridge/cmd/hcbridge").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build hcbridge: %w\n%s", err, out)
	}
	return nil
}
