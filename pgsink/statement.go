package pgsink

import (
	"fmt"
	"strings"
)

// Verdicts of the apply statement, one per record.
const (
	verdictInsert     = "insert"
	verdictUpdate     = "update"
	verdictDelete     = "delete"
	verdictSame       = "same"
	verdictStale      = "stale"
	verdictSuperseded = "superseded"
	verdictHeld       = "held"
	verdictEqual      = "equal"
	verdictUnmade     = "unmade"    // an insert of which nothing came; another transaction may have been faster
	verdictSwallowed  = "swallowed" // of a row that we had locked
	verdictConflict   = "conflict"  // of no record: how many conflicts are certain now
)

// Where the apply statement takes its records from.
const (
	fromArrays  = "arrays"  // one text array per column, for Apply
	fromPatches = "patches" // the same, and which columns a record has
	fromTemp    = "temp"    // the temporary table of LoadChunk
)

// reads are the kinds of what was read back: "known" if the row had the record's stamp
// before, "foreign" if another user has made the record.
const reads = "('read', 'known', 'foreign')"

// tempTable holds a page of a load until its transaction ends.
const tempTable = "hcbridge_load"

// applySQL is the statement that applies a set of records to a table. It says
// no values, only names and types, so it is prepared once per set of columns.
// columns are indexes into t.Columns; what is left out is not touched.
//
//	n       the records, as the table's own types
//	m       each with its row, if it has one, and the verdict
//	locked  the rows to be written, unless somebody else is writing them
//	seized  those that go or get another key, unless somebody else refers to them
//	…       the writes
//	o       the verdict that came true: what could not be locked is held, and what
//	        came to nothing all the same, a trigger has swallowed
//	marked, cleared: the consequences
//	conflicted, …: see writeConflicts
//
// Why no row is written over a change we do not know: the verdict is made of a
// snapshot, which shows an app's change if and only if it shows the log entry
// of the same transaction. A row is only written if it is still the version of
// that snapshot (xmin). A row that an app is writing at this moment is skipped
// instead of waited for, so inbound work never queues behind an app, and never
// deadlocks with one. A row that goes or gets another key must not even be referred
// to by what an app has not committed. The others are locked less and written by an
// update that names no key: with a trigger, Postgres locks by the columns that are
// named, whether they change or not.
//
// Nowhere is a set of records joined to another one: Postgres knows nothing of
// their size, and would go through one for each of the other.
//
// A patch becomes a whole record first: what it lacks is taken from its row. The
// row that is written is the version that was taken, so nothing is turned back.
// Its stamp decides, and is not written.
//
// Parameters: $1 schema, $2 object, then for arrays $3 ids, $4 kinds, $5 seqs
// and one per column; for patches $6, a text of 0 and 1 for each record that says
// which columns it has, comes before those; for temp $3 and $4, the first and last
// record.
func (t *Table) applySQL(columns []int, source string) string {
	b := &strings.Builder{}
	b.WriteString("WITH n AS MATERIALIZED (\n")
	t.writeSource(b, columns, source)
	b.WriteString("\n)")
	if t.external >= 0 {
		t.writeHits(b, columns, source)
	}
	t.writeVerdicts(b, columns, source)
	t.writeWrites(b, columns, source)
	b.WriteString(consequencesSQL)
	if t.ReadWrite {
		t.writeConflicts(b, columns)
	}
	b.WriteString("\nSELECT verdict, count(*), array_agg(sfid) FILTER (WHERE verdict IN ('unmade', 'swallowed')) FROM o GROUP BY verdict")
	if t.ReadWrite {
		b.WriteString("\nUNION ALL SELECT 'conflict', (SELECT count(*) FROM conflicted WHERE settled) + (SELECT count(*) FROM settled), NULL")
	}
	return b.String()
}

