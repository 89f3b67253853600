// Package pgtest provides real PostgreSQL servers to tests and to the demo,
// without Docker and without a server that somebody has to set up first.
//
// [Start] takes, in this order,
//
//	HCBRIDGE_TEST_DATABASE_URL   a running server; its role must be allowed to
//	                             create databases and the extension hstore
//	PG_BIN, PATH, pg_config,     installed server binaries, from which a private
//	the usual folders            server is started
//
// and otherwise returns [ErrNoBinaries], whose text names the command that
// installs PostgreSQL on this platform. There is no skipping: a suite that
// skips looks like one that passes.
//
// A private server lives in a folder of its own, in memory where there is plenty and
// else under os.TempDir, as always where TMPDIR or [Options.Fsync] is set. It listens
// on a free loopback port and on a Unix socket in that folder, asks for a random
// password, and runs as the user nobody where root starts it (PostgreSQL refuses
// root). It is up in less than half a second:
//
//	         Start                    Stop(Fast|Immediate)
//	(none) ────────▶ running ────────────────────────────▶ stopped
//	                   ▲ │ Close                              │ │ Close
//	                   │ └────▶ gone, folder removed ◀────────┼─┘
//	                   └────────────── Resume, same port ─────┘
//
// In tests, [Main] is all of TestMain, [New] gives a test a pool on an empty
// database of its own, [Copy] on one that is prepared once for many, [URL] only the
// address, and [Private] a server that the test may stop and start without disturbing
// others.
//
// # Lifetime
//
// Close removes everything. A program that is killed cannot close: then the
// kernel stops the server (on Linux, by a parent-death signal), and the next
// Start on the machine removes the folder that was left.
//
// # Speed
//
// A private server runs without fsync unless [Options.Fsync] is set. That
// costs durability only when the operating system crashes; whatever happens
// to processes, a commit that was answered is there after Resume.
//
// # Errors
//
// Errors are wrapped and describe what was run; a server that does not come up
// quotes the end of its log.
//
// # Concurrency
//
// All functions and methods are safe for concurrent use. Up to 200
// connections are allowed on a private server.
package pgtest
