package pgsink

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed sql/loaded.sql
var loadedSQL string

// Page says which part of a Bulk query's result a stream is.
type Page struct {
	Job         string // query job
	NextLocator string // where the next page begins; empty after the last
	Last        bool   // the load is complete with this page
}

// codeUntranslatable is the SQLSTATE that Postgres gives U+0000 and what is no
// UTF-8. COPY would refuse the whole page for it.
const codeUntranslatable = "22021"

// LoadPage merges one page of Bulk CSV into the table and moves the load's
// state in the same transaction, so that a load goes on after a crash where it
// stopped. It returns the number of records in the page.
//
// A record is written where it is new or newer than its row. With equal stamps
// and other values it is written if the load began a minute or more after that
// stamp (object state LoadStarted), and else marked. Rows with unsent changes
// are held, and refused records parked, as in Apply. Records with IsDeleted
// are passed over. Rows that the load does not mention are not touched, so
// deletes since the load began must be looked for afterwards.
//
// Memory is constant: the page goes through a temporary table. The stream is
// read to its end but not closed. On error nothing is written, and the page can
// be loaded again.
func (s *Sink) LoadPage(ctx context.Context, t *Table, csv io.Reader, page Page) (int64, error) {
	in := newCSVReader(csv)
	header, err := in.Read()
	if err != nil {
		return 0, fmt.Errorf("pgsink: load page of %s: header: %w", t.Object, err)
	}
	decoder, err := t.CSV(header)
	if err != nil {
		return 0, err
	}
	body := &copyStream{in: in, csv: decoder, columns: t.present(decoder.missing)}
	err = s.Tx(ctx, func(tx pgx.Tx) error { return s.loadPage(ctx, tx, t, body, page) })
	if err != nil {
		return 0, fmt.Errorf("pgsink: load page of %s: %w", t.Object, err)
	}
	return body.rows, nil
}

func (s *Sink) loadPage(ctx context.Context, tx pgx.Tx, t *Table, body *copyStream, page Page) error {
	if _, err := tx.Exec(ctx, createTempSQL(body.columns)); err != nil {
		return fmt.Errorf("temporary table: %w", err)
	}
	_, err := tx.Conn().PgConn().CopyFrom(ctx, body, "COPY pg_temp."+quote(tempTable)+" FROM STDIN")
	if err = errors.Join(body.err, err); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	for _, sfid := range body.refused {
		refusal := &pgconn.PgError{Code: codeUntranslatable, Message: "invalid byte sequence for encoding UTF8"}
		if err := s.park(ctx, tx, &tempSet{table: t, sfid: sfid}, refusal); err != nil {
			return err
		}
	}
	res := Result{Parked: len(body.refused)}
	if body.copied > 0 {
		found, err := s.merge(ctx, tx, &tempSet{table: t, columns: body.columns, first: 1, last: body.copied})
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		res.add(found)
	}
	if _, err := tx.Exec(ctx, loadedSQL, s.schema, t.Object, body.rows, page.Job, page.NextLocator, page.Last); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if page.Last {
		s.analyze(ctx, tx, t)
	}
	s.log.Debug().Str("event", "page_loaded").Str("object", t.Object).Int64("rows", body.rows).
		Int("inserted", res.Inserted).Int("updated", res.Updated).Int("held", res.Held).Int("parked", res.Parked).
		Msg("a page of the load is merged")
	return nil
}

// analyze tells Postgres that the table has grown, so that plans made when it
// was empty are not kept until autovacuum comes by. It is a courtesy: whatever
// goes wrong is undone and passed over.
func (s *Sink) analyze(ctx context.Context, tx pgx.Tx, t *Table) {
	err := pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) error {
		_, err := sub.Exec(ctx, "ANALYZE "+t.ident())
		return err
	})
	if err != nil {
		s.log.Debug().Str("event", "analyze_skipped").Str("object", t.Object).Err(err).Msg("statistics are left to autovacuum")
	}
}