// writeSource selects the records and casts them. Casts carry no length: one
// that does would cut a value that is too long instead of refusing it.
func (t *Table) writeSource(b *strings.Builder, columns []int, source string) {
	types := t.types()
	b.WriteString("    SELECT u.sfid::varchar AS sfid, ")
	if source == fromTemp {
		b.WriteString("'load' AS kind, 0::bigint AS seq")
	} else {
		b.WriteString("u.kind, u.seq")
	}
	for _, i := range columns {
		value := fmt.Sprintf("u.v%d::%s", i, castType(types[i]))
		if source == fromPatches && i != t.stamp {
			value = fmt.Sprintf("CASE substr(u.has, %d, 1) WHEN '1' THEN %s ELSE p.%s END", i+1, value, quote(t.Columns[i].Name))
		}
		fmt.Fprintf(b, ",\n        %s AS v%d", value, i)
	}
	if source == fromTemp {
		fmt.Fprintf(b, "\n    FROM %s AS u\n    WHERE u.ord BETWEEN $3::bigint AND $4::bigint", "pg_temp."+quote(tempTable))
		return
	}
	first, has := 6, ""
	if source == fromPatches {
		first, has = 7, ", has"
	}
	b.WriteString("\n    FROM unnest($3::text[], $4::text[], $5::bigint[]")
	if source == fromPatches {
		b.WriteString(", $6::text[]")
	}
	for at := range columns {
		fmt.Fprintf(b, ", $%d::text[]", first+at)
	}
	fmt.Fprintf(b, ")\n        AS u (sfid, kind, seq%s", has)
	for _, i := range columns {
		fmt.Fprintf(b, ", v%d", i)
	}
	b.WriteString(")")
	if source == fromPatches {
		fmt.Fprintf(b, "\n    LEFT JOIN %s AS p ON p.sfid = u.sfid", t.ident())
	}
}

// writeHits finds each record's row by Salesforce id, else by external id among
// the rows that have no Salesforce id yet. A row takes one record, the newest. A
// patch is of no record that is unknown.
func (t *Table) writeHits(b *strings.Builder, columns []int, source string) {
	order, on := "n.sfid", "false"
	for _, i := range columns {
		switch i {
		case t.stamp:
			order = fmt.Sprintf("n.v%d DESC NULLS LAST, n.sfid", i)
		case t.external:
			if source == fromPatches {
				continue
			}
			on = fmt.Sprintf("free.%s = n.v%d", quote(t.Columns[i].Name), i)
		}
	}
	fmt.Fprintf(b, `,
hits AS MATERIALIZED (
    SELECT n.*, own.id AS own_id, free.id AS free_id,
        row_number() OVER (PARTITION BY free.id ORDER BY %[3]s) AS claim
    FROM n
    LEFT JOIN %[1]s AS own ON own.sfid = n.sfid
    LEFT JOIN %[1]s AS free ON own.id IS NULL AND n.kind <> 'delete' AND free.sfid IS NULL AND %[2]s
)`, t.ident(), on, order)
}

