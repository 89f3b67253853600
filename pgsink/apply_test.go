package pgsink

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestApply(t *testing.T) {
	t.Parallel()

	t.Run("InsertsAndUpdatesFromNewerEvents", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1), "Name", "one"), b.change(Event, 2, at(1), "Name", "two"))
		b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(2), "Name", "uno"))
		if got := b.name(1); got != "uno" {
			t.Errorf("name is %q, want uno", got)
		}
		b.want("SYNCED", `SELECT _hc_lastop FROM salesforce.account WHERE sfid = $1`, id(1))
	})

	// Events have forms of some values that REST and Bulk have not.
	t.Run("TakesValuesAsEventsHaveThem", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Spec{Schema: "salesforce", Object: "Opportunity", Fields: []Field{
			{Name: "CloseDate", Type: "date"},
			{Name: "Fiscal", Type: "string", Length: 6},
			{Name: "Any__c", Type: "anyType"},
			{Name: "SystemModstamp", Type: "datetime"},
		}})
		event := func(day, fiscal, stamp string) Row {
			row, err := b.table.DecodeEvent([]byte(`{"Id":"` + id(1) + `","CloseDate":"` + day + `","Fiscal":` + fiscal + `,"Any__c":{"a":[1]},"SystemModstamp":"` + stamp + `"}`))
			if err != nil {
				t.Fatal(err)
			}
			return row
		}
		b.applyChanges(Result{Inserted: 1}, Change{Table: b.table, Kind: Event, Row: event("2019-04-23T00:00:00.000Z", `"2019 2"`, "2024-05-01T08:00:01.000Z")})
		whole := `SELECT concat_ws(' ', closedate, fiscal, any__c) FROM salesforce.opportunity`
		b.want(`2019-04-23 2019 2 {"a":[1]}`, whole)
		for _, nested := range []string{`{"year":2019}`, `[2019,3]`} {
			row := event("2019-07-01T00:00:00.000Z", nested, "2024-05-01T08:00:02.000Z")
			if !slices.Equal(row.Missing, []string{"Fiscal"}) || !slices.Equal(row.Nested, row.Missing) {
				t.Errorf("missing are %q, nested %q", row.Missing, row.Nested)
			}
			b.applyChanges(Result{Marked: 1}, Change{Table: b.table, Kind: Event, Row: row})
		}
		b.want(`2019-04-23 2019 2 {"a":[1]}`, whole)
		if got := b.reason(1); got != ReasonMissing {
			t.Errorf("mark is %q", got)
		}
		read, err := b.table.Decode([]byte(`{"Id":"` + id(1) + `","CloseDate":"2019-07-01","Fiscal":"2019 3","Any__c":null,"SystemModstamp":"2024-05-01T08:00:02.000+0000"}`))
		if err != nil {
			t.Fatal(err)
		}
		b.apply(Result{Updated: 1}, Batch{Changes: []Change{{Table: b.table, Kind: Read, Row: read}}, Done: []Done{{Object: "Opportunity", SFID: id(1), Seq: b.seq(1)}}})
		b.want("2019-07-01 2019 3", whole)
		b.want("0", `SELECT (SELECT count(*) FROM hcbridge.mark) + (SELECT count(*) FROM hcbridge.read_error)`)
	})

	t.Run("IgnoresAnOlderEvent", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(5), "Name", "new"))
		b.applyChanges(Result{Stale: 1}, b.change(Event, 1, at(4), "Name", "old"))
		if got := b.name(1); got != "new" {
			t.Errorf("name is %q, want new", got)
		}
	})

	t.Run("DoesNotWriteARowThatIsRightAlready", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		same := []Change{b.change(Event, 1, at(1), "Name", "one", "Amount__c", 0.1), b.change(Read, 2, at(1), "Name", "two")}
		b.applyChanges(Result{Inserted: 2}, same...)
		before := b.one(`SELECT string_agg(ctid::text || xmin::text, ',') FROM salesforce.account`)
		b.applyChanges(Result{Unchanged: 2}, same...)
		b.want(before, `SELECT string_agg(ctid::text || xmin::text, ',') FROM salesforce.account`)
	})

	t.Run("MarksAnEventOfTheSameSecondWithOtherValues", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "first"))
		b.applyChanges(Result{Marked: 1}, b.change(Event, 1, at(1), "Name", "second"))
		if name, reason := b.name(1), b.reason(1); name != "first" || reason != ReasonEqual {
			t.Errorf("name %q and mark %q, want first and equal", name, reason)
		}
	})

	t.Run("WritesAReadOfTheSameSecond", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "first"))
		b.applyChanges(Result{Updated: 1}, known(b.change(Read, 1, at(1), "Name", "second")))
		b.applyChanges(Result{Stale: 1}, known(b.change(Read, 1, at(0), "Name", "zeroth")))
		if got := b.name(1); got != "second" {
			t.Errorf("name is %q, want second", got)
		}
	})

	t.Run("MarksAReadThatAnEventOfItsSecondHasOvertaken", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "first"))
		read := b.change(Read, 1, at(2), "Name", "second") // what is read of a row of the first second
		seq := b.mark(1)
		b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(2), "Name", "third"))
		b.apply(Result{Marked: 1}, Batch{Changes: []Change{read}, Done: []Done{{Object: "Account", SFID: id(1), Seq: seq}}})
		if name, reason := b.name(1), b.reason(1); name != "third" || reason != ReasonEqual {
			t.Errorf("name %q and mark %q, want third and equal", name, reason)
		}
		b.apply(Result{Updated: 1}, Batch{Changes: []Change{known(b.change(Read, 1, at(2), "Name", "fourth"))}, Done: []Done{{Object: "Account", SFID: id(1), Seq: b.seq(1)}}})
		if name := b.name(1); name != "fourth" {
			t.Errorf("name %q, want fourth", name)
		}
		b.want("0", `SELECT count(*) FROM hcbridge.mark`)
	})

	t.Run("MarksAnEventWithoutAllFields", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		c := b.change(Event, 1, at(1), "Name", "one")
		c.Row.Missing = []string{"Ext__c"}
		noStamp := b.change(Event, 2, at(1), "Name", "two")
		noStamp.Row.Stamp = time.Time{}
		b.applyChanges(Result{Marked: 2}, c, noStamp)
		if name, reason := b.name(1), b.reason(1); name != "<none>" || reason != ReasonMissing {
			t.Errorf("name %q and mark %q, want no row and missing", name, reason)
		}
	})

	t.Run("LeavesColumnsAloneThatAReadDoesNotMention", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Read, 1, at(1), "Name", "one", "Ext__c", "kept"))
		c := b.change(Read, 1, at(2), "Name", "uno")
		c.Row.Missing = []string{"Ext__c"}
		b.applyChanges(Result{Updated: 1, Inserted: 1}, c, b.change(Read, 2, at(1)))
		b.want("kept", `SELECT ext__c FROM salesforce.account WHERE name = 'uno'`)
	})

	t.Run("Deletes", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1)), b.change(Event, 2, at(1)))
		deleted := b.change(Read, 2, at(2), "IsDeleted", true)
		b.applyChanges(Result{Deleted: 2, Unchanged: 1}, b.remove(1), deleted, b.remove(3))
		b.want("0", `SELECT count(*) FROM salesforce.account`)
	})

	t.Run("KeepsTheRowOnUndelete", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		b.applyChanges(Result{Marked: 1}, b.remove(1), b.change(Event, 1, at(2)))
		if reason := b.reason(1); reason != ReasonOrder {
			t.Errorf("mark is %q, want order", reason)
		}
	})

	t.Run("BringsNoRecordBackByWhatIsOlderThanItsDeletion", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		b.applyChanges(Result{Deleted: 1}, b.remove(1))
		b.applyChanges(Result{Marked: 1}, b.change(Event, 1, at(1)))
		b.want("0", `SELECT count(*) FROM salesforce.account`)
		if err := b.sink.Bury(t.Context(), "Account", []string{id(2)}); err != nil {
			t.Fatal(err)
		}
		b.applyChanges(Result{Marked: 1, Inserted: 1}, b.change(Event, 2, at(1)), b.change(Event, 3, at(1)))
		b.applyChanges(Result{Marked: 1}, b.change(Read, 2, at(1))) // of a load
		// What was asked for after the deletion brings it back.
		b.apply(Result{Inserted: 1}, Batch{Changes: []Change{b.change(Read, 1, at(2))}, Done: []Done{{Object: "Account", SFID: id(1), Seq: b.seq(1)}}})
		b.exec(`UPDATE hcbridge.gone SET at = now() - interval '17 days'`)
		if err := b.sink.Unbury(t.Context(), "Account"); err != nil {
			t.Fatal(err)
		}
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 2, at(1)))
	})

	// What is deleted is no record that cannot be seen any more.
	t.Run("ForgetsThatWhatItDeletesWasInvisible", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 3}, b.change(Event, 1, at(1)), b.change(Event, 2, at(1)), b.change(Event, 3, at(1)))
		if err := b.sink.NoteInvisible(t.Context(), "Account", []string{id(1), id(2), id(3), id(4)}, at(2)); err != nil {
			t.Fatal(err)
		}
		b.applyChanges(Result{Deleted: 1, Updated: 1}, b.remove(1), b.change(Event, 2, at(2), "Name", "x"))
		b.want(id(2)+" "+id(3)+" "+id(4), `SELECT string_agg(sfid, ' ' ORDER BY sfid) FROM hcbridge.invisible`)
		if err := b.sink.Bury(t.Context(), "Account", []string{id(4)}); err != nil {
			t.Fatal(err)
		}
		b.want(id(2)+" "+id(3), `SELECT string_agg(sfid, ' ' ORDER BY sfid) FROM hcbridge.invisible`)
	})

	// Fault 40: what the app refers to by the row's id is found again.
	t.Run("GivesARecordThatComesBackTheIDThatItsRowHad", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 3}, b.change(Event, 1, at(1)), b.change(Event, 2, at(1)), b.change(Event, 3, at(1)))
		b.applyChanges(Result{Deleted: 2}, b.remove(1), b.remove(2))
		if err := b.sink.Bury(t.Context(), "Account", []string{id(1)}); err != nil { // getDeleted names it too
			t.Fatal(err)
		}
		b.applyChanges(Result{Unchanged: 1}, b.remove(1)) // and its event comes again
		b.exec(`INSERT INTO salesforce.account (id, name) VALUES (2, 'of the app')`)
		b.exec(`ALTER TABLE salesforce.account ALTER id SET GENERATED ALWAYS`) // which is no reason to refuse it
		b.exec(`UPDATE hcbridge.gone SET at = now() - interval '15 days'`)
		if err := b.sink.Unbury(t.Context(), "Account"); err != nil {
			t.Fatal(err)
		}
		var done []Done
		b.applyChanges(Result{Marked: 2}, b.change(Event, 1, at(2)), b.change(Event, 2, at(2)))
		for _, n := range []int{1, 2} {
			done = append(done, Done{Object: "Account", SFID: id(n), Seq: b.seq(n)})
		}
		b.apply(Result{Inserted: 2}, Batch{Changes: []Change{b.change(Read, 1, at(2)), b.change(Read, 2, at(2))}, Done: done})
		b.want("1 4 3", `SELECT string_agg(id::text, ' ' ORDER BY sfid) FROM salesforce.account WHERE sfid IS NOT NULL`)
	})

	t.Run("DeletesOnlyRowsOfBeforeTheDeletion", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1)), b.change(Event, 2, at(2)))
		older, same := b.remove(1), b.remove(2)
		older.Row.Stamp, same.Row.Stamp = at(2), at(2)
		b.applyChanges(Result{Deleted: 1, Marked: 1}, older, same)
		b.want("1", `SELECT count(*) FROM salesforce.account`)
	})

	t.Run("FoldsARecordsChangesToTheNewest", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1},
			b.change(Event, 1, at(1), "Name", "a"), b.change(Event, 1, at(3), "Name", "c"), b.change(Event, 1, at(2), "Name", "b"))
		if got := b.name(1); got != "c" {
			t.Errorf("name is %q, want c", got)
		}
		b.applyChanges(Result{Marked: 1}, b.change(Event, 1, at(9), "Name", "x"), b.change(Event, 1, at(9), "Name", "y"))
		b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(9), "Name", "x"), b.change(Event, 1, at(9), "Name", "y"), b.change(Event, 1, at(10), "Name", "z"))
		b.applyChanges(Result{Updated: 1, Marked: 1}, b.change(Read, 1, at(11), "Name", "r"), b.change(Event, 1, at(11), "Name", "e"))
		if got := b.name(1); got != "r" {
			t.Errorf("name is %q, want r", got)
		}
		b.applyChanges(Result{Deleted: 1}, b.change(Event, 1, at(20)), b.remove(1))
	})

	t.Run("MovesPositionsWithTheRows", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.apply(Result{Inserted: 1}, Batch{
			Changes:   []Change{b.change(Event, 1, at(1))},
			Positions: []Position{{Channel: "/topic/a", ReplayID: 7}, {Channel: "/topic/a", TopicID: "0IF", ReplayID: 8, EventAt: at(3)}},
		})
		got, err := b.sink.Positions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := (Position{"/topic/a", "0IF", 8, at(3)}); got["/topic/a"] != want {
			t.Errorf("position %+v, want %+v", got["/topic/a"], want)
		}
	})

	t.Run("WritesNothingWhenFenced", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.sink.Fence = func() string { return `1 / 0` }
		_, err := b.sink.Apply(t.Context(), Batch{
			Changes:   []Change{b.change(Event, 1, at(1))},
			Positions: []Position{{Channel: "c", ReplayID: 1}},
		})
		if !errors.Is(err, ErrFenced) {
			t.Fatalf("got %v, want ErrFenced", err)
		}
		b.want("0", `SELECT (SELECT count(*) FROM salesforce.account) + (SELECT count(*) FROM hcbridge.position)`)
		b.sink.Fence = func() string { return `1 / 1` }
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
	})

	t.Run("IsTheBridgesOwnChangeAndLeavesTheSessionAsItWas", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`CREATE TABLE seen (x text);
			CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (current_setting('xmlbinary')); RETURN NULL; END $$;
			CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION see()`)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		b.applyChanges(Result{Deleted: 1}, b.remove(1))
		b.want("hex,hex", `SELECT string_agg(x, ',') FROM seen`)
		for range 10 {
			b.want("base64", `SELECT current_setting('xmlbinary')`)
			b.want("0", `SELECT current_setting('lock_timeout')`)
		}
	})

	t.Run("RefusesWhatCannotBeApplied", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		read := b.change(Read, 1, at(1))
		read.Row.Stamp = time.Time{}
		other := b.change(Event, 1, at(1))
		other.Row.Values = other.Row.Values[:2]
		for _, c := range []Change{read, other} {
			var re *RecordError
			if _, err := b.sink.Apply(t.Context(), Batch{Changes: []Change{c}}); !errors.As(err, &re) {
				t.Errorf("got %v, want a RecordError", err)
			}
		}
		b.apply(Result{}, Batch{Changes: []Change{{Table: b.table, Kind: Delete, Row: Row{SFID: "x'"}}}})
		b.apply(Result{}, Batch{})
	})
}

