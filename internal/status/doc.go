// Package status holds what is going on: the state of the connection and of
// each object, as the status page, the API, the metrics and the status command
// show it.
//
//	bridge, poll, outbox ──▶ Board ──▶ web, status command
//
// A [Board] only remembers what it is told; it asks nobody. Counts that cost a
// query (rows, pending writes) are put on it by the bridge's own refresher.
//
// # Stops
//
// Every part of the two flows that has come to a halt says so with
// [Board.Stop] and takes it back with [Board.Go]. A board without stops is
// ready; [Board.Ready] gives the reasons otherwise. Nothing else decides
// readiness, so /readyz, the status command and the log cannot disagree.
// What heals by itself as a rule, such as a request that was not answered, says so with
// [Board.Falter] instead, and is a stop only once it has lasted for [Grace].
//
// # Activity
//
// [Board.Sample] adds up by the minute what the counters have grown by, for a
// day. It is of this process: a restart begins anew.
//
// # Concurrency
//
// All methods of Board are safe for concurrent use. Snapshots are copies.
package status
