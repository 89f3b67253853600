package pgsink

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// neverWaits fails the test if a transaction has to be run again.
func (b *bundle) neverWaits() {
	var log bytes.Buffer
	b.sink.log = zerolog.New(&log)
	b.t.Cleanup(func() {
		if strings.Contains(log.String(), "apply_retry") {
			b.t.Errorf("the sink has waited: %s", log.String())
		}
	})
}

// ended ends a transaction of the app.
func (b *bundle) ended(end func(context.Context) error) {
	b.t.Helper()
	if err := end(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// What an app has locked, and for however long, keeps nothing from being applied that
// does not need it.
func TestApplyLeavesOutWhatIsLocked(t *testing.T) {
	t.Parallel()

	// referred has three rows, and a transaction of the app that refers to the first.
	// The triggers are those of every table that the app may write.
	referred := func(t *testing.T) (*bundle, pgx.Tx) {
		t.Helper()
		b := setup(t, keyed())
		b.exec(`CREATE TABLE orders (account_id int REFERENCES salesforce.account (id))`)
		b.exec(`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`)
		b.exec(`CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION touch()`)
		b.neverWaits()
		b.applyChanges(Result{Inserted: 3}, b.change(Event, 1, at(1), "Ext__c", "E1"), b.change(Event, 2, at(1), "Ext__c", "E2"), b.change(Event, 3, at(1), "Ext__c", "E3"))
		return b, b.begun(`INSERT INTO orders SELECT id FROM salesforce.account WHERE sfid = $1`, id(1))
	}

	t.Run("ARowThatGoes", func(t *testing.T) {
		t.Parallel()
		b, app := referred(t)
		b.applyChanges(Result{Held: 1, Deleted: 1, Updated: 1}, b.remove(1), b.remove(2), b.change(Event, 3, at(2), "Ext__c", "E3"))
		if got := b.reason(1); got != ReasonHeld {
			t.Errorf("mark is %q", got)
		}
		seq := b.seq(1)
		poll := func() Batch {
			return Batch{Changes: []Change{b.remove(1), b.change(Read, 3, at(3), "Ext__c", "E3")}, Done: []Done{{"Account", id(1), b.seq(1)}}}
		}
		b.apply(Result{Held: 1, Updated: 1}, poll())
		if got := b.seq(1); got <= seq {
			t.Errorf("mark %d after %d: it is not read again", got, seq)
		}
		b.ended(app.Rollback)
		b.apply(Result{Deleted: 1, Unchanged: 1}, poll())
		b.want("0", `SELECT count(*) FROM hcbridge.mark`)
	})

	t.Run("ARowThatGoesAndHasGotAChild", func(t *testing.T) {
		t.Parallel()
		b, app := referred(t)
		b.applyChanges(Result{Held: 1, Deleted: 1}, b.remove(1), b.remove(2))
		b.ended(app.Commit)
		b.applyChanges(Result{Parked: 1, Deleted: 1}, b.remove(1), b.remove(3))
		b.want("23503", `SELECT code FROM hcbridge.read_error`)
	})

	t.Run("ARowThatGetsAnotherKey", func(t *testing.T) {
		t.Parallel()
		b, app := referred(t)
		b.applyChanges(Result{Updated: 2}, b.change(Event, 1, at(2), "Ext__c", "E1", "Name", "one"), b.change(Read, 2, at(2), "Ext__c", "F2"))
		b.want("one", `SELECT name FROM salesforce.account WHERE sfid = $1`, id(1))
		b.applyChanges(Result{Held: 1, Updated: 1}, b.change(Event, 1, at(3), "Ext__c", "F1"), b.change(Event, 2, at(3), "Ext__c", "G2"))
		b.ended(app.Rollback)
		b.applyChanges(Result{Updated: 1}, b.change(Read, 1, at(3), "Ext__c", "F1"))
		b.want("F1,G2,E3", `SELECT string_agg(ext__c, ',' ORDER BY sfid) FROM salesforce.account`)
	})

	t.Run("ARowThatGetsItsId", func(t *testing.T) {
		t.Parallel()
		b, _ := referred(t)
		b.exec(`INSERT INTO salesforce.account (ext__c) VALUES ('E4')`)
		app := b.begun(`INSERT INTO orders SELECT id FROM salesforce.account WHERE ext__c = 'E4'`)
		b.applyChanges(Result{Held: 1, Inserted: 1}, b.change(Event, 4, at(1), "Ext__c", "E4"), b.change(Event, 5, at(1), "Ext__c", "E5"))
		b.ended(app.Commit)
		b.applyChanges(Result{Updated: 1}, b.change(Read, 4, at(1), "Ext__c", "E4"))
	})

	t.Run("AKeyThatIsBeingTaken", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		app := b.begun(`INSERT INTO salesforce.account (ext__c) VALUES ('E1')`)
		b.apply(Result{Held: 1, Inserted: 2}, Batch{
			Changes:   []Change{b.change(Event, 1, at(1), "Ext__c", "E1"), b.change(Event, 2, at(1), "Ext__c", "E2"), b.change(Read, 3, at(1), "Ext__c", "E3")},
			Positions: []Position{{Channel: "c", ReplayID: 5}},
		})
		b.want("5", `SELECT replay_id FROM hcbridge.position`)
		b.want("true", `SELECT reason = 'held' AND due_at <= now() + interval '250 milliseconds' FROM hcbridge.mark WHERE sfid = $1`, id(1))
		b.ended(app.Commit)
		b.applyChanges(Result{Updated: 1}, b.change(Read, 1, at(1), "Ext__c", "E1"))
	})

	t.Run("ManyKeysWithoutEnd", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		b.begun(`INSERT INTO salesforce.account (ext__c) SELECT 'E' || n FROM generate_series(1, 100) AS n`)
		var changes []Change
		for n := 1; n <= 200; n++ {
			changes = append(changes, b.change(Event, n, at(1), "Ext__c", fmt.Sprintf("E%d", n)))
		}
		res, err := b.sink.Apply(t.Context(), Batch{Changes: changes})
		if err != nil || res.Held < 100 || res.Inserted == 0 || res.Held+res.Inserted != 200 {
			t.Errorf("%+v, %v", res, err)
		}
		b.want(fmt.Sprint(res.Held), `SELECT count(*) FROM hcbridge.mark`)
	})

	t.Run("AKeyOfALoad", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		b.begun(`INSERT INTO salesforce.account (ext__c) VALUES ('E1')`)
		var page strings.Builder
		page.WriteString("Id,Name,Ext__c,Amount__c,SystemModstamp,IsDeleted\n")
		for n := 1; n <= 9; n++ {
			fmt.Fprintf(&page, "%s,,E%d,,2024-05-01T08:00:00Z,false\n", id(n), n)
		}
		if _, err := b.loadPage(strings.NewReader(page.String()), LoadPosition{}); err != nil {
			t.Fatal(err)
		}
		b.want("8", `SELECT count(*) FROM salesforce.account`)
		if got := b.reason(1); got != ReasonHeld {
			t.Errorf("mark is %q", got)
		}
	})

	t.Run("ATable", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		spec := account()
		spec.Object = "Contact"
		other := *b
		other.table = mustTable(t, spec)
		if _, err := other.ensure(); err != nil {
			t.Fatal(err)
		}
		ddl := b.begun(`LOCK TABLE salesforce.account IN ACCESS EXCLUSIVE MODE`)
		b.apply(Result{Held: 3, Inserted: 1}, Batch{
			Changes:   []Change{b.change(Event, 1, at(1)), b.change(Read, 2, at(1)), b.remove(3), other.change(Event, 4, at(1))},
			Positions: []Position{{Channel: "c", ReplayID: 5}},
		})
		b.want("5", `SELECT replay_id FROM hcbridge.position`)
		b.want("1", `SELECT count(*) FROM salesforce.contact`)
		b.want("held,held,held", `SELECT string_agg(reason, ',') FROM hcbridge.mark`)
		b.ended(ddl.Rollback)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
	})
}
