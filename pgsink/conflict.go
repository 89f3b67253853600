package pgsink

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/expedite.sql
var expediteSQL string

//go:embed sql/forget_conflicts.sql
var forgetConflictsSQL string

// recently is for how long a change that was answered may still turn out to have
// met one in Salesforce: events come late, but not by more than that.
const recently = "interval '10 minutes'"

// writeConflicts notes fields that both sides have changed.
//
//	fields     what a record says of a field that its row says otherwise
//	entries    the app's changes of it, unsent or sent a moment ago
//	conflicted the value is none that the app had or made, and it is newer than
//	           what the app had: somebody else's, which the app did not know
//	refuted    what Salesforce stored in the end is that value, and our change was
//	           taken: then it is no one's edit but what became of ours there
//	settled    else the conflict stands, with the side whose value is in effect
//
// A record that was deleted in Salesforce while a change of it waits or was
// refused is a conflict of all changed fields.
func (t *Table) writeConflicts(b *strings.Builder, columns []int) {
	log, archive, name := quote(t.Schema, "_trigger_log"), quote(t.Schema, "_trigger_log_archive"), literal(t.Name)
	b.WriteString(`,
conflicted AS (
    INSERT INTO hcbridge.conflict AS c (schema, object, table_name, record_id, sfid, field, entry, local_value, remote_value, base_value, remote_deleted, chosen, settled)`)
	pairs, stamp := t.pairs(columns)
	if pairs != "" {
		entries := fmt.Sprintf(`(
            SELECT l.id, l."values", l.old FROM %[1]s AS l
            WHERE l.table_name = %[3]s AND l.record_id = m.row_id AND l.state IN ('NEW', 'PENDING') AND l.action = 'UPDATE'
            UNION ALL
            SELECT l.id, l."values", l.old FROM %[2]s AS l
            WHERE l.table_name = %[3]s AND l.record_id = m.row_id AND l.state IN ('SUCCESS', 'MERGED') AND l.action = 'UPDATE'
                AND l.processed_at > now() - %[4]s
        )`, log, archive, name, recently)
		fmt.Fprintf(b, `
    SELECT $1, $2, %[4]s, m.row_id, m.sfid, f.name, e.id, e.local, f.remote, e.base, false, 'postgres', m.verdict = 'stale'
    FROM m
    JOIN %[1]s AS r ON r.id = m.row_id
    CROSS JOIN LATERAL (VALUES %[2]s) AS f (name, remote, own, short)
    CROSS JOIN LATERAL (
        SELECT l.id, hcbridge.pair(l."values", f.name) AS local, hcbridge.pair(l.old, f.name) AS base
        FROM %[3]s AS l
        WHERE position('"' || f.name || '"=>' IN l."values") > 0
            AND hcbridge.pair(l.old, %[5]s)::timestamp < %[6]s
        ORDER BY l.id DESC
        LIMIT 1
    ) AS e
    WHERE %[7]s AND f.remote IS DISTINCT FROM f.own
        AND (m.verdict IN ('held', 'equal') AND m.kind <> 'delete' OR m.verdict = 'stale' AND m.kind IN ('event', 'patch'))
        AND NOT EXISTS (
            SELECT FROM %[3]s AS l
            WHERE position('"' || f.name || '"=>' IN l."values") > 0
                AND (hcbridge.pair(l."values", f.name) IS NOT DISTINCT FROM f.remote OR hcbridge.pair(l.old, f.name) IS NOT DISTINCT FROM f.remote
                    OR f.short IN (left(hcbridge.pair(l."values", f.name), 15), left(hcbridge.pair(l.old, f.name), 15))))
    UNION ALL`, t.ident(), pairs, entries, name, literal(t.Columns[t.stamp].Name), stamp, afterMarks)
	}
	fmt.Fprintf(b, `
    SELECT $1, $2, %[1]s, m.row_id, m.sfid, f.name, e.id, e.local, NULL, e.base, true, 'salesforce', true
    FROM m
    CROSS JOIN LATERAL unnest(%[2]s) AS f (name)
    CROSS JOIN LATERAL (
        SELECT l.id, hcbridge.pair(l."values", f.name) AS local, hcbridge.pair(l.old, f.name) AS base
        FROM %[3]s AS l
        WHERE l.table_name = %[1]s AND l.record_id = m.row_id AND l.state = 'FAILED' AND l.action = 'UPDATE'
            AND position('"' || f.name || '"=>' IN l."values") > 0
        ORDER BY l.id DESC
        LIMIT 1
    ) AS e
    WHERE m.verdict = 'delete' AND %[4]s
    ORDER BY 5, 6
    ON CONFLICT (schema, table_name, record_id, field, entry) DO UPDATE
    SET remote_value = excluded.remote_value, at = now()
    WHERE NOT c.settled AND c.remote_value IS DISTINCT FROM excluded.remote_value
    RETURNING c.settled
)`, name, t.edited(), log, afterMarks)
	if pairs == "" {
		b.WriteString(",\nsettled AS (SELECT 1 WHERE false)")
		return
	}
	fmt.Fprintf(b, `,
answered AS MATERIALIZED (
    SELECT c.id, f.remote IS NOT DISTINCT FROM c.remote_value AS theirs, r._hc_lastop IN ('INSERTED', 'UPDATED', 'SYNCED') AS taken
    FROM m
    JOIN %[1]s AS r ON r.id = m.row_id
    JOIN hcbridge.conflict AS c ON c.schema = $1 AND c.object = $2 AND c.sfid = m.sfid AND NOT c.settled
    JOIN LATERAL (VALUES %[2]s) AS f (name, remote, own, short) ON f.name = c.field
    WHERE m.kind IN %[3]s AND m.verdict IN ('update', 'same') AND %[4]s
),
refuted AS (
    DELETE FROM hcbridge.conflict AS c USING answered AS a WHERE c.id = a.id AND a.theirs AND a.taken
),
settled AS (
    UPDATE hcbridge.conflict AS c SET settled = true, chosen = CASE WHEN a.theirs THEN 'salesforce' ELSE 'postgres' END
    FROM answered AS a WHERE c.id = a.id AND NOT (a.theirs AND a.taken)
    RETURNING 1
)`, t.ident(), pairs, reads, afterMarks)
}

