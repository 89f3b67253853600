package pgsink

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/reappeared.sql
var reappearedSQL string

// visibleSQL takes back what is noted of records that were seen, or are known to be
// deleted.
const visibleSQL = `DELETE FROM hcbridge.invisible WHERE schema = $1 AND object = $2 AND sfid = ANY ($3::text[])`

// Invisible is the rows of an object whose record Salesforce neither shows nor
// calls deleted.
type Invisible struct {
	Total     int64
	Confirmed int64 // asked for again, an hour or more later, with the same answer
}

// NoteInvisible notes that at now, Salesforce's clock, records were asked for
// by id and neither found nor known to be deleted.
func (s *Sink) NoteInvisible(ctx context.Context, object string, sfids []string, now time.Time) error {
	if len(sfids) == 0 {
		return nil
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO hcbridge.invisible AS i (schema, object, sfid, since, until)
		SELECT $1, $2, u.sfid, $4, $4 FROM unnest($3::text[]) AS u (sfid)
		ON CONFLICT (schema, object, sfid) DO UPDATE SET until = greatest(i.until, excluded.until)`, s.schema, object, sfids, now)
	if err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", object, err)
	}
	return nil
}

// Invisible counts the rows that are noted.
func (s *Sink) Invisible(ctx context.Context, t *Table) (in Invisible, err error) {
	err = s.ask(ctx, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&in.Total, &in.Confirmed}, func() error { return nil })
		return err
	}, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE i.until >= i.since + interval '1 hour')
		FROM hcbridge.invisible AS i JOIN %s AS t ON t.sfid = %s
		WHERE i.schema = $1 AND i.object = $2`, t.ident(), t.as("i.sfid")), s.schema, t.Object)
	if err != nil {
		return in, fmt.Errorf("pgsink: invisible records of %s: %w", t.Object, err)
	}
	return in, nil
}

// Unseen returns up to limit ids of the rows with stamps from from on and before to
// that are not among seen.
func (s *Sink) Unseen(ctx context.Context, t *Table, from, to time.Time, seen map[string]bool, limit int) (ids []string, err error) {
	if limit <= 0 || !from.Before(to) {
		return nil, nil
	}
	stamp := quote(t.Columns[t.stamp].Name)
	ids, err = s.askIDs(ctx, fmt.Sprintf("SELECT sfid::text FROM %[1]s WHERE %[2]s >= $1 AND %[2]s < $2 AND sfid IS NOT NULL LIMIT $3", t.ident(), stamp), from.UTC(), to.UTC(), limit+len(seen))
	if err != nil {
		return nil, fmt.Errorf("pgsink: unseen records of %s: %w", t.Object, err)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return seen[id] })
	return ids[:min(limit, len(ids))], nil
}

// Visible takes back what was noted of records that were read just now.
func (s *Sink) Visible(ctx context.Context, object string, sfids []string) error {
	if len(sfids) == 0 {
		return nil
	}
	if _, err := s.pool.Exec(ctx, visibleSQL, s.schema, object, sfids); err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", object, err)
	}
	return nil
}

// AskAgain marks up to limit of the rows that are noted and were not asked for since
// before, Salesforce's clock, those first that have waited longest: that a record is
// shared again has no event and no stamp.
func (s *Sink) AskAgain(ctx context.Context, t *Table, before time.Time, limit int) error {
	err := s.ask(ctx, nil, fmt.Sprintf(`INSERT INTO hcbridge.mark (schema, object, sfid, reason)
		SELECT $1, $2, i.sfid, 'invisible' FROM (
			SELECT i.sfid FROM hcbridge.invisible AS i JOIN %s AS t ON t.sfid = %s
			WHERE i.schema = $1 AND i.object = $2 AND i.until < $3 ORDER BY i.until, i.sfid LIMIT $4) AS i
		ORDER BY i.sfid
		ON CONFLICT DO NOTHING`, t.ident(), t.as("i.sfid")), s.schema, t.Object, before, limit)
	if err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", t.Object, err)
	}
	return nil
}

// Reappeared marks those of some records, which have been seen just now, that
// were noted as invisible, and takes the note back. Ids may have 15 or 18
// characters.
func (s *Sink) Reappeared(ctx context.Context, object string, ids []string) error {
	full := make([]string, 0, len(ids))
	for _, id := range ids {
		if c, ok := canonID(id); ok {
			full = append(full, c)
		}
	}
	if _, err := s.pool.Exec(ctx, reappearedSQL, s.schema, object, full); err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", object, err)
	}
	return nil
}

// Reappeared does the same for all records that a comparison has seen, and takes
// back what was noted of rows that are gone.
func (c *Comparison) Reappeared(ctx context.Context) error {
	rows, err := c.sink.pool.Query(ctx, `SELECT i.sfid::text FROM hcbridge.invisible AS i
		JOIN hcbridge.seen AS s ON s.run = $1 AND s.sfid = i.sfid
		WHERE i.schema = $2 AND i.object = $3`, c.run, c.sink.schema, c.table.Object)
	if err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", c.table.Object, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", c.table.Object, err)
	}
	if len(ids) > 0 {
		if err := c.sink.Reappeared(ctx, c.table.Object, ids); err != nil {
			return err
		}
	}
	err = c.sink.ask(ctx, nil, fmt.Sprintf(`DELETE FROM hcbridge.invisible AS i
		WHERE i.schema = $1 AND i.object = $2 AND NOT EXISTS (SELECT FROM %s AS t WHERE t.sfid = %s)`,
		c.table.ident(), c.table.as("i.sfid")), c.sink.schema, c.table.Object)
	if err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", c.table.Object, err)
	}
	return nil
}
