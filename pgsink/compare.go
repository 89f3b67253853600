package pgsink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/pgstats"
)

// compareBatch is how many records one statement compares.
const compareBatch = 2000

// DiffKind says how a record and its row disagree.
type DiffKind string

// The ways to disagree.
const (
	DiffNoRow    DiffKind = "no_row"    // the record has no row
	DiffNoRecord DiffKind = "no_record" // the row has no record that can be seen
	DiffUnsent   DiffKind = "unsent"    // the row was made by the app and never reached Salesforce
	DiffValues   DiffKind = "values"    // both are there and hold other values
	DiffRefused  DiffKind = "refused"   // a value that the column cannot hold
)

// Difference is one record or row that the other side does not match.
type Difference struct {
	Kind   DiffKind
	SFID   string      // 18 characters; empty for DiffUnsent
	RowID  int64       // the row's own id; 0 if there is none
	Fields []FieldDiff // for DiffValues, in column order
}

// FieldDiff is one value that differs; nil is null.
type FieldDiff struct {
	Field      string // API name
	Salesforce *string
	Postgres   *string
}

// Comparison compares all records of an object with the rows of its table, in
// memory that does not grow with them: the records page by page, in any order,
// and then the rows that no record belonged to.
//
//	c := sink.Compare(ctx, table)
//	c.Rows(...), c.CSV(...)   every record once
//	c.Rest(...)               rows without a record
//	c.Close(...)
//
// Values are compared in canonical form and as the column's own type, so that
// exactly what a read would write is a difference. One goroutine uses it.
type Comparison struct {
	sink  *Sink
	table *Table
	run   int64
	sql   map[string]string
	noted int // ids, as seen
}

// Compare begins a comparison.
func (s *Sink) Compare(ctx context.Context, t *Table) (*Comparison, error) {
	c := &Comparison{sink: s, table: t, sql: map[string]string{}}
	err := s.pool.QueryRow(ctx, `WITH run AS (SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint AS id),
		left_over AS (DELETE FROM hcbridge.seen USING run WHERE seen.run < run.id - 86400 * 1e6)
		SELECT id FROM run`).Scan(&c.run)
	if err != nil {
		return nil, fmt.Errorf("pgsink: compare %s: %w", t.Object, err)
	}
	return c, nil
}

// Close forgets what the comparison has seen.
func (c *Comparison) Close(ctx context.Context) error {
	if _, err := c.sink.pool.Exec(ctx, `DELETE FROM hcbridge.seen WHERE run = $1`, c.run); err != nil {
		return fmt.Errorf("pgsink: compare %s: %w", c.table.Object, err)
	}
	return nil
}