// pairs are the columns that an app may have changed, each with the record's
// value and the row's, and the record's stamp. Of an id, which an app may write
// without the last three of its 18 characters, the row's value is the record's where
// both name one record, and what names it follows.
func (t *Table) pairs(columns []int) (pairs, stamp string) {
	stamp = "NULL::timestamp"
	var all []string
	for _, i := range columns {
		if i == t.stamp {
			stamp = fmt.Sprintf("m.v%d", i)
		}
		if !t.editable(i) {
			continue
		}
		remote, own, short := asLogged(fmt.Sprintf("m.v%d", i)), asLogged("r."+quote(t.Columns[i].Name)), "NULL"
		if t.Columns[i].kind == kindID {
			remote, own = fmt.Sprintf("m.v%d::text", i), "r."+quote(t.Columns[i].Name)+"::text"
			short = fmt.Sprintf("left(%s, 15)", remote)
			own = fmt.Sprintf("CASE WHEN left(%[1]s, 15) = %[2]s THEN %[3]s ELSE %[1]s END", own, short, remote)
		}
		all = append(all, fmt.Sprintf("(%s, %s, %s, %s)", literal(t.Columns[i].Name), remote, own, short))
	}
	return strings.Join(all, ", "), stamp
}

// editable reports whether an app's change of column i can be one of the record: what is
// never sent is in nobody's way.
func (t *Table) editable(i int) bool { return i != t.stamp && i != t.deleted && !t.Columns[i].fixed }

// edited is the array of the columns that an app may have changed.
func (t *Table) edited() string {
	var names []string
	for i, c := range t.Columns {
		if t.editable(i) {
			names = append(names, literal(c.Name))
		}
	}
	return "ARRAY[" + strings.Join(names, ", ") + "]::text[]"
}

// asLogged is the text that the trigger log has for a value: that of the type's
// output function, which for a boolean is not what a cast gives.
func asLogged(value string) string {
	return fmt.Sprintf("CASE WHEN %[1]s IS NOT NULL THEN format('%%s', %[1]s) END", value)
}

// contested is the condition under which a row shows a change of the app that
// Salesforce has taken, which was not read back yet, and a record says otherwise:
// one of before that change, which must not show for a moment, or what Salesforce
// made of it. Only reading tells.
func (t *Table) contested(columns []int) string {
	var differs []string
	for _, i := range columns {
		if i != t.stamp && i != t.deleted {
			differs = append(differs, fmt.Sprintf(`r.%s IS DISTINCT FROM n.v%d AND position(%s IN l."values") > 0`,
				quote(t.Columns[i].Name), i, literal(`"`+t.Columns[i].Name+`"=>`)))
		}
	}
	if len(differs) == 0 {
		return "false"
	}
	return fmt.Sprintf(`n.kind NOT IN %s AND r._hc_lastop = 'UPDATED' AND EXISTS (
                SELECT FROM %s AS l
                WHERE l.table_name = %s AND l.record_id = r.id AND l.action = 'UPDATE' AND l.processed_at > now() - %s
                    AND (%s))`, reads, quote(t.Schema, "_trigger_log_archive"), literal(t.Name), recently, strings.Join(differs, "\n                        OR "))
}

// Expedite makes the marks of records due whose row waited for a change of the
// app, in the transaction that writes down what became of it. Ids have 18
// characters.
func (s *Sink) Expedite(ctx context.Context, tx pgx.Tx, object string, sfids []string) error {
	if _, err := tx.Exec(ctx, expediteSQL, s.schema, object, sfids); err != nil {
		return fmt.Errorf("pgsink: hurry marks of %s: %w", object, err)
	}
	return nil
}

// ForgetConflicts removes conflicts that are older than 31 days.
func (s *Sink) ForgetConflicts(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, forgetConflictsSQL, s.schema); err != nil {
		return fmt.Errorf("pgsink: old conflicts: %w", err)
	}
	return nil
}
