// Package crash kills the bridge at each of its effects in turn, and at random, and
// sees that nothing is lost, done twice, or unequal in the end. The product has no
// part in it: what is numbered are the messages that pass two doors, one before
// Postgres and one before the org, see [fate].
//
// HCBRIDGE_CRASH=all runs all points, HCBRIDGE_CRASH_SCENARIO and
// HCBRIDGE_CRASH_POINT some, HCBRIDGE_CRASH_RANDOM so many kills under mixed load.
package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hcbridge/test/pgtest"
)

// program is the program under test, without the race detector: its speed decides
// how many points there are in an hour.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hcbridge-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "hcbridge")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-w", "-o", program, "hcbridge/cmd/hcbridge").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build hcbridge: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m)
}
