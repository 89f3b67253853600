// Package program measures what the running program takes of a machine and of an
// org's allowances: its start, memory and processor idle and loaded, how they grow
// with rows, objects and backlog, and API calls. It measures only if
// HCBRIDGE_BENCH is set, as "make bench" does; otherwise it runs a small part of
// each, to see that it works.
package program

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org/sobject"
	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// objects are the ten that the org has.
var objects = []string{"Account", "Contact", "Lead", "Opportunity", "Case", "Task", "Invoice__c", "Line__c", "Every__c", "Asset"}

// measuring reports whether figures are wanted, and not only a try.
func measuring() bool { return os.Getenv("HCBRIDGE_BENCH") != "" }

// of returns one number to try with, or another to measure with.
func of[T any](try, measure T) T {
	if measuring() {
		return measure
	}
	return try
}

// newRig is an org and a database for n objects, with settings as one would have
// in production.
func newRig(t *testing.T, n int, settings ...string) *rig.Rig {
	t.Helper()
	r := rig.New(t, append([]string{"HC_OBJECTS=" + strings.Join(objects[:n], ","), "HC_LOG_LEVEL=info"}, settings...)...)
	r.SF.Define(sobject.Asset())
	return r
}

// process reads one figure of a process.
func process(t *testing.T, b *rig.Bridge, name string) (n float64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, name+": %f kB", &n); err == nil {
			return n / 1024
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// cpu is the processor time that a process has used.
func cpu(t *testing.T, b *rig.Bridge) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int64
	rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if _, err := fmt.Sscanf(rest[11]+" "+rest[12], "%d %d", &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// charged is how many API calls the org has counted, and by kind of endpoint.
func charged(r *rig.Rig) (n int, kinds string) {
	n, _ = r.SF.Usage()
	calls := r.SF.Calls()
	var list []string
	for kind, times := range calls {
		list = append(list, fmt.Sprintf("%s %d", kind, times))
	}
	slices.Sort(list)
	return n, strings.Join(list, ", ")
}
