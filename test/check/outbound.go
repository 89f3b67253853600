package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/compare"
	"hcbridge/test/org/sobject"
	"hcbridge/test/org/truth"
)

// log is I2: at rest, each entry has come to an end, and one that failed says why.
func (l *look) log(ctx context.Context) error {
	rows, err := l.Pool.Query(ctx, `SELECT id::bigint, state::text, action::text, table_name::text, COALESCE(sf_message, '') FROM `+l.table("_trigger_log")+` AS l
		WHERE state NOT IN ('SUCCESS', 'MERGED', 'IGNORE', 'IGNORED', 'READONLY', 'REQUEUE', 'REQUEUED') AND NOT (state = 'FAILED' AND COALESCE(sf_message, '') <> '') AND NOT `+l.behind()+`
		UNION ALL SELECT id::bigint, state::text, action::text, table_name::text, COALESCE(sf_message, '') FROM `+l.table("_trigger_log_archive")+`
		WHERE state NOT IN ('SUCCESS', 'MERGED', 'IGNORE', 'IGNORED', 'READONLY', 'REQUEUE', 'REQUEUED', 'FAILED') LIMIT 20`)
	if err != nil {
		return fmt.Errorf("the trigger log: %w", err)
	}
	var id int64
	var state, action, table, message string
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &action, &table, &message}, func() error {
		l.add("I2", l.objectOf(table), "", "entry %d, %s, is %s %s", id, action, state, message)
		return nil
	})
	if err != nil {
		return fmt.Errorf("the trigger log: %w", err)
	}
	return nil
}

// behind is true for an entry l of the trigger log that waits, as it must, for a
// person to decide about the insert of its row, which was refused.
func (c *Checker) behind() string {
	return "EXISTS (SELECT FROM " + c.table("_trigger_log") + " AS f WHERE f.table_name = l.table_name AND f.record_id = l.record_id AND f.id < l.id AND f.action = 'INSERT' AND f.state = 'FAILED')"
}

// story is what happened to one record of the org.
type story struct {
	changes []truth.Change
}

// outbound are I3, I6, I7, I8 and I10.
func (l *look) outbound(ctx context.Context) error {
	history, harm := l.App.history()
	l.found = append(l.found, harm...)
	stories := map[string]*story{}
	for _, c := range l.org.Changes {
		s := stories[c.ID()]
		if s == nil {
			s = &story{}
			stories[c.ID()] = s
		}
		s.changes = append(s.changes, c)
	}
	marks := l.marks(history)
	known, err := l.known(ctx)
	if err != nil {
		return err
	}
	excused, err := l.excused(ctx)
	if err != nil {
		return err
	}
	meant := map[string]bool{} // records whose deletion the app has committed
	rows := map[string][]rowKey{}
	for k, writes := range history {
		if l.org.Object(k.object) == nil {
			continue // not among those that are looked at
		}
		id := l.record(k, writes, marks, known)
		last := writes[len(writes)-1]
		if id == "" {
			if last.kind != deleted && !excused.rows[k] {
				l.add("I6", k.object, fmt.Sprintf("row %d", k.row), "what the app inserted has no record")
			}
			continue
		}
		s := stories[id]
		if s == nil {
			s = &story{}
		}
		l.reached(k, id, writes, s, excused)
		rows[id] = append(rows[id], k)
		for _, w := range writes {
			meant[id] = meant[id] || w.kind == deleted
		}
	}
	for id, of := range rows {
		// One after the other, if the app has deleted a row and somebody took its record back.
		var writes []write
		for _, k := range of {
			writes = append(writes, history[k]...)
		}
		slices.SortStableFunc(writes, func(x, y write) int { return cmp.Compare(x.tx, y.tx) })
		if s := stories[id]; s != nil {
			l.ordered(of, id, writes, s)
		}
	}
	for id, s := range stories {
		for _, c := range s.changes {
			if c.Kind == sobject.Delete && c.User == l.org.User && !c.Cascade && !meant[id] && l.objectOf(c.Object.Name) != "" {
				l.add("I14", c.Object.Name, id, "the bridge has deleted it, and the app had not")
			}
		}
	}
	return nil
}

