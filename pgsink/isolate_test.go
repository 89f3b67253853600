package pgsink

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"hcbridge/internal/migrate"
	"hcbridge/test/pgtest"
)

func TestApplyParks(t *testing.T) {
	t.Parallel()

	t.Run("OneRecordAmongMany", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		var log strings.Builder
		b.sink.log = zerolog.New(&log)
		told := func(warnings, errors int) {
			t.Helper()
			text := log.String()
			if w, e := strings.Count(text, `"level":"warn","event":"read_parked"`), strings.Count(text, `"level":"error","event":"read_parked"`); w != warnings || e != errors {
				t.Errorf("%d warnings and %d errors, want %d and %d", w, e, warnings, errors)
			}
		}
		secret := strings.Repeat("secret", 20)
		var changes []Change
		for i := range 50 {
			changes = append(changes, b.change(Event, i, at(1), "Name", "fine"))
		}
		changes[13] = b.change(Event, 13, at(1), "Name", secret)
		changes[14] = b.change(Event, 14, at(1), "Name", "nul \x00 inside")
		changes[20] = b.change(Event, 20, at(1), "Amount__c", "secret stuff")
		b.apply(Result{Inserted: 47, Parked: 3, Marked: 1}, Batch{
			Changes: changes, Marks: []Mark{{Object: "Account", SFID: id(99), Reason: "x"}},
			Positions: []Position{{Channel: "c", ReplayID: 5}},
		})
		told(3, 0)
		b.want("5", `SELECT replay_id FROM hcbridge.position`)
		b.want("22001,22021,22P02", `SELECT string_agg(code, ',' ORDER BY sfid) FROM hcbridge.read_error`)
		b.want("0", `SELECT count(*) FROM hcbridge.read_error WHERE message LIKE '%secret%' OR message = ''`)
		b.want("3", `SELECT count(*) FROM hcbridge.mark WHERE reason = 'parked' AND due_at > now() + interval '50 seconds'`)

		b.applyChanges(Result{Parked: 1}, b.change(Event, 13, at(2), "Name", secret))
		b.want("2", `SELECT attempts FROM hcbridge.read_error WHERE sfid = $1`, id(13))
		told(3, 1)
		b.applyChanges(Result{Inserted: 1, Unchanged: 1}, b.change(Event, 13, at(3), "Name", "short"), b.remove(14))
		b.want("1", `SELECT count(*) FROM hcbridge.read_error`)
	})

	t.Run("WhatATriggerOrConstraintRefusesAndTriesAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account ADD CHECK (name <> 'checked');
			CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				IF NEW.name = 'raised' THEN RAISE EXCEPTION 'do not like %', NEW.name; END IF;
				IF NEW.name = 'broken' THEN PERFORM 1 FROM no_such_table; END IF;
				RETURN NEW;
			END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION refuse()`)
		seq := b.mark(1)
		b.apply(Result{Inserted: 1, Parked: 3}, Batch{
			Changes: []Change{
				b.change(Read, 1, at(1), "Name", "checked"), b.change(Read, 2, at(1), "Name", "raised"),
				b.change(Read, 3, at(1), "Name", "broken"), b.change(Read, 4, at(1), "Name", "fine"),
			},
			Done: []Done{{"Account", id(1), seq}},
		})
		b.want("23514,P0001,42P01", `SELECT string_agg(code, ',' ORDER BY sfid) FROM hcbridge.read_error`)
		b.want("do not like …", `SELECT message FROM hcbridge.read_error WHERE code = 'P0001'`)
		b.want("3", `SELECT count(*) FROM hcbridge.mark WHERE reason = 'parked' AND due_at > now() + interval '50 seconds'`)
		b.exec(`DROP TRIGGER refuse ON salesforce.account`)
		b.apply(Result{Inserted: 1}, Batch{Changes: []Change{b.change(Read, 2, at(1), "Name", "raised")}, Done: []Done{{"Account", id(2), b.seq(2)}}})
		b.want("2", `SELECT count(*) FROM hcbridge.read_error`)
	})

	t.Run("WhatADeferredConstraintRefuses", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`CREATE TABLE parent (ext varchar PRIMARY KEY); INSERT INTO parent VALUES ('P');
			ALTER TABLE salesforce.account ADD FOREIGN KEY (ext__c) REFERENCES parent DEFERRABLE INITIALLY DEFERRED`)
		b.applyChanges(Result{Inserted: 1, Parked: 1}, b.change(Event, 1, at(1), "Ext__c", "P"), b.change(Event, 2, at(1), "Ext__c", "Q"))
		b.want("23503", `SELECT code FROM hcbridge.read_error`)
		b.want("1", `SELECT count(*) FROM hcbridge.mark WHERE due_at BETWEEN now() AND now() + interval '3 seconds'`) // its parent may be on its way
	})

	t.Run("NothingWhenTheTableIsBroken", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account DROP COLUMN name`)
		_, err := b.sink.Apply(t.Context(), Batch{Changes: []Change{b.change(Event, 1, at(1))}})
		if err == nil || !strings.Contains(err.Error(), "42703") {
			t.Errorf("got %v, want undefined_column", err)
		}
		b.want("0", `SELECT count(*) FROM hcbridge.read_error`)
		if report, err := b.ensure(); err != nil || len(report.Columns) != 1 {
			t.Fatalf("report %+v, %v", report, err)
		}
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
	})
}

func TestApplyRunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	b.exec(`CREATE TABLE tries (n int); INSERT INTO tries VALUES (0); CREATE SEQUENCE tried;
		CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF nextval('tried') < 3 THEN RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER lose BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION lose()`)
	b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1)))
	b.exec(`SELECT setval('tried', 1); CREATE OR REPLACE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM nextval('tried'); RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$`)
	if _, err := b.sink.Apply(t.Context(), Batch{Changes: []Change{b.change(Event, 2, at(1))}}); !isConflict(err) {
		t.Errorf("got %v, want a serialization failure", err)
	}
	b.want("5", `SELECT last_value FROM tried`)
}

func TestApplyKeepsTheConnectionAfterAnError(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	before := b.pool.Stat().NewConnsCount()
	b.exec(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '57P05'; END $$;
		CREATE TRIGGER lose BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION lose()`)
	for range 5 {
		_, err := b.sink.Apply(t.Context(), Batch{Changes: []Change{b.change(Event, 1, at(1))}})
		if _, data := dataError(err); err == nil || data || isConflict(err) {
			t.Errorf("got %v, want an error that is neither data nor conflict", err)
		}
	}
	if got := b.pool.Stat().NewConnsCount(); got > before {
		t.Errorf("%d connections were thrown away", got-before)
	}
	if _, err := b.pool.Exec(t.Context(), `SELECT 1`); err != nil || errors.Is(err, pgx.ErrTxClosed) {
		t.Error(err)
	}
}

// What the database's encoding has no characters for is a matter of the record, like
// any value that Postgres refuses.
func TestParksWhatTheEncodingLacks(t *testing.T) {
	t.Parallel()
	url := pgtest.Speaking(t, pgtest.EncodedURL(t, "LATIN1"), "UTF8")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(migrate.Up(t.Context(), conn), conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	b := setupIn(t, pgtest.Open(t, url), account())
	const secret = "3 €, my secret"
	b.applyChanges(Result{Inserted: 2, Parked: 2}, b.change(Event, 1, at(1), "Name", "Größe"), b.change(Event, 2, at(1), "Name", secret),
		b.change(Event, 3, at(1), "Name", "fine"), b.change(Event, 4, at(1), "Name", strings.Repeat("secret", 20)))
	var lines []string
	for n := range 9 {
		name := "Größe"
		if n%3 == 2 {
			name = secret
		}
		lines = append(lines, line(10+n, name, at(1)))
	}
	b.load(9, lines...)
	b.want("7", `SELECT count(*) FROM salesforce.account WHERE name = 'Größe'`)
	b.want("22P05,22001,22P05,22P05,22P05", `SELECT string_agg(code, ',' ORDER BY sfid) FROM hcbridge.read_error`)
	b.want(`character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1"`,
		`SELECT DISTINCT message FROM hcbridge.read_error WHERE code = '22P05'`)
	b.want("value too long for type character varying(80)", `SELECT message FROM hcbridge.read_error WHERE code = '22001'`)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'do not like %', NEW.name; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION refuse()`)
	b.applyChanges(Result{Parked: 1}, b.change(Event, 30, at(1), "Name", "Größe"))
	b.want("do not like ?", `SELECT message FROM hcbridge.read_error WHERE code = 'P0001'`)
}
