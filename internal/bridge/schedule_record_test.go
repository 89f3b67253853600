package bridge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hcbridge/test/org"
)

func newOnce() *sync.Once { return new(sync.Once) }

// record is a record of the org and all that it has been.
type record struct {
	object, id string
	versions   []version
	shown      int   // the newest version that its row has shown, -1 = none
	row        bool  // it has a row
	local      int64 // the id of its first row, 0 = none yet
}

// version is what a row of a record may look like.
type version struct {
	value   string
	stamp   time.Time
	deleted bool
}

func (r *record) last() version { return r.versions[len(r.versions)-1] }

// note adds what the last transaction made of the records.
func (w *world) note() {
	for _, r := range w.records {
		now := version{deleted: true, stamp: w.clock.Now().Truncate(time.Second)}
		if rec, ok := w.sf.Get(r.object, r.id); ok {
			now.value, _ = rec.Get(w.sf.Object(r.object), named[r.object]).(string)
			now.stamp, now.deleted = rec.Stamp, rec.Deleted
		} else if len(r.versions) > 0 && r.last().deleted {
			continue
		}
		if len(r.versions) == 0 || r.last() != now {
			r.versions = append(r.versions, now)
		}
	}
}

// look checks every row against the history of its record: it must show what
// the record has been, never what is older than what it has shown before, and
// be gone only after a deletion. A record that comes back has the row's id again.
func (w *world) look(ctx context.Context) error {
	if w.check != nil {
		return w.check(ctx)
	}
	type row struct {
		value string
		stamp time.Time
		local int64
	}
	have := map[string]row{}
	for _, name := range w.used {
		rows, err := w.db.pool.Query(ctx, fmt.Sprintf("SELECT sfid::text, coalesce(%s, ''), systemmodstamp, id FROM salesforce.%s", named[name], name))
		if err != nil {
			return err
		}
		for rows.Next() {
			var id string
			var r row
			if err := rows.Scan(&id, &r.value, &r.stamp, &r.local); err != nil {
				return err
			}
			if _, twice := have[id]; twice {
				return fmt.Errorf("%s has two rows", id)
			}
			have[id] = r
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	for _, r := range w.records {
		now, exists := have[r.id]
		switch {
		case exists:
			found := -1
			for i, v := range r.versions {
				if !v.deleted && v.value == now.value && v.stamp.Equal(now.stamp) {
					found = i
				}
			}
			if found < 0 {
				return fmt.Errorf("%s shows %q of %v, which never was: %v", r.id, now.value, now.stamp, r.versions)
			}
			if found < r.shown {
				return fmt.Errorf("%s shows version %d after version %d: %v", r.id, found, r.shown, r.versions)
			}
			if r.local != 0 && r.local != now.local {
				return fmt.Errorf("%s has row %d, had %d", r.id, now.local, r.local)
			}
			r.shown, r.row, r.local = found, true, now.local
		case r.row:
			r.row = false
			found := -1
			for i, v := range r.versions {
				if v.deleted && i > r.shown && found < 0 {
					found = i
				}
			}
			if found < 0 {
				return fmt.Errorf("%s has lost its row after version %d, and was not deleted since: %v", r.id, r.shown, r.versions)
			}
			r.shown = found
		}
	}
	return nil
}

// pick chooses a record that meets a condition.
func (w *world) pick(n int, object string, ok func(*record) bool) *record {
	var some []*record
	for _, r := range w.records {
		if (object == "" || r.object == object) && ok(r) {
			some = append(some, r)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[n%len(some)]
}

// showAll ends all hiding.
func (w *world) showAll() {
	for _, r := range w.records {
		w.sf.ShowRecord(r.object, r.id)
	}
}

func live(r *record) bool { return !r.last().deleted }

func (w *world) actor(bulk bool) org.Actor {
	if bulk {
		return w.sf.AsBulk("loader@example.com")
	}
	return w.sf.As(org.DefaultOther)
}

func (w *world) next() string {
	w.value++
	return fmt.Sprintf("v%d", w.value)
}

// lateBy is how long before now a transaction can have stamped what it writes:
// it held the records from then on.
func (w *world) lateBy(n int) time.Duration {
	late := []time.Duration{5 * time.Second, 3 * time.Minute, 14 * time.Minute, maxLate}[n%4]
	for _, r := range w.records {
		late = min(late, w.clock.Now().Sub(r.last().stamp))
	}
	return max(late-time.Second, 0).Truncate(time.Second)
}

// change does what somebody does in the org. What it refuses has not happened.
func (w *world) change(s step) error {
	bulk := s.do == "bulk"
	do := s.do
	switch {
	case do == "late":
		w.late = w.lateBy(s.b / 8)
		do = []string{"update", "insert", "delete", "undelete", "update", "move", "update", "merge"}[s.b%8]
	case bulk:
		do = []string{"update", "insert", "delete", "undelete", "update", "move", "update", "purge"}[s.b%8]
	}
	err := w.commit(do, s, w.actor(bulk))
	w.late = 0
	w.note()
	return err
}

func (w *world) commit(do string, s step, by org.Actor) error {
	r := w.pick(s.a, "", live)
	switch do {
	case "insert":
		return w.insert(s, by)
	case "update":
		if r == nil {
			return w.insert(s, by)
		}
		return by.Update(r.object, r.id, map[string]any{named[r.object]: w.next()})
	case "twice":
		return w.twice(s, by)
	case "delete":
		if r != nil {
			return by.Delete(r.object, r.id)
		}
	case "undelete":
		if r := w.pick(s.a, "", func(r *record) bool { return r.last().deleted }); r != nil {
			_ = by.Undelete(r.object, r.id) // its parent may be deleted, or it purged
		}
	case "purge":
		if r := w.pick(s.a, "", func(*record) bool { return true }); r != nil {
			_ = by.Purge(r.object, r.id) // it may be gone
		}
	case "merge":
		if w.pure { // the winner's new stamp has no event
			return nil
		}
		winner := w.pick(s.a, "", func(r *record) bool { return live(r) && r.object != "Invoice__c" })
		if winner == nil {
			return nil
		}
		loser := w.pick(s.b, winner.object, func(r *record) bool { return live(r) && r != winner })
		if loser != nil {
			return by.Merge(winner.object, winner.id, loser.id)
		}
	case "move":
		child := w.pick(s.a, w.used[len(w.used)-1], live)
		if field := lookupOf[w.used[len(w.used)-1]]; child != nil && field != "" {
			return by.Update(child.object, child.id, map[string]any{field: w.parent(s.b), named[child.object]: w.next()})
		}
	}
	return nil
}

var lookupOf = map[string]string{"Contact": "AccountId", "Invoice__c": "Account__c"}

// parent is a live account, now and then none.
func (w *world) parent(n int) any {
	if r := w.pick(n, "Account", live); r != nil && n%5 > 0 {
		return r.id
	}
	return nil
}

func (w *world) insert(s step, by org.Actor) error {
	if len(w.records) >= 6 {
		return nil
	}
	object := w.used[s.b%len(w.used)]
	fields := map[string]any{named[object]: w.next()}
	if lookup := lookupOf[object]; lookup != "" {
		fields[lookup] = w.parent(s.a)
	}
	id, err := by.Insert(object, fields)
	if err == nil {
		w.records = append(w.records, &record{object: object, id: id, shown: -1})
	}
	return err
}

// twice makes two changes of a record in one transaction.
func (w *world) twice(s step, by org.Actor) error {
	r := w.pick(s.a, "", live)
	if r == nil {
		return nil
	}
	w.sf.ReverseEvents(true)
	defer w.sf.ReverseEvents(false)
	err := by.Update(r.object, r.id, map[string]any{named[r.object]: w.next()})
	w.note()
	switch {
	case err != nil:
		return err
	case s.b%4 == 0:
		// Both events are of the record itself: a deletion tells of nothing else.
		return by.Delete(r.object, r.id)
	}
	return by.Update(r.object, r.id, map[string]any{named[r.object]: w.next()})
}
