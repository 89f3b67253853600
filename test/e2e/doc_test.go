// Package e2e runs the real program between a real Postgres and the simulated
// org, as a process of its own with nothing mocked between. Each test is one
// promise of the README.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"hcbridge/test/pgtest"
)

// binary is the program under test, built once, with the race detector in it where
// nothing is measured.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// Most tests wait for something, so more of them run than there are cores.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "hcbridge-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "hcbridge")
	race := "-race=" + strconv.FormatBool(os.Getenv("HCBRIDGE_BENCH") == "")
	out, err := exec.CommandContext(context.Background(), "go", "build", race, "-o", binary, "hcbridge/cmd/hcbridge").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build hcbridge: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m)
}
