package pgsink

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// begun is a transaction of another part of the bridge that has done something.
func (b *bundle) begun(sql string, args ...any) pgx.Tx {
	b.t.Helper()
	ctx := context.WithoutCancel(b.t.Context())
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = tx.Rollback(ctx) })
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		b.t.Fatal(err)
	}
	return tx
}

// meanwhile applies a batch, which waits for tx, has tx do something more, and ends both.
func (b *bundle) meanwhile(tx pgx.Tx, batch Batch, sql string, args ...any) {
	b.t.Helper()
	applied := make(chan error, 1)
	go func() {
		_, err := b.sink.Apply(b.t.Context(), batch)
		applied <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); b.one(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) != "1"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatal("the batch does not wait")
		}
	}
	if _, err := tx.Exec(b.t.Context(), "SET LOCAL lock_timeout = '500ms'"); err != nil {
		b.t.Fatal(err)
	}
	if _, err := tx.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Errorf("the batch holds what the other needs: %v", err)
		_ = tx.Rollback(b.t.Context())
	} else if err := tx.Commit(b.t.Context()); err != nil {
		b.t.Error(err)
	}
	if err := <-applied; err != nil {
		b.t.Error(err)
	}
}

// All transactions lock marks first, in one order, and what goes with records after
// them. So one that waits for a mark keeps nobody from anything that comes later.
func TestMarksComeFirst(t *testing.T) {
	t.Parallel()
	const mark = `INSERT INTO hcbridge.mark (schema, object, sfid, reason) VALUES ('salesforce', 'Account', $1, 'x')`
	gone := func(n int) Mark { return Mark{Object: "Account", SFID: id(n), Reason: ReasonGone} }

	t.Run("BeforeGraves", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "base"))
		tx := b.begun(mark, id(1))
		b.meanwhile(tx, Batch{Changes: []Change{b.change(Delete, 1, at(5))}, Marks: []Mark{gone(1)}},
			`INSERT INTO hcbridge.gone (schema, object, sfid) VALUES ('salesforce', 'Account', $1)`, id(1))
		if n := b.one(`SELECT count(*) FROM salesforce.account`); n != "0" {
			t.Errorf("%s rows", n)
		}
	})

	t.Run("BeforeConflicts", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "base"))
		entry := b.edit(1, "NEW", "ours")
		tx := b.begun(mark, id(1)) // as by a read that found the same
		b.meanwhile(tx, Batch{Changes: []Change{b.change(Event, 1, at(2), "Name", "theirs")}},
			`INSERT INTO hcbridge.conflict (schema, object, table_name, record_id, sfid, field, entry, chosen, settled)
			SELECT 'salesforce', 'Account', 'account', record_id, sfid, 'name', id, 'postgres', false FROM salesforce._trigger_log WHERE id = $1::bigint`, entry)
		b.wantConflicts("name: , , theirs, postgres?")
	})

	t.Run("InOneOrder", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.exec(mark, id(1))
		b.exec(mark, id(2))
		tx := b.begun(`UPDATE hcbridge.mark SET reason = 'y' WHERE sfid = $1`, id(1))
		b.meanwhile(tx, Batch{Changes: []Change{b.change(Delete, 2, at(5))}, Marks: []Mark{gone(1)}},
			`UPDATE hcbridge.mark SET reason = 'y' WHERE sfid = $1`, id(2))
	})
}