// writeVerdicts decides. The order of the cases is the order of the rules. Keys are
// compared as text, since equal ones may be written differently.
func (t *Table) writeVerdicts(b *strings.Builder, columns []int, source string) {
	stamp, differs, rekeys := "", "false", "r.sfid IS NULL"
	var rows, news []string
	for _, i := range columns {
		if i == t.stamp {
			stamp = fmt.Sprintf("n.v%d", i)
			if source == fromPatches {
				continue
			}
		}
		if i == t.external {
			rekeys = fmt.Sprintf("r.sfid IS NULL OR r.%s::text IS DISTINCT FROM n.v%d::text", quote(t.Columns[i].Name), i)
		}
		rows = append(rows, "r."+quote(t.Columns[i].Name))
		news = append(news, fmt.Sprintf("n.v%d", i))
	}
	if len(columns) > 0 {
		differs = fmt.Sprintf("ROW(%s) IS DISTINCT FROM ROW(%s)", strings.Join(rows, ", "), strings.Join(news, ", "))
	}
	b.WriteString(",\nm AS MATERIALIZED (\n    SELECT n.*, r.id AS row_id, r.xmin AS row_version,\n        CASE\n")
	when := func(condition, verdict string) {
		fmt.Fprintf(b, "            WHEN %s THEN %s\n", condition, verdict)
	}
	when(`n.seq <> 0 AND NOT EXISTS (
                SELECT FROM hcbridge.mark AS k
                WHERE k.schema = $1 AND k.object = $2 AND k.sfid = n.sfid
                    AND CASE n.kind WHEN 'delete' THEN k.seq = n.seq ELSE k.barrier <= n.seq END)`, "'superseded'")
	when("n.kind = 'delete' AND r.id IS NULL", "'same'")
	if stamp != "" {
		when(fmt.Sprintf("n.kind <> 'delete' AND r.%s > %s", quote(t.Columns[t.stamp].Name), stamp), "'stale'")
	}
	if t.ReadWrite {
		for _, condition := range t.holds() {
			when(condition, "'held'")
		}
	}
	if source == fromPatches {
		// A page that was read before the change may come after it, and its
		// stamp would not tell. Polls have pages too while they have a job, but
		// none of a job that broke off and that later polls have overtaken.
		when(`r.id IS NULL OR NOT EXISTS (
                SELECT FROM hcbridge.object AS ob
                WHERE ob.schema = $1 AND ob.object = $2 AND ob.loaded_at IS NOT NULL
                    AND (ob.load_job IS NULL OR ob.load_started <= ob.poll_mark))`, "'equal'")
	}
	// Without a row, or with one that has its external id and may be another
	// record's, which is still to be made.
	when(fmt.Sprintf("r.sfid IS NULL AND n.seq = 0 AND n.kind <> 'delete' AND %s", goneSQL("$1", "$2", "n.sfid")), "'equal'")
	when("r.id IS NULL", "'insert'")
	if stamp != "" {
		when(fmt.Sprintf("n.kind = 'delete' AND r.%s >= %s", quote(t.Columns[t.stamp].Name), stamp), "'equal'")
	}
	when("n.kind = 'delete'", "'delete'")
	if t.ReadWrite {
		when(t.contested(columns), "'equal'")
	}
	if t.external >= 0 {
		when("r.sfid IS NULL", "'update'")
	}
	if stamp != "" {
		when(fmt.Sprintf("n.kind <> 'known' AND r.%s = %s AND %s", quote(t.Columns[t.stamp].Name), stamp, differs), t.equalVerdict(stamp, source))
	}
	when(differs, "'update'")
	when("n.kind IN "+reads+" AND r._hc_lastop IN ('PENDING', 'INSERTED', 'UPDATED')", "'update'")
	b.WriteString("            ELSE 'same'\n        END AS verdict")
	if t.external >= 0 {
		fmt.Fprintf(b, ",\n        %s AS rekeys\n    FROM hits AS n\n    LEFT JOIN %s AS r ON r.id = coalesce(n.own_id, CASE n.claim WHEN 1 THEN n.free_id END)\n)", rekeys, t.ident())
		return
	}
	fmt.Fprintf(b, "\n    FROM n\n    LEFT JOIN %s AS r ON r.sfid = n.sfid\n)", t.ident())
}

// goneSQL is true for a record that was deleted lately. Whoever brings it without
// answering a mark may have read it before.
func goneSQL(schema, object, sfid string) string {
	return fmt.Sprintf("(SELECT true FROM hcbridge.gone AS g WHERE g.schema = %s AND g.object = %s AND g.sfid = %s)", schema, object, sfid)
}

// equalVerdict decides between equal stamps with other values. The stamp has
// seconds, so of two values within one second only Salesforce knows the later.
// A record that was read back is right, though, if the row was no older when it was
// read, and a loaded one if that second was over when the load began.
func (t *Table) equalVerdict(stamp, source string) string {
	if source != fromTemp {
		return "'equal'"
	}
	return fmt.Sprintf(`CASE
                WHEN %s < (SELECT ob.load_started AT TIME ZONE 'UTC' - interval '1 minute'
                    FROM hcbridge.object AS ob WHERE ob.schema = $1 AND ob.object = $2) THEN 'update'
                ELSE 'equal' END`, stamp)
}

