package pgsink

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/pgstats"
)

//go:embed sql/mark.sql
var markSQL string

//go:embed sql/due.sql
var dueSQL string

//go:embed sql/unsent.sql
var unsentSQL string

//go:embed sql/locked.sql
var lockedSQL string

//go:embed sql/due_objects.sql
var dueObjectsSQL string

//go:embed sql/postpone.sql
var postponeSQL string

// Reasons of the marks that Apply sets by itself.
const (
	ReasonEqual   = "equal"   // an event with the row's stamp and other values, or of a record deleted lately
	ReasonMissing = "missing" // an event without some mapped field
	ReasonOrder   = "order"   // a record after its own delete in one batch
	ReasonHeld    = "held"    // the app has an unsent change
	ReasonParked  = "parked"  // refused by a constraint or trigger; tried again later
)

// ReasonGone is the reason of a mark for a record that Salesforce itself called
// deleted: if it cannot be found any more, it was deleted for good, unless its row
// has a stamp of after Mark.DeletedAt.
const ReasonGone = "gone"

// ReasonRemoved is the reason of a mark for a record that this bridge deleted, as
// Salesforce confirmed: only the rows that refer to it must be looked after. With any
// other mark of the record it becomes ReasonGone, and the record is read.
const ReasonRemoved = "removed"

// Mark says that a record must be read back from Salesforce.
type Mark struct {
	Object string
	SFID   string
	Reason string        // one word, for people
	Delay  time.Duration // due this long from now

	// DeletedAt is when Salesforce deleted the record, by its clock; zero = not known.
	DeletedAt time.Time

	// Bars says that the row is newer than its stamp tells, as the app's change is in
	// Salesforce now: a read under way may have been made before, and is not written.
	Bars bool

	// Set by DueMarks.
	Seq      int64 // identifies this setting of the mark, see Done
	Attempts int   // reads that did not settle it
}

// DueMarks returns up to limit marks of a table's object whose time has come, the
// longest due first. Those whose row waits for a change of the app, or for a lock to end,
// and still does, it puts off.
func (s *Sink) DueMarks(ctx context.Context, t *Table, limit int) ([]Mark, error) {
	object := t.Object
	rows, err := s.pool.Query(ctx, dueSQL, s.schema, object, limit)
	if err != nil {
		return nil, fmt.Errorf("pgsink: due marks of %s: %w", object, err)
	}
	marks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Mark, error) {
		m := Mark{Object: object}
		var deleted *time.Time
		if err := row.Scan(&m.SFID, &m.Reason, &m.Seq, &m.Attempts, &deleted); err != nil || deleted == nil {
			return m, err
		}
		m.DeletedAt = *deleted
		return m, nil
	})
	if err != nil {
		return nil, fmt.Errorf("pgsink: due marks of %s: %w", object, err)
	}
	if len(marks) >= manyMarks { // each is looked up by what reads them
		pgstats.Correct(ctx, s.pool, s.log, "hcbridge.mark", len(marks))
	}
	return s.unheld(ctx, t, marks)
}

