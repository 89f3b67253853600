package pgsink

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// edit changes record n as the app does: the row, and its log entry with the
// whole row of before.
func (b *bundle) edit(n int, state, value string) (entry string) {
	b.t.Helper()
	err := pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(b.t.Context(), `WITH before AS (
			SELECT id, sfid, '"sfid"=>"' || sfid || '", "name"=>' || coalesce('"' || replace(replace(name, '\', '\\'), '"', '\"') || '"', 'NULL')
				|| ', "systemmodstamp"=>"' || systemmodstamp || '"' AS old
			FROM salesforce.account WHERE sfid = $1
		), u AS (
			UPDATE salesforce.account SET name = $2, _hc_lastop = 'PENDING' WHERE sfid = $1
		)
		INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, values)
		SELECT $3, 'UPDATE', 'account', id, sfid, old, '"name"=>"' || replace(replace($2, '\', '\\'), '"', '\"') || '"' FROM before
		RETURNING id::text`, id(n), value, state).Scan(&entry)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return entry
}

// answered is what the outbox does when Salesforce took an entry.
func (b *bundle) answered(entry, lastOp string) {
	b.t.Helper()
	b.exec(`WITH gone AS (DELETE FROM salesforce._trigger_log WHERE id = $1::bigint RETURNING *)
		INSERT INTO salesforce._trigger_log_archive (id, state, action, table_name, record_id, sfid, old, values, processed_at)
		SELECT id, 'SUCCESS', action, table_name, record_id, sfid, old, values, now() FROM gone`, entry)
	b.exec(`UPDATE salesforce.account SET _hc_lastop = $2 WHERE id = (SELECT record_id FROM salesforce._trigger_log_archive WHERE id = $1::bigint)`, entry, lastOp)
}

// conflicts lists what is in hcbridge.conflict, as field: base, ours, theirs, and
// whose is in effect, with a question mark while that is not certain.
func (b *bundle) conflicts() string {
	b.t.Helper()
	return b.one(`SELECT coalesce(string_agg(format('%s: %s, %s, %s, %s%s', field, base_value, local_value,
		CASE WHEN remote_deleted THEN '(deleted)' ELSE remote_value END, chosen, CASE WHEN NOT settled THEN '?' END), '; ' ORDER BY id), '') FROM hcbridge.conflict`)
}

func (b *bundle) wantConflicts(want string) {
	b.t.Helper()
	if got := b.conflicts(); got != want {
		b.t.Errorf("conflicts %q, want %q", got, want)
	}
}

