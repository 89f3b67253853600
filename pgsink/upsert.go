package pgsink

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// upsertSQL writes events that are newer than their rows, and nothing else. It
// costs about half of applySQL, and nearly every event is of this kind. What it
// leaves out, applySQL decides: it is never wrong to leave a record out.
//
// Why no row is written over a change we do not know: ON CONFLICT locks the
// row's newest version, but subqueries see the statement's snapshot. So the row
// must be the version of that snapshot (xmin), which shows the log entries of
// that version. The lookups are scalar subqueries: an EXISTS might be answered
// by hashing the whole table.
//
// Parameters: from $first on ids, then one array per column.
func (t *Table) upsertSQL(columns []int, first int) string {
	types := t.types()
	stamp := quote(t.Columns[t.stamp].Name)
	var names, values, sets, params, aliases []string
	for at, i := range columns {
		name := quote(t.Columns[i].Name)
		names = append(names, name)
		values = append(values, fmt.Sprintf("u.v%d::%s", i, castType(types[i])))
		sets = append(sets, fmt.Sprintf("%s = excluded.%s", name, name))
		params = append(params, fmt.Sprintf("$%d::text[]", first+1+at))
		aliases = append(aliases, fmt.Sprintf("v%d", i))
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "INSERT INTO %s AS t (%s, sfid, _hc_lastop)\nSELECT %s, u.sfid, 'SYNCED'\nFROM unnest($%d::text[], %s) AS u (sfid, %s)",
		t.ident(), strings.Join(names, ", "), strings.Join(values, ", "), first, strings.Join(params, ", "), strings.Join(aliases, ", "))
	fmt.Fprintf(b, "\nWHERE %s\n    OR (SELECT true FROM %s AS r WHERE r.sfid = u.sfid)", strings.Join(t.unclear(columns), "\n    AND "), t.ident())
	fmt.Fprintf(b, "\nON CONFLICT (sfid) DO UPDATE\nSET %s, _hc_lastop = 'SYNCED', _hc_err = NULL\nWHERE (t.%s < excluded.%s OR t.%s IS NULL)",
		strings.Join(sets, ", "), stamp, stamp, stamp)
	if t.ReadWrite {
		fmt.Fprintf(b, `
    AND (t._hc_lastop IN ('UPDATED', 'FAILED')) IS NOT TRUE
    AND t.xmin = (SELECT r.xmin FROM %s AS r WHERE r.sfid = t.sfid)
    AND (SELECT l.id FROM %s AS l
        WHERE l.table_name = %s AND l.state IN ('NEW', 'PENDING') AND l.record_id = t.id
        LIMIT 1) IS NULL`,
			t.ident(), quote(t.Schema, "_trigger_log"), literal(t.Name))
	}
	b.WriteString("\nRETURNING t.sfid, t.xmax = 0 AS fresh")
	return b.String()
}

// aloneSQL is upsertSQL with all else that a transaction does when every record
// is written, so that a single event costs one round trip: it forgets that the
// records were refused once, and moves the positions. If a record is left out,
// they do not move, and the rows that are written are ahead of them.
//
// Parameters: those of positionSQL, $6 object, then those of upsertSQL.
func (t *Table) aloneSQL(columns []int) string {
	const first = 7
	position := strings.Replace(positionSQL, "ON CONFLICT", fmt.Sprintf("WHERE (SELECT count(*) FROM w) = cardinality($%d::text[])\nON CONFLICT", first), 1)
	return fmt.Sprintf(`WITH w AS (
%s
),
at AS (
%s
),
cleared AS (
    DELETE FROM hcbridge.read_error AS e
    WHERE e.schema = $1 AND e.object = $6::text AND e.sfid = ANY (ARRAY(SELECT w.sfid COLLATE "C" FROM w))
)
SELECT sfid, fresh FROM w`, t.upsertSQL(columns, first), position)
}

// unclear are the conditions under which a record without a row is certainly
// new: none that was deleted lately, nor one that the app has made or deleted.
func (t *Table) unclear(columns []int) []string {
	all := []string{goneSQL(literal(t.Schema), literal(t.Object), "u.sfid") + " IS NULL"}
	if t.ReadWrite {
		log, name := quote(t.Schema, "_trigger_log"), literal(t.Name)
		all = append(all, fmt.Sprintf(`NOT EXISTS (
        SELECT FROM %s AS l
        WHERE l.table_name = %s AND l.state = 'PENDING' AND l.action = 'INSERT')`, log, name),
			fmt.Sprintf(`(SELECT l.id FROM %s AS l
        WHERE l.table_name = %s AND l.state IN ('NEW', 'PENDING') AND l.action = 'DELETE' AND l.sfid = u.sfid
        LIMIT 1) IS NULL`, log, name))
	}
	for _, i := range columns {
		if i == t.external {
			all = append(all, fmt.Sprintf("(SELECT f.id FROM %s AS f WHERE f.sfid IS NULL AND f.%s = u.v%d::%s LIMIT 1) IS NULL",
				t.ident(), quote(t.Columns[i].Name), i, castType(t.types()[i])))
		}
	}
	return all
}

