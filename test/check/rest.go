package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// quiet is I8 as far as it is about time: for [Checker.Quiet], nothing is written
// on either side, and no more calls are made than polls need.
func (c *Checker) quiet(ctx context.Context) ([]Violation, error) {
	type counts struct {
		changes, calls int
		entries        int64
	}
	count := func() (n counts, err error) {
		org, err := c.Org.Truth(ctx, c.Objects)
		if err != nil {
			return n, err
		}
		n.changes = len(org.Changes)
		for kind, calls := range org.Calls {
			if kind != "cometd" {
				n.calls += calls
			}
		}
		err = c.Pool.QueryRow(ctx, "SELECT GREATEST((SELECT COALESCE(max(id), 0) FROM "+c.table("_trigger_log")+"), (SELECT COALESCE(max(id), 0) FROM "+c.table("_trigger_log_archive")+"))").Scan(&n.entries)
		if err != nil {
			return n, fmt.Errorf("the trigger log: %w", err)
		}
		return n, nil
	}
	before, err := count()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, c.Quiet); err != nil {
		return nil, err
	}
	after, err := count()
	if err != nil {
		return nil, err
	}
	var found []Violation
	for _, x := range []struct {
		what  string
		n     int
		bound int
	}{
		{"records were written in the org", after.changes - before.changes, 0},
		{"changes were captured", int(after.entries - before.entries), 0},
		{"API calls were made", after.calls - before.calls, c.QuietCalls},
	} {
		if x.n > x.bound {
			found = append(found, Violation{Invariant: "I8", Text: fmt.Sprintf("%d %s in %s in which nobody did anything", x.n, x.what, c.Quiet)})
		}
	}
	return found, nil
}

// secrets is I15.
func (l *look) secrets(ctx context.Context) error {
	if len(l.Secrets) == 0 {
		return nil
	}
	if l.Texts != nil {
		for name, text := range l.Texts() {
			for i, secret := range l.Secrets {
				if strings.Contains(text, secret) {
					l.add("I15", "", "", "secret %d is in %s", i+1, name)
				}
			}
		}
	}
	rows, err := l.Pool.Query(ctx, "SELECT schemaname::text, tablename::text FROM pg_tables WHERE schemaname IN ('hcbridge', $1)", l.Schema)
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	var tables [][]string
	var schema, table string
	if _, err := pgx.ForEachRow(rows, []any{&schema, &table}, func() error {
		tables = append(tables, []string{schema, table})
		return nil
	}); err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	for _, t := range tables {
		for i, secret := range l.Secrets {
			var has bool
			name := pgx.Identifier(t).Sanitize()
			if err := l.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+name+" AS t WHERE strpos(t::text, $1) > 0)", secret).Scan(&has); err != nil {
				return fmt.Errorf("secrets in %s: %w", name, err)
			}
			if has {
				l.add("I15", "", "", "secret %d is in table %s", i+1, name)
			}
		}
	}
	return nil
}
