package pgsink

import (
	"fmt"
	"testing"
)

// A table that an app fills is not read as the empty one that it was planned for.
func TestApplyCountsAFullTable(t *testing.T) {
	t.Parallel()
	b := setup(t, keyed())
	b.exec(`ALTER TABLE salesforce.account SET (autovacuum_enabled = off)`)
	b.applyChanges(Result{Inserted: 1}, b.change(Event, 3001, at(1), "Ext__c", "other"))
	b.exec(`ANALYZE salesforce.account`)
	for range 8 { // from then on the plan is kept
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Ext__c", "E"))
		b.applyChanges(Result{Deleted: 1}, b.remove(1))
		b.exec(`DELETE FROM hcbridge.gone`)
	}
	changes, ids := make([]Change, 0, 2000), make([]string, 0, 2000)
	for n := 1; n <= 2000; n++ {
		ids = append(ids, id(n))
		changes = append(changes, b.change(Read, n, at(2), "Ext__c", fmt.Sprint("E", n)))
	}
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO salesforce.account (sfid, ext__c, _hc_lastop) SELECT u.sfid, 'E' || u.n, 'INSERTED' FROM unnest($1::text[]) WITH ORDINALITY AS u (sfid, n)`, ids); err != nil {
		t.Fatal(err)
	}
	b.applyChanges(Result{Updated: 2000}, changes...)
	b.want("true", `SELECT reltuples >= 1000 FROM pg_class WHERE oid = 'salesforce.account'::regclass`)
}