// read answers record n's mark.
func (b *bundle) read(n int, stamp time.Time, name string) {
	b.t.Helper()
	if _, err := b.sink.Apply(b.t.Context(), Batch{
		Changes: []Change{b.change(Read, n, stamp, "Name", name)}, Done: []Done{{"Account", id(n), b.seq(n)}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// Both sides change one field: the app's value stays, and both are written down,
// once for however many readings (the shielded field of conflicts).
func TestConflicts(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) *bundle {
		t.Helper()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "base"))
		return b
	}

	t.Run("OncePerConflict", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		entry := b.edit(1, "NEW", `our "value"\ `)
		for range 3 {
			b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "theirs"))
		}
		b.applyChanges(Result{Held: 1}, b.change(Read, 1, at(2), "Name", "theirs"))
		b.wantConflicts(`name: base, our "value"\ , theirs, postgres?`)
		b.answered(entry, "UPDATED")
		b.read(1, at(3), `our "value"\ `)
		b.wantConflicts(`name: base, our "value"\ , theirs, postgres`)
		b.applyChanges(Result{Stale: 1}, b.change(Event, 1, at(2), "Name", "theirs"))
		b.wantConflicts(`name: base, our "value"\ , theirs, postgres`)
	})

	t.Run("NotOfOurOwnEchoes", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		first := b.edit(1, "PENDING", "one")
		second := b.edit(1, "NEW", "two")
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "one"))
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "base"))
		b.answered(first, "UPDATED")
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "one"))
		b.answered(second, "UPDATED")
		b.applyChanges(Result{Marked: 1}, b.change(Event, 1, at(2), "Name", "one"))
		b.read(1, at(3), "two")
		b.wantConflicts("")
	})

	t.Run("NotOfAnotherField", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.edit(1, "NEW", "ours")
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "base", "Amount__c", 7))
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "ours", "Amount__c", 7))
		b.wantConflicts("")
	})

	t.Run("NotOfWhatSalesforceMadeOfOurs", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		entry := b.edit(1, "PENDING", "ours ")
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "OURS"))
		b.answered(entry, "UPDATED")
		b.read(1, at(2), "OURS")
		b.wantConflicts("")
		if got := b.name(1); got != "OURS" {
			t.Errorf("name %q", got)
		}
	})

	t.Run("NotOfReplayedHistory", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(2), "Name", "newer"))
		b.edit(1, "NEW", "ours")
		b.applyChanges(Result{Stale: 1}, b.change(Event, 1, at(1), "Name", "base"))
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "of the same second"))
		b.wantConflicts("")
	})

	// The event of an edit just before ours comes after our answer: it must not
	// show for a moment, and it is what we wrote over (fault 76).
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("EditBeforeOurs/AfterReading=%v", late), func(t *testing.T) {
			t.Parallel()
			b := begin(t)
			b.answered(b.edit(1, "PENDING", "ours"), "UPDATED")
			if late {
				b.read(1, at(3), "ours")
				b.applyChanges(Result{Stale: 1}, b.change(Event, 1, at(2), "Name", "theirs"))
			} else {
				b.applyChanges(Result{Marked: 1}, b.change(Event, 1, at(2), "Name", "theirs"))
				if got := b.name(1); got != "ours" {
					t.Errorf("the row shows %q", got)
				}
				b.read(1, at(3), "ours")
			}
			b.wantConflicts("name: base, ours, theirs, postgres")
		})
	}

	t.Run("EditAfterOurs", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.answered(b.edit(1, "PENDING", "ours"), "UPDATED")
		b.applyChanges(Result{Marked: 1}, b.change(Event, 1, at(3), "Name", "later"))
		b.read(1, at(3), "later")
		b.wantConflicts("")
	})

	t.Run("OurEchoIsWrittenAtOnce", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.answered(b.edit(1, "PENDING", "ours"), "UPDATED")
		b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(2), "Name", "ours", "Amount__c", 3))
		b.wantConflicts("")
	})

	t.Run("TheirsWhereOursWasRefused", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.edit(1, "PENDING", "ours")
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "theirs"))
		b.exec(`UPDATE salesforce._trigger_log SET state = 'FAILED'`)
		b.exec(`UPDATE salesforce.account SET _hc_lastop = 'FAILED'`)
		b.read(1, at(2), "theirs")
		b.wantConflicts("name: base, ours, theirs, salesforce")
	})

	// Its row shows theirs, and goes on saying what was refused until that is dismissed.
	t.Run("ARefusalStays", func(t *testing.T) {
		t.Parallel()
		for _, write := range []func(*bundle, int){
			func(b *bundle, n int) { b.read(1, at(n), fmt.Sprint("theirs ", n)) },
			func(b *bundle, n int) {
				b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(n), "Name", fmt.Sprint("theirs ", n)))
			},
		} {
			b := begin(t)
			b.edit(1, "FAILED", "ours")
			b.exec(`UPDATE salesforce.account SET _hc_lastop = 'FAILED', _hc_err = '{}'`)
			write(b, 2)
			b.want("theirs 2 FAILED {}", `SELECT concat_ws(' ', name, _hc_lastop, _hc_err) FROM salesforce.account`)
			b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED'`)
			write(b, 3)
			b.want("theirs 3 SYNCED", `SELECT concat_ws(' ', name, _hc_lastop, _hc_err) FROM salesforce.account`)
		}
	})

	// A record that was deleted there while a change of it waited (fault 73).
	t.Run("DeletedThere", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.edit(1, "PENDING", "ours")
		b.applyChanges(Result{Held: 1}, b.remove(1))
		b.exec(`UPDATE salesforce._trigger_log SET state = 'FAILED'`)
		b.applyChanges(Result{Deleted: 1}, b.remove(1))
		b.wantConflicts("name: base, ours, (deleted), salesforce")
	})

	t.Run("Counted", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.answered(b.edit(1, "PENDING", "ours"), "UPDATED")
		b.read(1, at(3), "ours")
		res, err := b.sink.Apply(t.Context(), Batch{Changes: []Change{b.change(Event, 1, at(2), "Name", "theirs")}})
		if err != nil || res.Objects["Account"].Conflicts != 1 {
			t.Errorf("%+v, %v: want one conflict", res, err)
		}
	})

	t.Run("WhateverTheTypes", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		var pairs []string
		for i, c := range b.table.Columns {
			if i != b.table.stamp && i != b.table.deleted {
				pairs = append(pairs, c.Name)
			}
		}
		got := b.one(`SELECT hcbridge.pair('"a"=>"x\"\\y", "b"=>NULL, "c"=>"\"b\"=>\"no\""', 'a') || ',' || coalesce(hcbridge.pair('"b"=>NULL, "c"=>"\"b\"=>\"no\""', 'b'), 'null')`)
		if got != `x"\y,null` || len(pairs) == 0 {
			t.Errorf("pair: %s of %s", got, strings.Join(pairs, " "))
		}
	})
}

