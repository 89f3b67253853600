// Package soak runs the real program for hours under steady traffic and judges
// whether it stays as it was: memory, goroutines, descriptors, connections, and
// that both sides are equal.
//
// Twenty changes a second go each way over five objects, with what happens to
// such a process now and then: its token expires, its streaming session is
// forgotten, answers get lost, a database session is terminated. Every five minutes both rest
// until both sides are equal, field by field.
//
// # What is measured
//
// Every ten seconds, of the process as it is installed (no race detector, no
// GOMEMLIMIT but the program's own, GOGC as the runtime has it, no debugger, garbage collected when the runtime
// wants to): VmRSS and the number of descriptors from /proc, goroutines and the
// live heap from /metrics, sessions from pg_stat_activity, CPU time from /proc.
//
// # How it is judged
//
// What the first five minutes (a quarter of a shorter run) show is not judged.
// Of the rest the first tenth is compared with the last. Resident memory grew if its
// median did by 1 MB. Counts are compared by thirds, as pools of connections grow
// and shrink with the load for minutes. One rose if both its median and its lowest value
// did by one: what leaks raises both, and what a request in hand holds at the moment of
// a sample raises one at most. Who says for a minute that it is not ready has not got
// over a fault that was over at once.
package soak
