package org

import (
	"maps"
	"time"

	"hcbridge/test/org/sobject"
)

// HideRecord takes a record out of the integration user's sight, as sharing or
// a change of owner does: it is as if it did not exist, deleted or not.
func (s *Server) HideRecord(object, id string) { s.setVeiled(&s.veiled, id, true) }

// ShowRecord undoes [Server.HideRecord].
func (s *Server) ShowRecord(object, id string) { s.setVeiled(&s.veiled, id, false) }

// ArchiveRecord has a record shown by queryAll alone, as Salesforce does with tasks
// and events after a year. Of the Bulk API's queries it is not so here.
func (s *Server) ArchiveRecord(object, id string) { s.setVeiled(&s.archived, id, true) }

func (s *Server) setVeiled(list *map[string]bool, id string, hidden bool) {
	full, err := sobject.NormalizeID(id)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if *list == nil {
		*list = map[string]bool{}
	}
	if delete(*list, full); hidden {
		(*list)[full] = true
	}
}

// unarchived returns the store without what is archived.
func (s *Server) unarchived(store sobject.Store) sobject.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.archived) == 0 {
		return store
	}
	return veil{store, maps.Clone(s.archived)}
}

// sees returns the store as a user sees it.
func (s *Server) sees(userID string, store sobject.Store) sobject.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if userID != s.user.ID || len(s.veiled) == 0 {
		return store
	}
	return veil{store, maps.Clone(s.veiled)}
}

// veil is a store without some records.
type veil struct {
	sobject.Store

	hidden map[string]bool
}

// Get implements sobject.Store.
func (v veil) Get(object, id string) (sobject.Record, bool) {
	if v.hidden[id] {
		return sobject.Record{}, false
	}
	return v.Store.Get(object, id)
}

// Lookup implements sobject.Store.
func (v veil) Lookup(object, field string, value any) []sobject.Record {
	return v.filter(v.Store.Lookup(object, field, value))
}

// LookupAll implements sobject.Store.
func (v veil) LookupAll(object, field string, value any) []sobject.Record {
	return v.filter(v.Store.LookupAll(object, field, value))
}

func (v veil) filter(records []sobject.Record) []sobject.Record {
	var seen []sobject.Record
	for _, r := range records {
		if !v.hidden[r.ID] {
			seen = append(seen, r)
		}
	}
	return seen
}

// Scan implements sobject.Store.
func (v veil) Scan(object string, from sobject.Cursor, fn func(sobject.Record) bool) {
	v.Store.Scan(object, from, v.unless(fn))
}

// ScanStamp implements sobject.Store.
func (v veil) ScanStamp(object string, from time.Time, fn func(sobject.Record) bool) {
	v.Store.ScanStamp(object, from, v.unless(fn))
}

// ScanAfter implements sobject.Store.
func (v veil) ScanAfter(object string, stamp time.Time, id string, fn func(sobject.Record) bool) {
	v.Store.ScanAfter(object, stamp, id, v.unless(fn))
}

func (v veil) unless(fn func(sobject.Record) bool) func(sobject.Record) bool {
	return func(r sobject.Record) bool { return v.hidden[r.ID] || fn(r) }
}

// Len implements sobject.Store.
func (v veil) Len(object string) (n int) {
	v.Scan(object, "", func(r sobject.Record) bool {
		if !r.Deleted {
			n++
		}
		return true
	})
	return n
}
