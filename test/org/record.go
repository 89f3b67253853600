package org

import (
	"net/http"
	"net/url"
	"strings"

	"hcbridge/test/org/sobject"
)

// recordJSON renders the given fields of a record in the form of REST answers,
// its attributes first.
func (c *call) recordJSON(ob *sobject.Object, rec sobject.Record, fields []int) object {
	o := make(object, 1, len(fields)+1)
	o[0] = member{"attributes", object{{"type", ob.Name}, {"url", c.rowURL(ob, rec.ID)}}}
	for _, i := range fields {
		f := ob.Fields[i]
		o = append(o, member{f.Name, f.JSON(rec.At(ob, i))})
	}
	return o
}

func (c *call) rowURL(ob *sobject.Object, id string) string {
	return c.base() + "/sobjects/" + ob.Name + "/" + id
}

// fieldsOf resolves a list of field names; an empty list is all visible ones.
func (c *call) fieldsOf(ob *sobject.Object, names []string) ([]int, *sobject.Error) {
	var out []int
	if len(names) == 0 {
		for i, f := range ob.Fields {
			if c.visible(ob, f) {
				out = append(out, i)
			}
		}
		return out, nil
	}
	for _, name := range names {
		name = strings.TrimSpace(name)
		i := ob.Index(name)
		if i < 0 || !c.visible(ob, ob.Fields[i]) {
			return nil, noColumn(name, ob.Name)
		}
		out = append(out, i)
	}
	return out, nil
}

// noColumn is the text of reads; that of writes says "sobject of type".
func noColumn(field, entity string) *sobject.Error {
	return &sobject.Error{
		Status: http.StatusBadRequest, Code: "INVALID_FIELD",
		Message: "No such column '" + field + "' on entity '" + entity + "'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. " +
			"Please reference your WSDL or the describe call for the appropriate names.",
	}
}

// create serves POST /sobjects/X/.
func (c *call) create(ob *sobject.Object) answer {
	var fields map[string]any
	if err := c.decode(&fields); err != nil {
		return failed(err)
	}
	res := c.commit(true, sobject.Op{Kind: sobject.Insert, Object: ob.Name, Fields: fields})[0]
	if res.Err != nil {
		return failed(res.Err)
	}
	return c.created(ob, object{{"id", res.ID}, {"success", true}, {"errors", []any{}}})
}

func (c *call) created(ob *sobject.Object, body object) answer {
	id, _ := body.get("id").(string)
	return answer{
		status: http.StatusCreated,
		header: http.Header{"Location": {c.rowURL(ob, id)}},
		body:   body,
	}
}

// row serves /sobjects/X/ID.
func (c *call) row(ob *sobject.Object, id string) answer {
	switch c.method {
	case http.MethodGet, http.MethodHead:
		return c.retrieve(ob, id)
	case http.MethodPatch:
		return c.update(ob, id)
	case http.MethodDelete:
		return c.remove(ob, id)
	}
	return notAllowed(c.method, "GET", "HEAD", "PATCH", "DELETE")
}

func (c *call) retrieve(ob *sobject.Object, id string) answer {
	full, err := sobject.NormalizeID(id)
	if err != nil {
		return failed(sobject.ErrExternalIDField(id))
	}
	rec, found := c.store.Get(ob.Name, full)
	switch {
	case !found:
		return notFound()
	case rec.Deleted:
		return failed(sobject.ErrDeleted())
	}
	return c.read(ob, rec)
}

// read answers one record with the fields that were asked for.
func (c *call) read(ob *sobject.Object, rec sobject.Record) answer {
	if a, refused := c.unmodified(rec); refused {
		return a
	}
	var names []string
	if list := c.query.Get("fields"); list != "" {
		names = strings.Split(list, ",")
	}
	fields, refused := c.fieldsOf(ob, names)
	if refused != nil {
		return failed(refused)
	}
	a := ok(c.recordJSON(ob, rec, fields))
	a.header = http.Header{"Last-Modified": {rec.Stamp.UTC().Format(http.TimeFormat)}}
	return a
}

// unmodified evaluates the conditional headers against a record.
// (REST API Developer Guide, "Conditional Request Headers".)
func (c *call) unmodified(rec sobject.Record) (answer, bool) {
	if t, err := http.ParseTime(c.header.Get("If-Modified-Since")); err == nil && !rec.Stamp.After(t) {
		return answer{status: http.StatusNotModified}, true
	}
	if t, err := http.ParseTime(c.header.Get("If-Unmodified-Since")); err == nil && rec.Stamp.After(t) {
		return answer{status: http.StatusPreconditionFailed}, true
	}
	return answer{}, false
}

