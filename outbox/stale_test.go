package outbox

import "testing"

// Whatever Postgres believes of the log from an earlier time, a plan reads each
// record's changes from the index by record, and not the log once for each record, and
// what is settled is looked up by its ids:
// the statistics of a log that was emptied, or in which one record had all entries,
// make other indexes look as good.
func TestOldStatistics(t *testing.T) {
	t.Parallel()
	const entries = 30_000 // from about as many on the index by record is the higher one
	for name, earlier := range map[string][]string{
		"none":    nil,
		"emptied": {"UPDATE pg_class SET relpages = 2000, reltuples = 0 WHERE oid = 'salesforce._trigger_log'::regclass"},
		"one record": {
			`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'NEW', 'UPDATE', 'account', 1 FROM generate_series(1, 5000)`,
			"ANALYZE salesforce._trigger_log", "DELETE FROM salesforce._trigger_log",
		},
		"refused ones": {
			`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'FAILED', 'UPDATE', 'account', 1 FROM generate_series(1, 5000)`,
			"ANALYZE salesforce._trigger_log", "DELETE FROM salesforce._trigger_log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, merged)
			b.exec("ALTER TABLE salesforce._trigger_log SET (autovacuum_enabled = off)")
			b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, "values")
				SELECT 'NEW', 'UPDATE', 'account', n, 'acc' || lpad(n::text, 12, '0') || 'AAA', '"industry"=>"h"', '"industry"=>"i"' FROM generate_series(1, 1000) AS n`)
			b.exec("DELETE FROM salesforce._trigger_log")
			for _, sql := range earlier {
				b.exec(sql)
			}
			b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, "values")
				SELECT 'NEW', 'UPDATE', 'account', n, 'acc' || lpad(n::text, 12, '0') || 'AAA', '"industry"=>"h"', '"industry"=>"i"' FROM generate_series(1, $1::int) AS n`, entries)
			before := b.entriesRead()
			log, err := b.worker.load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Some for each entry, and some for the log as a whole.
			n := int64(len(log.entries))
			if read := b.entriesRead() - before; n == 0 || read > 10*n+4*entries {
				t.Fatalf("%d entries read to plan %d", read, n)
			} else {
				t.Logf("%d entries read to plan %d", read, n)
			}
			// And as much again to take, answer and move them.
			before = b.entriesRead()
			b.drain()
			b.want("waiting", b.one("SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')"), "0")
			if read := b.entriesRead() - before; read > 40*entries {
				t.Errorf("%d entries read to settle %d", read, entries)
			} else {
				t.Logf("%d entries read to settle %d", read, entries)
			}
		})
	}
}

// So are those that are claimed, or whose rows an app has locked, where all that Postgres
// knows of was dismissed: else it would read all NEW ones for each claim.
func TestOldStatisticsOfAClaim(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]func(statements) string{
		"claim":        func(s statements) string { return s.claim },
		"attempt kept": func(s statements) string { return s.attemptKept },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, merged)
			b.exec("ALTER TABLE salesforce._trigger_log SET (autovacuum_enabled = off)")
			b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'IGNORE', 'UPDATE', 'account', 1 FROM generate_series(1, 5000)`)
			b.exec("ANALYZE salesforce._trigger_log")
			b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id) SELECT 'NEW', 'UPDATE', 'account', n FROM generate_series(1, 30000) AS n`)
			var ids []int64
			for id := range int64(200) {
				ids = append(ids, 6000+100*id)
			}
			before := b.entriesRead()
			b.exec(statement(b.worker.sql), ids)
			if read := b.entriesRead() - before; read > 1000 {
				t.Errorf("%d entries read to claim %d", read, len(ids))
			}
			b.want("claimed", b.one("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'PENDING'"), "200")
		})
	}
}

// entriesRead is how many entries of the log all sessions have read so far.
func (b *bundle) entriesRead() (n int64) {
	b.Helper()
	for range b.pool.Config().MaxConns { // sessions keep their counts for up to a second
		b.exec("SELECT pg_stat_force_next_flush()")
	}
	err := b.pool.QueryRow(b.Context(), `SELECT t.seq_tup_read + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid)::bigint
		FROM pg_stat_user_tables AS t WHERE t.relid = 'salesforce._trigger_log'::regclass`).Scan(&n)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
