package main

import (
	"os"
	"runtime/debug"
)

// softLimit is from where on memory is collected rather than that more is taken, in
// bytes. What is in use at a time is mostly less: a plan of the outbox, jobs under way,
// an answer that is read back. Left to itself the collector lets it double, and a
// container is sized by the most that it has seen.
const softLimit = 128 << 20

// boundMemory sets the soft limit of the runtime, unless GOMEMLIMIT does.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
}
