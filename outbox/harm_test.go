package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/test/pgtest"
)

// rowByRow is capture as Heroku Connect has it, row by row, into a log of its
// own, but that only mapped columns and the primary key count.
const rowByRow = `
CREATE TABLE public.reference (n bigserial, action text, state text, record_id bigint, sfid text, old text, "values" text);
CREATE FUNCTION public.reference() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	excluded CONSTANT text[] := ARRAY['_hc_lastop', '_hc_err'];
	mapped CONSTANT text[] := '{id,name,industry,numberofemployees,annualrevenue,active__c,founded__c,seen__c,external_id__c,parentid,score__c,currencyisocode}';
	changed hstore;
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO public.reference (action, state, record_id, "values") VALUES (TG_OP, 'NEW', NEW.id, hstore(NEW) - excluded);
	ELSIF TG_OP = 'UPDATE' THEN
		changed := (hstore(NEW) - hstore(OLD)) - excluded;
		INSERT INTO public.reference (action, state, record_id, sfid, old, "values")
		VALUES (TG_OP, CASE WHEN changed ?| mapped THEN 'NEW' ELSE 'IGNORE' END, NEW.id, OLD.sfid, hstore(OLD) - excluded, changed);
	ELSE
		INSERT INTO public.reference (action, state, record_id, sfid, old)
		VALUES (TG_OP, CASE WHEN OLD.sfid IS NULL THEN 'IGNORE' ELSE 'NEW' END, OLD.id, OLD.sfid, hstore(OLD) - excluded);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER reference AFTER INSERT OR UPDATE OR DELETE ON salesforce.account
	FOR EACH ROW WHEN (public.get_xmlbinary()::text = 'base64') EXECUTE FUNCTION public.reference();`