// upsert is the SQL of a group of events; its arguments are the arrays.
func (g *group) upsert() string {
	return g.table.text("upsert", g.columns, func() string { return g.table.upsertSQL(g.columns, 1) })
}

// onlyEvents reports whether the plan can be tried with upsertSQL.
func (p *plan) onlyEvents() bool {
	if len(p.groups) == 0 || len(p.done) > 0 {
		return false
	}
	for _, g := range p.groups {
		for i := range g.items {
			if g.items[i].kind != Event {
				return false
			}
		}
	}
	return true
}

// quickly applies a plan of events: first what is newer than its row, then, with
// the rules in full, the records that were not written.
func (s *Sink) quickly(ctx context.Context, p *plan) (Result, error) {
	if len(p.groups) == 1 && len(p.marks)+len(p.echoes) == 0 {
		return s.alone(ctx, p)
	}
	return s.together(ctx, p)
}

// alone applies events of one table, in one round trip and one implicit
// transaction if all are newer than their rows.
func (s *Sink) alone(ctx context.Context, p *plan) (Result, error) {
	g := p.groups[0]
	steps := []step{s.settings(quickSQL)}
	res, written := Result{}, make(map[string]bool, len(g.items))
	sql := g.table.text("alone", g.columns, func() string { return g.table.aloneSQL(g.columns) })
	steps = append(steps, step{
		sql: sql, args: slices.Concat(s.positionArgs(p.positions), []any{g.table.Object}, g.arrays()),
		read: func(rows pgx.Rows) error { return res.readUpsert(g.table.Object, rows, written) },
	})
	conn, err := s.acquire(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Release()
	if err := prepare(ctx, conn, []string{sql}); err != nil {
		return Result{}, err
	}
	if err := send(ctx, conn, steps); err != nil {
		return Result{}, err
	}
	if len(written) == len(g.items) {
		return res, nil
	}
	rest := *p
	rest.groups = []*group{g.without(written)}
	more, err := s.pipelined(ctx, &rest)
	res.Add(more)
	return res, err
}

// without are the items that are not written yet.
func (g *group) without(written map[string]bool) *group {
	rest := *g
	rest.items = make([]*item, 0, len(g.items)-len(written))
	for _, it := range g.items {
		if !written[it.row.SFID] {
			rest.items = append(rest.items, it)
		}
	}
	return &rest
}

// together applies events of several tables in two round trips.
func (s *Sink) together(ctx context.Context, p *plan) (Result, error) {
	res := Result{Marked: len(p.marks)}
	first := []step{{sql: "BEGIN"}, s.settings(quickSQL)}
	written := make([]map[string]bool, len(p.groups))
	for i, g := range p.groups {
		written[i] = make(map[string]bool, len(g.items))
		first = append(first, step{sql: g.upsert(), args: g.arrays(), read: func(rows pgx.Rows) error {
			return res.readUpsert(g.table.Object, rows, written[i])
		}})
	}
	conn, err := s.acquire(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Release()
	texts := make([]string, 0, 2*len(p.groups))
	for _, g := range p.groups {
		texts = append(texts, g.upsert(), g.text())
	}
	if err := prepare(ctx, conn, texts); err != nil {
		return Result{}, err
	}
	if err := send(ctx, conn, first); err != nil {
		rollback(ctx, conn)
		return Result{}, err
	}
	var second []step
	for i, g := range p.groups {
		second = append(second, s.cleared(g, written[i]))
		if rest := g.without(written[i]); len(rest.items) > 0 {
			sql, args := rest.statement()
			second = append(second, step{sql: sql, args: args, read: func(rows pgx.Rows) error { return res.read(g.table, rows) }})
		}
	}
	if args := s.markArgs(p.marks); args != nil {
		second = append(second, step{sql: markSQL, args: args})
	}
	second = append(append(second, s.after(p)...), step{sql: "COMMIT"})
	if err := send(ctx, conn, second); err != nil {
		rollback(ctx, conn)
		return Result{}, err
	}
	return res, nil
}

// cleared forgets that records were refused once, now that they are written.
func (s *Sink) cleared(g *group, written map[string]bool) step {
	sfids := make([]string, 0, len(written))
	for _, it := range g.items {
		if written[it.row.SFID] {
			sfids = append(sfids, it.row.SFID)
		}
	}
	return step{sql: clearSQL, args: []any{s.schema, g.table.Object, sfids}}
}

// readUpsert adds up what upsertSQL wrote, and notes it.
func (r *Result) readUpsert(object string, rows pgx.Rows, written map[string]bool) error {
	var sfid string
	var fresh bool
	var w Written
	_, err := pgx.ForEachRow(rows, []any{&sfid, &fresh}, func() error {
		written[sfid] = true
		if fresh {
			w.Inserted++
		} else {
			w.Updated++
		}
		return nil
	})
	r.Inserted += w.Inserted
	r.Updated += w.Updated
	r.count(object, w)
	return err
}
