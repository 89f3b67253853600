package outbox

import "testing"

// Heroku Connect's log has narrow ids. They are widened while that is cheap or when
// they run out, and do until then; a view keeps them for good.
func TestNarrowLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	types := func() string {
		t.Helper()
		return b.one(`SELECT string_agg(format_type(atttypid, -1), ' ' ORDER BY attrelid::regclass::text, attname) FROM pg_attribute
			WHERE attrelid IN ('salesforce._trigger_log'::regclass, 'salesforce._trigger_log_archive'::regclass) AND attname IN ('id', 'record_id')`)
	}
	narrow := `ALTER TABLE salesforce._trigger_log ALTER COLUMN id TYPE integer, ALTER COLUMN record_id TYPE integer;
		ALTER TABLE salesforce._trigger_log_archive ALTER COLUMN id TYPE integer, ALTER COLUMN record_id TYPE integer`
	b.exec(narrow)
	b.exec(`CREATE VIEW public.failures AS SELECT id, sf_message FROM salesforce._trigger_log WHERE state = 'FAILED'`)
	b.install(testTables())
	b.want("with a view", types(), "integer integer bigint bigint")
	b.exec(`DROP VIEW public.failures`)
	b.install(testTables())
	b.want("small", types(), "bigint bigint bigint bigint")

	b.exec(narrow)
	b.exec(`INSERT INTO salesforce._trigger_log_archive (id, state, action, created_at, processed_at, table_name, record_id, "values")
		SELECT -n, 'SUCCESS', 'UPDATE', now(), now(), 'account', n, repeat('x', 1900) FROM generate_series(1, 36000) AS n`)
	b.install(testTables())
	b.want("large", types(), "bigint bigint integer integer")
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b'); UPDATE salesforce.account SET name = 'c' WHERE name = 'a'`)
	b.drain()
	b.want("sent", b.one(`SELECT count(*) FROM salesforce._trigger_log_archive WHERE id > 0 AND state = 'SUCCESS'`), "3")
	b.want("left", b.live(), "")
	b.exec(`SELECT setval('salesforce._trigger_log_id_seq', 1700000000)`)
	b.install(testTables())
	b.want("used up", types(), "bigint bigint bigint bigint")
}
