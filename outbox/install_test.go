package outbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/pgtest"
)

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