// Statement by statement or row by row, the log says the same: whatever
// statement changed the rows, and for each record in the same order.
func TestCaptureEqualsRowByRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(rowByRow)
	b.exec(`ALTER TABLE salesforce.account DROP COLUMN unmapped; ALTER TABLE salesforce.account ADD COLUMN "_hc_row" integer; ALTER TABLE salesforce.account ADD COLUMN changes text; ALTER TABLE salesforce.account ADD COLUMN image text; ALTER TABLE salesforce.account ADD COLUMN record_id integer`)
	// Foreign keys of the app's own: a row may lose two parents by one statement.
	// (One that is both set to null and deleted by it is logged as deleted first.)
	b.exec(`CREATE TABLE public.parent (key integer PRIMARY KEY, code integer UNIQUE);
		ALTER TABLE salesforce.account ADD COLUMN mother integer REFERENCES public.parent ON DELETE SET NULL ON UPDATE CASCADE;
		ALTER TABLE salesforce.account ADD COLUMN father integer REFERENCES public.parent ON DELETE SET NULL ON UPDATE CASCADE;
		ALTER TABLE salesforce.account ADD COLUMN owner integer REFERENCES public.parent ON DELETE CASCADE ON UPDATE CASCADE;
		ALTER TABLE salesforce.account ADD COLUMN code integer REFERENCES public.parent (code) ON UPDATE CASCADE ON DELETE SET NULL;
		ALTER TABLE salesforce.account ADD UNIQUE (name)`)
	version := b.one(`SELECT current_setting('server_version_num')::int / 10000`)
	statements := []func(n int) string{
		func(n int) string {
			return fmt.Sprintf(`INSERT INTO salesforce.account (name, sfid, mother, father, owner, code, industry) SELECT 'n%[1]d-' || i, CASE WHEN i %% 3 > 0 THEN 's%[1]d-' || i END, CASE WHEN i %% 4 > 0 THEN i %% 7 END, CASE WHEN i %% 4 > 0 THEN i %% 7 END, CASE WHEN i %% 4 = 0 THEN i %% 7 END, CASE WHEN i %% 4 > 0 THEN i %% 5 END, md5(i::text) FROM generate_series(1, 1 + %[1]d %% 40) AS i`, n)
		},
		func(n int) string {
			return fmt.Sprintf(`INSERT INTO salesforce.account (name, industry) VALUES ('n%d-1', 'x'), ('new%d', 'y') ON CONFLICT (name) DO UPDATE SET industry = excluded.industry || account.id`, n-3, n)
		},
		func(int) string {
			return `UPDATE salesforce.account SET industry = 'same', annualrevenue = 0.1::float8 + 0.2 WHERE id % 3 = 0`
		},
		func(n int) string {
			return fmt.Sprintf(`UPDATE salesforce.account SET seen__c = now(), score__c = %d / 3.0 WHERE id = (SELECT max(id) FROM salesforce.account)`, n)
		},
		func(int) string { return `UPDATE salesforce.account SET name = name` },
		func(int) string { return `UPDATE salesforce.account SET name = 'nobody' WHERE id < 0` },
		func(int) string { // every id becomes another's, and no other
			return `ALTER TABLE salesforce.account DROP CONSTRAINT account_pkey; UPDATE salesforce.account SET id = 1 + (SELECT max(id) + min(id) FROM salesforce.account) - id; ALTER TABLE salesforce.account ADD PRIMARY KEY (id); SELECT setval('salesforce.account_id_seq', (SELECT max(id) FROM salesforce.account))`
		},
		func(n int) string { return fmt.Sprintf(`DELETE FROM public.parent WHERE key = %d`, n%7) },
		func(n int) string {
			return fmt.Sprintf(`UPDATE public.parent SET code = 1000 + %[1]d, key = 1000 + %[1]d WHERE key = %[2]d`, n, n%7)
		},
		func(n int) string { return fmt.Sprintf(`DELETE FROM salesforce.account WHERE id %% 11 = %d`, n%11) },
		func(n int) string {
			return fmt.Sprintf(`WITH a AS (UPDATE salesforce.account SET industry = 'a' WHERE id %% 2 = 0 RETURNING id), d AS (DELETE FROM salesforce.account WHERE id %% 13 = 1 RETURNING id)
				UPDATE salesforce.account SET industry = 'b%d' WHERE id %% 4 = 3 AND id %% 13 <> 1`, n)
		},
		func(n int) string { return fmt.Sprintf("COPY salesforce.account (name) FROM PROGRAM 'echo c%d'", n) },
		func(n int) string {
			if version < "15" {
				return "SELECT 1"
			}
			return fmt.Sprintf(`MERGE INTO salesforce.account AS a USING (VALUES ('n%d-1'), ('m%d')) AS v (name) ON a.name = v.name
				WHEN MATCHED AND a.id %% 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET industry = 'merged' WHEN NOT MATCHED THEN INSERT (name) VALUES (v.name)`, n-2, n)
		},
		func(int) string {
			return `SET LOCAL xmlbinary = 'hex'; UPDATE salesforce.account SET industry = 'not a user'; SET LOCAL xmlbinary = 'base64'; UPDATE salesforce.account SET industry = industry || id WHERE id % 5 = 1`
		},
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for n := range 120 {
		b.exec(`INSERT INTO public.parent SELECT i, i FROM generate_series(0, 6) AS i ON CONFLICT DO NOTHING`)
		sql := statements[0](n)
		if n > 2 {
			sql = statements[r.IntN(len(statements))](n)
		}
		b.exec("BEGIN; SET LOCAL work_mem = '64kB'; " + sql + "; COMMIT")
		both := `SELECT count(*) FROM (SELECT record_id, string_agg(concat_ws('|', action, state, sfid, old, "values"), E'\n' ORDER BY id) AS log FROM salesforce._trigger_log GROUP BY 1) AS l
			FULL JOIN (SELECT record_id, string_agg(concat_ws('|', action, state, sfid, old, "values"), E'\n' ORDER BY n) AS log FROM public.reference GROUP BY 1) AS r USING (record_id) WHERE l.log IS DISTINCT FROM r.log`
		if differ := b.one(both); differ != "0" {
			t.Fatalf("%s records differ after %s\nours\n%s\nreference\n%s", differ, sql,
				b.list(`SELECT E'\n' || concat_ws('|', record_id, action, state, sfid, "values") FROM salesforce._trigger_log ORDER BY record_id, id`),
				b.list(`SELECT E'\n' || concat_ws('|', record_id, action, state, sfid, "values") FROM public.reference ORDER BY record_id, n`))
		}
		b.exec(`DELETE FROM salesforce._trigger_log; DELETE FROM public.reference`)
	}
}

