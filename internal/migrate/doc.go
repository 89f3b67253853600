// Package migrate installs and upgrades schema hcbridge, the bridge's own
// state beside the mapped tables.
//
// Migrations are the numbered files of directory sql, embedded in the binary.
// The ledger hcbridge.migration records which of them a database has:
//
//	          ledger = binary
//	        ┌───────────────▶ nothing to do, nothing locked
//	[Up] ───┤ ledger < binary
//	        ├───────────────▶ missing files in order, one transaction
//	        │ ledger > binary
//	        └───────────────▶ [*NewerError]
//
// # Delivery
//
// All missing migrations and their ledger rows commit together, so a crash
// leaves the old version or the new one.
//
// # Errors
//
// A ledger that this binary does not know is a [*NewerError]: an older bridge
// must not write to a newer schema. Everything else is Postgres's own error,
// wrapped with the version it belongs to.
//
// # Concurrency
//
// An advisory lock serialises bridges that start at the same time; the second
// finds the work done.
package migrate
