package bridge

import (
	"context"
	"testing"
	"time"

	"hcbridge/test/pgtest"
)

// Two tables of a schema that is not there yet are made at the same time, by a session
// that remembers that it was not.
func TestMakeSchemaTwice(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	first, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Rollback(context.Background()) }()
	if err := makeSchema(t.Context(), first, "both"); err != nil {
		t.Fatal(err)
	}
	second, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Rollback(context.Background()) }()
	var oid *uint32
	if err := second.QueryRow(t.Context(), "SELECT to_regnamespace('both')::oid").Scan(&oid); err != nil || oid != nil {
		t.Fatal(oid, err)
	}
	done := make(chan error, 1)
	go func() { done <- makeSchema(t.Context(), second, "both") }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		var waits bool
		err := pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)").Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		if waits {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the second does not wait for the first")
		}
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
