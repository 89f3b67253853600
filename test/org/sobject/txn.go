package sobject

import "time"

// txn is a transaction in the making. It reads the store through the changes
// staged so far.
type txn struct {
	org      *Org
	pending  *Pending
	internal bool // may write read-only fields and objects: seeding

	latest  map[string]*Record // by id
	touched map[unique][]string
	staged  []staged
	names   []string // scratch
}

type staged struct {
	object        *Object
	kind          OpKind
	before, after *Record
	cascade       bool
	quiet         bool // without a new stamp and without events
}

type unique struct {
	object, field, key string
}

func (o *Org) begin(origin Origin) *txn {
	if origin.UserID == "" {
		origin.UserID = o.admin
	}
	return &txn{
		org:     o,
		pending: &Pending{At: o.clock(), Origin: origin},
		latest:  map[string]*Record{},
		touched: map[unique][]string{},
	}
}

func (t *txn) get(ob *Object, id string) *Record {
	if r, ok := t.latest[id]; ok {
		if r.Purged {
			return nil
		}
		return r
	}
	if r, ok := t.org.store.Get(ob.Name, id); ok {
		return &r
	}
	return nil
}

// lookup returns the live records whose indexed field has the value.
func (t *txn) lookup(ob *Object, f *Field, value any) []*Record {
	return t.find(ob, f, value, func(r *Record) bool { return !r.Deleted })
}

func (t *txn) find(ob *Object, f *Field, value any, keep func(*Record) bool) []*Record {
	key, ok := f.key(value)
	if !ok {
		return nil
	}
	if f.Type == "id" {
		if r := t.get(ob, key); r != nil && keep(r) {
			return []*Record{r}
		}
		return nil
	}
	var out []*Record
	for _, r := range t.org.store.LookupAll(ob.Name, f.Name, value) {
		if _, changed := t.latest[r.ID]; !changed && keep(&r) {
			out = append(out, &r)
		}
	}
	seen := map[string]bool{}
	for _, id := range t.touched[unique{ob.Name, f.Name, key}] {
		r := t.latest[id]
		if k, ok := f.key(r.Get(ob, f.Name)); ok && k == key && !r.Purged && keep(r) && !seen[id] {
			seen[id] = true
			out = append(out, r)
		}
	}
	return out
}

func (t *txn) stage(s staged) {
	if s.before != nil {
		s.after.Writes = s.before.Writes
	}
	s.after.Writes++
	again := s.before != nil && t.latest[s.after.ID] == s.before
	t.staged = append(t.staged, s)
	t.latest[s.after.ID] = s.after
	for i, f := range s.object.Fields {
		if !f.indexed() || i >= len(s.after.Values) {
			continue
		}
		key, ok := f.key(s.after.Values[i])
		if !ok {
			continue
		}
		if again {
			if was, had := f.key(s.before.Values[i]); had && was == key {
				continue // noted when before was staged
			}
		}
		u := unique{s.object.Name, f.Name, key}
		t.touched[u] = append(t.touched[u], s.after.ID)
	}
}

// finish gives every staged record the transaction's stamp and returns the
// changes.
func (t *txn) finish() []Change {
	at := t.pending.At.UTC().Truncate(time.Second)
	t.pending.At = at
	var boxed any = at // one allocation for all records
	var user any = t.pending.Origin.UserID
	changes := make([]Change, len(t.staged))
	for n, s := range t.staged {
		if s.quiet {
			changes[n] = Change{Object: s.object, Kind: s.kind, Before: *s.before, After: *s.after, quiet: true}
			continue
		}
		s.after.Stamp = at
		put := func(field string, v any) {
			if i := s.object.Index(field); i >= 0 {
				s.after.Values[i] = v
			}
		}
		if s.kind == Insert {
			s.after.Created = at
			put("CreatedDate", boxed)
			put("CreatedById", user)
		}
		put("SystemModstamp", boxed)
		put("LastModifiedDate", boxed)
		put("LastModifiedById", user)
		c := Change{Object: s.object, Kind: s.kind, Cascade: s.cascade}
		if s.before != nil {
			// Before was stamped by now if this transaction made it.
			c.Before = *s.before
			s.after.Created = s.before.Created
			put("CreatedDate", s.before.Get(s.object, "CreatedDate"))
			put("CreatedById", s.before.Get(s.object, "CreatedById"))
		}
		c.After = *s.after
		changes[n] = c
	}
	return changes
}
