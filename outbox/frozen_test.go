package outbox

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

const frozenID = "acc000000000001AAA"

// withFrozen has Salesforce show no fields behind columns of account.
func withFrozen(columns ...string) func(*Config) {
	return func(c *Config) {
		for i, d := range c.Tables[0].Columns {
			if slices.Contains(columns, d.Name) {
				c.Tables[0].Columns[i] = Column{Name: d.Name, Field: d.Field, Frozen: true}
			}
		}
	}
}

// setupFrozen makes a worker to which columns of account are frozen, and an account.
func setupFrozen(t *testing.T, algorithm string, columns ...string) *bundle {
	t.Helper()
	b := setup(t, func(c *Config) { c.Algorithm = algorithm }, withFrozen(columns...))
	b.install(b.worker.cfg.Tables)
	b.hex(`INSERT INTO salesforce.account (name, industry, numberofemployees, sfid) VALUES ('n0', 'i0', 1, '` + frozenID + `')`)
	b.sf.records[frozenID], b.sf.objects[frozenID] = map[string]any{"Name": "n0", "Industry": "i0"}, "Account"
	b.sf.next = 1
	return b
}

// thaw has columns be seen again, but for some.
func (b *bundle) thaw(algorithm string, still ...string) {
	b.Helper()
	var fields []string
	for _, c := range testTables()[0].Columns {
		if slices.Contains(still, c.Name) {
			fields = append(fields, c.Field)
		}
	}
	if err := Thaw(b.Context(), b.pool, testSchema, "account", fields); err != nil {
		b.Fatal(err)
	}
	b.restart(func(c *Config) { c.Algorithm = algorithm }, withFrozen(still...))
	b.install(b.worker.cfg.Tables)
}

// aside shows the entries of the log with what they are to write.
func (b *bundle) aside() string {
	b.Helper()
	return b.list(`SELECT concat_ws('|', action, state, sfid, split_part(sf_message, ' cannot', 1), old::hstore -> 'industry', "values"::hstore -> 'industry', akeys("values"::hstore)::text) FROM salesforce._trigger_log ORDER BY id`)
}

func (b *bundle) row() string {
	b.Helper()
	return b.list(`SELECT concat_ws('|', _hc_lastop, _hc_err::json ->> 'code', _hc_err::json ->> 'fields', sfid) FROM salesforce.account ORDER BY id`)
}

