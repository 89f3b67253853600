package outbox

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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
