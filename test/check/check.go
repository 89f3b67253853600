package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/test/org/truth"
)

// Violation is one broken invariant.
type Violation struct {
	Invariant string // "I1" to "I15"
	Object    string // API name, "" where it is about none
	Record    string // sfid, or "row 7" of a row without one, "" where it is about none
	Text      string // a sentence
}

// String is all of it in a line.
func (v Violation) String() string {
	return strings.Join(slices.DeleteFunc([]string{v.Invariant, v.Object, v.Record, v.Text}, func(s string) bool { return s == "" }), " ")
}

// Org is the side of Salesforce: [Local] or [Remote].
type Org interface {
	Truth(ctx context.Context, objects []string) (*truth.Org, error)
}

// Local is an org in this process, whose history is that of l.
func Local(l *truth.Log) Org { return local{l} }

type local struct{ log *truth.Log }

func (l local) Truth(_ context.Context, objects []string) (*truth.Org, error) {
	return l.log.Snapshot(objects), nil
}

// Remote is the org of a cmd/orgsim at a base URL. Its history begins with the
// first question, so ask once before the bridge starts.
func Remote(base string) Org { return remote(base) }

type remote string

func (r remote) Truth(ctx context.Context, objects []string) (*truth.Org, error) {
	return truth.Get(ctx, string(r), objects)
}

// Checker knows both sides. Pool, Schema, Org and Objects are needed.
type Checker struct {
	Pool    *pgxpool.Pool // straight to the server
	Schema  string        // of the mapped tables
	Org     Org
	Objects []string // API names of the mapped objects
	App     *App     // who alone writes to the tables beside the bridge; nil = nobody does
	Samples *Samples // nil = I9, I11, I12 are not looked at

	// Quiet is how long nothing may happen once all is equal; 0 = not looked at.
	// QuietCalls is how many API calls polls may cost meanwhile.
	Quiet      time.Duration
	QuietCalls int

	// Secrets must be in none of the texts that Texts returns by name (logs,
	// metrics), nor in a table.
	Secrets []string
	Texts   func() map[string]string
}

// look is what is known at one moment.
type look struct {
	*Checker
	org   *truth.Org
	rows  map[string]map[int64]row // object → id; ids and sfids of all rows
	found []Violation
}

type row struct{ sfid *string }

func (l *look) add(invariant, object, record, format string, args ...any) {
	l.found = append(l.found, Violation{invariant, object, record, fmt.Sprintf(format, args...)})
}

// Converged waits until both sides are at rest and nothing is violated, and
// returns what still is after within. Most violations go when what is under way
// has ended; those that last for ever, I3 and I7, it does not wait out.
func (c *Checker) Converged(ctx context.Context, within time.Duration) ([]Violation, error) {
	deadline := time.Now().Add(within)
	for {
		found, err := c.waiting(ctx)
		late := time.Now().After(deadline)
		if err == nil && (len(found) == 0 || late) {
			var all []Violation
			all, err = c.Look(ctx)
			found = append(found, all...)
			if err == nil && len(found) == 0 && c.Quiet > 0 {
				found, err = c.quiet(ctx)
			}
			if err == nil && len(found) == 0 {
				return nil, nil
			}
			late = late || slices.ContainsFunc(found, func(v Violation) bool { return v.Invariant == "I3" || v.Invariant == "I7" })
		}
		if late {
			return unique(found), err
		}
		if err := pause(ctx, 30*time.Millisecond); err != nil {
			return found, err
		}
	}
}

// pause waits, or returns why ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// unique leaves one of violations that say the same.
func unique(found []Violation) []Violation {
	slices.SortFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(len(a.Invariant), len(b.Invariant)), cmp.Compare(a.String(), b.String()))
	})
	return slices.Compact(found)
}

// waiting is the cheap part of I2: whether anything is under way.
func (c *Checker) waiting(ctx context.Context) ([]Violation, error) {
	var out, in int
	err := c.Pool.QueryRow(ctx, "SELECT (SELECT count(*) FROM "+c.table("_trigger_log")+" AS l WHERE state IN ('NEW', 'PENDING') AND NOT "+c.behind()+"), (SELECT count(*) FROM hcbridge.mark WHERE schema = $1)", c.Schema).Scan(&out, &in)
	if err != nil {
		return nil, fmt.Errorf("what waits: %w", err)
	}
	var found []Violation
	if out > 0 {
		found = append(found, Violation{Invariant: "I2", Text: fmt.Sprintf("%d writes wait", out)})
	}
	if in > 0 {
		found = append(found, Violation{Invariant: "I5", Text: fmt.Sprintf("%d records wait to be read", in)})
	}
	return found, nil
}

// Look checks everything that can be seen now.
func (c *Checker) Look(ctx context.Context) ([]Violation, error) {
	org, err := c.Org.Truth(ctx, c.Objects)
	if err != nil {
		return nil, err
	}
	l := &look{Checker: c, org: org, rows: map[string]map[int64]row{}}
	for _, object := range c.Objects {
		if l.rows[object], err = c.readRows(ctx, object); err != nil {
			return nil, err
		}
	}
	for _, part := range []func(context.Context) error{l.sides, l.doubles, l.log, l.outbound, l.deletions, l.secrets} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	if c.Samples != nil {
		l.found = append(l.found, c.Samples.violations()...)
	}
	return unique(l.found), nil
}

func (c *Checker) readRows(ctx context.Context, object string) (map[int64]row, error) {
	list, err := c.Pool.Query(ctx, "SELECT id::bigint, sfid::text FROM "+c.table(object))
	if err != nil {
		return nil, fmt.Errorf("rows of %s: %w", object, err)
	}
	rows := map[int64]row{}
	var id int64
	var sfid *string
	_, err = pgx.ForEachRow(list, []any{&id, &sfid}, func() error {
		rows[id] = row{sfid}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rows of %s: %w", object, err)
	}
	return rows, nil
}

// table is the quoted name of a table of the schema.
func (c *Checker) table(name string) string {
	return pgx.Identifier{c.Schema, strings.ToLower(name)}.Sanitize()
}

// objectOf is the object whose table is called name, "" if it is not mapped.
func (c *Checker) objectOf(name string) string {
	for _, o := range c.Objects {
		if strings.EqualFold(o, name) {
			return o
		}
	}
	return ""
}
