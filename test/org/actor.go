package org

import (
	"encoding/json"
	"iter"

	"hcbridge/test/org/sobject"
)

// Actor writes records as a person who is not the bridge, past HTTP, limits
// and faults. His changes notify PushTopics like all others.
type Actor struct {
	s      *Server
	origin sobject.Origin
}

// As returns the actor with a user name; a user who does not exist is created.
func (s *Server) As(username string) Actor {
	return Actor{s: s, origin: sobject.Origin{UserID: s.userNamed(username).ID, API: "ui"}}
}

// AsBulk is As for changes made by a bulk load, which notify nobody.
func (s *Server) AsBulk(username string) Actor {
	return Actor{s: s, origin: sobject.Origin{UserID: s.userNamed(username).ID, API: "bulk"}}
}

func (s *Server) userNamed(username string) *user {
	s.mu.Lock()
	u := s.users[username]
	s.mu.Unlock()
	if u != nil {
		return u
	}
	u = s.userOf(s.setUp(sobject.Op{Kind: sobject.Insert, Object: "User", Fields: map[string]any{
		"Username": username, "LastName": username, "Email": username, "Alias": username[:min(8, len(username))],
	}}))
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.users[username]; made != nil {
		return made
	}
	s.users[username] = u
	return u
}

// Insert creates a record and returns its id. The error is a [*sobject.Error].
func (a Actor) Insert(object string, fields map[string]any) (id string, err error) {
	res := a.commit(sobject.Op{Kind: sobject.Insert, Object: object, Fields: fields})
	return res.ID, errorOf(res)
}

// Update changes the given fields of a record; nil clears one.
func (a Actor) Update(object, id string, fields map[string]any) error {
	return errorOf(a.commit(sobject.Op{Kind: sobject.Update, Object: object, ID: id, Fields: fields}))
}

// Delete puts a record into the recycle bin, with the children that cascade.
func (a Actor) Delete(object, id string) error {
	return errorOf(a.commit(sobject.Op{Kind: sobject.Delete, Object: object, ID: id}))
}

// Merge deletes losers in favour of winner, which takes over their children.
func (a Actor) Merge(object, winner string, losers ...string) error {
	a.s.writing.Lock()
	defer a.s.writing.Unlock()
	var ops []sobject.Op
	for _, id := range losers {
		ops = append(ops, sobject.Op{Kind: sobject.Delete, Object: object, ID: id, Into: winner})
	}
	for _, res := range a.s.org.Commit(a.origin, true, ops) {
		if res.Err != nil {
			return res.Err
		}
	}
	return nil
}

// Undelete takes a record out of the recycle bin.
func (a Actor) Undelete(object, id string) error {
	return errorOf(a.commit(sobject.Op{Kind: sobject.Undelete, Object: object, ID: id}))
}

// Purge removes a record for good, from the recycle bin or directly.
func (a Actor) Purge(object, id string) error {
	return errorOf(a.commit(sobject.Op{Kind: sobject.Purge, Object: object, ID: id}))
}

// InsertMany creates one record for each element of fields, in transactions of
// 200, and returns their ids in order. At the first refusal it stops.
func (a Actor) InsertMany(object string, fields iter.Seq[map[string]any]) (ids []string, err error) {
	ops := make([]sobject.Op, 0, maxCollection)
	flush := func() error {
		a.s.writing.Lock()
		results := a.s.org.Commit(a.origin, true, ops)
		a.s.writing.Unlock()
		for _, res := range results {
			if res.Err != nil && res.Err.Code != "ALL_OR_NONE_OPERATION_ROLLED_BACK" {
				return res.Err
			}
			ids = append(ids, res.ID)
		}
		ops = ops[:0]
		return nil
	}
	for f := range fields {
		ops = append(ops, sobject.Op{Kind: sobject.Insert, Object: object, Fields: f})
		if len(ops) == maxCollection {
			if err := flush(); err != nil {
				return ids, err
			}
		}
	}
	if len(ops) > 0 {
		err = flush()
	}
	return ids, err
}

func (a Actor) commit(op sobject.Op) sobject.Result {
	a.s.writing.Lock()
	defer a.s.writing.Unlock()
	return a.s.org.Commit(a.origin, true, []sobject.Op{op})[0]
}

func errorOf(res sobject.Result) error {
	if res.Err == nil {
		return nil // not a typed nil
	}
	return res.Err
}

// Insert is [Actor.Insert] by [DefaultOther].
func (s *Server) Insert(object string, fields map[string]any) (id string, err error) {
	return s.As(DefaultOther).Insert(object, fields)
}

// Update is [Actor.Update] by [DefaultOther].
func (s *Server) Update(object, id string, fields map[string]any) error {
	return s.As(DefaultOther).Update(object, id, fields)
}

// Delete is [Actor.Delete] by [DefaultOther].
func (s *Server) Delete(object, id string) error { return s.As(DefaultOther).Delete(object, id) }

// Undelete is [Actor.Undelete] by [DefaultOther].
func (s *Server) Undelete(object, id string) error { return s.As(DefaultOther).Undelete(object, id) }

// Purge is [Actor.Purge] by [DefaultOther].
func (s *Server) Purge(object, id string) error { return s.As(DefaultOther).Purge(object, id) }

// InsertMany is [Actor.InsertMany] by [DefaultOther].
func (s *Server) InsertMany(object string, fields iter.Seq[map[string]any]) (ids []string, err error) {
	return s.As(DefaultOther).InsertMany(object, fields)
}

// Object returns the metadata of an object, or nil.
func (s *Server) Object(name string) *sobject.Object { return s.store.Object(name) }

// Get returns a record, also one in the recycle bin.
func (s *Server) Get(object, id string) (sobject.Record, bool) {
	full, err := sobject.NormalizeID(id)
	if err != nil {
		return sobject.Record{}, false
	}
	return s.store.Get(object, full)
}

// Records returns the records of an object that are not deleted, in id order.
// Read their values by Get with [Server.Object].
func (s *Server) Records(object string) []sobject.Record {
	var out []sobject.Record
	s.store.Scan(object, "", func(rec sobject.Record) bool {
		if !rec.Deleted {
			out = append(out, rec)
		}
		return true
	})
	return out
}

// typed reads the text of a URL as a value of a field.
func typed(f *sobject.Field, text string) any {
	if f.Numeric() {
		return json.Number(text)
	}
	return text
}
