package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/pgname"
)

// Capture is what captures changes in a schema, as it was at one moment: for
// each trigger and function a hash of its definition.
type Capture map[string]string

// Inspect reads what captures changes in schema now. It locks nothing. Compare
// it with what it was right after [Install], in the same transaction.
func Inspect(ctx context.Context, db DB, schema string) (Capture, error) {
	sql, err := files.ReadFile("sql/inspect.sql")
	if err != nil {
		return nil, fmt.Errorf("outbox: inspect: %w", err)
	}
	rows, err := db.Query(ctx, string(sql), schema)
	if err != nil {
		return nil, fmt.Errorf("outbox: inspect: %w", err)
	}
	c := Capture{}
	var name, hash string
	if _, err = pgx.ForEachRow(rows, []any{&name, &hash}, func() error { c[name] = hash; return nil }); err != nil {
		return nil, fmt.Errorf("outbox: inspect: %w", err)
	}
	return c, nil
}

// Lost lists what is not there any more in now, or is another: dropped or
// replaced. Install puts it right.
func (c Capture) Lost(now Capture) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c)), func(name string) bool {
		hash, ok := now[name]
		return strings.HasPrefix(name, "off ") || ok && hash == c[name]
	})
}

// Off lists what keeps triggers that are there from working: those disabled, or
// left to replication, and settings of the server. It is for a person to put
// right, who may have had a reason.
func (c Capture) Off() []string {
	var off []string
	for name := range c {
		if what, ok := strings.CutPrefix(name, "off "); ok {
			off = append(off, what)
		}
	}
	slices.Sort(off)
	return off
}

// Captured lists the tables of schema whose changes a trigger logs, ours or Heroku
// Connect's, sorted. One that is disabled counts, too: [Capture.Off] tells of it.
func Captured(ctx context.Context, db DB, schema string) ([]string, error) {
	found, err := triggers(ctx, db, schema)
	if err != nil {
		return nil, fmt.Errorf("outbox: captured tables: %w", err)
	}
	tables := map[string]bool{}
	for key := range found {
		theirs := "hc_" + key[0] + "_logtrigger"
		if key[1] == logTrigger(key[0]) || key[1] == theirs[:min(len(theirs), pgname.Max)] {
			tables[key[0]] = true
		}
	}
	return slices.Sorted(maps.Keys(tables)), nil
}
