package pgsink

import (
	"context"
	"fmt"
	"time"
)

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
	err = s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE i.until >= i.since + interval '1 hour')
		FROM hcbridge.invisible AS i JOIN %s AS t ON t.sfid = i.sfid
		WHERE i.schema = $1 AND i.object = $2`, t.ident()), s.schema, t.Object).Scan(&in.Total, &in.Confirmed)
	if err != nil {
		return in, fmt.Errorf("pgsink: invisible records of %s: %w", t.Object, err)
	}
	return in, nil
}

// Reappeared takes back what was noted of the records that a comparison has
// seen, and of rows that are gone.
func (c *Comparison) Reappeared(ctx context.Context) error {
	_, err := c.sink.pool.Exec(ctx, fmt.Sprintf(`DELETE FROM hcbridge.invisible AS i
		WHERE i.schema = $2 AND i.object = $3 AND (
			EXISTS (SELECT FROM hcbridge.seen AS s WHERE s.run = $1 AND s.sfid = i.sfid)
			OR NOT EXISTS (SELECT FROM %s AS t WHERE t.sfid = i.sfid))`, c.table.ident()), c.run, c.sink.schema, c.table.Object)
	if err != nil {
		return fmt.Errorf("pgsink: invisible records of %s: %w", c.table.Object, err)
	}
	return nil
}
