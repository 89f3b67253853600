package outbox

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Gate keeps, durably, which tables wait for a person. Its methods are called by
// one goroutine at a time.
type Gate interface {
	// Holds returns what is known of each table that waits or has waited. It is
	// asked about once a second.
	Holds(ctx context.Context) (map[string]Hold, error)

	// Hold makes a table wait, for a reason that a person reads.
	Hold(ctx context.Context, table, reason string) error
}

// Hold says that the entries of a table are not sent, or were not.
type Hold struct {
	Held     bool
	Approved int64 // entries up to this one go all the same, and count for nothing
}

// Limits are what may be sent of one table within Within without a person having
// said so: the larger of a number and a share of its rows. More than that is
// rather a slip than meant, and hard to undo in Salesforce. Inserts have no limit:
// a first load by the app is a normal thing, and what it makes can be deleted.
type Limits struct {
	Deletes, Updates         int
	DeleteShare, UpdateShare float64
	Within                   time.Duration
}

// DefaultLimits hold a mass delete early, and an UPDATE only where it is of an
// order that no nightly job is.
var DefaultLimits = Limits{Deletes: 500, DeleteShare: 0.05, Updates: 200_000, UpdateShare: 0.10, Within: 30 * time.Minute}

const (
	holdsFor    = time.Second // how long a known answer of the gate is good
	countThrift = 30          // a count of everything takes at most one part in this of the time
)

// tally is how many changes of a table there are.
type tally struct{ deletes, updates int }

// guard counts what is sent and what waits, and closes the gate.
type guard struct {
	gate   Gate
	limits Limits
	holds  map[string]Hold
	asked  time.Time
	sent   map[string][]sentIn // by table, oldest first
	warm   bool                // sent knows what an earlier process sent
	count  time.Time           // when everything may be counted again
}

// sentIn is what was sent in one minute.
type sentIn struct {
	minute time.Time
	tally
}

// closed reports whether any table is held.
func (g *guard) closed() bool {
	for _, h := range g.holds {
		if h.Held {
			return true
		}
	}
	return false
}

// stops reports whether an entry waits for a person.
func (g *guard) stops(table string, id int64) bool {
	h := g.holds[table]
	return h.Held && id > h.Approved
}

// hidden tells of the held tables which objects their entries may mention, and from which
// entry on; "" is any object. A delete there would take records along that the app has moved
// away, in changes that wait.
func (w *Worker) hidden() map[string]int64 {
	from := map[string]int64{}
	add := func(object string, h Hold) {
		object = strings.ToLower(object)
		from[object] = earlier(from[object], h.Approved+1)
	}
	for table, h := range w.guard.holds {
		t := w.tables[table]
		if !h.Held || t == nil {
			continue
		}
		for _, c := range t.Columns {
			switch {
			case c.Relationship != "":
				add(c.RelationObject, h)
			case c.reference() && len(c.References) == 0:
				add("", h)
			case c.reference():
				for _, object := range c.References {
					add(object, h)
				}
			}
		}
	}
	return from
}

// askGate learns what is held now, and once what was sent before this process.
func (w *Worker) askGate(ctx context.Context) (err error) {
	g := &w.guard
	if g.gate == nil || time.Since(g.asked) < holdsFor {
		return nil
	}
	if g.holds, err = g.gate.Holds(ctx); err != nil {
		return fmt.Errorf("holds: %w", err)
	}
	g.asked = time.Now()
	if g.warm {
		return nil
	}
	rows, err := w.pool.Query(ctx, w.sql.sentLately, g.limits.Within)
	if err != nil {
		return fmt.Errorf("sent lately: %w", err)
	}
	var table, action string
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&table, &action, &id}, func() error { g.note(table, action, id); return nil }); err != nil {
		return fmt.Errorf("sent lately: %w", err)
	}
	g.warm = true
	return nil
}

