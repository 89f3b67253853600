package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// The soft limit is ours, unless whoever runs the program has set one.
func TestBoundMemory(t *testing.T) {
	was := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(was)
	t.Setenv("GOMEMLIMIT", "1GiB")
	boundMemory()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("with GOMEMLIMIT the limit becomes %d", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	boundMemory()
	if got := debug.SetMemoryLimit(-1); got != softLimit {
		t.Errorf("the limit is %d", got)
	}
}