// holds are the conditions under which a read_write row waits for the app's
// own change to be sent: an entry of the row; one of a row deleted here; and
// for an unknown record any insert that is under way, whose echo it may be unless
// another user has made it.
func (t *Table) holds() []string {
	log, name := quote(t.Schema, "_trigger_log"), literal(t.Name)
	return []string{
		fmt.Sprintf(`r.id IS NOT NULL AND EXISTS (
                SELECT FROM %s AS l
                WHERE l.table_name = %s AND l.state IN ('NEW', 'PENDING') AND l.record_id = r.id)`, log, name),
		fmt.Sprintf(`r.sfid IS NULL AND EXISTS (
                SELECT FROM %s AS l
                WHERE l.table_name = %s AND l.state IN ('NEW', 'PENDING') AND l.action = 'DELETE' AND l.sfid = n.sfid)`, log, name),
		fmt.Sprintf(`r.id IS NULL AND n.kind <> 'foreign' AND EXISTS (
                SELECT FROM %s AS l
                WHERE l.table_name = %s AND l.state = 'PENDING' AND l.action = 'INSERT')`, log, name),
	}
}

// writeWrites locks and writes. _hc_lastop is set here too, because a table
// may be without the status trigger. A row of a refused update takes Salesforce's
// values and goes on telling of the refusal, until that is retried or dismissed.
// A record that comes back gets the id that its row had, unless another row has
// taken it.
func (t *Table) writeWrites(b *strings.Builder, columns []int, source string) {
	var names, values, sets, keys []string
	for _, i := range columns {
		if source == fromPatches && i == t.stamp {
			continue
		}
		name := quote(t.Columns[i].Name)
		names = append(names, name+", ")
		values = append(values, fmt.Sprintf("m.v%d, ", i))
		set := fmt.Sprintf("%s = m.v%d,\n        ", name, i)
		if i == t.external {
			keys = append(keys, set)
			continue
		}
		sets = append(sets, set)
	}
	locked, seized, written := "m.verdict = 'update'", "m.verdict = 'delete'", ""
	if t.external >= 0 {
		keys = append(keys, "sfid = m.sfid,\n        ")
		locked += " AND NOT m.rekeys"
		seized = "(m.verdict = 'delete' OR m.verdict = 'update' AND m.rekeys)"
		written = "\n    UNION ALL SELECT sfid FROM rekeyed"
	}
	refused, outcome := "", "_hc_lastop = 'SYNCED',\n        _hc_err = NULL"
	if t.ReadWrite {
		refused = fmt.Sprintf(`, t._hc_lastop = 'FAILED' AND EXISTS (
        SELECT FROM %s AS l
        WHERE l.table_name = %s AND l.state = 'FAILED' AND l.action = 'UPDATE' AND l.record_id = t.id) AS refused`,
			quote(t.Schema, "_trigger_log"), literal(t.Name))
		outcome = `_hc_lastop = CASE WHEN m.refused THEN t._hc_lastop ELSE 'SYNCED' END,
        _hc_err = CASE WHEN m.refused THEN t._hc_err END`
	}
	fmt.Fprintf(b, `,
locked AS MATERIALIZED (
    SELECT m.*%[5]s FROM %[1]s AS t JOIN m ON m.row_id = t.id
    WHERE %[7]s AND t.xmin = m.row_version
    FOR NO KEY UPDATE OF t SKIP LOCKED
),
seized AS MATERIALIZED (
    SELECT m.*%[5]s FROM %[1]s AS t JOIN m ON m.row_id = t.id
    WHERE %[8]s AND t.xmin = m.row_version
    FOR UPDATE OF t SKIP LOCKED
),
was AS MATERIALIZED (
    SELECT m.sfid, (SELECT g.row_id FROM hcbridge.gone AS g
        WHERE g.schema = $1 AND g.object = $2 AND g.sfid = m.sfid
            AND NOT EXISTS (SELECT FROM %[1]s AS t WHERE t.id = g.row_id)) AS id
    FROM m WHERE m.verdict = 'insert'
),
created AS (
    INSERT INTO %[1]s AS t (%[2]ssfid, _hc_lastop)
    SELECT %[3]sm.sfid, 'SYNCED' FROM m JOIN was ON was.sfid = m.sfid WHERE was.id IS NULL
    ON CONFLICT (sfid) DO NOTHING
    RETURNING t.sfid
),
revived AS (
    INSERT INTO %[1]s AS t (%[2]sid, sfid, _hc_lastop)
    OVERRIDING SYSTEM VALUE
    SELECT %[3]swas.id, m.sfid, 'SYNCED' FROM m JOIN was ON was.sfid = m.sfid WHERE was.id IS NOT NULL
    ON CONFLICT (sfid) DO NOTHING
    RETURNING t.sfid
),
updated AS (
    UPDATE %[1]s AS t
    SET %[4]s%[6]s
    FROM locked AS m
    WHERE t.id = m.row_id
    RETURNING m.sfid
),
deleted AS (
    DELETE FROM %[1]s AS t
    USING seized AS m
    WHERE m.verdict = 'delete' AND t.id = m.row_id
    RETURNING m.sfid
)`, t.ident(), strings.Join(names, ""), strings.Join(values, ""), strings.Join(sets, ""), refused, outcome, locked, seized)
	if t.external >= 0 {
		fmt.Fprintf(b, `,
rekeyed AS (
    UPDATE %s AS t
    SET %s%s%s
    FROM seized AS m
    WHERE m.verdict = 'update' AND t.id = m.row_id
    RETURNING m.sfid
)`, t.ident(), strings.Join(sets, ""), strings.Join(keys, ""), outcome)
	}
	fmt.Fprintf(b, `,
written AS (
    SELECT sfid FROM created UNION ALL SELECT sfid FROM revived
    UNION ALL SELECT sfid FROM updated UNION ALL SELECT sfid FROM deleted%s
)`, written)
}

