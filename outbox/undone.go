package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A request whose connection was cut is hardly ever a slow one, so newer values
// wait for it a short time only (late.go). Should it be slow all the same, it puts its
// old values over theirs. So for as long as it can (Config.InDoubt) the worker looks
// again, ever more rarely: where a record has what was repeated, and not what was
// accepted since, the newer values are sent once more. Where another user was the
// last to change the record, they stay undone: it may be what that one wants.
//
// A slow upsert makes a record again that was deleted meanwhile. Of those that the app
// has deleted it is looked for by its external id, and deleted once more. The same is
// looked for where a delete, which may have waited for long, met no record.
//
// Log and archive tell what was repeated, so this outlives the process, and no call
// is made where nothing newer was accepted.

// relook says when to look again. The zero value is never.
type relook struct {
	due, until time.Time
	wait       time.Duration
}

// expect notes that an answer has been missing by now.
func (l *relook) expect(now time.Time, late, window time.Duration) {
	l.until = later(l.until, now.Add(window+late))
	if first := now.Add(late); l.due.IsZero() || first.Before(l.due) {
		l.due, l.wait = first, late
	}
}

// next plans the look after one at now.
func (l *relook) next(now time.Time) {
	if !now.Before(l.until) {
		*l = relook{}
		return
	}
	l.wait *= 2
	if l.due = now.Add(l.wait); l.due.After(l.until) {
		l.due = l.until
	}
}

// redone is a record of which a request was repeated, and what it was given since.
type redone struct {
	key     key
	sfid    string
	was     map[string]*string // as repeated, by column
	is      map[string]*string // accepted since
	made    bool               // it was its creation
	age     time.Duration      // of the app's change that was repeated
	deleted bool
}

// undone sends again what a late request has undone, if it is time to look.
func (w *Worker) undone(ctx context.Context) (n int, err error) {
	now := time.Now()
	if w.cfg.Finder == nil || w.relook.due.IsZero() || now.Before(w.relook.due) {
		return 0, nil
	}
	list, err := w.repeated(ctx)
	if err != nil {
		return 0, fmt.Errorf("repeated: %w", err)
	}
	kept, deleted := map[*Table][]*redone{}, map[*Table][]*redone{}
	for _, r := range list {
		t := w.tables[r.key.table]
		if t == nil || !t.ReadWrite || r.sfid == "" {
			continue
		}
		if _, keyed := t.ownReference(r.was); !r.deleted {
			kept[t] = append(kept[t], r)
		} else if r.made && keyed {
			deleted[t] = append(deleted[t], r)
		}
	}
	for t, list := range kept {
		if err := w.restore(ctx, t, list); err != nil {
			return 0, err
		}
	}
	for t, list := range deleted {
		if err := w.remove(ctx, t, list); err != nil {
			return 0, err
		}
	}
	w.relook.next(now)
	return 0, nil
}

// repeated reads the records of which a request was repeated lately.
func (w *Worker) repeated(ctx context.Context) (list []*redone, err error) {
	// A look may be late by the call before it.
	rows, err := w.pool.Query(ctx, w.sql.undone, (w.cfg.InDoubt + 2*w.cfg.Late + w.cfg.CallTimeout).Seconds())
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by undone
	}
	var id, last int64
	var since bool
	var k key
	var action, sfid string
	var values *string
	var age float64
	_, err = pgx.ForEachRow(rows, []any{&id, &age, &since, &k.table, &k.id, &action, &sfid, &values}, func() error {
		if len(list) == 0 || id != last {
			list, last = append(list, &redone{key: k, age: time.Duration(age * float64(time.Second))}), id
		}
		r := list[len(list)-1]
		if sfid != "" {
			r.sfid = sfid
		}
		r.deleted = r.deleted || action == actionDelete
		pairs := (&entry{}).read(values, nil)
		if since {
			r.is = overlay(r.is, pairs)
		} else {
			r.was = overlay(r.was, pairs)
			r.made = r.made || action == actionInsert
		}
		return nil
	})
	return list, err //nolint:wrapcheck // wrapped by undone
}

