package main

import "golang.org/x/sys/unix"

// harden keeps what the process knows to itself: no core file, and neither its
// memory nor its environment, in which secrets may have come, is open to other
// processes of the same user (proc(5), prctl(2) PR_SET_DUMPABLE). Where the system
// refuses, the bridge runs as it is.
func harden() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
