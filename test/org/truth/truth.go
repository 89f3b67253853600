// Package truth is what an org knows of itself, whole and in one piece: its
// records, and all that has happened to them since somebody began to listen. It is
// what a checker compares with, so no API limit, fault or permission touches it.
//
// In the org's process a [Log] is asked; from another one [Get] asks the control
// of cmd/orgsim for the same.
package truth

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// Log listens to an org. Its methods are safe for concurrent use.
type Log struct {
	s *org.Server

	mu      sync.Mutex
	changes []Change
	last    map[string]int64 // replay id of each object's PushTopic
}

// Listen begins to write down what happens. It goes on for as long as the org
// lives, and keeps all: the images are shared with the org, so a change costs some
// hundred bytes and keeps what it replaced from being freed.
func Listen(s *org.Server) *Log {
	l := &Log{s: s, last: map[string]int64{}}
	s.Org().Watch(func(tx sobject.Tx) {
		l.mu.Lock()
		defer l.mu.Unlock()
		// The org's own watchers came first, so the events of tx are stored.
		events := map[string]int64{}
		for _, c := range tx.Changes {
			if id := s.Stream().LastReplayID(topic(c.Object)); id > l.last[c.Object.Name] {
				events[c.Object.Name] = id
			}
		}
		maps.Copy(l.last, events)
		for _, c := range tx.Changes {
			l.changes = append(l.changes, Change{Tx: tx.Seq, At: tx.At, User: tx.Origin.UserID, API: tx.Origin.API, Kind: c.Kind, Object: c.Object, Before: c.Before, After: c.After, Cascade: c.Cascade, Replay: events[c.Object.Name]})
		}
	})
	return l
}

// Forget leaves out of the history what has happened so far.
func (l *Log) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = nil
}

// topic is the channel of a bridge's PushTopic of an object.
func topic(ob *sobject.Object) string { return "/topic/hc_" + ob.Name }

// Change is what a transaction did to one record. Before has no id for an insert.
type Change struct {
	Tx            uint64    // transactions in commit order; 1, 2, 3, …
	At            time.Time // SystemModstamp
	User, API     string    // by whom, and how: "rest", "bulk", "ui"
	Kind          sobject.OpKind
	Object        *sobject.Object
	Before, After sobject.Record
	Cascade       bool  // a consequence of another change
	Replay        int64 // of its event in /topic/hc_<Object>, or of a later one of the transaction; 0 = no event
}

// ID is the id of the record.
func (c Change) ID() string {
	if c.After.ID != "" {
		return c.After.ID
	}
	return c.Before.ID
}

// Changed reports whether the change gave a field another value, and which.
func (c Change) Changed(field string) (any, bool) {
	now := c.After.Get(c.Object, field)
	if c.Kind == sobject.Insert {
		return now, now != nil
	}
	was := c.Before.Get(c.Object, field)
	if a, ok := now.(time.Time); ok {
		b, ok := was.(time.Time)
		return now, !ok || !a.Equal(b)
	}
	return now, fmt.Sprint(was) != fmt.Sprint(now)
}

// Org is an org at one moment.
type Org struct {
	ID      string
	User    string                     // the integration user's id
	Clients int                        // streaming sessions
	Calls   map[string]int             // requests by kind, see org.Server.Calls
	Objects map[string]*sobject.Object // by API name, those that were asked for
	All     map[string][]sobject.Record
	Changes []Change // in commit order, of all objects
}

// Snapshot returns the org with the records, also deleted ones, of objects. It is
// of one moment only while nobody writes. Names that the org does not have are
// left out.
func (l *Log) Snapshot(objects []string) *Org {
	s := l.s
	o := &Org{ID: s.ID(), User: s.UserID(), Clients: s.StreamClients(), Calls: s.Calls(), Objects: map[string]*sobject.Object{}, All: map[string][]sobject.Record{}}
	l.mu.Lock()
	o.Changes = l.changes[:len(l.changes):len(l.changes)]
	l.mu.Unlock()
	for _, name := range objects {
		ob := s.Object(name)
		if ob == nil {
			continue
		}
		o.Objects[ob.Name] = ob
		s.Org().Store().Scan(ob.Name, "", func(r sobject.Record) bool {
			o.All[ob.Name] = append(o.All[ob.Name], r)
			return true
		})
	}
	return o
}

// Object returns the metadata of an object that was asked for, or nil.
func (o *Org) Object(name string) *sobject.Object { return o.Objects[name] }

// Records returns the records that are not deleted, in id order.
func (o *Org) Records(object string) []sobject.Record {
	var live []sobject.Record
	for _, r := range o.All[object] {
		if !r.Deleted {
			live = append(live, r)
		}
	}
	return live
}

// Get returns a record, also a deleted one.
func (o *Org) Get(object, id string) (sobject.Record, bool) {
	all := o.All[object]
	low, high := 0, len(all)
	for low < high {
		middle := (low + high) / 2
		if all[middle].ID < id {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(all) && all[low].ID == id {
		return all[low], true
	}
	return sobject.Record{}, false
}

// typed brings a value that went through JSON back to what [sobject.Record] says
// that it is.
func typed(f *sobject.Field, v any) any {
	text, is := v.(string)
	if !is {
		return v
	}
	switch {
	case f.Type == "datetime":
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t
		}
	case f.Numeric():
		return json.Number(text)
	}
	return text
}
