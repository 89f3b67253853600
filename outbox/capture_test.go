package outbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/test/pgtest"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestCapture(t *testing.T) {
	t.Parallel()

	t.Run("an insert is logged with every column but the bridge's", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.account (name, annualrevenue) VALUES ('a "b" \ c => ''d''', 1.5)`)
		b.want("log", b.live(), "INSERT/NEW")
		b.want("values", b.one(`SELECT (values::hstore->'name') || '|' || (values::hstore->'annualrevenue') FROM salesforce._trigger_log`), `a "b" \ c => 'd'|1.5`)
		b.want("keys", b.one(`SELECT (values::hstore ?| ARRAY['_hc_lastop','_hc_err'])::text || array_length(akeys(values::hstore), 1) FROM salesforce._trigger_log`), "false16")
		b.want("other columns", b.one(`SELECT concat(table_name, record_id = (SELECT id FROM salesforce.account), sfid IS NULL, old IS NULL, txid > 0, created_at <= clock_timestamp()) FROM salesforce._trigger_log`), "accountttttt")
		b.want("row", b.one(`SELECT _hc_lastop || coalesce(_hc_err, '-') FROM salesforce.account`), "PENDING-")
	})

	t.Run("an update is logged with what changed and the whole row before", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.account (name, industry, sfid) VALUES ('a', 'x', '001')`)
		b.exec(`UPDATE salesforce.account SET name = 'b'`)
		b.want("values", b.one(`SELECT values FROM salesforce._trigger_log`), `"name"=>"b"`)
		b.want("old", b.one(`SELECT (old::hstore->'name') || sfid || (old::hstore->'industry') || array_length(akeys(old::hstore), 1) FROM salesforce._trigger_log`), `a001x16`)
	})

	t.Run("what needs no sync is IGNORE", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('a', '001'), ('b', NULL)`)
		b.exec(`UPDATE salesforce.account SET name = name WHERE name = 'a'`)
		b.exec(`UPDATE salesforce.account SET unmapped = 'x', systemmodstamp = now(), isdeleted = false, _hc_err = 'y' WHERE name = 'a'`)
		b.exec(`DELETE FROM salesforce.account WHERE name = 'b'`)
		b.exec(`DELETE FROM salesforce.account WHERE name = 'a'`)
		b.want("log", b.live(), "UPDATE/IGNORE UPDATE/IGNORE DELETE/IGNORE DELETE/NEW")
		b.want("delete", b.one(`SELECT sfid || (old::hstore->'name') || coalesce(values, '-') FROM salesforce._trigger_log ORDER BY id DESC LIMIT 1`), "001a-")
		b.run()
		b.want("archive", b.archived(), "UPDATE/IGNORE UPDATE/IGNORE DELETE/IGNORE DELETE/SUCCESS")
	})

	t.Run("a read_only table is READONLY and PENDING", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce."user" (name) VALUES ('a'); UPDATE salesforce."user" SET name = name; DELETE FROM salesforce."user"`)
		b.want("log", b.live(), "INSERT/READONLY UPDATE/READONLY DELETE/READONLY")
		b.exec(`TRUNCATE salesforce."user"`)
		b.run()
		b.want("archive", b.archived(), "INSERT/READONLY UPDATE/READONLY DELETE/READONLY")
		b.want("calls", b.sf.sent(), "")
	})

	t.Run("hex is not captured and the status function says SYNCED", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		lastOp := func() string {
			return b.one(`SELECT _hc_lastop || '|' || coalesce(_hc_err, '-') FROM salesforce.account`)
		}
		b.hex(`UPDATE salesforce.account SET name = 'b'`)
		b.want("no result", lastOp(), "SYNCED|-")
		b.hex(`UPDATE salesforce.account SET _hc_lastop = 'FAILED', _hc_err = '1'`)
		b.want("a result", lastOp(), "FAILED|1")
		b.hex(`UPDATE salesforce.account SET _hc_lastop = 'FAILED', _hc_err = '2'`)
		b.want("the same result with another error", lastOp(), "FAILED|2")
		b.hex(`SET LOCAL hcbridge.tells = 'on'; UPDATE salesforce.account SET name = 'theirs'`)
		b.want("the bridge, of a refusal that stays", lastOp(), "FAILED|2")
		b.hex(`UPDATE salesforce.account SET name = 'c'`)
		b.want("no result", lastOp(), "SYNCED|-")
		b.hex(`UPDATE salesforce.account SET _hc_lastop = 'SYNCED', name = 'c2'`)
		b.want("in step", lastOp(), "SYNCED|-")
		b.hex(`INSERT INTO salesforce.account (name, _hc_lastop, _hc_err) VALUES ('other', 'SYNCED', 'x')`)
		b.want("of an insert, no error", b.one(`SELECT coalesce(_hc_err, '-') FROM salesforce.account WHERE name = 'other'`), "-")
		b.hex(`DELETE FROM salesforce.account WHERE name = 'other'`)
		b.exec(`UPDATE salesforce.account SET name = 'd', _hc_lastop = 'x', _hc_err = 'y'`)
		b.want("a user", lastOp(), "PENDING|-")
		b.want("log", b.live(), "INSERT/NEW UPDATE/NEW")
	})

	t.Run("the custom trigger recipe is captured", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`CREATE FUNCTION public.custom() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE oldxmlbinary varchar;
			BEGIN
				oldxmlbinary := get_xmlbinary();
				SET LOCAL xmlbinary TO 'base64';
				UPDATE salesforce.account SET industry = 'by trigger' WHERE id = NEW.id AND industry IS NULL;
				EXECUTE 'SET LOCAL xmlbinary TO ' || oldxmlbinary;
				RETURN NEW;
			END $$;
			CREATE TRIGGER custom AFTER INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION public.custom()`)
		b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('a', '001'); UPDATE salesforce.account SET name = 'not a user'`)
		b.want("values", b.list(`SELECT values FROM salesforce._trigger_log`), `"industry"=>"by trigger"`)
	})

	t.Run("the capture functions log what they are given", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.account (name, industry, sfid, _hc_lastop) VALUES ('a', 'x', '001', 'SYNCED')`)
		b.want("id", b.one(`SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`), "1")
		b.want("insert", b.one(`SELECT concat_ws('|', action, state, sfid, values::hstore->'sfid', values::hstore->'name', values::hstore ? '_hc_lastop', old) FROM salesforce._trigger_log WHERE id = 1`), "INSERT|NEW|001|a|f")
		b.one(`SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.account.*), 'account', ARRAY['name','id','sfid']) FROM salesforce.account`)
		b.want("excluded", b.one(`SELECT concat_ws('|', values::hstore ? 'name', values::hstore ?& ARRAY['id','sfid','industry']) FROM salesforce._trigger_log WHERE id = 2`), "f|t")
		b.one(`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account', ARRAY['name']) FROM salesforce.account`)
		b.want("update", b.one(`SELECT concat_ws('|', action, state, sfid, values, old) FROM salesforce._trigger_log WHERE id = 3`), `UPDATE|NEW|001|"name"=>"a"`)
		b.one(`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`)
		b.want("update", b.one(`SELECT concat_ws('|', values::hstore ?& ARRAY['name','industry'], values::hstore ? '_hc_lastop') FROM salesforce._trigger_log WHERE id = 4`), `t|f`)
		b.want("without id", b.one(`SELECT salesforce.hc_capture_update_from_row('a=>1'::hstore, 'account')`), "NULL")
	})

	t.Run("TRUNCATE of a read_write table is refused with a hint", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.pool.Exec(t.Context(), `TRUNCATE salesforce.account`)
		if err == nil || !strings.Contains(err.Error(), "would not reach Salesforce") {
			t.Fatalf("got %v", err)
		}
		b.hex(`TRUNCATE salesforce.account`)
	})

	t.Run("ids beyond 31 bits are captured, sent and archived", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`SELECT setval('salesforce._trigger_log_id_seq', 2147483647); SELECT setval('salesforce.account_id_seq', 2147483647)`)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.one(`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`)
		b.restart(merged)
		b.drain()
		b.want("archive", b.archived(), "INSERT/SUCCESS UPDATE/MERGED")
		b.want("id", b.one(`SELECT min(id) FROM salesforce._trigger_log_archive`), "2147483648")
	})

	t.Run("session settings do not change what is captured", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`BEGIN; SET LOCAL datestyle = 'German'; SET LOCAL extra_float_digits = 0; SET LOCAL standard_conforming_strings = off; SET LOCAL search_path = salesforce;
			INSERT INTO account (name, founded__c, seen__c, annualrevenue) VALUES ('a', '31.12.2026', '31.12.2026 23:59:59.123', 0.1::float8 + 0.2); COMMIT`)
		b.want("values", b.one(`SELECT concat_ws('|', values::hstore->'founded__c', values::hstore->'seen__c', values::hstore->'annualrevenue') FROM salesforce._trigger_log`),
			"2026-12-31|2026-12-31 23:59:59.123|0.30000000000000004")
	})

	t.Run("capture leaves the session's settings as they are", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		conn, err := pgx.ConnectConfig(t.Context(), b.pool.Config().ConnConfig)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		for _, step := range []struct{ sql, want string }{
			{`SET datestyle = 'German'; SET extra_float_digits = -2`, "German, DMY -2"},
			{`BEGIN; INSERT INTO salesforce.account (name, annualrevenue) VALUES ('a', 0.1::float8 + 0.2)`, "German, DMY -2"},
			{`SAVEPOINT s; SET datestyle = 'SQL, MDY'; UPDATE salesforce.account SET name = 'b'`, "SQL, MDY -2"},
			{`ROLLBACK TO s; UPDATE salesforce.account SET name = 'c'; SET LOCAL extra_float_digits = 0; DELETE FROM salesforce.account`, "German, DMY 0"},
			{`COMMIT`, "German, DMY -2"},
			{`UPDATE salesforce.account SET name = 'd'`, "German, DMY -2"},
			{`RESET ALL; INSERT INTO salesforce.account (name) VALUES ('e')`, "ISO, MDY 1"},
		} {
			if _, err := conn.Exec(t.Context(), step.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := conn.QueryRow(t.Context(), `SELECT concat_ws(' ', current_setting('datestyle'), current_setting('extra_float_digits'))`).Scan(&got); err != nil {
				t.Fatal(err)
			}
			b.want(step.sql, got, step.want)
		}
		b.want("values", b.one(`SELECT values::hstore->'annualrevenue' FROM salesforce._trigger_log ORDER BY id LIMIT 1`), "0.30000000000000004")
	})

	for _, level := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		t.Run("an app role without rights writes at "+level, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(`DO $$ BEGIN CREATE ROLE hcb_app NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
			b.exec(`GRANT USAGE ON SCHEMA salesforce TO hcb_app; GRANT SELECT, INSERT, UPDATE, DELETE ON salesforce.account TO hcb_app; GRANT USAGE ON SEQUENCE salesforce.account_id_seq TO hcb_app;
				REVOKE ALL ON SCHEMA public FROM PUBLIC`)
			b.exec(`BEGIN ISOLATION LEVEL ` + level + `; SET LOCAL ROLE hcb_app; SET LOCAL search_path = salesforce;
				INSERT INTO account (name) VALUES ('a'); UPDATE account SET name = 'b'; UPDATE account SET name = 'b'; DELETE FROM account; COMMIT`)
			b.want("log", b.live(), "INSERT/NEW UPDATE/NEW UPDATE/IGNORE DELETE/IGNORE")
			for _, sql := range []string{
				`SELECT * FROM salesforce._trigger_log`, `SELECT salesforce.hc_account_logger()`,
				`SELECT salesforce.hc_capture_insert_from_row('id=>1', 'contact')`,
			} {
				_, err := b.pool.Exec(t.Context(), `BEGIN; SET LOCAL search_path = public, salesforce; SET LOCAL ROLE hcb_app; `+sql, pgx.QueryExecModeSimpleProtocol)
				if err == nil {
					t.Errorf("allowed: %s", sql)
				}
				b.pool.Reset()
			}
		})
	}
}

func TestCaptureFunctionsAsAppRole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`DO $$ BEGIN CREATE ROLE hcb_app NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
	b.exec(`GRANT USAGE ON SCHEMA salesforce TO hcb_app; GRANT SELECT, UPDATE ON salesforce.account TO hcb_app`)
	b.hex(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	b.exec(`BEGIN; SET LOCAL ROLE hcb_app; SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account; COMMIT`)
	b.want("log", b.live(), "UPDATE/NEW")
	conn, err := b.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `SET ROLE hcb_app`); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), `SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account`)
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("insert without the right to: %v", err)
	}
	if _, err := conn.Exec(t.Context(), `RESET ROLE`); err != nil {
		t.Fatal(err)
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()

	t.Run("run again it touches nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		triggers := func() string {
			return b.list(`SELECT tgname || ':' || oid FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1`)
		}
		before := triggers()
		b.install(testTables())
		b.want("triggers", triggers(), before)
		for _, name := range []string{"hc_account_status_trigger", "hc_account_logtrigger", "hc_account_truncate_trigger", "hc_user_status_trigger", "hc_user_logtrigger", "tlog_insert_trigger"} {
			if !strings.Contains(before, name+":") {
				t.Errorf("no %s in %s", name, before)
			}
		}
	})

	t.Run("a table that is not mapped any more is left alone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.install(testTables()[1:])
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); TRUNCATE salesforce.account`)
		b.want("log", b.live(), "")
		b.want("functions", b.one(`SELECT count(*) FROM pg_proc WHERE proname LIKE 'hc_account%'`), "0")
		b.install(testTables())
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.want("log", b.live(), "INSERT/NEW")
	})

	t.Run("indexes of earlier versions go", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		indexes := `SELECT indexname FROM pg_indexes WHERE schemaname = 'salesforce' AND tablename = '_trigger_log' ORDER BY 1`
		fresh := b.list(indexes)
		b.exec(`DROP INDEX salesforce._trigger_log_idx_record;
			CREATE INDEX _trigger_log_idx_unsent_change ON salesforce._trigger_log (table_name, record_id, id) WHERE state IN ('NEW', 'PENDING');
			CREATE INDEX _trigger_log_idx_open_record ON salesforce._trigger_log (table_name, record_id) WHERE state IN ('PENDING', 'FAILED') OR action = 'DELETE'`)
		b.install(testTables())
		b.want("indexes", b.list(indexes), fresh)
	})

	t.Run("a change of mode changes capture", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tables := testTables()
		tables[0].ReadWrite = false
		b.install(tables)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); TRUNCATE salesforce.account`)
		b.want("log", b.live(), "INSERT/READONLY")
	})

	t.Run("a disabled trigger stays disabled, and the others with it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`ALTER TABLE salesforce.account DISABLE TRIGGER hc_account_logtrigger`)
		b.install(testTables())
		write := `INSERT INTO salesforce.account (name) VALUES ('a'); UPDATE salesforce.account SET name = 'b'; DELETE FROM salesforce.account`
		b.exec(write)
		b.want("log", b.live(), "")
		b.exec(`COMMENT ON TRIGGER hc_account_logtrigger ON salesforce.account IS 'hcbridge 0'`) // of an earlier version
		b.install(testTables())
		b.exec(write)
		b.want("log", b.live(), "")
		b.exec(`ALTER TABLE salesforce.account ENABLE TRIGGER hc_account_logtrigger`)
		b.exec(write)
		b.want("log", b.live(), "INSERT/NEW UPDATE/NEW DELETE/IGNORE")
	})

	t.Run("another org is refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			return Install(t.Context(), tx, testSchema, testTables(), nil, "00D000000000002EAA")
		})
		if !errors.Is(err, ErrOtherOrg) {
			t.Errorf("got %v", err)
		}
		b.want("org", b.list(`SELECT org_id FROM salesforce._hcmeta`), "00D000000000001EAA")
		err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			return Install(t.Context(), tx, testSchema, testTables(), nil, "00D000000000001")
		})
		if err != nil {
			t.Errorf("the same org by 15 characters: %v", err)
		}
	})

	t.Run("a schema of Heroku Connect is adopted", func(t *testing.T) {
		t.Parallel()
		b := &bundle{TB: t, pool: pgtest.New(t), sf: newFakeOrg()}
		b.exec(testDDL)
		heroku, err := os.ReadFile("testdata/heroku.sql")
		if err != nil {
			t.Fatal(err)
		}
		b.exec(string(heroku))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('before')`)
		b.install(testTables())
		b.want("types", b.list(`SELECT table_name || '.' || column_name || ':' || data_type FROM information_schema.columns WHERE table_schema = 'salesforce' AND table_name IN ('_trigger_log', '_trigger_log_archive') AND column_name IN ('id', 'record_id', 'sf_result') ORDER BY 1`),
			"_trigger_log.id:bigint _trigger_log.record_id:bigint _trigger_log.sf_result:integer _trigger_log_archive.id:bigint _trigger_log_archive.record_id:bigint _trigger_log_archive.sf_result:integer")
		b.want("sequence", b.one(`SELECT concat_ws('|', data_type, cache_size, max_value) FROM pg_sequences WHERE sequencename = '_trigger_log_id_seq'`), "bigint|1|9223372036854775807")
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('after')`)
		b.one(`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account WHERE name = 'after'`)
		b.want("log", b.list(`SELECT id || action || state FROM salesforce._trigger_log ORDER BY id`), "1INSERTNEW 78INSERTNEW 79UPDATENEW")
		b.want("switch is left", b.one(`SELECT obj_description('public.get_xmlbinary()'::regprocedure, 'pg_proc')`), "NULL")
		b.restart()
		b.drain()
		b.want("calls", b.sf.sent(), "insert Account 2, update Account 1")
	})

	t.Run("triggers of Heroku Connect go, also where Postgres has cut their names", func(t *testing.T) {
		t.Parallel()
		for _, length := range []int{10, 50, 55} {
			b := &bundle{TB: t, pool: pgtest.New(t)}
			b.exec(testDDL)
			table := strings.Repeat("t", length)
			b.exec(strings.ReplaceAll(`CREATE TABLE salesforce.@ (id int);
				CREATE FUNCTION salesforce.theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
				CREATE TRIGGER hc_@_logtrigger AFTER INSERT ON salesforce.@ FOR EACH ROW EXECUTE FUNCTION salesforce.theirs();
				CREATE TRIGGER hc_@_status_trigger BEFORE INSERT ON salesforce.@ FOR EACH ROW EXECUTE FUNCTION salesforce.theirs();
				CREATE TRIGGER mine BEFORE INSERT ON salesforce.@ FOR EACH ROW EXECUTE FUNCTION salesforce.theirs()`, "@", table))
			b.install(testTables())
			b.want("triggers", b.list(`SELECT tgname::text FROM pg_trigger WHERE tgfoid = 'salesforce.theirs'::regproc ORDER BY 1`), "mine")
		}
	})

	t.Run("a table that is not mapped any more loses its triggers, one that is kept does not", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		triggers := `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'salesforce.account'::regclass AND NOT tgisinternal`
		b.want("triggers", b.one(triggers), "5")
		for _, c := range []struct {
			keep []string
			want string
		}{{[]string{"account"}, "5"}, {nil, "0"}} {
			err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return Install(t.Context(), tx, testSchema, nil, c.keep, "") })
			if err != nil {
				t.Fatal(err)
			}
			b.want("triggers", b.one(triggers), c.want)
		}
	})

	t.Run("hstore may live in any schema, public may be closed", func(t *testing.T) {
		t.Parallel()
		b := &bundle{TB: t, pool: pgtest.New(t)}
		b.exec(`DROP EXTENSION hstore; CREATE SCHEMA "Ext ens"; CREATE EXTENSION hstore SCHEMA "Ext ens"`)
		b.exec(testDDL)
		b.exec(`DROP SCHEMA public`)
		b.install(testTables())
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); UPDATE salesforce.account SET name = 'b'`)
		b.want("log", b.live(), "INSERT/NEW UPDATE/NEW")
	})

	t.Run("a role that is no superuser, and may not write to public", func(t *testing.T) {
		t.Parallel()
		b := &bundle{TB: t, pool: pgtest.New(t), sf: newFakeOrg()}
		b.exec(`DO $$ BEGIN CREATE ROLE hcb_bridge NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
		b.exec(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO hcb_bridge', current_database()); END $$`)
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SET LOCAL ROLE hcb_bridge; `+testDDL, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if err := Install(t.Context(), tx, testSchema, testTables(), nil, ""); err != nil {
				return err
			}
			return Install(t.Context(), tx, testSchema, testTables(), nil, "")
		})
		if err != nil {
			t.Fatal(err)
		}
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.hex(`INSERT INTO salesforce.account (name) VALUES ('b')`)
		b.want("log", b.live(), "INSERT/NEW")
		b.want("switch", b.one(`SELECT salesforce.get_xmlbinary()`), "base64")
		b.exec(`REVOKE ALL ON SCHEMA salesforce FROM hcb_bridge; DROP OWNED BY hcb_bridge CASCADE`)
	})

	t.Run("the owner of the log may read all of the schema", func(t *testing.T) {
		t.Parallel()
		b := &bundle{TB: t, pool: pgtest.New(t), sf: newFakeOrg()}
		heroku, err := os.ReadFile("testdata/heroku.sql")
		if err != nil {
			t.Fatal(err)
		}
		b.exec(`DO $$ BEGIN CREATE ROLE hcb_landlord NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
		b.exec(`DO $$ BEGIN CREATE ROLE hcb_lodger NOLOGIN IN ROLE hcb_landlord; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
		b.exec(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO hcb_landlord', current_database()); END $$; GRANT CREATE ON SCHEMA public TO hcb_landlord`)
		as := func(role string, do func(tx pgx.Tx) error) {
			t.Helper()
			err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SET LOCAL ROLE `+role); err != nil {
					return err
				}
				return do(tx)
			})
			if err != nil {
				t.Fatalf("%s: %v", role, err)
			}
		}
		as("hcb_landlord", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), testDDL+string(heroku), pgx.QueryExecModeSimpleProtocol)
			return err
		})
		acl := func() string {
			return b.list(`SELECT relname || '=' || COALESCE(relacl::text, '') FROM pg_class WHERE relnamespace = 'salesforce'::regnamespace ORDER BY 1`)
		}
		install := func(tx pgx.Tx) error { return Install(t.Context(), tx, testSchema, testTables(), nil, "") }
		as("hcb_lodger", install)
		b.want("theirs", b.list(`SELECT relname || ':' || relowner::regrole FROM pg_class WHERE oid IN ('salesforce._trigger_log'::regclass, 'salesforce._trigger_log_echo'::regclass) ORDER BY 1`),
			"_trigger_log:hcb_landlord _trigger_log_echo:hcb_lodger")
		as("hcb_landlord", func(tx pgx.Tx) error { // as pg_dump does
			_, err := tx.Exec(t.Context(), `DO $$ DECLARE t regclass; BEGIN
				FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'salesforce'::regnamespace AND relkind = 'r' LOOP
					EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', t);
				END LOOP; END $$`)
			return err
		})
		before := acl()
		as("hcb_lodger", install)
		b.want("rights", acl(), before)
		b.exec(`DROP OWNED BY hcb_lodger, hcb_landlord CASCADE`)
	})

	t.Run("public is closed to its role after a first start", func(t *testing.T) {
		t.Parallel()
		b := &bundle{TB: t, pool: pgtest.New(t), sf: newFakeOrg()}
		b.exec(`DO $$ BEGIN CREATE ROLE hcb_shut_out NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
		b.exec(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO hcb_shut_out', current_database()); END $$; GRANT CREATE ON SCHEMA public TO hcb_shut_out`)
		start := func(before string) {
			t.Helper()
			err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SET LOCAL ROLE hcb_shut_out; `+before, pgx.QueryExecModeSimpleProtocol); err != nil {
					return err
				}
				return Install(t.Context(), tx, testSchema, testTables(), nil, "")
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		asks := func(schema string) {
			t.Helper()
			b.want("triggers that ask "+schema, b.one(`SELECT count(*) FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND refobjid = '`+schema+`.get_xmlbinary()'::regprocedure`), "11")
		}
		start(testDDL)
		b.exec(`REVOKE CREATE ON SCHEMA public FROM hcb_shut_out`)
		start(``)
		asks("public")
		// One of an earlier version cannot be put right there.
		b.exec(`CREATE OR REPLACE FUNCTION public.get_xmlbinary() RETURNS varchar LANGUAGE plpgsql AS $$ BEGIN RETURN 'base64'; END $$`)
		start(``)
		asks("salesforce")
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.hex(`INSERT INTO salesforce.account (name) VALUES ('b')`)
		b.want("log", b.live(), "INSERT/NEW")
		b.exec(`DROP OWNED BY hcb_shut_out CASCADE`)
	})

	t.Run("hostile and long names", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("verylongname_", 4) + "abcde__c" // 60 bytes
		b := &bundle{TB: t, pool: pgtest.New(t), sf: newFakeOrg()}
		schema := `we"ird $body$ \ 'x'`
		tables := []Table{}
		for _, name := range []string{long + "1", long + "2", `a"b'c\ $body$`, "user"} {
			columns := []Column{rw(`x"y'\`, "X__c", "string")}
			tables = append(tables, Table{Object: name, Name: name, ReadWrite: true, Columns: columns})
		}
		b.exec(`CREATE SCHEMA ` + ident(schema))
		for _, table := range tables {
			b.exec(`CREATE TABLE ` + ident(schema, table.Name) + ` (` + ident(`x"y'\`) + ` text, sfid varchar(18), id bigserial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text)`)
		}
		for range 2 {
			err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return Install(t.Context(), tx, schema, tables, nil, "") })
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range tables {
			b.exec(`INSERT INTO ` + ident(schema, table.Name) + ` (` + ident(`x"y'\`) + `) VALUES ('1'); UPDATE ` + ident(schema, table.Name) + ` SET ` + ident(`x"y'\`) + ` = '2'`)
		}
		w, err := New(b.pool, Config{Schema: schema, Tables: tables, Sender: b.sf, Algorithm: Merged, Calls: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.want("calls", b.sf.sent(), fmt.Sprintf("insert %s 1, insert %s 1, insert %s 1, insert user 1", tables[0].Name, tables[1].Name, tables[2].Name))
	})
}

// The generated SQL is what a reviewer wants to see change.
func TestGeneratedSQL(t *testing.T) {
	t.Parallel()
	hostile := Table{Object: "X", Name: `a"b'c`, ReadWrite: true, Columns: []Column{rw(`x"; DROP TABLE t; --`, "X__c", "string")}}
	table, err := tableSQL(`s"1`, "public", `"s""1"._trigger_log_id_seq`, hostile)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteString(table)
	for _, tr := range triggersOf(`s"1`, ident("public", "get_xmlbinary"), hostile) {
		all.WriteString(tr.sql + ";\n")
	}
	statements, err := statementsFor(`s"1`, []Table{hostile})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"table_hostile.sql":   all.String(),
		"archive_hostile.sql": statements.archive,
		"row_hostile.sql":     statements.row[hostile.Name],
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; go test ./outbox -run GeneratedSQL -update rewrites it:\n%s", name, got)
		}
	}
}

var _ DB = (*pgxpool.Pool)(nil)
