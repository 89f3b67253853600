package sobject

import (
	"slices"
	"strings"
	"sync"
)

// Object is the metadata of one sObject. It is immutable once a store has it;
// [Object.With] makes the next version of a schema.
type Object struct {
	Name        string
	Label       string
	LabelPlural string
	KeyPrefix   string // first three characters of its ids
	Custom      bool

	Createable    bool
	Updateable    bool
	Deletable     bool
	Undeletable   bool
	Replicateable bool
	Triggerable   bool
	Layoutable    bool

	Fields   []*Field
	Children []Child // reverse relationships; a store fills them in

	once   sync.Once
	byName map[string]int
}

// Child is one entry of a describe's childRelationships.
type Child struct {
	Object       string
	Field        string
	Relationship string // "" has no name and cannot be queried
	Cascade      bool
}

// Index returns the position of the field called name, in any case, or -1.
func (o *Object) Index(name string) int {
	o.once.Do(func() {
		o.byName = make(map[string]int, len(o.Fields))
		for i, f := range o.Fields {
			o.byName[strings.ToLower(f.Name)] = i
		}
	})
	if i, ok := o.byName[name]; ok {
		return i
	}
	if i, ok := o.byName[strings.ToLower(name)]; ok {
		return i
	}
	return -1
}

// Field returns the field called name, in any case, or nil.
func (o *Object) Field(name string) *Field {
	if i := o.Index(name); i >= 0 {
		return o.Fields[i]
	}
	return nil
}

// Relationship returns the reference field whose relationship is called name
// ("Account", "Account__r"), in any case, or nil.
func (o *Object) Relationship(name string) *Field {
	for _, f := range o.Fields {
		if f.RelationshipName != "" && strings.EqualFold(f.RelationshipName, name) {
			return f
		}
	}
	return nil
}

// Parts returns the fields that make up the compound field called name.
func (o *Object) Parts(name string) []*Field {
	var parts []*Field
	for _, f := range o.Fields {
		if f.Compound == name {
			parts = append(parts, f)
		}
	}
	return parts
}

// With returns a copy of o with fields appended, as when an administrator
// adds them. Records written before read the default of a boolean and null of
// everything else.
func (o *Object) With(fields ...*Field) *Object {
	return &Object{
		Name: o.Name, Label: o.Label, LabelPlural: o.LabelPlural, KeyPrefix: o.KeyPrefix, Custom: o.Custom,
		Createable: o.Createable, Updateable: o.Updateable, Deletable: o.Deletable, Undeletable: o.Undeletable,
		Replicateable: o.Replicateable, Triggerable: o.Triggerable, Layoutable: o.Layoutable,
		Fields:   append(slices.Clone(o.Fields), fields...),
		Children: slices.Clone(o.Children),
	}
}