func TestExpedite(t *testing.T) {
	t.Parallel()
	b := setup(t, writable())
	b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
	b.edit(1, "NEW", "ours")
	for range 6 {
		b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "theirs"))
	}
	b.want("false", `SELECT due_at <= now() + interval '1 second' FROM hcbridge.mark`)
	if err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.sink.Expedite(t.Context(), tx, "Account", []string{id(1)}) }); err != nil {
		t.Fatal(err)
	}
	b.want("true", `SELECT due_at <= now() FROM hcbridge.mark`)
}

func TestForgetConflicts(t *testing.T) {
	t.Parallel()
	b := setup(t, writable())
	for _, days := range []int{30, 32} {
		b.exec(`INSERT INTO hcbridge.conflict (schema, object, table_name, record_id, sfid, field, entry, chosen, settled, at)
			VALUES ('salesforce', 'Account', 'account', $1::int, 'x', 'name', 1, 'postgres', true, now() - make_interval(days => $1::int))`, days)
	}
	if err := b.sink.ForgetConflicts(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want("30", `SELECT string_agg(record_id::text, ',') FROM hcbridge.conflict`)
}

// An id without the last three of its 18 characters names the same record, and what an
// app writes to a formula is never sent: neither is a conflict.
func TestNoConflict(t *testing.T) {
	t.Parallel()
	const (
		base, ours, theirs = "001000000000001AAA", "001000000000002AAA", "001000000000003AAA"
		rank               = `, "rank__c"=>"7"`
	)
	for _, c := range []struct {
		name, written, row, remote, want string
	}{
		{"the same record", ours[:15], ours[:15], ours, ""},
		{"the same record, and another since", ours[:15], base, ours, ""},
		{"the record of before", ours[:15], ours[:15], base, ""},
		{"another record", ours[:15], ours[:15], theirs, "parentid: " + base[:15] + ", " + ours[:15] + ", " + theirs + ", postgres?"},
		{"another of no record", "", "", theirs, "parentid: " + base[:15] + ", , " + theirs + ", postgres?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := writable()
			spec.Fields = append(spec.Fields, Field{Name: "ParentId", Type: "reference"}, Field{Name: "Rank__c", Type: "double", Fixed: true})
			b := setup(t, spec)
			b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "ParentId", base, "Rank__c", 1))
			b.exec(`WITH u AS (UPDATE salesforce.account SET parentid = $2, rank__c = 7, _hc_lastop = 'PENDING' WHERE sfid = $1 RETURNING *)
				INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, values)
				SELECT 'NEW', 'UPDATE', 'account', id, sfid, '"parentid"=>"`+base[:15]+`", "rank__c"=>"1", "systemmodstamp"=>"' || systemmodstamp || '"',
					'"parentid"=>"' || $3 || '"`+rank+`' FROM u`, id(1), c.row, c.written)
			b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "ParentId", c.remote, "Rank__c", 2))
			b.wantConflicts(c.want)
		})
	}

	t.Run("a deleted record", func(t *testing.T) {
		t.Parallel()
		spec := writable()
		spec.Fields = append(spec.Fields, Field{Name: "Rank__c", Type: "double", Fixed: true})
		b := setup(t, spec)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Rank__c", 1))
		b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, values)
			SELECT 'FAILED', 'UPDATE', 'account', id, sfid, '"name"=>NULL, "rank__c"=>"1"', '"name"=>"a", "rank__c"=>"7"' FROM salesforce.account`)
		b.applyChanges(Result{Deleted: 1}, b.remove(1))
		b.wantConflicts("name: , a, (deleted), salesforce")
	})
}