// A plan that was made for two rows must do for a hundred thousand, and what
// does not fit into work_mem goes to disk.
func TestCaptureOfMassUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hex(`INSERT INTO salesforce.account (name, industry) SELECT i, repeat('x', 100) FROM generate_series(1, 100000) AS i`)
	began := time.Now()
	b.exec(`UPDATE salesforce.account SET industry = 'two' WHERE id < 3; UPDATE salesforce.account SET industry = 'all'`)
	b.want("log", b.one(`SELECT concat_ws('|', count(*), count(DISTINCT record_id), count(*) FILTER (WHERE state = 'NEW' AND old::hstore->'id' = record_id::text)) FROM salesforce._trigger_log`), "100002|100000|100002")
	if took := time.Since(began); took > 3*time.Minute {
		t.Errorf("took %s", took)
	}
	b.want("ids in the order of changes", b.one(`SELECT count(*) FROM (SELECT record_id, lag(record_id) OVER (ORDER BY id) AS before FROM salesforce._trigger_log WHERE record_id > 2) AS l WHERE record_id < before`), "0")
}

// How Postgres plans is set for the capture of a mass update, and nothing of that is
// left to the transaction.
func TestCaptureLeavesSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hex(`INSERT INTO salesforce.account (name) SELECT i FROM generate_series(1, 10) AS i`)
	for _, setting := range []string{"on", "off"} {
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			var settings []string
			look := func() {
				batch.Queue(`SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings`).QueryRow(func(row pgx.Row) error {
					settings = append(settings, "")
					return row.Scan(&settings[len(settings)-1])
				})
			}
			batch.Queue(`SELECT set_config('enable_mergejoin', $1, true)`, setting)
			look()
			batch.Queue(`UPDATE salesforce.account SET name = name || 'x'`)
			look()
			err := tx.SendBatch(t.Context(), batch).Close()
			if err == nil && settings[0] != settings[1] {
				t.Errorf("with enable_mergejoin %s, settings are other than before", setting)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Writers at all levels of isolation: none fails because of capture, as none
// touches another's rows (fault 93). No worker runs, which writes to those rows.
func TestWritersNeverFail(t *testing.T) {
	t.Parallel()
	b := setup(t, merged)
	b.hex(`INSERT INTO salesforce.account (name, sfid) SELECT i, '001' || i FROM generate_series(1, 60) AS i`)
	config := b.pool.Config()
	config.MaxConns = 6
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var writers sync.WaitGroup
	levels := []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}
	for w := range 6 {
		writers.Go(func() {
			for n := range 40 {
				level := levels[(w+n)%3]
				err := pgx.BeginTxFunc(t.Context(), pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
					for i := range 3 {
						_, err := tx.Exec(t.Context(), `UPDATE salesforce.account SET industry = $1 WHERE id = $2`, fmt.Sprint(n), w*10+1+(n+i)%10)
						if err != nil {
							return err
						}
					}
					_, err := tx.Exec(t.Context(), `INSERT INTO salesforce.contact (lastname) VALUES ($1)`, fmt.Sprint(n))
					return err
				})
				// Serializable transactions read all of a small table to update one row
				// of it, and conflict by that alone; TestCaptureReadsNothing is theirs.
				if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "40001" && level == pgx.Serializable {
					continue
				}
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	writers.Wait()
}

// In a serializable transaction capture reads nothing that another one could
// have written: it takes no predicate lock outside the table that the app itself
// reads (fault 93).
func TestCaptureReadsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hex(`INSERT INTO salesforce.account (name, sfid) SELECT i, '001' || i FROM generate_series(1, 60) AS i`)
	err := pgx.BeginTxFunc(t.Context(), b.pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`UPDATE salesforce.account SET industry = 'x' WHERE id = 7`, `DELETE FROM salesforce.account WHERE id = 8`,
			`INSERT INTO salesforce.account (name) VALUES ('n')`,
		} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				return err
			}
		}
		var read string
		err := tx.QueryRow(t.Context(), `SELECT COALESCE(string_agg(DISTINCT relation::regclass::text, ', '), '') FROM pg_locks
			WHERE mode = 'SIReadLock' AND pid = pg_backend_pid() AND relation NOT IN (
				SELECT 'salesforce.account'::regclass UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = 'salesforce.account'::regclass)
				AND relation >= 16384`).Scan(&read)
		b.want("other tables read", read, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A search_path that puts other functions, operators, types and tables before
// the system's changes nothing (fault 95).
func TestHostileSearchPath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
		CREATE FUNCTION evil.boom(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.boom($1) $$;
		CREATE FUNCTION evil.txid_current() RETURNS bigint LANGUAGE sql AS $$ SELECT evil.boom('')::bigint $$;
		CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT evil.boom('')::timestamptz $$;
		CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT evil.boom('')::bigint $$;
		CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS $$ SELECT evil.boom('')::void $$;
		CREATE FUNCTION evil.pg_try_advisory_xact_lock(int, int) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.boom('')::boolean $$;
		CREATE FUNCTION evil.pg_trigger_depth() RETURNS int LANGUAGE sql AS $$ SELECT evil.boom('')::int $$;
		CREATE FUNCTION evil.delete(public.hstore, text[]) RETURNS public.hstore LANGUAGE sql AS $$ SELECT evil.boom('')::public.hstore $$;
		CREATE FUNCTION evil.hstore(record) RETURNS public.hstore LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		CREATE FUNCTION evil.ne(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		CREATE OPERATOR evil.= (FUNCTION = evil.ne, LEFTARG = text, RIGHTARG = text);
		CREATE OPERATOR evil.<> (FUNCTION = evil.ne, LEFTARG = text, RIGHTARG = text);
		CREATE FUNCTION evil.same(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = bigint, RIGHTARG = bigint);
		CREATE FUNCTION evil.minus(public.hstore, public.hstore) RETURNS public.hstore LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		CREATE OPERATOR evil.- (FUNCTION = evil.minus, LEFTARG = public.hstore, RIGHTARG = public.hstore);
		CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.boom(VALUE) IS NOT NULL);
		CREATE DOMAIN evil.varchar AS pg_catalog.text CHECK (evil.boom(VALUE) IS NOT NULL);
		CREATE TABLE evil._trigger_log (id int); CREATE TABLE evil._hc_after (id int); CREATE TABLE evil._hc_before (id int)`)
	b.exec(`DO $$ BEGIN CREATE ROLE hcb_app NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
		GRANT USAGE ON SCHEMA salesforce TO hcb_app; GRANT SELECT, INSERT, UPDATE, DELETE ON salesforce.account TO hcb_app; GRANT USAGE ON SEQUENCE salesforce.account_id_seq TO hcb_app`)
	for _, path := range []string{"evil, pg_catalog, pg_temp, public", "pg_temp, evil, pg_catalog", "evil", "''"} {
		b.exec(`BEGIN; SET LOCAL ROLE hcb_app; SET LOCAL search_path = ` + path + `;
			CREATE TEMP TABLE _trigger_log (id int) ON COMMIT DROP; CREATE TEMP TABLE _hc_after (id int) ON COMMIT DROP;
			INSERT INTO salesforce.account (name) VALUES ('a'), ('b'); UPDATE salesforce.account SET industry = 'x';
			UPDATE salesforce.account SET industry = 'y' WHERE name OPERATOR(pg_catalog.=) 'a'; DELETE FROM salesforce.account; COMMIT`)
		b.want(path, b.live(), "INSERT/NEW INSERT/NEW UPDATE/NEW UPDATE/NEW UPDATE/NEW DELETE/IGNORE DELETE/IGNORE")
		b.exec(`DELETE FROM salesforce._trigger_log`)
	}
}

// What runs as its owner pins the search_path, for what it calls and does not know: a
// user's trigger on the log.
func TestDefinersPinTheSearchPath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var n int
	var loose string
	err := b.pool.QueryRow(t.Context(), `SELECT count(*), COALESCE(string_agg(p.oid::regprocedure::text, ' ') FILTER (WHERE NOT EXISTS (
			SELECT FROM unnest(p.proconfig) AS c WHERE c = 'search_path=pg_catalog, pg_temp')), '')
		FROM pg_proc AS p WHERE p.prosecdef AND p.pronamespace = 'salesforce'::regnamespace`).Scan(&n, &loose)
	if err != nil {
		t.Fatal(err)
	}
	b.want("definers without search_path", loose, "")
	if n < 3 {
		t.Errorf("%d functions run as their owner", n)
	}
}

// A prepared transaction is captured, and found by polling: notifying would
// make PREPARE TRANSACTION fail (fault 94).
func TestTwoPhaseCommit(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Options{Settings: map[string]string{"max_prepared_transactions": "5"}})
	url, err := server.CreateDatabase(t.Context(), "twophase")
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{TB: t, pool: pgtest.Open(t, url), sf: newFakeOrg()}
	b.exec(testDDL)
	b.install(testTables())
	b.restart(func(c *Config) { c.IdlePoll = 20 * time.Millisecond })
	prepared := []string{
		`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`,
		`UPDATE salesforce.account SET name = 'c'`,
		`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`,
		`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) VALUES ('IGNORED', 'UPDATE', 'account', 1)`,
	}
	for i, sql := range prepared {
		b.exec(fmt.Sprintf("BEGIN; %s; PREPARE TRANSACTION 'p%d'", sql, i))
		b.exec(fmt.Sprintf("COMMIT PREPARED 'p%d'", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.worker.Run(ctx) }()
	eventually(t, "sent", func() bool {
		return b.archived() == strings.TrimSpace(strings.Repeat("INSERT/SUCCESS ", 2)+strings.Repeat("UPDATE/SUCCESS ", 4)+"UPDATE/IGNORED")
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A start beside a running app takes no lock that a writer could meet, or that whoever
// vacuums or builds an index could hold up: not on the log, and not on a mapped table
// (fault 96).
func TestInstallTakesNoStrongLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if err := Install(t.Context(), tx, testSchema, testTables(), nil, ""); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), `SELECT relation::regclass || ' ' || mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
			AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'salesforce'::regnamespace AND relkind = 'r')
			AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')`)
		if err != nil {
			return err
		}
		strong, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if len(strong) > 0 {
			t.Errorf("locked: %s", strong)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A VACUUM of the log, or an index that is built beside its writers, may take hours: a start
// does not wait for it. What the log lacks of its settings it gets at the next.
func TestInstallBesideVacuum(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const settings = `SELECT COALESCE(array_to_string(reloptions, ','), '') FROM pg_class WHERE oid = 'salesforce._trigger_log'::regclass`
	const want = "autovacuum_vacuum_scale_factor=0.01,autovacuum_vacuum_cost_delay=0"
	install := func() error {
		return pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SET LOCAL lock_timeout = '50ms'"); err != nil {
				return err
			}
			return Install(t.Context(), tx, testSchema, testTables(), nil, "")
		})
	}
	b.want("settings", b.one(settings), want)
	dba, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dba.Exec(t.Context(), `LOCK TABLE salesforce._trigger_log IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	if err := install(); err != nil {
		t.Errorf("the start waits for a VACUUM: %v", err)
	}
	if err := dba.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.exec(`ALTER TABLE salesforce._trigger_log RESET (autovacuum_vacuum_cost_delay)`)
	if err := install(); err != nil {
		t.Fatal(err)
	}
	b.want("settings after one was lost", b.one(settings), want)
}

// While somebody has the log locked, the app's writes wait like those to any
// locked table, as long as its own lock_timeout says, and go on then.
func TestLockedLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dba, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dba.Exec(t.Context(), `LOCK TABLE salesforce._trigger_log IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	_, err = b.pool.Exec(t.Context(), `BEGIN; SET LOCAL lock_timeout = '50ms'; INSERT INTO salesforce.account (name) VALUES ('a'); COMMIT`, pgx.QueryExecModeSimpleProtocol)
	if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "55P03" {
		t.Errorf("got %v, want the lock's timeout", err)
	}
	if err := dba.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.pool.Reset()
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	b.want("log", b.live(), "INSERT/NEW")
}

// No wake-up is lost: with no poll to fall back on, and writers that commit
// late and at random, everything is sent (fault 84).
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.IdlePoll = time.Hour })
	l := NewListener(func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, b.pool.Config().ConnString()) }, Channel(testSchema), zerolog.Nop())
	b.restart(func(c *Config) { c.IdlePoll, c.Wake = time.Hour, l.Wake() })
	ctx, cancel := context.WithCancel(t.Context())
	var running, writers sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	running.Go(func() { _ = b.worker.Run(ctx) })
	eventually(t, "healthy", l.Healthy)
	for w := range 5 {
		writers.Go(func() {
			for n := range 50 {
				err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(t.Context(), `INSERT INTO salesforce.account (name) VALUES ($1)`, fmt.Sprintf("%d-%d", w, n))
					time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			}
		})
	}
	writers.Wait()
	eventually(t, "all sent", func() bool { return b.sf.count("Account") == 250 })
	cancel()
	running.Wait()
	late := b.one(`SELECT round(extract(epoch FROM percentile_disc(0.999) WITHIN GROUP (ORDER BY processed_at - created_at)) * 1000) FROM (SELECT processed_at, created_at FROM salesforce._trigger_log UNION ALL SELECT processed_at, created_at FROM salesforce._trigger_log_archive) AS l`)
	t.Logf("p99.9 from the write, up to 20 ms before its commit, to its answer: %s ms", late)
}
