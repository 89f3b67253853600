package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The app drops a column, an index or a whole table that is mapped. It is made again,
// and filled, while everything else goes on; nobody has to start anything anew.
func TestDropped(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string]string{
		"Column": "ALTER TABLE salesforce.contact DROP COLUMN extra__c",
		"Index":  "DROP INDEX salesforce.hcu_idx_contact_sfid",
		"Table":  "DROP TABLE salesforce.contact",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newSchemaRig(t)
			defer r.stop()
			r.Exec(sql)
			r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Title": "After", "Extra__c": "new"}))
			r.row(0, "extra__c", "new")
			r.row(3, "extra__c", "3")
			r.Equal("Contact")
			r.Exec("UPDATE salesforce.contact SET department = 'D' WHERE sfid = $1", r.ids[1])
			r.record(1, "Department", "D")
			if n := r.Count("SELECT count(*) FROM pg_indexes WHERE schemaname = 'salesforce' AND indexname = 'hcu_idx_contact_sfid'"); n != 1 {
				t.Errorf("%d indexes on sfid", n)
			}
		})
	}
}

// A table without which nothing is kept is missed soon, by its name, and made again.
func TestOwnTableDropped(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"_hcmeta", "_trigger_log_archive", "_trigger_log"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, readWrite...)
			b := r.Start()
			r.Synced()
			r.Exec("DROP TABLE salesforce." + table)
			r.Eventually("it is missed", time.Minute, func() error {
				if log := b.Log.String(); !strings.Contains(log, `"part":"database","reason":"the table salesforce.`+table+` is missing`) {
					return errors.New("is not told of")
				}
				return nil
			})
			r.Eventually("it is there", time.Minute, func() error {
				if r.Count("SELECT count(*) FROM pg_class WHERE relname = $1", table) == 0 {
					return errors.New("is not made again")
				}
				return nil
			})
			r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('after', 'after')")
			r.Equal("Contact")
		})
	}
}

// A table that is made anew, of an object that was loaded before, is filled: its
// records have not changed, so no poll would find them.
func TestDroppedWhileNobodyRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account")
	for range 5 {
		r.Insert("Account", map[string]any{"Name": "Old"})
	}
	b := r.Start()
	r.Synced()
	b.End(15)
	r.Exec("DROP TABLE salesforce.account")
	b = r.Start()
	r.Equal("Account")
	r.Eventually("the table is loaded again", time.Minute, func() error {
		if !strings.Contains(b.Log.String(), `"event":"reload"`) {
			return errors.New("no reload")
		}
		return nil
	})
	r.Equal("Account")
}