// unheld puts off those of some marks whose record was held and still would be, as its
// row has an unsent change or is locked, and returns the others: it would be read only to
// be held again. What becomes of a change makes the mark due (see Expedite), or the next
// look sees it; that a lock has ended only a look can see, so those are sooner.
func (s *Sink) unheld(ctx context.Context, t *Table, marks []Mark) ([]Mark, error) {
	var held, tried []string
	for _, m := range marks {
		switch {
		case m.Reason == ReasonHeld:
			held = append(held, m.SFID)
		case m.Reason == ReasonGone && m.Attempts > 0: // Apply keeps that reason
			tried = append(tried, m.SFID)
		}
	}
	unsent, err := s.unsentOf(ctx, t, held)
	if err != nil {
		return nil, err
	}
	held = slices.DeleteFunc(held, func(sfid string) bool { return unsent[sfid] })
	locked, err := s.lockedOf(ctx, t, append(held, tried...))
	if err != nil {
		return nil, err
	}
	var wait [heldMost + 1][]Done // by the exponent of the delay, as in Apply
	marks = slices.DeleteFunc(marks, func(m Mark) bool {
		most := heldMost
		switch {
		case locked[m.SFID]:
			most = lockedMost
		case m.Reason != ReasonHeld || !unsent[m.SFID]:
			return false
		}
		n := min(m.Attempts+1, most)
		wait[n] = append(wait[n], Done{Object: m.Object, SFID: m.SFID, Seq: m.Seq})
		return true
	})
	for n, done := range wait {
		if err := s.Postpone(ctx, done, heldFirst<<n); err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// unsentOf returns those of held records whose rows have a change of the app that is not
// sent yet.
func (s *Sink) unsentOf(ctx context.Context, t *Table, held []string) (map[string]bool, error) {
	if len(held) == 0 || !t.ReadWrite {
		return nil, nil //nolint:nilnil // a nil set is empty
	}
	sql := strings.NewReplacer("{table}", t.ident(), "{log}", quote(t.Schema, "_trigger_log"), "{table_name}", literal(t.Name)).Replace(unsentSQL)
	unsent, err := s.askSet(ctx, sql, held)
	if err != nil {
		return nil, fmt.Errorf("pgsink: held records of %s: %w", t.Object, err)
	}
	return unsent, nil
}

// lockedOf returns those of held records whose rows somebody else has locked: all of them
// where it is the table.
func (s *Sink) lockedOf(ctx context.Context, t *Table, held []string) (locked map[string]bool, err error) {
	if len(held) == 0 {
		return nil, nil //nolint:nilnil // a nil set is empty
	}
	locked, err = s.askSet(ctx, strings.ReplaceAll(lockedSQL, "{table}", t.ident()), held)
	if waitedInVain(err) {
		locked, err = make(map[string]bool, len(held)), nil
		for _, sfid := range held {
			locked[sfid] = true
		}
	}
	if err != nil {
		return nil, fmt.Errorf("pgsink: locked records of %s: %w", t.Object, err)
	}
	return locked, nil
}

// heldFirst is how soon a held record is looked at again first, and heldMost how often
// that time doubles while the app's change is not sent. lockedMost is how often it does
// while the row is locked, and until that is known: up to eight seconds.
const (
	heldFirst  = 250 * time.Millisecond
	heldMost   = 8
	lockedMost = 5
)

// manyMarks are more than may be compared all with all.
const manyMarks = 50

// DueObjects returns those of objects that have marks whose time has come.
func (s *Sink) DueObjects(ctx context.Context, objects []string) ([]string, error) {
	rows, err := s.pool.Query(ctx, dueObjectsSQL, s.schema, objects)
	if err != nil {
		return nil, fmt.Errorf("pgsink: objects with due marks: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("pgsink: objects with due marks: %w", err)
	}
	return due, nil
}

// Mark sets marks in the caller's transaction. A mark that exists gets a new
// seq, reason and time. Ids are brought to 18 characters; what is no id is left
// out with an error line in the log, because it would block the others for ever.
func (s *Sink) Mark(ctx context.Context, tx pgx.Tx, marks []Mark) error {
	args := s.markArgs(marks)
	if args == nil {
		return nil
	}
	if _, err := tx.Exec(ctx, markSQL, args...); err != nil {
		return fmt.Errorf("pgsink: mark %d records: %w", len(marks), err)
	}
	return nil
}

// Postpone puts marks off after a read that failed, unless they were set again
// since.
func (s *Sink) Postpone(ctx context.Context, marks []Done, delay time.Duration) error {
	if len(marks) == 0 {
		return nil
	}
	objects, sfids, seqs := doneArrays(marks)
	if _, err := s.pool.Exec(ctx, postponeSQL, s.schema, objects, sfids, seqs, delay.Seconds()); err != nil {
		return fmt.Errorf("pgsink: postpone %d marks: %w", len(marks), err)
	}
	return nil
}

// markArgs are the arguments of markSQL, nil if there is nothing to mark. One
// statement cannot touch a row twice, so the last mark of a record counts.
// Sorting gives all transactions the same order of locks.
func (s *Sink) markArgs(marks []Mark) []any {
	type key struct{ object, sfid string }
	last := make(map[key]Mark, len(marks))
	for _, m := range marks {
		id, ok := canonID(m.SFID)
		if !ok {
			s.log.Error().Str("event", "mark_invalid").Str("object", m.Object).Msg("a mark names no Salesforce id")
			continue
		}
		m.SFID = id
		last[key{m.Object, id}] = m
	}
	if len(last) == 0 {
		return nil
	}
	all := make([]Mark, 0, len(last))
	for _, m := range last {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Mark) int {
		if c := strings.Compare(a.Object, b.Object); c != 0 {
			return c
		}
		return strings.Compare(a.SFID, b.SFID)
	})
	objects, sfids, reasons, delays := make([]string, len(all)), make([]string, len(all)), make([]string, len(all)), make([]float64, len(all))
	deleted, bars := make([]*time.Time, len(all)), make([]bool, len(all))
	for i, m := range all {
		objects[i], sfids[i], reasons[i], delays[i], bars[i] = m.Object, m.SFID, m.Reason, m.Delay.Seconds(), m.Bars
		if !m.DeletedAt.IsZero() {
			deleted[i] = &m.DeletedAt
		}
	}
	return []any{s.schema, objects, sfids, reasons, delays, deleted, bars}
}

// doneArrays turns marks into columns, sorted for the order of locks.
func doneArrays(done []Done) (objects, sfids []string, seqs []int64) {
	done = slices.Clone(done)
	slices.SortFunc(done, func(a, b Done) int {
		if c := strings.Compare(a.Object, b.Object); c != 0 {
			return c
		}
		return strings.Compare(a.SFID, b.SFID)
	})
	for _, d := range done {
		if id, ok := canonID(d.SFID); ok {
			objects, sfids, seqs = append(objects, d.Object), append(sfids, id), append(seqs, d.Seq)
		}
	}
	return objects, sfids, seqs
}
