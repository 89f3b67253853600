package outbox

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
)

// late is a request that was not answered and may run on. It is repeated, but what
// comes after it for the same fields waits: the late one would write its old values
// over the newer ones. How long depends on how the answer was lost. A connection that
// is cut says little of the request, which is hardly ever a slow one: Config.Late, and
// undone.go mends it where it was. One that brought nothing for long is: Config.InDoubt.
type late struct {
	fields map[string]bool // fields that it writes; nil = any
	makes  bool            // it would make the record again that was deleted meanwhile
	until  time.Time       // when it cannot take effect any more
}

// undoes reports whether l would undo what i does.
func (l *late) undoes(i *item) bool {
	if i.op == Delete {
		return l.makes
	}
	for column := range i.values {
		if l.fields == nil || l.fields[i.table.writes(column)] {
			return true
		}
	}
	return false
}

// lateUntil is until when a write may run on that was sent at a time and has just
// ended for us, without an answer.
func (w *Worker) lateUntil(sent time.Time) time.Time {
	if time.Since(sent) >= slow {
		return sent.Add(w.cfg.InDoubt)
	}
	return sent.Add(w.cfg.Late)
}

// mayCome notes that a write of values may still take effect until a time.
func (w *Worker) mayCome(k key, values map[string]*string, makes bool, until time.Time) {
	now := time.Now()
	w.relook.expect(now, w.cfg.Late, w.cfg.InDoubt)
	if !now.Before(until) {
		return
	}
	w.latesMu.Lock()
	defer w.latesMu.Unlock()
	l := &late{fields: map[string]bool{}}
	if was := w.lates[k]; was != nil {
		*l = *was
		l.fields = maps.Clone(was.fields)
	}
	w.lates[k] = l
	if values == nil {
		l.fields = nil
	}
	for column, v := range values {
		if l.fields != nil && (v != nil || !makes) { // an upsert sends no nulls, see fieldsOf
			l.fields[w.tables[k.table].writes(column)] = true
		}
	}
	l.makes = l.makes || makes
	if until.After(l.until) {
		l.until = until
	}
}

// runsOn is the write of a record that may still take effect, nil without one. It
// may be called beside calls under way, and what it returns does not change.
func (w *Worker) runsOn(k key) *late {
	w.latesMu.Lock()
	defer w.latesMu.Unlock()
	l := w.lates[k]
	if l != nil && !time.Now().Before(l.until) {
		delete(w.lates, k)
		return nil
	}
	return l
}

// loadLates brings in requests of before that may still take effect: of entries
// that an earlier process has left to be repeated.
func (w *Worker) loadLates(ctx context.Context, entries []*entry) error {
	var unknown []*entry
	for _, e := range entries {
		// A plain insert overwrites nothing.
		_, keyed := w.tables[e.key.table].ownReference(e.values)
		writes := e.action == actionUpdate || e.action == actionInsert && keyed
		if e.inDoubt() && writes && w.runsOn(e.key) == nil && w.retries[e.key].attempts == 0 {
			unknown = append(unknown, e)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sent, err := w.attempted(ctx, [][]*entry{unknown})
	if err != nil {
		return err
	}
	for _, e := range unknown {
		w.mayCome(e.key, e.values, e.action == actionInsert, sent[e.id].Add(w.cfg.Late))
	}
	return nil
}

// recoverLates brings in those that were repeated and answered: the archive tells.
// Which fields they wrote it does not, as others may have been folded in.
func (w *Worker) recoverLates(ctx context.Context) error {
	w.relook.expect(time.Now(), w.cfg.Late, w.cfg.InDoubt)
	rows, err := w.pool.Query(ctx, w.sql.repeated, w.cfg.Late.Seconds())
	if err != nil {
		return fmt.Errorf("repeated: %w", err)
	}
	now := time.Now()
	var k key
	var action string
	var age float64
	_, err = pgx.ForEachRow(rows, []any{&k.table, &k.id, &action, &age}, func() error {
		w.mayCome(k, nil, action == actionInsert, now.Add(w.cfg.Late-time.Duration(age*float64(time.Second))))
		return nil
	})
	return err //nolint:wrapcheck // wrapped by Recover
}
