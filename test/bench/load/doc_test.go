// Package load measures the first load of an object: the program itself, as a
// process of its own, against psql's \copy of the same CSV into the same table,
// and against what is written first, batches of INSERT. All run by turns, now the
// bridge first and now psql, on one server with fsync on, so that only the ratios
// matter.
package load

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hcbridge/test/pgtest"
)

// binary is the program, built once, as it ships.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hcbridge-load-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "hcbridge")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "hcbridge/cmd/hcbridge").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build hcbridge: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m)
}