// Only with Durable does Apply wait for the disk, whichever way it takes, and
// nothing of that stays with the connection.
func TestApplyWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{false, true} {
		b := setup(t, account())
		b.sink.Durable = durable
		want := map[bool]string{false: "off,off", true: "on,on"}[durable]
		b.exec(`CREATE TABLE seen (n serial, is_now text)`)
		b.exec(`CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN INSERT INTO public.seen (is_now) VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$`)
		b.exec(`CREATE TRIGGER see BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION see()`)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "event"))
		b.applyChanges(Result{Inserted: 1}, b.change(Read, 2, at(1), "Name", "read"))
		b.want(want, `SELECT string_agg(is_now, ',' ORDER BY n) FROM seen`)
		b.want("on", `SELECT current_setting('synchronous_commit')`)
	}
}

// No connection applies anything, whichever way, before it was asked about, and it
// is asked about once.
func TestApplyGreetsConnections(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	closed := errors.New("not this one")
	var asked int
	b.sink.Greet = func(context.Context, *pgx.Conn) error { asked++; return closed }
	for _, kind := range []Kind{Event, Read} {
		if _, err := b.sink.Apply(t.Context(), Batch{Changes: []Change{b.change(kind, 1, at(1), "Name", "one")}}); !errors.Is(err, closed) {
			t.Errorf("kind %v: %v, want that it is refused", kind, err)
		}
	}
	b.want("0", `SELECT count(*) FROM salesforce.account`)
	asked = 0
	b.sink.Greet = func(context.Context, *pgx.Conn) error { asked++; return nil }
	for n := range 5 {
		b.applyChanges(Result{Inserted: 1}, b.change(Event, n+1, at(1), "Name", "one"))
	}
	if most := int(b.sink.pool.(*pgxpool.Pool).Stat().TotalConns()); asked < 1 || asked > most {
		t.Errorf("asked %d times about %d connections", asked, most)
	}
}