// consequencesSQL ends every apply statement: what was not written after all is
// held, and named if parkSwallowed must look at it; held and equal records are marked
// with growing delays, deletions are remembered, and records that went through are no
// longer failures. Marks come before what else other transactions of ours may wait for,
// as they do in all.
const consequencesSQL = `,
o AS MATERIALIZED (
    SELECT m.sfid, CASE
            WHEN m.verdict IN ('insert', 'update', 'delete') AND m.sfid NOT IN (
                SELECT sfid FROM written
            ) THEN CASE
                WHEN m.verdict = 'insert' THEN 'unmade'
                WHEN m.sfid IN (SELECT sfid FROM locked UNION ALL SELECT sfid FROM seized) THEN 'swallowed'
                ELSE 'held' END
            ELSE m.verdict
        END AS verdict
    FROM m
),
marked AS (
    INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at)
    SELECT $1, $2, o.sfid, CASE o.verdict WHEN 'equal' THEN 'equal' ELSE 'held' END,
        CASE o.verdict WHEN 'equal' THEN now() ELSE now() + interval '250 milliseconds' END
    FROM o
    WHERE o.verdict IN ('held', 'unmade', 'swallowed', 'equal')
    ORDER BY o.sfid
    ON CONFLICT (schema, object, sfid) DO UPDATE
    SET seq = nextval('hcbridge.mark_seq'),
        reason = CASE WHEN k.reason IN ('gone', 'removed') THEN 'gone' ELSE excluded.reason END, -- as Mark does
        due_at = CASE excluded.reason
            WHEN 'held' THEN now() + interval '250 milliseconds' * 2 ^ least(k.attempts + 1, 5)
            ELSE excluded.due_at
        END,
        attempts = CASE excluded.reason WHEN 'held' THEN k.attempts + 1 ELSE 0 END
    RETURNING 1
),
buried AS (
    INSERT INTO hcbridge.gone AS g (schema, object, sfid, row_id)
    SELECT $1, $2, m.sfid, m.row_id FROM m
    WHERE m.kind = 'delete' AND m.verdict IN ('delete', 'same') AND ` + afterMarks + `
    ORDER BY m.sfid
    ON CONFLICT (schema, object, sfid) DO UPDATE
    SET at = now(), row_id = coalesce(excluded.row_id, g.row_id)
),
cleared AS (
    DELETE FROM hcbridge.read_error AS e
    WHERE e.schema = $1 AND e.object = $2 AND e.sfid = ANY (ARRAY(
        SELECT o.sfid FROM o WHERE o.verdict IN ('insert', 'update', 'delete', 'same') AND ` + afterMarks + `))
)`

// afterMarks has a part of the apply statement run after the one that sets marks.
const afterMarks = "(SELECT count(*) FROM marked) >= 0"
