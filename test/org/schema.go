package org

import (
	"fmt"
	"slices"
	"strings"

	"hcbridge/test/org/sobject"
)

// AddField adds a field to an object, as an administrator does who lets the
// integration user see it. Records of before read its default.
func (s *Server) AddField(object string, f *sobject.Field) error {
	ob := s.store.Object(object)
	switch {
	case ob == nil:
		return fmt.Errorf("no object %s", object)
	case ob.Field(f.Name) != nil:
		return fmt.Errorf("%s has a field %s already", ob.Name, f.Name)
	}
	s.Define(ob.With(f))
	s.topics.recompile(ob.Name)
	return nil
}

// RemoveField deletes a field: nobody sees it any more, and PushTopics that
// select it are mute until their query is mended. Salesforce keeps the values
// for 15 days under the name X_del__c; here they stay there.
func (s *Server) RemoveField(object, field string) error {
	base, suffix := field, ""
	if name, custom := strings.CutSuffix(field, "__c"); custom {
		base, suffix = name, "__c"
	}
	gone := base + "_del" + suffix
	if err := s.ChangeField(object, field, func(f *sobject.Field) {
		f.Name, f.RelationshipName, f.ChildRelationship, f.Nillable = gone, "", "", true
		f.ExternalID, f.IDLookup, f.Unique = false, false, false
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.erased == nil {
		s.erased = map[string]bool{}
	}
	s.erased[strings.ToLower(object+"."+gone)] = true
	return nil
}

// ChangeField alters the definition of a field: its name, length, type. No
// record's stamp moves. Values of another type are converted as they are read,
// and those that have no such form are null, as Salesforce warns that data may
// be lost. (Salesforce Help, "Change the Custom Field Type".)
func (s *Server) ChangeField(object, field string, change func(*sobject.Field)) error {
	ob := s.store.Object(object)
	if ob == nil || ob.Field(field) == nil {
		return fmt.Errorf("no field %s.%s", object, field)
	}
	fields := slices.Clone(ob.Fields)
	i := ob.Index(field)
	f := *fields[i]
	before := f.Type
	change(&f)
	f.Converted = f.Converted || f.Type != before
	if other := ob.Index(f.Name); other >= 0 && other != i {
		return fmt.Errorf("%s has a field %s already", ob.Name, f.Name)
	}
	fields[i] = &f
	next := ob.With()
	next.Fields = fields
	s.Define(next)
	s.topics.recompile(ob.Name)
	return nil
}

// DenyObject takes the integration user's permission on an object away, or
// gives it back. For him it does not exist meanwhile, which is also how an
// object looks that was deleted.
func (s *Server) DenyObject(object string, deny bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied == nil {
		s.denied = map[string]bool{}
	}
	s.denied[strings.ToLower(object)] = deny
	s.defined = s.opt.Now()
}

// recompile reads the queries of an object's topics again. One that names what
// is gone is mute.
func (ts *topics) recompile(object string) {
	ob := ts.s.store.Object(pushTopic)
	var all []sobject.Record
	ts.s.store.Scan(pushTopic, "", func(rec sobject.Record) bool {
		if !rec.Deleted {
			all = append(all, rec)
		}
		return true
	})
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, rec := range all {
		old := ts.byID[rec.ID]
		if old != nil && old.object.Name != object {
			continue
		}
		if t := ts.s.newTopic(ob, rec); t != nil {
			ts.byID[rec.ID] = t
		} else if old != nil {
			mute := *old
			mute.active = false // subscribers stay
			ts.byID[rec.ID] = &mute
		}
	}
}