// marks are the records that our user has made, by object and mark; more than one
// of a mark, or one of no mark, is I3.
func (l *look) marks(history map[rowKey][]write) map[string]string {
	if l.App == nil {
		return nil
	}
	wanted := map[string]bool{}
	for k, writes := range history {
		if m := writes[0].values[l.App.Mark[k.object]]; writes[0].kind == inserted && m != nil {
			wanted[k.object+"\x00"+*m] = true
		}
	}
	made := map[string]string{}
	for _, c := range l.org.Changes {
		column := l.App.Mark[c.Object.Name]
		if c.Kind != sobject.Insert || c.User != l.org.User || column == "" {
			continue
		}
		mark := fmt.Sprint(c.After.Get(c.Object, column))
		key := c.Object.Name + "\x00" + mark
		switch other := made[key]; {
		case !wanted[key]:
			l.add("I3", c.Object.Name, c.ID(), "the bridge has made it with %s %q, which the app has inserted nowhere", column, mark)
		case other != "":
			l.add("I3", c.Object.Name, c.ID(), "the bridge has made it with %s %q, and %s too", column, mark, other)
		default:
			made[key] = c.ID()
		}
	}
	return made
}

// known are the records of rows, by what the tables and the trigger log say.
func (l *look) known(ctx context.Context) (map[rowKey]string, error) {
	known := map[rowKey]string{}
	rows, err := l.Pool.Query(ctx, `SELECT table_name::text, record_id::bigint, sfid::text FROM `+l.table("_trigger_log_archive")+` WHERE sfid IS NOT NULL AND record_id IS NOT NULL
		UNION SELECT table_name::text, record_id::bigint, sfid::text FROM `+l.table("_trigger_log")+` WHERE sfid IS NOT NULL AND record_id IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("records of rows: %w", err)
	}
	var table, sfid string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&table, &id, &sfid}, func() error {
		known[rowKey{l.objectOf(table), id}] = sfid
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("records of rows: %w", err)
	}
	for object, rows := range l.rows {
		for id, r := range rows {
			if r.sfid != nil {
				known[rowKey{object, id}] = *r.sfid
			}
		}
	}
	return known, nil
}

// record is the record of a row, "" if it never had one.
func (l *look) record(k rowKey, writes []write, marks map[string]string, known map[rowKey]string) string {
	if id := known[k]; id != "" {
		return id
	}
	for _, w := range writes {
		if w.sfid != nil {
			return *w.sfid
		}
	}
	if m := writes[0].values[l.App.Mark[k.object]]; writes[0].kind == inserted && m != nil {
		return marks[k.object+"\x00"+*m]
	}
	return ""
}

// excuses are what is written down of changes that have not reached the org.
type excuses struct {
	rows   map[rowKey]bool // refused, or held
	fields map[string]bool // conflicts, by object, row and column
}

func (l *look) excused(ctx context.Context) (excuses, error) {
	e := excuses{map[rowKey]bool{}, map[string]bool{}}
	rows, err := l.Pool.Query(ctx, `SELECT table_name::text, record_id::bigint, '' FROM `+l.table("_trigger_log")+` WHERE state IN ('FAILED', 'IGNORED') AND record_id IS NOT NULL
		UNION ALL SELECT table_name::text, record_id::bigint, '' FROM `+l.table("_trigger_log_archive")+` WHERE state IN ('FAILED', 'IGNORED') AND record_id IS NOT NULL
		UNION ALL SELECT table_name, record_id, field FROM hcbridge.conflict WHERE schema = $1`, l.Schema)
	if err != nil {
		return e, fmt.Errorf("what has failed: %w", err)
	}
	var table, field string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&table, &id, &field}, func() error {
		k := rowKey{l.objectOf(table), id}
		if field == "" {
			e.rows[k] = true
		} else {
			e.fields[fmt.Sprint(k.object, k.row, strings.ToLower(field))] = true
		}
		return nil
	})
	if err != nil {
		return e, fmt.Errorf("what has failed: %w", err)
	}
	return e, nil
}

// reached is I6, and I14 of the app's rows.
func (l *look) reached(k rowKey, id string, writes []write, s *story, excused excuses) {
	ob := l.org.Object(k.object)
	record, alive := l.org.Get(k.object, id)
	alive = alive && !record.Deleted
	last := map[string]*string{}
	gone := false
	for _, w := range writes {
		gone = w.kind == deleted
		for column, v := range w.values {
			last[column] = v
		}
	}
	if excused.rows[k] {
		return
	}
	var removed, restored bool
	for _, c := range s.changes {
		switch c.Kind {
		case sobject.Delete, sobject.Purge:
			removed, restored = true, false
		case sobject.Undelete:
			restored = true
		}
	}
	_, there := l.rows[k.object][k.row]
	switch {
	case gone:
		if alive && !restored {
			l.add("I6", k.object, id, "the app has deleted row %d, and the record is there", k.row)
		}
		return
	case !there && alive:
		l.add("I14", k.object, id, "row %d is gone, and nobody has deleted it", k.row)
		return
	case !there && !removed:
		l.add("I14", k.object, id, "row %d and its record are gone, and nobody has deleted them", k.row)
	}
	if !alive {
		return
	}
	for column, v := range last {
		f := ob.Field(column)
		if f == nil || excused.fields[fmt.Sprint(k.object, k.row, column)] || compare.Equal(f.Type, record.Get(ob, column), v) {
			continue
		}
		// It was there once, and somebody else has changed it since.
		was, over := false, false
		for _, c := range s.changes {
			now, changed := c.Changed(f.Name)
			same := compare.Equal(f.Type, now, v)
			if !changed {
				was = was || same && c.User == l.org.User // what we sent was there already
				continue
			}
			over = was && !same && (c.User != l.org.User || c.Cascade) || over && !same
			was = same || was
		}
		if !over && !l.cleared(f, v) {
			l.add("I6", k.object, id, "%s of row %d is to be %s, and Salesforce has %v", f.Name, k.row, text(v), record.Get(ob, column))
		}
	}
}

// cleared reports whether the record that a lookup names has been deleted or merged
// in the org, which changes the lookups that name it without a word.
func (l *look) cleared(f *sobject.Field, id *string) bool {
	return f.Type == "reference" && id != nil && slices.ContainsFunc(l.org.Changes, func(c truth.Change) bool {
		return c.ID() == *id && c.Kind == sobject.Delete
	})
}

// ordered are I7, and I8 as far as it is about records.
func (l *look) ordered(rows []rowKey, id string, writes []write, s *story) {
	object := rows[0].object
	ob := l.org.Object(object)
	at := map[string]int{} // by column, the write whose value came last
	changes := 0
	for _, c := range s.changes {
		if c.User != l.org.User || c.Kind != sobject.Insert && c.Kind != sobject.Update {
			continue
		}
		mine := false
		for _, column := range columns(writes) {
			f := ob.Field(column)
			if f == nil {
				continue
			}
			value, changed := c.Changed(f.Name)
			if !changed {
				continue
			}
			mine = true
			found := false
			for i := at[column]; i < len(writes) && !found; i++ {
				if v, has := writes[i].values[column]; has && compare.Equal(f.Type, value, v) {
					at[column], found = i, true
				}
			}
			if !found {
				l.add("I7", object, id, "the bridge has set %s to %v in transaction %d, which the app did not commit then or later in %v", f.Name, value, c.Tx, rows)
			}
		}
		if mine {
			changes++
		}
	}
	if changes > len(writes) {
		l.add("I8", object, id, "the bridge has changed it %d times, the app %d times: %s", changes, len(writes), l.history(ob, writes, s))
	}
}

// history tells what was done to a record in the fields that writes name, oldest
// first: transaction, by whom, and the values.
func (l *look) history(ob *sobject.Object, writes []write, s *story) string {
	var told []string
	for _, c := range s.changes {
		who := "others"
		if c.User == l.org.User {
			who = "the bridge"
		}
		told = append(told, fmt.Sprintf("%d by %s", c.Tx, who))
		for _, column := range columns(writes) {
			if f := ob.Field(column); f != nil {
				if value, changed := c.Changed(f.Name); changed {
					told = append(told, fmt.Sprintf("%s=%v", f.Name, value))
				}
			}
		}
	}
	return strings.Join(told, " ")
}

// columns are those that writes name.
func columns(writes []write) (list []string) {
	seen := map[string]bool{}
	for _, w := range writes {
		for column := range w.values {
			if !seen[column] {
				seen[column] = true
				list = append(list, column)
			}
		}
	}
	return list
}

func text(v *string) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *v)
}

// deletions is I14 of rows that the app did not make: a record that is there, has
// been in a row as the trigger log tells, and is in none.
func (l *look) deletions(context.Context) error {
	history, _ := l.App.history()
	for k, writes := range history {
		if l.org.Object(k.object) == nil {
			continue
		}
		if _, there := l.rows[k.object][k.row]; there {
			continue
		}
		gone := false
		for _, w := range writes {
			gone = gone || w.kind == deleted
		}
		if !gone && writes[0].kind == inserted && !l.has(k) {
			l.add("I14", k.object, fmt.Sprintf("row %d", k.row), "the app has inserted it, nobody has deleted it, and it is gone")
		}
	}
	return nil
}

// has reports whether reached has said something of the row, or its record was
// removed in the org.
func (l *look) has(k rowKey) bool {
	for _, c := range l.org.Changes {
		if c.Object.Name != k.object || c.Kind != sobject.Delete && c.Kind != sobject.Purge {
			continue
		}
		return true // which row it was nobody knows any more
	}
	return false
}
