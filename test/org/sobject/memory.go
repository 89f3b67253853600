package sobject

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"
)

// Memory is a [Store] in memory, made for a million records per object.
//
// Every object has trees in id order, in (stamp, id) order and one per
// indexed field. The trees are copy-on-write, so a scan runs on a snapshot
// and holds no lock.
type Memory struct {
	mu       sync.RWMutex
	tables   map[string]*table // by lower-case name
	prefixes map[string]*table
}

type table struct {
	object  *Object
	byID    *btree.BTreeG[*Record]
	byStamp *btree.BTreeG[*Record]
	indexes map[string]*btree.BTreeG[entry] // by lower-case field name
	live    int
	shared  *snapshot // of the present state; nil after a write
}

type snapshot struct {
	byID    *btree.BTreeG[*Record]
	byStamp *btree.BTreeG[*Record]
}

type entry struct {
	key string
	id  string
	rec *Record
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{tables: map[string]*table{}, prefixes: map[string]*table{}}
}

func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func lessID(a, b *Record) bool { return a.ID < b.ID }

func lessStamp(a, b *Record) bool {
	if c := a.Stamp.Compare(b.Stamp); c != 0 {
		return c < 0
	}
	return a.ID < b.ID
}

func lessEntry(a, b entry) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.id < b.id
}

// Define implements [Store].
func (m *Memory) Define(o *Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := strings.ToLower(o.Name)
	t := m.tables[name]
	if t == nil {
		t = &table{byID: newTree(lessID), byStamp: newTree(lessStamp), indexes: map[string]*btree.BTreeG[entry]{}}
		m.tables[name] = t
		m.prefixes[o.KeyPrefix] = t
	}
	t.object = o
	for _, f := range o.Fields {
		key := strings.ToLower(f.Name)
		if _, ok := t.indexes[key]; !ok && f.indexed() {
			t.indexes[key] = newTree(lessEntry)
		}
	}
	m.link()
}

// link gives every object its reverse relationships. Objects are shared with
// readers, so one whose children change is replaced, not altered.
func (m *Memory) link() {
	children := map[string][]Child{}
	for _, t := range m.sorted() {
		for _, f := range t.object.Fields {
			for _, parent := range f.ReferenceTo {
				key := strings.ToLower(parent)
				children[key] = append(children[key], Child{Object: t.object.Name, Field: f.Name, Relationship: f.ChildRelationship, Cascade: f.CascadeDelete})
			}
		}
	}
	for name, t := range m.tables {
		if !slices.Equal(t.object.Children, children[name]) {
			o := t.object.With()
			o.Children = children[name]
			t.object = o
		}
	}
}

func (m *Memory) sorted() []*table {
	out := make([]*table, 0, len(m.tables))
	for _, t := range m.tables {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *table) int { return strings.Compare(a.object.Name, b.object.Name) })
	return out
}

func (m *Memory) table(name string) *table {
	if t, ok := m.tables[name]; ok {
		return t
	}
	return m.tables[strings.ToLower(name)]
}

// Object implements [Store].
func (m *Memory) Object(name string) *Object {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if t := m.table(name); t != nil {
		return t.object
	}
	return nil
}

// ObjectOf implements [Store].
func (m *Memory) ObjectOf(id string) *Object {
	if len(id) < 3 {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if t := m.prefixes[id[:3]]; t != nil {
		return t.object
	}
	return nil
}

// Objects implements [Store].
func (m *Memory) Objects() []*Object {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []*Object
	for _, t := range m.sorted() {
		out = append(out, t.object)
	}
	return out
}

// Get implements [Store].
func (m *Memory) Get(object, id string) (Record, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t := m.table(object)
	if t == nil {
		return Record{}, false
	}
	r, ok := t.byID.Get(&Record{ID: id})
	if !ok {
		return Record{}, false
	}
	return *r, true
}

// Len implements [Store].
func (m *Memory) Len(object string) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if t := m.table(object); t != nil {
		return t.live
	}
	return 0
}

// Lookup implements [Store].
func (m *Memory) Lookup(object, field string, value any) []Record {
	return slices.DeleteFunc(m.LookupAll(object, field, value), func(r Record) bool { return r.Deleted })
}

// LookupAll implements [Store].
func (m *Memory) LookupAll(object, field string, value any) []Record {
	o := m.Object(object)
	if o == nil || o.Field(field) == nil {
		return nil
	}
	f := o.Field(field)
	key, ok := f.key(value)
	if !ok {
		return nil
	}
	var out []Record
	if f.indexed() {
		m.mu.RLock()
		defer m.mu.RUnlock()
		m.table(object).indexes[strings.ToLower(f.Name)].Ascend(entry{key: key}, func(e entry) bool {
			if e.key != key {
				return false
			}
			out = append(out, *e.rec)
			return true
		})
		return out
	}
	i := o.Index(field)
	m.Scan(object, "", func(r Record) bool {
		if k, ok := f.key(r.At(o, i)); ok && k == key {
			out = append(out, r)
		}
		return true
	})
	return out
}

// Scan implements [Store].
func (m *Memory) Scan(object string, from Cursor, fn func(Record) bool) {
	if s := m.snapshot(object); s != nil {
		s.byID.Ascend(&Record{ID: string(from)}, func(r *Record) bool { return fn(*r) })
	}
}

// ScanStamp implements [Store].
func (m *Memory) ScanStamp(object string, from time.Time, fn func(Record) bool) {
	m.ScanAfter(object, from, "", fn)
}

// ScanAfter implements [Store].
func (m *Memory) ScanAfter(object string, stamp time.Time, id string, fn func(Record) bool) {
	s := m.snapshot(object)
	if s == nil {
		return
	}
	s.byStamp.Ascend(&Record{ID: id, Stamp: stamp}, func(r *Record) bool {
		if r.ID == id && r.Stamp.Equal(stamp) {
			return true
		}
		return fn(*r)
	})
}

func (m *Memory) snapshot(object string) *snapshot {
	m.mu.RLock()
	t := m.table(object)
	var s *snapshot
	if t != nil {
		s = t.shared
	}
	m.mu.RUnlock()
	if t == nil || s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.shared == nil {
		t.shared = &snapshot{byID: t.byID.Copy(), byStamp: t.byStamp.Copy()}
	}
	return t.shared
}