// merge applies the page, again if it lost a deadlock: the stream cannot be
// read twice, but the temporary table can.
func (s *Sink) merge(ctx context.Context, tx pgx.Tx, records set) (Result, error) {
	if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return Result{}, err
	}
	wait := firstWait
	for attempt := 1; ; attempt++ {
		var res Result
		err := pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) (err error) {
			res, err = s.isolate(ctx, sub, records)
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

// copyStream turns decoded CSV rows into COPY's text format as they are asked
// for (PostgreSQL documentation, COPY, "Text Format").
type copyStream struct {
	in      *csvReader
	csv     *CSV
	columns []int

	buf     []byte
	off     int
	rows    int64    // records in the page
	copied  int64    // records copied, numbered from 1
	refused []string // ids of records that no COPY can carry
	err     error    // why the stream ended too early
}

// Read fills p with whole or partial lines.
func (c *copyStream) Read(p []byte) (int, error) {
	for c.off == len(c.buf) {
		if err := c.next(); err != nil {
			if !errors.Is(err, io.EOF) || errors.Is(err, errCSV) {
				c.err = err
			}
			return 0, err
		}
	}
	n := copy(p, c.buf[c.off:])
	c.off += n
	return n, nil
}

// next encodes records until the buffer is worth sending.
func (c *copyStream) next() error {
	const worthSending = 32 << 10
	c.buf, c.off = c.buf[:0], 0
	for len(c.buf) < worthSending {
		record, err := c.in.Read()
		if err != nil {
			if errors.Is(err, io.EOF) && len(c.buf) > 0 {
				return nil
			}
			return err
		}
		row, err := c.csv.Decode(record)
		if err != nil {
			return err
		}
		c.rows++
		if row.Deleted {
			continue
		}
		if !c.encodable(row) {
			c.refused = append(c.refused, row.SFID)
			continue
		}
		c.copied++
		c.encode(row)
	}
	return nil
}

func (c *copyStream) encodable(row Row) bool {
	for _, i := range c.columns {
		if v := row.Values[i]; v != nil && (strings.IndexByte(*v, 0) >= 0 || !utf8.ValidString(*v)) {
			return false
		}
	}
	return true
}

func (c *copyStream) encode(row Row) {
	c.buf = fmt.Appendf(c.buf, "%d\t%s", c.copied, row.SFID)
	for _, i := range c.columns {
		v := row.Values[i]
		if v == nil {
			c.buf = append(c.buf, "\t\\N"...)
			continue
		}
		c.buf = append(c.buf, '\t')
		for j := range len(*v) {
			switch b := (*v)[j]; b {
			case '\\':
				c.buf = append(c.buf, '\\', '\\')
			case '\n':
				c.buf = append(c.buf, '\\', 'n')
			case '\r':
				c.buf = append(c.buf, '\\', 'r')
			case '\t':
				c.buf = append(c.buf, '\\', 't')
			default:
				c.buf = append(c.buf, b)
			}
		}
	}
	c.buf = append(c.buf, '\n')
}

// tempSet is a run of the records in the temporary table.
type tempSet struct {
	table       *Table
	columns     []int
	first, last int64
	sfid        string // set for a record that is not in the table
}

func (r *tempSet) object() string { return r.table.Object }

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

func (r *tempSet) only(ctx context.Context, tx pgx.Tx) (sfid string, values []*string, err error) {
	if r.sfid != "" {
		return r.sfid, nil, nil
	}
	names := make([]string, len(r.columns))
	for at, i := range r.columns {
		names[at] = fmt.Sprintf("v%d", i)
	}
	sql := fmt.Sprintf("SELECT sfid, ARRAY[%s] FROM pg_temp.%s WHERE ord = $1", strings.Join(names, ", "), quote(tempTable))
	err = tx.QueryRow(ctx, sql, r.first).Scan(&sfid, &values)
	return sfid, values, err
}