func (c *call) update(ob *sobject.Object, id string) answer {
	var fields map[string]any
	if err := c.decode(&fields); err != nil {
		return failed(err)
	}
	return c.write(sobject.Op{Kind: sobject.Update, Object: ob.Name, ID: id, Fields: fields})
}

func (c *call) remove(ob *sobject.Object, id string) answer {
	return c.write(sobject.Op{Kind: sobject.Delete, Object: ob.Name, ID: id})
}

// write carries out an update or delete under the conditional headers: the
// condition and the write are one step to all other REST writers.
func (c *call) write(op sobject.Op) answer {
	defer c.lock()()
	if id, err := sobject.NormalizeID(op.ID); err == nil {
		if rec, found := c.store.Get(op.Object, id); found {
			if a, refused := c.unmodified(rec); refused {
				return a
			}
		}
	}
	if res := c.org.Commit(c.origin(), true, []sobject.Op{op})[0]; res.Err != nil {
		return failed(res.Err)
	}
	return noContent()
}

// lock makes the caller the only REST writer until the returned function runs.
func (c *call) lock() (unlock func()) {
	if c.locked {
		return func() {}
	}
	c.s.writing.Lock()
	return c.s.writing.Unlock
}

// commit carries out ops as one transaction of the caller.
func (c *call) commit(allOrNone bool, ops ...sobject.Op) []sobject.Result {
	defer c.lock()()
	return c.org.Commit(c.origin(), allOrNone, ops)
}

// byExternalID serves /sobjects/X/Field/value.
func (c *call) byExternalID(ob *sobject.Object, field, value string) answer {
	f := ob.Field(field)
	if f == nil || !f.ExternalID && !f.IDLookup && f.Type != "id" || !c.visible(ob, f) {
		return failed(sobject.ErrExternalIDField(field))
	}
	if c.method == http.MethodPatch {
		return c.upsert(ob, f.Name, value)
	}
	if f.Type == "id" {
		return c.row(ob, value)
	}
	found := c.store.Lookup(ob.Name, f.Name, typed(f, value))
	switch {
	case len(found) == 0:
		return notFound()
	case len(found) > 1:
		ids := make([]string, len(found))
		for i, rec := range found {
			ids[i] = rec.ID
		}
		return c.choices(ob, ids)
	}
	switch c.method {
	case http.MethodGet, http.MethodHead:
		return c.read(ob, found[0])
	case http.MethodDelete:
		return c.remove(ob, found[0].ID)
	}
	return notAllowed(c.method, "GET", "HEAD", "PATCH", "DELETE")
}

// choices is the answer when several records match an external id: an array
// of their URLs, not of errors.
func (c *call) choices(ob *sobject.Object, ids []string) answer {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = c.rowURL(ob, id)
	}
	return answer{status: http.StatusMultipleChoices, body: list}
}

// upsert serves PATCH /sobjects/X/Field/value and POST /sobjects/X/Id. The
// answer depends on the version: "created" and 200 came with 46.
func (c *call) upsert(ob *sobject.Object, field, value string) answer {
	var fields map[string]any
	if err := c.decode(&fields); err != nil {
		return failed(err)
	}
	for name := range fields {
		if strings.EqualFold(name, field) {
			return failed(sobject.ErrIDInBody(field))
		}
	}
	op := sobject.Op{Kind: sobject.Upsert, Object: ob.Name, ExternalID: field, Fields: fields}
	op.UpdateOnly = strings.EqualFold(c.query.Get("updateOnly"), "true")
	switch {
	case field == "Id":
		op.ID = value
	default:
		if fields == nil {
			op.Fields = map[string]any{}
		}
		op.Fields[field] = typed(ob.Field(field), value)
	}
	res := c.commit(true, op)[0]
	if res.Err != nil {
		if res.Err.Status == http.StatusMultipleChoices {
			return c.choices(ob, res.Err.Matches)
		}
		return failed(res.Err)
	}
	body := object{{"id", res.ID}, {"success", true}, {"errors", []any{}}}
	if c.version >= 46 {
		body = append(body, member{"created", res.Created})
	}
	switch {
	case res.Created:
		return c.created(ob, body)
	case c.version >= 46:
		return ok(body)
	}
	return noContent()
}

// list reads a comma-separated parameter; absent and empty are an empty list.
func list(q url.Values, name string) []string {
	var out []string
	for part := range strings.SplitSeq(q.Get(name), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