// restore asks for the values that would be undone and sends those that are.
func (w *Worker) restore(ctx context.Context, t *Table, list []*redone) error {
	type suspect struct {
		*redone

		column string
	}
	var suspects []suspect
	var asked []Successive
	for _, r := range list {
		for column, was := range r.was {
			is, changed := r.is[column]
			if !changed || equal(was, is) {
				continue
			}
			first, _ := fieldsOf(t, Update, map[string]*string{column: was}) // sent before, so it has a form
			now, _ := fieldsOf(t, Update, map[string]*string{column: is})
			if len(first) == 0 {
				continue
			}
			suspects = append(suspects, suspect{r, column})
			asked = append(asked, Successive{SFID: r.sfid, First: first, Now: now})
		}
	}
	if len(asked) == 0 {
		return nil
	}
	standings, err := w.compare(ctx, t.Object, asked)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn().Err(err).Str("event", "look_up_failed").Str("object", t.Object).Int("rows", len(list)).Msg("records of which an answer was lost cannot be looked at now")
		}
		return nil
	}
	lost := map[*redone][]string{}
	for i, s := range suspects {
		if is := standings[i]; is.First == Yes && is.Now == No && is.Ours {
			lost[s.redone] = append(lost[s.redone], s.column)
		}
	}
	for r, columns := range lost {
		sent, err := w.resend(ctx, r, columns)
		if err != nil {
			return fmt.Errorf("send again: %w", err)
		}
		if sent {
			w.log.Warn().Str("event", "undone").Str("object", t.Object).Str("sfid", r.sfid).Int("fields", len(columns)).
				Msg("a request whose answer was lost took effect late and undid newer values; they are sent again")
		}
	}
	return nil
}

// resend logs the newer values of some columns as a change, unless the row is gone,
// an app has it locked, or something newer waits.
func (w *Worker) resend(ctx context.Context, r *redone, columns []string) (sent bool, err error) {
	was, is := map[string]*string{}, map[string]*string{}
	for _, c := range columns {
		was[c], is[c] = r.was[c], r.is[c]
	}
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { //nolint:wrapcheck // wrapped by restore
		rows, err := tx.Query(ctx, w.sql.lock[r.key.table], []int64{r.key.id})
		if err != nil {
			return err //nolint:wrapcheck // wrapped by restore
		}
		locked := map[int64]bool{}
		if err := addIDs(locked, rows); err != nil || len(locked) == 0 {
			return err
		}
		tag, err := tx.Exec(ctx, w.sql.resend, r.key.table, r.key.id, r.sfid, formatHStore(was), formatHStore(is))
		sent = tag.RowsAffected() > 0
		return err //nolint:wrapcheck // wrapped by restore
	})
	return sent, err //nolint:wrapcheck // wrapped by restore
}

// remove looks for records that the app deleted and a late request has made again, and
// deletes them.
func (w *Worker) remove(ctx context.Context, t *Table, list []*redone) error {
	column := t.external().Name
	attempts := make([]Attempt, len(list))
	for i, r := range list {
		key, _ := fieldsOf(t, Upsert, map[string]*string{column: r.was[column]}) // sent before, so it has a form
		attempts[i] = Attempt{Fields: key, Age: r.age}
	}
	found, err := w.find(ctx, t.Object, t.ExternalID, attempts)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn().Err(err).Str("event", "look_up_failed").Str("object", t.Object).Int("rows", len(list)).Msg("records that were deleted after an answer was lost cannot be looked for now")
		}
		return nil
	}
	found = slices.DeleteFunc(found, func(c Candidate) bool { return c.Deleted || len(c.Equal) == 0 })
	if len(found) == 0 {
		return nil
	}
	// What an entry names was made, or written, on purpose.
	if found, err = w.unnamed(ctx, found, w.sql.handled, t.Name, (oldest(attempts) + time.Hour).Seconds()); err != nil {
		return fmt.Errorf("known records: %w", err)
	}
	for _, c := range found {
		r := list[c.Equal[0]]
		sent, err := w.removeAgain(ctx, r, c.SFID, column)
		switch {
		case err != nil && (rowFault(err) || inTheWay(err)):
			w.log.Warn().Err(err).Str("event", "undone").Str("object", t.Object).Str("sfid", c.SFID).Msg("a request whose answer was lost took effect late and made a deleted record again, whose row cannot be deleted now")
		case err != nil:
			return fmt.Errorf("delete again: %w", err)
		case sent:
			w.log.Warn().Str("event", "undone").Str("object", t.Object).Str("sfid", c.SFID).Msg("a request whose answer was lost took effect late and made a deleted record again; it is deleted once more")
		}
	}
	return nil
}

// removeAgain deletes the row that a record made again has come in as, if it has, and
// logs that the record is to be deleted, unless it or its external id is in use.
func (w *Worker) removeAgain(ctx context.Context, r *redone, sfid, column string) (sent bool, err error) {
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { //nolint:wrapcheck // wrapped by remove
		if _, err := tx.Exec(ctx, ownSQL); err != nil {
			return err //nolint:wrapcheck // wrapped by remove
		}
		key := r.was[column]
		tag, err := tx.Exec(ctx, w.sql.remove[r.key.table], r.key.table, r.key.id, sfid, *key, formatHStore(map[string]*string{column: key}))
		sent = tag.RowsAffected() > 0
		return err //nolint:wrapcheck // wrapped by remove
	})
	return sent, err //nolint:wrapcheck // wrapped by remove
}

func equal(x, y *string) bool {
	if x == nil || y == nil {
		return x == y
	}
	return *x == *y
}
