package org

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"hcbridge/test/org/sobject"
	"hcbridge/test/org/soql"
)

// topic is a PushTopic that is not deleted, ready to be evaluated.
type topic struct {
	id, name string
	mode     string // NotifyForFields
	active   bool
	notify   map[sobject.OpKind]bool
	query    *soql.Query
	object   *sobject.Object
	chosen   []int // SELECT, positions in object
	filtered []int // WHERE
}

func (t *topic) channel() string { return "/topic/" + t.name }

// topics are the PushTopics of an org: they follow the records and turn
// transactions into events.
type topics struct {
	s *Server

	mu       sync.RWMutex
	limit    int
	byID     map[string]*topic
	pending  *sobject.Pending // transaction that is being checked
	reserved map[string]bool  // topics it has activated so far
}

func newTopics(s *Server, limit int) *topics {
	return &topics{s: s, limit: limit, byID: map[string]*topic{}}
}

// room reports whether the topic of d may be active, counting those that the
// same transaction has activated. It counts records, not ts.byID, which lags
// behind concurrent transactions.
func (ts *topics) room(d *sobject.Draft) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.pending != d.Tx {
		ts.pending, ts.reserved = d.Tx, map[string]bool{}
	}
	used := len(ts.reserved)
	already := false
	ts.s.store.Scan(pushTopic, "", func(rec sobject.Record) bool {
		if active, _ := rec.Get(d.Object, "IsActive").(bool); active && !rec.Deleted {
			already = already || rec.ID == d.ID()
			if !ts.reserved[rec.ID] {
				used++
			}
		}
		return true
	})
	if !already && used >= ts.limit {
		return false
	}
	ts.reserved[d.ID()] = true
	return true
}

// find returns the topic of a channel without its filter, or nil. Names are
// case-sensitive here.
func (ts *topics) find(channel string) *topic {
	name, ok := strings.CutPrefix(channel, "/topic/")
	if !ok {
		return nil
	}
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	for _, t := range ts.byID {
		if t.name == name {
			return t
		}
	}
	return nil
}

// watch follows the transactions of the org, in commit order.
func (ts *topics) watch(tx sobject.Tx) {
	for _, c := range ts.s.inOrder(tx.Changes) {
		if c.Object.Name == pushTopic {
			ts.follow(c)
			continue
		}
		// Neither the Bulk API nor cascading deletes notify. (Streaming API
		// Developer Guide, "Working with PushTopics".)
		if tx.Origin.API == "bulk" || c.Cascade || c.Kind == sobject.Purge {
			continue
		}
		for _, t := range ts.of(c.Object.Name) {
			if t.fires(ts.s, c) {
				ts.s.publish(t, c)
			}
		}
	}
}

func (ts *topics) of(object string) []*topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	var out []*topic
	for _, t := range ts.byID {
		if t.active && t.object.Name == object {
			out = append(out, t)
		}
	}
	return out
}

// follow keeps the topics in step with their records.
func (ts *topics) follow(c sobject.Change) {
	var gone string
	ts.mu.Lock()
	if c.Kind == sobject.Delete || c.Kind == sobject.Purge {
		if t := ts.byID[c.Before.ID]; t != nil {
			gone = t.channel()
			delete(ts.byID, t.id)
		}
	} else if t := ts.s.newTopic(c.Object, c.After); t != nil {
		ts.byID[t.id] = t
	}
	ts.mu.Unlock()
	if gone != "" {
		ts.s.stream.Reset(gone)
	}
}

func (s *Server) newTopic(ob *sobject.Object, rec sobject.Record) *topic {
	text := func(field string) string { v, _ := rec.Get(ob, field).(string); return v }
	flag := func(field string) bool { v, _ := rec.Get(ob, field).(bool); return v }
	t := &topic{
		id: rec.ID, name: text("Name"), mode: text("NotifyForFields"), active: flag("IsActive"),
		notify: map[sobject.OpKind]bool{
			sobject.Insert:   flag("NotifyForOperationCreate"),
			sobject.Update:   flag("NotifyForOperationUpdate"),
			sobject.Delete:   flag("NotifyForOperationDelete"),
			sobject.Undelete: flag("NotifyForOperationUndelete"),
		},
	}
	var err error
	if t.query, err = s.compile(text("Query"), t.mode, ""); err != nil {
		return nil // a field has gone since; the topic is mute
	}
	t.object = t.query.Object()
	for _, name := range t.query.SelectFields() {
		t.chosen = append(t.chosen, t.object.Index(name))
	}
	for _, name := range t.query.WhereFields() {
		t.filtered = append(t.filtered, t.object.Index(name))
	}
	return t
}

