package pgsink

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
)

// A pooler in transaction mode has no room for prepared statements.
func TestApplyWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]pgx.QueryExecMode{
		"exec": pgx.QueryExecModeExec, "describe": pgx.QueryExecModeCacheDescribe, "describe_exec": pgx.QueryExecModeDescribeExec,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, keyed())
			config := b.pool.Config()
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			b.sink = New(pool, "salesforce", zerolog.Nop())
			b.apply(Result{Inserted: 1, Parked: 1, Marked: 1}, Batch{
				Changes:   []Change{b.change(Event, 1, at(1), "Name", "one", "Amount__c", 1.5), b.change(Event, 2, at(1), "Name", "nul \x00")},
				Marks:     []Mark{{Object: "Account", SFID: id(3), Reason: "x"}},
				Positions: []Position{{Channel: "c", ReplayID: 1, EventAt: at(1)}},
			})
			b.apply(Result{Updated: 1}, Batch{Changes: []Change{b.change(Read, 1, at(2))}})
			b.apply(Result{Deleted: 1}, Batch{Changes: []Change{b.remove(1)}})
			b.load(1, line(4, "loaded", at(1)))
			if err := b.sink.WriteState(t.Context(), "Account", func(s *State) { s.PollMark = at(1) }); err != nil {
				t.Error(err)
			}
			if marks, err := b.sink.DueMarks(t.Context(), b.table, 5); err != nil || len(marks) != 1 {
				t.Errorf("marks %+v, %v", marks, err)
			}
		})
	}
}

// With Heroku Connect's status trigger the outcome is the same as without.
func TestApplyUnderTheStatusTrigger(t *testing.T) {
	t.Parallel()
	b := setup(t, writable())
	b.exec(`CREATE FUNCTION salesforce.hc_account_status() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF current_setting('xmlbinary') = 'base64' THEN
				NEW._hc_lastop = 'PENDING'; NEW._hc_err = NULL;
				RETURN NEW;
			END IF;
			IF TG_OP = 'UPDATE' AND NEW._hc_lastop IS NOT NULL AND NEW._hc_lastop != OLD._hc_lastop THEN RETURN NEW; END IF;
			NEW._hc_lastop = 'SYNCED'; NEW._hc_err = NULL;
			RETURN NEW;
		END $$;
		CREATE TRIGGER hc_account_status_trigger BEFORE INSERT OR UPDATE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION salesforce.hc_account_status()`)
	b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
	b.want("SYNCED", `SELECT _hc_lastop FROM salesforce.account`)
	b.exec(`UPDATE salesforce.account SET name = 'mine'`)
	b.want("PENDING", `SELECT _hc_lastop FROM salesforce.account`)
	b.applyChanges(Result{Updated: 1}, b.change(Event, 1, at(2)))
	b.want("SYNCED", `SELECT _hc_lastop FROM salesforce.account`)
}
