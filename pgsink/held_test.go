package pgsink

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestApplyHolds(t *testing.T) {
	t.Parallel()

	for _, state := range []string{"NEW", "PENDING"} {
		t.Run("RowsWithAnEntryThatIs"+state, func(t *testing.T) {
			t.Parallel()
			b := setup(t, writable())
			b.applyChanges(Result{Inserted: 3}, b.change(Event, 1, at(1), "Name", "one"), b.change(Event, 2, at(1)), b.change(Event, 3, at(1)))
			b.entry(state, "UPDATE", b.rowID(1), id(1))
			b.entry(state, "UPDATE", b.rowID(3), id(3))
			b.applyChanges(Result{Held: 2, Updated: 1}, b.change(Event, 1, at(2), "Name", "uno"), b.change(Read, 2, at(2)), b.remove(3))
			if name, reason := b.name(1), b.reason(1); name != "one" || reason != ReasonHeld {
				t.Errorf("name %q and mark %q, want one and held", name, reason)
			}
			b.want("true", `SELECT due_at > now() AND due_at <= now() + interval '250 milliseconds' FROM hcbridge.mark WHERE sfid = $1`, id(1))
			b.exec(`UPDATE salesforce._trigger_log SET state = 'SUCCESS'`)
			b.apply(Result{Updated: 1}, Batch{Changes: []Change{b.change(Read, 1, at(2), "Name", "uno")}, Done: []Done{{"Account", id(1), b.seq(1)}}})
			if got := b.seq(1); got != 0 {
				t.Errorf("mark %d is left", got)
			}
		})
	}

	t.Run("NotRowsWhoseEntryIsSettled", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		for _, state := range []string{"SUCCESS", "FAILED", "IGNORED", "MERGED"} {
			b.entry(state, "UPDATE", b.rowID(1), id(1))
			b.entry(state, "INSERT", "77", "")
		}
		b.applyChanges(Result{Updated: 1, Inserted: 1}, b.change(Event, 1, at(2)), b.change(Event, 2, at(2)))
	})

	t.Run("NothingOnAReadOnlyTable", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		b.entry("NEW", "UPDATE", b.rowID(1), id(1))
		b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(2)))
	})

	t.Run("UnknownRecordsWhileAnInsertIsPending", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.entry("NEW", "INSERT", "1", "")
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		b.exec(`UPDATE salesforce._trigger_log SET state = 'PENDING'`)
		b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name) VALUES ('PENDING', 'INSERT', 'contact')`)
		b.applyChanges(Result{Held: 1, Unchanged: 1}, b.change(Event, 2, at(1)), b.remove(3))
		b.exec(`UPDATE salesforce._trigger_log SET state = 'SUCCESS'`)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 2, at(1)))
	})

	t.Run("NotWhatAnotherUserMadeMeanwhile", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.entry("PENDING", "INSERT", "1", "")
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(1)))
		foreign := b.change(Read, 1, at(1), "Name", "theirs")
		foreign.Row.Foreign = true
		b.apply(Result{Inserted: 1}, Batch{Changes: []Change{foreign}, Done: []Done{{"Account", id(1), b.seq(1)}}})
		if got := b.seq(1); got != 0 {
			t.Errorf("mark %d is left", got)
		}
		// In all else it is a record that was read.
		b.entry("NEW", "UPDATE", b.rowID(1), id(1))
		foreign.Row.Stamp = at(2)
		b.applyChanges(Result{Held: 1}, foreign)
	})

	t.Run("ARecordThatWasDeletedHere", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.entry("NEW", "DELETE", "5", id(1))
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(1)))
	})

	t.Run("EverLongerButNotForEver", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.entry("NEW", "DELETE", "5", id(1))
		for range 12 {
			b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(1)))
		}
		b.want("true", `SELECT due_at - now() BETWEEN interval '7 seconds' AND interval '8 seconds' FROM hcbridge.mark`)
		b.mark(1)
		b.want("0", `SELECT attempts FROM hcbridge.mark`)
	})
}

// A record whose row waits for a change of the app is not read before that is sent.
func TestHeldIsNotDue(t *testing.T) {
	t.Parallel()
	b := setup(t, writable())
	due := func(want ...int) {
		t.Helper()
		b.exec(`UPDATE hcbridge.mark SET due_at = now() - interval '1 second'`)
		marks, err := b.sink.DueMarks(t.Context(), b.table, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range marks {
			got = append(got, m.SFID)
		}
		var ids []string
		for _, n := range want {
			ids = append(ids, id(n))
		}
		if !slices.Equal(got, ids) {
			t.Errorf("due are %v, want %v", got, ids)
		}
	}
	for n := range 4 {
		b.applyChanges(Result{Inserted: 1}, b.change(Event, n, at(1), "Name", "old"))
	}
	b.entry("NEW", "UPDATE", b.rowID(0), id(0))
	b.entry("PENDING", "UPDATE", b.rowID(1), id(1))
	b.entry("NEW", "UPDATE", b.rowID(2), id(2))
	for n := range 3 {
		b.applyChanges(Result{Held: 1}, b.change(Event, n, at(2), "Name", "new"))
	}
	b.mark(2) // wanted for another reason, too
	b.mark(3)
	due(2, 3)
	b.want("true", `SELECT bool_and(attempts = 1 AND reason = 'held') FROM hcbridge.mark WHERE sfid IN ($1, $2)`, id(0), id(1))
	due(2, 3)
	b.want("true", `SELECT bool_and(attempts = 2) FROM hcbridge.mark WHERE sfid IN ($1, $2)`, id(0), id(1))
	b.exec(`UPDATE salesforce._trigger_log SET state = 'SUCCESS' WHERE sfid = $1`, id(0)) // by hand
	due(0, 2, 3)
}

// Nor is one whose row is locked, by a transaction of the app or with its table: each try
// would cost an API call. It is looked at again within eight seconds, as nothing else tells
// that the lock has ended.
func TestLockedIsNotDue(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"ARow":   `UPDATE salesforce.account SET name = 'mine' WHERE sfid IN ('` + id(1) + `', '` + id(2) + `')`,
		"ATable": `LOCK TABLE salesforce.account IN EXCLUSIVE MODE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, account())
			b.applyChanges(Result{Inserted: 3}, b.change(Event, 1, at(1)), b.change(Event, 2, at(1)), b.change(Event, 3, at(1)))
			ctx := withTimeout(t)
			app, err := b.pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := app.Exec(ctx, lock); err != nil {
				t.Fatal(err)
			}
			due := func() (n int) {
				t.Helper()
				b.exec(`UPDATE hcbridge.mark SET due_at = now() - interval '1 second'`)
				marks, err := b.sink.DueMarks(ctx, b.table, 10)
				if err != nil {
					t.Fatal(err)
				}
				return len(marks)
			}
			if err := b.sink.Tx(ctx, func(tx pgx.Tx) error {
				return b.sink.Mark(ctx, tx, []Mark{{Object: "Account", SFID: id(2), Reason: ReasonGone}})
			}); err != nil {
				t.Fatal(err)
			}
			b.applyChanges(Result{Held: 2}, b.change(Event, 1, at(2)), b.change(Event, 2, at(2)))
			b.exec(`UPDATE hcbridge.mark SET attempts = 9`)
			for range 2 {
				if n := due(); n > 0 {
					t.Errorf("%d records are due while their rows are locked", n)
				}
			}
			b.want("held,gone", `SELECT string_agg(reason, ',' ORDER BY sfid) FROM hcbridge.mark`)
			b.want("true", `SELECT bool_and(due_at - now() BETWEEN interval '5 seconds' AND interval '8 seconds') FROM hcbridge.mark`)
			if err := app.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			if n := due(); n != 2 {
				t.Errorf("%d records are due after the lock has ended, want 2", n)
			}
		})
	}
}