// CSV compares the records of one Bulk result, which is read to its end but not
// closed, and calls fn with the differences. It returns the number of records.
func (c *Comparison) CSV(ctx context.Context, body io.Reader, fn func([]Difference) error) (n int64, err error) {
	chunks, err := c.table.Chunks(body, 0)
	if err != nil {
		return 0, err
	}
	var chunk Chunk
	var record csvRecord
	rows := make([]Row, 0, compareBatch)
	for end := false; !end; {
		err := chunks.Next(&chunk)
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return n, err
		}
		rows = rows[:0]
		for i := range chunk.records {
			row, err := chunk.row(&record, i)
			if err != nil {
				return n, err
			}
			rows = append(rows, row)
		}
		found, err := c.Rows(ctx, rows)
		n += chunk.Rows
		if err != nil {
			return n, err
		}
		if len(found) > 0 {
			if err := fn(found); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// Rows compares records, all decoded from the same fields; what they do not
// mention is not compared. Deleted ones count as not there.
func (c *Comparison) Rows(ctx context.Context, rows []Row) ([]Difference, error) {
	var differences []Difference
	live := make([]Row, 0, min(len(rows), compareBatch))
	for _, row := range rows {
		if row.Deleted {
			continue
		}
		if live = append(live, row); len(live) == compareBatch {
			found, err := c.batch(ctx, live)
			if err != nil {
				return nil, err
			}
			differences, live = append(differences, found...), live[:0]
		}
	}
	found, err := c.batch(ctx, live)
	return append(differences, found...), err
}

// batch compares some rows, by halves if a value among them cannot be read by
// its column's type.
func (c *Comparison) batch(ctx context.Context, rows []Row) ([]Difference, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	found, err := c.query(ctx, rows)
	if _, data := dataError(err); err == nil || !data {
		c.noted += len(rows)
		return found, err
	}
	if len(rows) == 1 {
		_, err := c.sink.pool.Exec(ctx, `INSERT INTO hcbridge.seen (run, sfid) VALUES ($1, $2) ON CONFLICT DO NOTHING`, c.run, rows[0].SFID)
		if err != nil {
			return nil, fmt.Errorf("pgsink: compare %s: %w", c.table.Object, err)
		}
		return []Difference{{Kind: DiffRefused, SFID: rows[0].SFID}}, nil
	}
	first, err := c.batch(ctx, rows[:len(rows)/2])
	if err != nil {
		return nil, err
	}
	second, err := c.batch(ctx, rows[len(rows)/2:])
	return append(first, second...), err
}

func (c *Comparison) query(ctx context.Context, rows []Row) ([]Difference, error) {
	columns := c.table.present(rows[0].Missing)
	sfids := make([]string, len(rows))
	values := make([][]*string, len(columns))
	for at := range columns {
		values[at] = make([]*string, len(rows))
	}
	for n, row := range rows {
		sfids[n] = row.SFID
		for at, i := range columns {
			values[at][n] = row.Values[i]
		}
	}
	args := []any{c.run, sfids}
	for _, column := range values {
		args = append(args, column)
	}
	var found []Difference
	err := pgx.BeginFunc(ctx, c.sink.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ownSQL); err != nil {
			return err
		}
		result, err := tx.Query(ctx, c.statement(columns), args...)
		if err != nil {
			return err
		}
		var ord, id int64
		var differs []bool
		var have []*string
		_, err = pgx.ForEachRow(result, []any{&ord, &id, &differs, &have}, func() error {
			row := rows[ord-1]
			d := Difference{Kind: DiffNoRow, SFID: row.SFID, RowID: id}
			if id != 0 {
				d.Kind = DiffValues
				for at, i := range columns {
					if differs[at] {
						d.Fields = append(d.Fields, FieldDiff{Field: c.table.Columns[i].Field, Salesforce: row.Values[i], Postgres: have[at]})
					}
				}
			}
			found = append(found, d)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgsink: compare %s: %w", c.table.Object, err)
	}
	return found, nil
}

// statement compares $2, ids, and one array per column with their rows, and
// notes the ids under run $1. Casts are those of the apply statement.
func (c *Comparison) statement(columns []int) string {
	key := fmt.Sprint(columns)
	if sql, ok := c.sql[key]; ok {
		return sql
	}
	t := c.table
	types := t.types()
	var casts, names, arrays, differ, texts []string
	for at, i := range columns {
		name := "r." + quote(t.Columns[i].Name)
		casts = append(casts, fmt.Sprintf(", u.v%d::%s AS v%d", i, castType(types[i]), i))
		names = append(names, fmt.Sprintf(", v%d", i))
		arrays = append(arrays, fmt.Sprintf(", $%d::text[]", 3+at))
		differ = append(differ, fmt.Sprintf("%s IS DISTINCT FROM n.v%d", name, i))
		texts = append(texts, name+"::text")
	}
	sql := fmt.Sprintf(`WITH n AS MATERIALIZED (
    SELECT u.ord, u.sfid::varchar AS sfid%s
    FROM unnest($2::text[]%s) WITH ORDINALITY AS u (sfid%s, ord)
),
seen AS (
    INSERT INTO hcbridge.seen (run, sfid) SELECT $1, n.sfid FROM n ON CONFLICT DO NOTHING
),
d AS MATERIALIZED (
    SELECT n.ord, coalesce(r.id, 0)::bigint AS id, ARRAY[%s]::boolean[] AS differs, ARRAY[%s]::text[] AS have
    FROM n LEFT JOIN %s AS r ON r.sfid = n.sfid
)
SELECT ord, id, differs, have FROM d WHERE id = 0 OR true = ANY (differs) ORDER BY ord`,
		strings.Join(casts, ""), strings.Join(arrays, ""), strings.Join(names, ""), strings.Join(differ, ", "), strings.Join(texts, ", "), t.ident())
	c.sql[key] = sql
	return sql
}

// Rest calls fn with the rows that belong to no record that was compared, those
// without a Salesforce id last, at most 2,000 at a time.
func (c *Comparison) Rest(ctx context.Context, fn func([]Difference) error) error {
	// Between two comparisons nothing is noted: each row would be compared with each id.
	pgstats.Correct(ctx, c.sink.pool, c.sink.log, "hcbridge.seen", c.noted)
	strays := fmt.Sprintf(`SELECT t.sfid::text, t.id FROM %s AS t
		WHERE t.sfid > $2 AND NOT EXISTS (SELECT FROM hcbridge.seen AS s WHERE s.run = $1 AND s.sfid = t.sfid COLLATE "C")
		ORDER BY t.sfid LIMIT %d`, c.table.ident(), compareBatch)
	unsent := fmt.Sprintf(`SELECT '', t.id FROM %s AS t
		WHERE t.sfid IS NULL AND $1::bigint IS NOT NULL AND t.id > $2::bigint ORDER BY t.id LIMIT %d`, c.table.ident(), compareBatch)
	if err := c.page(ctx, strays, DiffNoRecord, "", func(d Difference) any { return d.SFID }, fn); err != nil {
		return err
	}
	return c.page(ctx, unsent, DiffUnsent, int64(0), func(d Difference) any { return d.RowID }, fn)
}

func (c *Comparison) page(ctx context.Context, sql string, kind DiffKind, after any, key func(Difference) any, fn func([]Difference) error) error {
	for {
		var found []Difference
		err := c.sink.ask(ctx, func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Difference, error) {
				d := Difference{Kind: kind}
				err := row.Scan(&d.SFID, &d.RowID)
				return d, err
			})
			return err
		}, sql, c.run, after)
		if err != nil {
			return fmt.Errorf("pgsink: compare %s: %w", c.table.Object, err)
		}
		if len(found) > 0 {
			if err := fn(found); err != nil {
				return err
			}
			after = key(found[len(found)-1])
		}
		if len(found) < compareBatch {
			return nil
		}
	}
}
