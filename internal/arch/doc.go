// Package arch holds no code, only the tests that keep the architecture: which
// package may import which, where each library is at home, who reads the
// environment, and who starts goroutines.
//
//	cmd/hcbridge ─▶ internal/bridge ─▶ bayeux, pushtopic, pgsink, outbox, internal/*
//	cmd/demo, cmd/orgsim ─▶ test/org, test/pgtest
//
// All arrows point down. The leaves do not know one another: what passes from
// one to the other is translated in internal/bridge and only there.
//
// The rules are the tables in rules_test.go. A package that nobody gave a rule
// fails, so that a new package is a decision. Files under test/ and _test.go
// files may use what helps a test; everything else is held to the tables.
package arch
