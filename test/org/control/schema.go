package control

import (
	"fmt"
	"net/http"

	"hcbridge/test/org/sobject"
)

// definition is what of a field can be set from outside.
type definition struct {
	Object string
	Field  string
	Name   string
	Type   string
	Length int
	Scale  *int
}

func (d definition) apply(f *sobject.Field) {
	if d.Name != "" {
		f.Name = d.Name
	}
	if d.Type != "" {
		f.Type, f.Length, f.Precision, f.Scale, f.Digits = d.Type, 0, 0, 0, 0
		switch d.Type {
		case "double", "currency", "percent":
			f.Precision, f.Scale = 18, 2
		case "int":
			f.Digits = 8
		case "string", "textarea", "picklist":
			f.Length = 255
		}
	}
	if d.Length > 0 {
		f.Length = d.Length
	}
	if d.Scale != nil {
		f.Scale = *d.Scale
	}
}

func (c *control) addField(r *http.Request) (any, error) {
	var d definition
	if err := read(r, &d); err != nil {
		return nil, err
	}
	f := &sobject.Field{Name: d.Field, Label: d.Field, Nillable: true, Createable: true, Updateable: true, Custom: true}
	if d.Type == "" {
		d.Type = "string"
	}
	d.apply(f)
	if f.Type == "boolean" {
		f.Nillable, f.DefaultedOnCreate, f.Default = false, true, false
	}
	return done{true}, understood(c.s.AddField(d.Object, f))
}

func (c *control) removeField(r *http.Request) (any, error) {
	var d definition
	if err := read(r, &d); err != nil {
		return nil, err
	}
	return done{true}, understood(c.s.RemoveField(d.Object, d.Field))
}

func (c *control) changeField(r *http.Request) (any, error) {
	var d definition
	if err := read(r, &d); err != nil {
		return nil, err
	}
	return done{true}, understood(c.s.ChangeField(d.Object, d.Field, d.apply))
}

// denyObject reads {"object": "Contact", "on": true}.
func (c *control) denyObject(r *http.Request) (any, error) {
	body := struct {
		Object string
		On     bool
	}{On: true}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if c.s.Object(body.Object) == nil {
		return nil, fmt.Errorf("%w: no object %s", errRequest, body.Object)
	}
	c.s.DenyObject(body.Object, body.On)
	return done{true}, nil
}

func understood(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	return nil
}
