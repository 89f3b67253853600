package pgsink

import "testing"

// A trigger of the app that returns NULL is told of as what Postgres refuses is, and
// the record is not read back all the time. What else the trigger did stands.
func TestApplyParksWhatATriggerSwallows(t *testing.T) {
	t.Parallel()
	swallows := func(t *testing.T, when string) *bundle {
		t.Helper()
		b := setup(t, keyed())
		b.applyChanges(Result{Inserted: 3}, b.change(Event, 1, at(1), "Ext__c", "E1"), b.change(Event, 2, at(1), "Ext__c", "E2"), b.change(Event, 3, at(1), "Ext__c", "E3"))
		b.exec(`CREATE TABLE kept (sfid text)`)
		b.exec(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE r record := coalesce(NEW, OLD);
			BEGIN
				IF r.sfid = '` + id(2) + `' OR r.name = 'in' THEN RETURN r; END IF;
				INSERT INTO kept VALUES (r.sfid);
				RETURN NULL;
			END $$`)
		b.exec(`CREATE TRIGGER keep BEFORE ` + when + ` ON salesforce.account FOR EACH ROW EXECUTE FUNCTION keep()`)
		return b
	}
	parked := func(b *bundle, n int) {
		b.t.Helper()
		b.want("27000", `SELECT code FROM hcbridge.read_error WHERE sfid = $1`, id(n))
		b.want("true", `SELECT reason = 'parked' AND due_at > now() + interval '50 seconds' FROM hcbridge.mark WHERE sfid = $1`, id(n))
		b.want("1", `SELECT count(*) FROM kept WHERE sfid = $1`, id(n))
	}

	t.Run("ADelete", func(t *testing.T) {
		t.Parallel()
		b := swallows(t, "DELETE")
		b.applyChanges(Result{Parked: 1, Deleted: 1}, b.remove(1), b.remove(2))
		parked(b, 1)
		b.apply(Result{Parked: 1}, Batch{Changes: []Change{b.remove(1)}, Done: []Done{{"Account", id(1), b.seq(1)}}}) // as it is read back
		b.want("true", `SELECT due_at > now() + interval '5 minutes' FROM hcbridge.mark WHERE sfid = $1`, id(1))
		b.want("2", `SELECT attempts FROM hcbridge.read_error`)
		b.exec(`DROP TRIGGER keep ON salesforce.account`)
		b.apply(Result{Deleted: 1}, Batch{Changes: []Change{b.remove(1)}, Done: []Done{{"Account", id(1), b.seq(1)}}})
		b.want("0", `SELECT (SELECT count(*) FROM hcbridge.mark) + (SELECT count(*) FROM hcbridge.read_error)`)
	})

	t.Run("AnUpdate", func(t *testing.T) {
		t.Parallel()
		b := swallows(t, "UPDATE")
		b.applyChanges(Result{Parked: 2, Updated: 1}, b.change(Read, 1, at(2), "Ext__c", "E1"), b.change(Read, 2, at(2), "Ext__c", "E2"), b.change(Read, 3, at(2), "Ext__c", "F3"))
		parked(b, 1)
		parked(b, 3)
	})

	t.Run("AnInsert", func(t *testing.T) {
		t.Parallel()
		b := swallows(t, "INSERT")
		b.applyChanges(Result{Parked: 1, Inserted: 1}, b.change(Read, 4, at(1), "Ext__c", "E4"), b.change(Read, 5, at(1), "Ext__c", "E5", "Name", "in"))
		parked(b, 4)
		b.applyChanges(Result{Parked: 1}, b.change(Event, 6, at(1), "Ext__c", "E6"))
		b.want("27000", `SELECT code FROM hcbridge.read_error WHERE sfid = $1`, id(6))
		b.load(1, line(7, "out", at(1)))
		b.want("27000", `SELECT code FROM hcbridge.read_error WHERE sfid = $1`, id(7))
	})

	// It may be that of another batch.
	t.Run("NotARowThatIsThereNow", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
		res, err := b.sink.parkSwallowed(t.Context(), Result{Held: 2, swallowed: []swallowed{{b.table, true, []string{id(2), id(1)}}}})
		if err != nil || res.Held != 1 || res.Parked != 1 {
			t.Errorf("%+v, %v", res, err)
		}
		b.want(id(2), `SELECT string_agg(sfid, ',') FROM hcbridge.mark`)
	})
}
