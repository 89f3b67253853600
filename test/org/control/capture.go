package control

import (
	"fmt"
	"net/http"
)

// selectEntities reads {"objects": ["Account", "Invoice__c"]}.
func (c *control) selectEntities(r *http.Request) (any, error) {
	var body struct{ Objects []string }
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if err := c.s.Select(body.Objects...); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	return done{true}, nil
}

// gapEvents reads {"object": "Account", "on": true}.
func (c *control) gapEvents(r *http.Request) (any, error) {
	body := struct {
		Object string
		On     bool
	}{On: true}
	if err := c.readObject(r, &body, &body.Object); err != nil {
		return nil, err
	}
	c.s.GapEvents(body.Object, body.On)
	return done{true}, nil
}

// convert reads {"object": "Account"}.
func (c *control) convert(r *http.Request) (any, error) {
	var body struct{ Object string }
	if err := c.readObject(r, &body, &body.Object); err != nil {
		return nil, err
	}
	c.s.Convert(body.Object)
	return done{true}, nil
}

// readObject reads a body that names an object, and gives it its canonical name.
func (c *control) readObject(r *http.Request, body any, name *string) error {
	if err := read(r, body); err != nil {
		return err
	}
	ob := c.s.Object(*name)
	if ob == nil {
		return fmt.Errorf("%w: no object %q", errRequest, *name)
	}
	*name = ob.Name
	return nil
}
