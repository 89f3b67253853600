// Package e2e runs the real program between a real Postgres and the simulated
// org, as a process of its own with nothing mocked between. Each test is one
// promise of the README.
package e2e

import (
	"os"
	"testing"
	"time"

	testrig "hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(testrig.Main(m)) }

// rig is what all tests run on, with what several tests of this package ask it.
type rig struct{ *testrig.Rig }

func newRig(t *testing.T, settings ...string) *rig {
	t.Helper()
	return &rig{testrig.New(t, settings...)}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	return testrig.FreeAddr(t)
}

func percentile(samples []time.Duration, p int) time.Duration { return testrig.Percentile(samples, p) }