func TestApplyMatchesExternalIDs(t *testing.T) {
	t.Parallel()

	// Its record is still to be made: that of the row that had the id before is
	// deleted, or about to be.
	t.Run("NotADeletedRecordThatHadTheID", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		b.exec(`INSERT INTO salesforce.account (name, ext__c) VALUES ('new', 'x1'), ('new', 'x2')`)
		b.exec(`UPDATE salesforce._trigger_log SET state = 'FAILED'`)
		if err := b.sink.Bury(t.Context(), "Account", []string{id(1)}); err != nil {
			t.Fatal(err)
		}
		b.entry("PENDING", "DELETE", "77", id(2))
		b.applyChanges(Result{Marked: 1, Held: 1}, b.change(Event, 1, at(1), "Name", "old", "Ext__c", "x1"), b.change(Event, 2, at(1), "Name", "old", "Ext__c", "x2"))
		b.want("2", `SELECT count(*) FROM salesforce.account WHERE name = 'new' AND sfid IS NULL`)
	})
	b := setup(t, keyed())
	b.exec(`INSERT INTO salesforce.account (name, ext__c, _hc_lastop) VALUES ('mine', 'E1', 'PENDING'), ('sent', 'E2', 'PENDING'), ('foreign', 'E3', 'SYNCED')`)
	local := b.one(`SELECT id FROM salesforce.account WHERE ext__c = 'E1'`)
	b.entry("PENDING", "INSERT", b.one(`SELECT id FROM salesforce.account WHERE ext__c = 'E2'`), "")
	b.applyChanges(Result{Updated: 1, Held: 2},
		b.change(Event, 1, at(1), "Ext__c", "E1", "Name", "theirs"),
		b.change(Event, 2, at(1), "Ext__c", "E2"),
		b.change(Event, 4, at(1), "Ext__c", "E4"))
	b.want(local, `SELECT id FROM salesforce.account WHERE sfid = $1 AND name = 'theirs' AND _hc_lastop = 'SYNCED'`, id(1))
	b.exec(`UPDATE salesforce._trigger_log SET state = 'SUCCESS'`)
	b.exec(`UPDATE salesforce.account SET sfid = $1 WHERE ext__c = 'E2'`, id(2))
	b.applyChanges(Result{Updated: 2, Inserted: 1},
		b.change(Read, 2, at(1), "Ext__c", "E2"), b.change(Read, 3, at(1), "Ext__c", "E3"), b.change(Read, 4, at(1), "Ext__c", "E4"))
	b.want("4", `SELECT count(*) FROM salesforce.account WHERE sfid IS NOT NULL`)

	// Of two records that claim one row, one is refused by the index and parked.
	b.exec(`INSERT INTO salesforce.account (ext__c) VALUES ('E9')`)
	b.applyChanges(Result{Updated: 1, Parked: 1}, b.change(Read, 8, at(1), "Ext__c", "E9"), b.change(Read, 9, at(2), "Ext__c", "E9"))
	b.want("1", `SELECT count(*) FROM salesforce.account WHERE ext__c = 'E9' AND sfid IS NOT NULL`)
}