// fires is the truth table of NotifyForFields: the row after the change must
// satisfy WHERE, and an update must touch a field that the mode looks at.
func (t *topic) fires(s *Server, c sobject.Change) bool {
	if !t.notify[c.Kind] {
		return false
	}
	image := c.After
	if c.Kind == sobject.Delete {
		image = c.Before // not documented; the last state is taken
	}
	if !t.query.Match(s.store, image) {
		return false
	}
	if c.Kind != sobject.Update {
		return true
	}
	switch t.mode {
	case "All":
		for i := range c.Object.Fields {
			if changed(c, i, false) {
				return true
			}
		}
		return s.opt.NotifyNoOp
	case "Select":
		return anyChanged(c, t.chosen)
	case "Where":
		return anyChanged(c, t.filtered)
	}
	return anyChanged(c, t.chosen) || anyChanged(c, t.filtered)
}

func anyChanged(c sobject.Change, fields []int) bool {
	for _, i := range fields {
		if changed(c, i, true) {
			return true
		}
	}
	return false
}

// stamped are the fields whose change alone never notifies.
// (Streaming API Developer Guide, "Supported PushTopic Queries".)
var stamped = map[string]bool{
	"LastModifiedDate": true, "LastModifiedById": true, "SystemModstamp": true, "LastActivityDate": true,
	"LastViewedDate": true, "LastReferencedDate": true,
}

// changed reports whether field i counts as changed. Where a topic names its
// fields, a name notifies as a whole only and an address by its parts only.
// (Streaming API Developer Guide, "Compound Fields in PushTopic Queries".)
func changed(c sobject.Change, i int, named bool) bool {
	f := c.Object.Fields[i]
	if stamped[f.Name] || f.IsCompound() || named && f.Compound == "Name" {
		return false
	}
	before, after := c.Before.At(c.Object, i), c.After.At(c.Object, i)
	if a, isTime := before.(time.Time); isTime {
		b, ok := after.(time.Time)
		return !ok || !a.Equal(b)
	}
	return before != after
}

// publish sends the event of one change. A deletion carries the Id only, all
// else every selected field, changed or not, null or not.
func (s *Server) publish(t *topic, c sobject.Change) {
	now := s.opt.Now()
	kind := map[sobject.OpKind]string{
		sobject.Insert: "created", sobject.Update: "updated", sobject.Delete: "deleted", sobject.Undelete: "undeleted",
	}[c.Kind]
	image := object{{"Id", c.After.ID}}
	if c.Kind != sobject.Delete {
		image = image[:0]
		for _, i := range t.chosen {
			f := c.Object.Fields[i]
			image = append(image, member{f.Name, eventValue(f, c.After.At(c.Object, i))})
		}
	}
	s.stream.Publish(t.channel(), now, func(replayID int64) any {
		return object{
			{"event", object{
				{"createdDate", now.UTC().Format(sobject.EventTime)},
				{"replayId", json.Number(fmtInt(replayID))},
				{"type", kind},
			}},
			{"sobject", image},
		}
	})
}

// eventValue is the form of a value in an event; a compound has the full field
// names of its parts inside. Dates are midnights, as seen in the events of real orgs;
// no document says so.
func eventValue(f *sobject.Field, v any) any {
	if day, ok := v.(string); ok && f.Type == "date" {
		return day + "T00:00:00.000Z"
	}
	parts, isCompound := v.(sobject.Compound)
	if !isCompound {
		return f.EventJSON(v)
	}
	o := object{}
	for _, p := range parts {
		o = append(o, member{p.Field, p.Value})
	}
	return o
}