// What the app writes to a field that Salesforce does not show waits for it, with the
// other fields, alone or in an insert, and goes when it is shown again.
func TestFrozen(t *testing.T) {
	t.Parallel()
	const failed = "FAILED|FIELD_FROZEN|[\"Industry\"]|" + frozenID
	for _, algorithm := range []string{Ordered, Merged} {
		t.Run("with another field, then alone, "+algorithm, func(t *testing.T) {
			t.Parallel()
			b := setupFrozen(t, algorithm, "industry")
			b.exec(`UPDATE salesforce.account SET industry = 'i1', name = 'n1'`)
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i0 Name:n1]")
			b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|i0|i1|{industry}")
			b.want("row", b.row(), failed)
			b.want("archive", b.archived(), "UPDATE/SUCCESS")
			b.exec(`UPDATE salesforce.account SET industry = 'i2'`)
			b.want("captured", b.one(`SELECT state FROM salesforce._trigger_log ORDER BY id DESC LIMIT 1`), "NEW")
			b.drain()
			b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|i0|i2|{industry}")
			b.want("row", b.row(), failed)
			b.exec(`UPDATE salesforce.account SET name = 'n3'`)
			b.drain()
			b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|i0|i2|{industry}")
			errs, err := Errors(t.Context(), b.pool, testSchema, 0)
			if err != nil || len(errs) != 1 {
				t.Errorf("errors: %+v, %v", errs, err)
			}
			b.thaw(algorithm)
			b.want("thawed", b.live(), "UPDATE/NEW")
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i2 Name:n3]")
			b.want("log", b.live(), "")
			b.want("row is refused", b.one(`SELECT _hc_lastop = 'FAILED' OR _hc_err IS NOT NULL FROM salesforce.account`), "false")
		})

		t.Run("in an insert, "+algorithm, func(t *testing.T) {
			t.Parallel()
			b := setupFrozen(t, algorithm, "industry")
			b.exec(`DELETE FROM salesforce.account; INSERT INTO salesforce.account (name, industry) VALUES ('a', 'i'), ('b', NULL)`)
			b.drain()
			b.want("row", b.row(), "FAILED|FIELD_FROZEN|[\"Industry\"]|acc000000000002AAA INSERTED|acc000000000003AAA")
			b.want("log", b.aside(), "UPDATE|FAILED|acc000000000002AAA|FIELD_FROZEN: Industry|i|{industry}")
			b.thaw(algorithm)
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records["acc000000000002AAA"]), "map[Industry:i Name:a]")
			b.want("log", b.live(), "")
		})

		// The second is captured when the first is on its way, and has a lower id than
		// the entry that is left of the first.
		t.Run("changed again meanwhile, "+algorithm, func(t *testing.T) {
			t.Parallel()
			b := setupFrozen(t, algorithm, "industry", "numberofemployees")
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
				b.sf.script(nil)
				b.exec(`UPDATE salesforce.account SET industry = 'i2', name = 'n2'`)
				return nil, nil, false
			})
			b.exec(`UPDATE salesforce.account SET industry = 'i1', numberofemployees = 7, name = 'n1'`)
			b.drain()
			b.thaw(algorithm)
			b.exec(`UPDATE salesforce.account SET name = 'n3'`)
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i2 Name:n3 NumberOfEmployees:7]")
			b.want("log", b.live(), "")
			b.want("row is refused", b.one(`SELECT _hc_lastop = 'FAILED' OR _hc_err IS NOT NULL FROM salesforce.account`), "false")
		})

		t.Run("several in one run, and one that stays frozen, "+algorithm, func(t *testing.T) {
			t.Parallel()
			b := setupFrozen(t, algorithm, "industry", "numberofemployees")
			b.exec(`UPDATE salesforce.account SET industry = 'i1'; UPDATE salesforce.account SET numberofemployees = 7; UPDATE salesforce.account SET industry = 'i2', name = 'n1'`)
			b.drain()
			b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry, NumberOfEmployees|"+map[string]string{Ordered: "i1", Merged: "i0"}[algorithm]+"|i2|{industry,numberofemployees}")
			b.thaw(algorithm, "numberofemployees")
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i2 Name:n1]")
			b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: NumberOfEmployees|{numberofemployees}")
			b.thaw(algorithm, "numberofemployees")
			b.want("still frozen", b.live(), "UPDATE/FAILED")
			b.thaw(algorithm)
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i2 Name:n1 NumberOfEmployees:7]")
			b.want("log", b.live(), "")
		})

		// The worker of before the field was seen takes the entry for its own.
		t.Run("sent too early, "+algorithm, func(t *testing.T) {
			t.Parallel()
			b := setupFrozen(t, algorithm, "industry")
			b.exec(`UPDATE salesforce.account SET industry = 'i1'`)
			b.drain()
			for _, retry := range []func() error{
				func() error { return Thaw(t.Context(), b.pool, testSchema, "account", nil) },
				func() error { _, err := Retry(t.Context(), b.pool, testSchema, nil); return err },
			} {
				if err := retry(); err != nil {
					t.Fatal(err)
				}
				b.drain()
				b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|i0|i1|{industry}")
			}
			b.thaw(algorithm)
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i1 Name:n0]")
		})

		t.Run("dismissed, deleted and refused, "+algorithm, func(t *testing.T) {
			t.Parallel()
			b := setupFrozen(t, algorithm, "industry")
			b.exec(`UPDATE salesforce.account SET industry = 'i1'`)
			b.drain()
			b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED' WHERE state = 'FAILED'`)
			b.drain()
			b.thaw(algorithm)
			b.drain()
			b.want("calls", b.sf.sent(), "")
			b.restart(func(c *Config) { c.Algorithm = algorithm }, withFrozen("industry"))
			b.sf.script(refuse(1, Failure{Class: Permanent, Code: "NO", Message: "no"}, any1))
			b.exec(`UPDATE salesforce.account SET industry = 'i2', name = 'n2'`)
			b.drain()
			b.want("log", b.live(), "UPDATE/FAILED")
			b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW'`)
			b.drain()
			b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|i1|i2|{industry}")
			b.exec(`DELETE FROM salesforce.account`)
			b.drain()
			b.want("log", b.live(), "")
			b.want("records", fmt.Sprint(b.sf.count("Account")), "0")
		})
	}

	t.Run("a refused change of before does not come over it", func(t *testing.T) {
		t.Parallel()
		b := setupFrozen(t, Ordered)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "NO", Message: "no"}, any1))
		b.exec(`UPDATE salesforce.account SET industry = 'bad', name = 'bad'`)
		b.drain()
		b.restart(withFrozen("industry"))
		b.exec(`UPDATE salesforce.account SET industry = 'i2'`)
		b.drain()
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE sf_message = 'no'`)
		b.drain()
		b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|bad|i2|{industry}")
		b.thaw(Ordered)
		b.drain()
		b.want("record", fmt.Sprint(b.sf.records[frozenID]), "map[Industry:i2 Name:bad]")
	})

	t.Run("by a job, which a new process may end", func(t *testing.T) {
		t.Parallel()
		for _, restarted := range []bool{false, true} {
			b, j := setupJobs(t, withFrozen("industry", "score__c"))
			b.exec(`INSERT INTO salesforce.account (name, industry, external_id__c) SELECT 'a', 'i' || n, 'x' || n FROM generate_series(1, 2500) AS n`)
			b.run()
			if restarted {
				b.restart(withExternalID, withFrozen("industry", "score__c"), func(c *Config) { c.Bulk = j })
				if err := b.worker.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.run()
			}
			b.hurryJobs()
			b.run()
			b.want("kept", b.one(`SELECT concat_ws(' ', count(*), count(DISTINCT l.sfid), bool_and(a.sfid = l.sfid AND a.industry = l."values"::hstore -> 'industry' AND akeys(l."values"::hstore) = '{industry}'))
				FROM salesforce._trigger_log AS l JOIN salesforce.account AS a ON a.id = l.record_id WHERE l.state = 'FAILED'`), "2500 2500 t")
		}
	})
}

// An app whose row is locked is not waited for, and what it writes is newer.
func TestFrozenRowLocked(t *testing.T) {
	t.Parallel()
	b := setupFrozen(t, Ordered, "industry")
	b.exec(`UPDATE salesforce.account SET industry = 'i1'`)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE salesforce.account SET industry = 'i2'`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.want("log", b.live(), "UPDATE/PENDING")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.want("log", b.aside(), "UPDATE|FAILED|"+frozenID+"|FIELD_FROZEN: Industry|i1|i2|{industry}")
}