// A row is never written over a change of the app that was not sent, however
// the two transactions fall.
func TestApplyRacesWithTheApp(t *testing.T) {
	t.Parallel()

	// appWrites changes record 1 as the app does, with its log entry.
	appWrites := func(t *testing.T, tx pgx.Tx, name string) {
		t.Helper()
		_, err := tx.Exec(t.Context(), `WITH u AS (UPDATE salesforce.account SET name = $1 WHERE sfid = $2 RETURNING id)
			INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid) SELECT 'NEW', 'UPDATE', 'account', id, $2 FROM u`, name, id(1))
		if err != nil {
			t.Fatal(err)
		}
	}

	t.Run("DoesNotWaitForARowBeingWritten", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.neverWaits()
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1), "Name", "one"), b.change(Event, 2, at(1)))
		ctx := withTimeout(t)
		tx, err := b.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		appWrites(t, tx, "app")
		b.applyChanges(Result{Held: 1, Updated: 1}, b.change(Event, 1, at(2), "Name", "uno"), b.change(Event, 2, at(2)))
		b.applyChanges(Result{Held: 1}, b.remove(1))
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		b.applyChanges(Result{Held: 1}, b.change(Read, 1, at(2), "Name", "uno"))
		if got := b.name(1); got != "app" {
			t.Errorf("name is %q, want app", got)
		}
	})

	t.Run("SeesACommitThatFallsIntoTheTransaction", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "one"))
		// A trigger holds the statement up between its snapshot and its writes.
		ctx := withTimeout(t)
		b.exec(`CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;
			CREATE TRIGGER pause BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION pause()`)
		gate, err := b.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gate.Exec(ctx, `SELECT pg_advisory_xact_lock(42)`); err != nil {
			t.Fatal(err)
		}
		// The insert of record 2 waits at the gate. Record 1 may be written before
		// or after that, but never over the app's change.
		done := make(chan error, 1)
		go func() {
			_, err := b.sink.Apply(ctx, Batch{Changes: []Change{b.change(Event, 1, at(2), "Name", "uno"), b.change(Event, 2, at(2))}})
			done <- err
		}()
		for b.one(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == "0" {
			if ctx.Err() != nil {
				t.Fatal("the sink never came to the gate")
			}
		}
		tx, err := b.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		appDone := make(chan struct{})
		go func() {
			defer close(appDone)
			if _, err := tx.Exec(ctx, `WITH u AS (UPDATE salesforce.account SET name = 'app' WHERE sfid = $1 RETURNING id)
				INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'NEW', 'UPDATE', 'account', id FROM u`, id(1)); err != nil {
				t.Error(err)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Error(err)
			}
		}()
		// Either the app gets through now, or it waits for the sink.
		for waiting := false; !waiting; {
			select {
			case <-appDone:
				waiting = true
			default:
				waiting = b.one(`SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event = 'transactionid'`) != "0"
			}
			if ctx.Err() != nil {
				t.Fatal("the app neither wrote nor waited")
			}
		}
		if err := gate.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		<-appDone
		if got := b.name(1); got != "app" {
			t.Errorf("name is %q, want app: the unsent change was overwritten", got)
		}
	})

	t.Run("UnderLoad", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		const rounds = 150
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(0), "Name", "start"))
		ctx := withTimeout(t)
		var wg sync.WaitGroup
		wg.Go(func() { // the app: writes, and finds its own value until the outbox has sent it
			for i := range rounds {
				name := fmt.Sprintf("app %d", i)
				err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, `WITH u AS (UPDATE salesforce.account SET name = $1 WHERE sfid = $2 RETURNING id)
						INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'NEW', 'UPDATE', 'account', id FROM u`, name, id(1))
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				if got := b.name(1); got != name {
					t.Errorf("name is %q, want %q: an unsent change was overwritten", got, name)
					return
				}
				b.exec(`UPDATE salesforce._trigger_log SET state = 'SUCCESS'`)
			}
		})
		wg.Go(func() { // Salesforce
			for i := range rounds {
				_, err := b.sink.Apply(ctx, Batch{Changes: []Change{b.change(Event, 1, at(i+1), "Name", fmt.Sprintf("sf %d", i))}})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Wait()
	})

	t.Run("NeverMakesASecondRow", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		ctx := withTimeout(t)
		const rounds = 60
		var wg sync.WaitGroup
		for worker := range 3 {
			wg.Go(func() {
				for i := range rounds {
					ext := fmt.Sprintf("E%d", i)
					if worker == 0 { // the app, whose row has no id yet
						_, err := b.pool.Exec(ctx, `WITH i AS (INSERT INTO salesforce.account (ext__c) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id)
							INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'SUCCESS', 'INSERT', 'account', id FROM i`, ext)
						if err != nil {
							t.Error(err)
						}
						continue
					}
					kind := Event
					if worker == 2 {
						kind = Read
					}
					res, err := b.sink.Apply(ctx, Batch{Changes: []Change{b.change(kind, i, at(1), "Ext__c", ext)}})
					if err != nil || res.Parked > 0 {
						t.Errorf("%+v, %v", res, err)
					}
				}
			})
		}
		wg.Wait()
		b.want("60", `SELECT count(*) FROM salesforce.account`)
		b.want("0", `SELECT count(*) FROM salesforce.account WHERE sfid IS NULL AND NOT EXISTS (SELECT FROM hcbridge.mark)`)
	})
}
