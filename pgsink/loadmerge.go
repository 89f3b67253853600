package pgsink

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// codeInvalidText is the SQLSTATE that Postgres gives U+0000 and what is no UTF-8. COPY
// would refuse all records for it.
const codeInvalidText = "22021"

// mergeRecords writes records of a chunk where they are new or newer, by way
// of a temporary table.
func (s *Sink) mergeRecords(ctx context.Context, tx pgx.Tx, c *Chunk, records []int) (Result, error) {
	columns := c.Table.present(c.csv.missing)
	if _, err := tx.Exec(ctx, createTempSQL(columns)); err != nil {
		return Result{}, fmt.Errorf("temporary table: %w", err)
	}
	last, res, err := s.copyTemp(ctx, tx, c, records, 0)
	if err != nil || last == 0 {
		return res, err
	}
	found, err := s.merge(ctx, tx, &tempSet{table: c.Table, columns: columns, first: 1, last: last})
	if err != nil {
		return Result{}, fmt.Errorf("merge: %w", err)
	}
	res.Add(found)
	return res, nil
}

// copyTemp copies records into the temporary table, numbered from last+1, and parks
// those that no COPY can carry, or for which the database's encoding has no characters:
// these it finds by halving. It returns the last number that it gave.
func (s *Sink) copyTemp(ctx context.Context, tx pgx.Tx, c *Chunk, records []int, last int64) (int64, Result, error) {
	body, err := c.text(records, last)
	if err != nil {
		return last, Result{}, err
	}
	if body.last > last {
		err = pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) error {
			_, err := sub.Conn().PgConn().CopyFrom(ctx, &body.lines, "COPY pg_temp."+quote(tempTable)+" FROM STDIN")
			return err
		})
	}
	pg, refused := dataError(err)
	switch {
	case err != nil && !refused:
		return last, Result{}, fmt.Errorf("copy to the temporary table: %w", err)
	case refused && len(records) > 1:
		last, res, err := s.copyTemp(ctx, tx, c, records[:len(records)/2], last)
		if err != nil {
			return last, Result{}, err
		}
		last, more, err := s.copyTemp(ctx, tx, c, records[len(records)/2:], last)
		res.Add(more)
		return last, res, err
	case refused:
		return last, Result{Parked: 1}, s.park(ctx, tx, c.Table.Object, c.ids[records[0]], pg.Code, redact(pg, nil))
	}
	for _, sfid := range body.refused {
		if err := s.park(ctx, tx, c.Table.Object, sfid, codeInvalidText, "invalid byte sequence for encoding UTF8"); err != nil {
			return last, Result{}, err
		}
	}
	return body.last, Result{Parked: len(body.refused)}, nil
}

// merge applies what is in the temporary table, again if it lost a deadlock.
func (s *Sink) merge(ctx context.Context, tx pgx.Tx, records set) (Result, error) {
	wait := firstWait
	for attempt := 1; ; attempt++ {
		var res Result
		err := pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) (err error) {
			res, err = s.apart(ctx, sub, records)
			return err
		})
		if err == nil || !isConflict(err) || attempt == maxAttempts {
			return res, err
		}
		if err := sleep(ctx, wait); err != nil {
			return Result{}, err
		}
		wait *= 2
	}
}

// createTempSQL makes the table that the page goes through. Its columns are
// text: a value that its type refuses must be found, not stop the COPY.
func createTempSQL(columns []int) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "CREATE TEMPORARY TABLE %s (ord bigint, sfid text", quote(tempTable))
	for _, i := range columns {
		fmt.Fprintf(b, ", v%d text", i)
	}
	b.WriteString(") ON COMMIT DROP")
	return b.String()
}

// copyText is records in COPY's text format (PostgreSQL documentation, COPY,
// "Text Format").
type copyText struct {
	lines   bytes.Buffer
	columns []int
	last    int64    // the number of the last record
	refused []string // ids of records that no COPY can carry
}

// text decodes records of the chunk and numbers them from last+1.
func (c *Chunk) text(records []int, last int64) (*copyText, error) {
	to := &copyText{columns: c.Table.present(c.csv.missing), last: last}
	var record csvRecord
	for _, i := range records {
		row, err := c.row(&record, i)
		if err != nil {
			return nil, err
		}
		to.add(row)
	}
	return to, nil
}

// row decodes record i by means of record.
func (c *Chunk) row(record *csvRecord, i int) (Row, error) {
	if _, err := record.scan(c.raw[c.records[i].from:c.records[i].to], true); err != nil {
		return Row{}, err
	}
	return c.csv.Decode(record.values)
}

func (c *copyText) add(row Row) {
	for _, i := range c.columns {
		if v := row.Values[i]; v != nil && (strings.IndexByte(*v, 0) >= 0 || !utf8.ValidString(*v)) {
			c.refused = append(c.refused, row.SFID)
			return
		}
	}
	c.last++
	line := fmt.Appendf(c.lines.AvailableBuffer(), "%d\t%s", c.last, row.SFID)
	for _, i := range c.columns {
		line = append(line, '\t')
		if v := row.Values[i]; v != nil {
			line = appendEscaped(line, *v)
		} else {
			line = append(line, `\N`...)
		}
	}
	c.lines.Write(append(line, '\n'))
}

func appendEscaped(to []byte, value string) []byte {
	for {
		i := strings.IndexAny(value, "\\\n\r\t")
		if i < 0 {
			return append(to, value...)
		}
		to = append(append(to, value[:i]...), '\\', map[byte]byte{'\\': '\\', '\n': 'n', '\r': 'r', '\t': 't'}[value[i]])
		value = value[i+1:]
	}
}

// tempSet is a run of the records in the temporary table.
type tempSet struct {
	table       *Table
	columns     []int
	first, last int64
}

func (r *tempSet) of() *Table { return r.table }

func (r *tempSet) size() int { return int(r.last - r.first + 1) }

func (r *tempSet) halves() (set, set) {
	first, second := *r, *r
	first.last = (r.first + r.last) / 2
	second.first = first.last + 1
	return &first, &second
}

func (r *tempSet) statement() (string, []any) {
	return r.table.applySQL(r.columns, fromTemp),
		[]any{r.table.Schema, r.table.Object, r.first, r.last}
}

func (r *tempSet) ids(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, "SELECT sfid FROM pg_temp."+quote(tempTable)+" WHERE ord BETWEEN $1 AND $2", r.first, r.last)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (r *tempSet) only(ctx context.Context, tx pgx.Tx) (sfid string, values []*string, err error) {
	names := make([]string, len(r.columns))
	for at, i := range r.columns {
		names[at] = fmt.Sprintf("v%d", i)
	}
	sql := fmt.Sprintf("SELECT sfid, ARRAY[%s] FROM pg_temp.%s WHERE ord = $1", strings.Join(names, ", "), quote(tempTable))
	err = tx.QueryRow(ctx, sql, r.first).Scan(&sfid, &values)
	return sfid, values, err
}
