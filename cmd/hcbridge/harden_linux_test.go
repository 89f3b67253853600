package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// It is tried in another process, as there is no way back.
func TestHarden(t *testing.T) {
	t.Parallel()
	if os.Getenv("HCBRIDGE_TEST_HARDEN") != "" {
		harden()
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		var core unix.Rlimit
		if err2 := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || err2 != nil || dumpable != 0 || core.Cur != 0 || core.Max != 0 {
			t.Errorf("dumpable %d, core %+v, %v, %v", dumpable, core, err, err2)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHarden$", "-test.v")
	cmd.Env = append(os.Environ(), "HCBRIDGE_TEST_HARDEN=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestHarden") {
		t.Errorf("%v\n%s", err, out)
	}
}