// note counts an entry that was sent.
func (g *guard) note(table, action string, id int64) {
	if g.gate == nil || id <= g.holds[table].Approved || action == actionInsert {
		return
	}
	list, minute := g.sent[table], time.Now().Truncate(time.Minute)
	if n := len(list); n == 0 || !list[n-1].minute.Equal(minute) {
		list = append(list, sentIn{minute: minute})
	}
	list[len(list)-1].add(action)
	g.sent[table] = list
}

func (t *tally) add(action string) {
	switch action {
	case actionDelete:
		t.deletes++
	case actionUpdate:
		t.updates++
	}
}

// lately is what was sent of a table within the limits' time.
func (g *guard) lately(table string) (sum tally) {
	list, since := g.sent[table], time.Now().Add(-g.limits.Within)
	for len(list) > 0 && list[0].minute.Before(since) {
		list = list[1:]
	}
	g.sent[table] = list
	for _, s := range list {
		sum.deletes += s.deletes
		sum.updates += s.updates
	}
	return sum
}

// watch counts what a window would send and holds tables of which that is too
// much. It reports whether any is, so that the window must be read again. Where the
// window was full there is more behind it, and everything is counted.
func (w *Worker) watch(ctx context.Context, entries []*entry, full bool) (held bool, err error) {
	g := &w.guard
	if g.gate == nil {
		return false, nil
	}
	waiting := map[string]tally{}
	for _, e := range entries {
		if e.id > g.holds[e.key.table].Approved {
			t := waiting[e.key.table]
			t.add(e.action)
			waiting[e.key.table] = t
		}
	}
	if began := time.Now(); full && began.After(g.count) {
		if err := w.countWaiting(ctx, waiting); err != nil {
			return false, err
		}
		g.count = time.Now().Add(countThrift * time.Since(began))
	}
	for table, t := range waiting {
		sent := g.lately(table)
		reason, err := w.tooMuch(ctx, table, tally{t.deletes + sent.deletes, t.updates + sent.updates})
		if err != nil {
			return held, err
		}
		if reason == "" {
			continue
		}
		if err := g.gate.Hold(ctx, table, reason); err != nil {
			return held, fmt.Errorf("hold: %w", err)
		}
		w.log.Error().Str("event", "held").Str("object", w.tables[table].Object).Str("reason", reason).Msg("not sent until approved")
		held, g.asked = true, time.Time{}
	}
	return held, nil
}

// countWaiting counts all entries of the tables in waiting.
func (w *Worker) countWaiting(ctx context.Context, waiting map[string]tally) error {
	var tables []string
	var above []int64
	for table := range waiting {
		tables, above = append(tables, table), append(above, w.guard.holds[table].Approved)
	}
	rows, err := w.pool.Query(ctx, w.sql.waiting, tables, above)
	if err != nil {
		return fmt.Errorf("count entries: %w", err)
	}
	var table string
	var t tally
	if _, err := pgx.ForEachRow(rows, []any{&table, &t.deletes, &t.updates}, func() error { waiting[table] = t; return nil }); err != nil {
		return fmt.Errorf("count entries: %w", err)
	}
	return nil
}

// tooMuch says in what way a number of changes is more than the limits, "" if it
// is not.
func (w *Worker) tooMuch(ctx context.Context, table string, t tally) (string, error) {
	l := w.guard.limits
	if t.deletes <= l.Deletes && t.updates <= l.Updates {
		return "", nil
	}
	var rows int
	if err := w.pool.QueryRow(ctx, "SELECT GREATEST(reltuples, 0)::bigint FROM pg_class WHERE oid = $1::regclass", ident(w.cfg.Schema, table)).Scan(&rows); err != nil {
		return "", fmt.Errorf("rows of %s: %w", table, err)
	}
	for _, c := range []struct {
		what     string
		n, limit int
	}{
		{"deletes", t.deletes, max(l.Deletes, int(l.DeleteShare*float64(rows)))},
		{"updates", t.updates, max(l.Updates, int(l.UpdateShare*float64(rows)))},
	} {
		if c.n > c.limit {
			return fmt.Sprintf("%d %s of %s within %s are more than %d", c.n, c.what, w.tables[table].Object, l.Within, c.limit), nil
		}
	}
	return "", nil
}
