// Package chaos runs the real program while everything around it fails at random,
// and asks the one checker (package check) afterwards whether all is as promised.
//
// A run belongs to a seed. The seed decides the plan: the settings, which faults
// happen when and for how long, and which changes an app and people in the org make
// meanwhile. The plan is printed. Processes, sockets and Postgres keep
// their own time, so a seed repeats the plan, and what comes of it nearly always.
//
//	random records ─▶ bridge loads ─▶ changes on both sides, and faults ─▶ faults end ─▶ equal within a minute? ─▶ check
//
// # What fails
//
// The org by its own switches (requests, stream, topics, replay, limits, locks, jobs,
// late commits; see package org), the network between bridge and org and between bridge and Postgres
// (toxiproxy), Postgres (sessions terminated, immediate stops, locks, a full disk),
// the bridge's process (SIGKILL, SIGSTOP, SIGTERM) and the clocks. [faults] is the table.
//
// The app goes straight to Postgres and never fails itself: where Postgres is
// down, full or locked by a migration it rests, as what fails then is nobody's promise.
//
// # Clocks
//
// The kernel's clock is everybody's, and libfaketime moves that of
// programs that ask the C library, which Go's do not. So the org's clock jumps
// instead: ahead of the bridge's, or behind it at the start and then ahead. To the
// bridge this looks as if its own had jumped the other way, because the only clocks
// it can compare are its own, Postgres' and the Date of answers.
//
// # Full disk
//
// To fill a disk takes a file system of its own, which only root can make. What
// Postgres does then is to refuse whatever makes a table longer with SQLSTATE 53100; a trigger does
// that to all that the bridge writes, at the statement. What a server does whose own log can
// grow no more is in package e2e (TestFullDisk).
//
// # Waiting
//
// Some promises are about minutes: an insert without an external id whose answer was
// lost is sent again when 13 minutes have passed, and an org whose calls
// are used up is asked again after ten. Runs with such faults end with a kill,
// while the bridge is down what it noted is made 15 minutes older, and everything that
// the network still held is gone. So nothing is sent earlier than it would be, and a run takes
// seconds.
package chaos
