package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/compare"
	"hcbridge/test/org/sobject"
	"hcbridge/test/org/truth"
)

// sides are I1, I4, I5 and I14 as far as the two sides differ.
func (l *look) sides(ctx context.Context) error {
	for _, object := range l.Objects {
		refused, err := l.ids(ctx, "SELECT sfid::text FROM hcbridge.read_error WHERE schema = $1 AND object = $2", l.Schema, object)
		if err != nil {
			return err
		}
		unsent, err := l.unsent(ctx, object)
		if err != nil {
			return err
		}
		differences, err := compare.Differences(ctx, l.Pool, l.Schema, l.org, object)
		if err != nil {
			return err
		}
		removed := map[string]bool{} // by anybody in the org
		for _, c := range l.org.Changes {
			if c.Object.Name == object && (c.Kind == sobject.Delete || c.Kind == sobject.Purge) {
				removed[c.ID()] = true
			}
		}
		for _, d := range differences {
			switch {
			case refused[d.ID] && d.ID != "":
				// Postgres would not take it, and that is written down.
			case d.Kind == compare.Double:
				l.add("I4", object, d.ID, "%s", d.Text)
			case d.Kind == compare.Absent:
				l.add("I5", object, d.ID, "%s", d.Text)
			case d.Kind == compare.Extra && !removed[d.ID]:
				l.add("I1", object, d.ID, "%s and never had one", d.Text)
			case d.Kind == compare.Unsent && unsent > 0:
				unsent-- // refused, and that is written down
			default:
				l.add("I1", object, d.ID, "%s", d.Text)
			}
		}
	}
	return nil
}

// unsent counts the rows without sfid whose insert has failed.
func (l *look) unsent(ctx context.Context, object string) (n int, err error) {
	err = l.Pool.QueryRow(ctx, "SELECT count(*) FROM "+l.table(object)+" AS r WHERE sfid IS NULL AND EXISTS (SELECT FROM "+l.table("_trigger_log")+
		" WHERE table_name = $1 AND record_id = r.id AND action = 'INSERT' AND state IN ('FAILED', 'IGNORED'))", strings.ToLower(object)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("rows of %s that were refused: %w", object, err)
	}
	return n, nil
}

// doubles is I4.
func (l *look) doubles(ctx context.Context) error {
	for _, object := range l.Objects {
		columns := []string{"sfid"}
		for _, f := range l.org.Object(object).Fields {
			if f.ExternalID && f.Unique {
				columns = append(columns, strings.ToLower(f.Name))
			}
		}
		for _, column := range columns {
			var has bool
			err := l.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2 AND NOT attisdropped)", l.table(object), column).Scan(&has)
			if err != nil {
				return fmt.Errorf("columns of %s: %w", object, err)
			}
			if !has {
				continue
			}
			name := pgx.Identifier{column}.Sanitize()
			twice, err := l.ids(ctx, "SELECT "+name+"::text FROM "+l.table(object)+" WHERE "+name+" IS NOT NULL GROUP BY "+name+" HAVING count(*) > 1")
			if err != nil {
				return err
			}
			for id := range twice {
				l.add("I4", object, id, "more than one row has this %s", column)
			}
		}
	}
	return nil
}

// ids runs a query that answers one text a row.
func (l *look) ids(ctx context.Context, sql string, args ...any) (map[string]bool, error) {
	rows, err := l.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	found := map[string]bool{}
	var id string
	if _, err = pgx.ForEachRow(rows, []any{&id}, func() error { found[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return found, nil
}

// Cut is I13. It is asked while no bridge runs and nothing is converged: each
// change whose event the position of its topic has passed must be in its row, or be
// marked, or be overtaken by a change of the row that waits to be sent.
func (c *Checker) Cut(ctx context.Context) ([]Violation, error) {
	org, err := c.Org.Truth(ctx, c.Objects)
	if err != nil {
		return nil, err
	}
	l := &look{Checker: c, org: org}
	for _, object := range c.Objects {
		var position int64
		err := c.Pool.QueryRow(ctx, `SELECT COALESCE(max(p.replay_id), 0) FROM hcbridge.position AS p JOIN hcbridge.object AS o USING (schema)
			WHERE p.schema = $1 AND o.object = $2 AND o.loaded_at IS NOT NULL AND lower(p.channel) = lower($3)`, c.Schema, object, "/topic/hc_"+object).Scan(&position)
		if err != nil {
			return nil, fmt.Errorf("position of %s: %w", object, err)
		}
		last := map[string]truth.Change{}
		for _, change := range org.Changes {
			if change.Object.Name == object && change.Replay > 0 && change.Replay <= position {
				last[change.ID()] = change
			}
		}
		if len(last) == 0 {
			continue
		}
		safe, err := l.ids(ctx, `SELECT sfid::text FROM hcbridge.mark WHERE schema = $1 AND object = $2
			UNION SELECT sfid::text FROM hcbridge.read_error WHERE schema = $1 AND object = $2`, c.Schema, object)
		if err != nil {
			return nil, err
		}
		stamps, err := l.stamps(ctx, object)
		if err != nil {
			return nil, err
		}
		for id, change := range last {
			stamp, there := stamps[id]
			gone := change.Kind == sobject.Delete || change.Kind == sobject.Purge
			now, alive := org.Get(object, id)
			switch {
			case safe[id]:
			case gone && there && (!alive || now.Deleted):
				l.add("I13", object, id, "the position is %d, and its deletion at %d is not in Postgres", position, change.Replay)
			case !gone && alive && !now.Deleted && (!there || stamp.Before(change.At.Truncate(time.Second))) && !c.answered(ctx, object, id):
				l.add("I13", object, id, "the position is %d, and its change at %d is not in Postgres", position, change.Replay)
			}
		}
	}
	return unique(l.found), nil
}

// answered reports whether a write of the record is open: the event was its echo,
// and its answer, or the row's own change, is what Postgres waits for.
func (c *Checker) answered(ctx context.Context, object, id string) (open bool) {
	err := c.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+c.table("_trigger_log")+" WHERE table_name = $1 AND state IN ('NEW', 'PENDING') AND (sfid = $2 OR action = 'INSERT'))", strings.ToLower(object), id).Scan(&open)
	return err == nil && open
}

func (l *look) stamps(ctx context.Context, object string) (map[string]time.Time, error) {
	rows, err := l.Pool.Query(ctx, "SELECT sfid::text, COALESCE(systemmodstamp, '-infinity') AT TIME ZONE 'UTC' FROM "+l.table(object)+" WHERE sfid IS NOT NULL AND systemmodstamp IS NOT NULL")
	if err != nil {
		return nil, fmt.Errorf("stamps of %s: %w", object, err)
	}
	stamps := map[string]time.Time{}
	var id string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { stamps[id] = at; return nil }); err != nil {
		return nil, fmt.Errorf("stamps of %s: %w", object, err)
	}
	return stamps, nil
}
