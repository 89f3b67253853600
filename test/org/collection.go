package org

import (
	"fmt"
	"net/http"
	"strings"

	"hcbridge/test/org/sobject"
)

// What one call may hold. (REST API Developer Guide, "sObject Collections".)
const (
	maxCollection = 200
	maxChunks     = 10
	maxRead       = 2000
)

// collections serves /composite/sobjects.
func (c *call) collections(seg []string) answer {
	switch len(seg) {
	case 0:
		switch c.method {
		case http.MethodPost:
			return c.saveMany(sobject.Insert, nil, "")
		case http.MethodPatch:
			return c.saveMany(sobject.Update, nil, "")
		case http.MethodDelete:
			return c.deleteMany()
		}
		return notAllowed(c.method, "DELETE", "PATCH", "POST")
	case 1, 2:
		ob := c.object(seg[0])
		if ob == nil {
			return notFound()
		}
		if len(seg) == 1 {
			return c.only(func() answer { return c.readMany(ob) }, http.MethodGet, http.MethodPost)
		}
		f := ob.Field(seg[1])
		if f == nil || !f.ExternalID && !f.IDLookup && f.Type != "id" || !c.visible(ob, f) {
			return failed(sobject.ErrExternalIDField(seg[1]))
		}
		return c.only(func() answer { return c.saveMany(sobject.Upsert, ob, f.Name) }, http.MethodPatch)
	}
	return notFound()
}

// planned is an operation, or why it is refused before it runs.
type planned struct {
	op  sobject.Op
	err *sobject.Error
}

func (c *call) saveMany(kind sobject.OpKind, ob *sobject.Object, field string) answer {
	var body struct {
		AllOrNone bool             `json:"allOrNone"`
		Records   []map[string]any `json:"records"`
	}
	if err := c.decode(&body); err != nil {
		return failed(err)
	}
	if len(body.Records) > maxCollection {
		return tooMany()
	}
	plans := make([]planned, len(body.Records))
	types, last := 0, ""
	for i, rec := range body.Records {
		name := typeOf(rec)
		if name == "" && ob != nil {
			name = ob.Name
		}
		if !strings.EqualFold(name, last) {
			types, last = types+1, name
		}
		plans[i] = c.planSave(kind, ob, name, field, rec)
	}
	if types > maxChunks {
		return fail(http.StatusBadRequest, "LIMIT_EXCEEDED",
			"Cannot have more than 10 chunks in a single operation. Please rearrange the data to reduce chunking.")
	}
	return ok(c.results(kind, plans, c.carryOut(body.AllOrNone, plans)))
}

func typeOf(rec map[string]any) string {
	attributes, _ := rec["attributes"].(map[string]any)
	name, _ := attributes["type"].(string)
	return name
}

// planSave makes the operation of one record of a collection.
func (c *call) planSave(kind sobject.OpKind, ob *sobject.Object, name, field string, rec map[string]any) planned {
	p := planned{op: sobject.Op{Kind: kind, Object: name, ExternalID: field, Fields: rec}}
	target := c.object(name)
	switch {
	case name == "":
		p.err = &sobject.Error{Status: 400, Code: "INVALID_INPUT", Message: "attributes.type is required", Fields: []string{}}
	case target == nil:
		p.err = &sobject.Error{Status: 400, Code: "INVALID_TYPE", Message: "sObject type '" + name + "' is not supported.", Fields: []string{}}
	case ob != nil && target != ob:
		p.err = &sobject.Error{Status: 400, Code: "INVALID_TYPE", Message: "all records must be of type " + ob.Name, Fields: []string{}}
	case kind == sobject.Insert:
	default:
		p.op.Fields = make(map[string]any, len(rec))
		for k, v := range rec {
			if strings.EqualFold(k, "Id") {
				p.op.ID, _ = v.(string)
				continue
			}
			p.op.Fields[k] = v
		}
		if kind == sobject.Update && p.op.ID == "" {
			p.err = &sobject.Error{Status: 400, Code: "MISSING_ARGUMENT", Message: "Id not specified in an update call", Fields: []string{}}
		}
		if kind == sobject.Upsert && field != "Id" && p.op.ID != "" {
			p.err = sobject.ErrIDInBody("Id")
		}
	}
	return p
}

// carryOut runs the plans as one transaction and returns a result for each.
func (c *call) carryOut(allOrNone bool, plans []planned) []sobject.Result {
	out := make([]sobject.Result, len(plans))
	var ops []sobject.Op
	var at []int
	for i, p := range plans {
		if p.err != nil {
			out[i] = sobject.Result{ID: p.op.ID, Err: p.err}
			continue
		}
		ops, at = append(ops, p.op), append(at, i)
	}
	if len(ops) == 0 {
		return out
	}
	if allOrNone && len(ops) < len(plans) {
		for _, i := range at {
			out[i] = sobject.Result{ID: plans[i].op.ID, Err: &sobject.Error{
				Status: 400, Code: "ALL_OR_NONE_OPERATION_ROLLED_BACK", Fields: []string{},
				Message: "Record rolled back because not all records were valid and the request was using AllOrNone header",
			}}
		}
		return out
	}
	for n, res := range c.commit(allOrNone, ops...) {
		out[at[n]] = res
	}
	return out
}

// results renders the outcome of each record. The code is called statusCode
// here, and a failed create has no id.
func (c *call) results(kind sobject.OpKind, plans []planned, outcome []sobject.Result) []object {
	out := make([]object, len(outcome))
	for i, res := range outcome {
		var o object
		id := res.ID
		if id == "" {
			id = plans[i].op.ID
		}
		if id != "" && (res.Err == nil || kind != sobject.Insert && res.Err.Code != "MALFORMED_ID") {
			o = append(o, member{"id", id})
		}
		o = append(o, member{"success", res.Err == nil}, member{"errors", itemErrors(res.Err)})
		if kind == sobject.Upsert && res.Err == nil {
			o = append(o, member{"created", res.Created})
		}
		out[i] = o
	}
	return out
}

func itemErrors(err *sobject.Error) []object {
	if err == nil {
		return []object{}
	}
	fields := err.Fields
	if fields == nil {
		fields = []string{}
	}
	return []object{{{"statusCode", err.Code}, {"message", err.Message}, {"fields", fields}}}
}

// deleteMany serves DELETE /composite/sobjects?ids=.
func (c *call) deleteMany() answer {
	ids := list(c.query, "ids")
	if len(ids) > maxCollection {
		return tooMany()
	}
	plans := make([]planned, len(ids))
	for i, id := range ids {
		plans[i].op = sobject.Op{Kind: sobject.Delete, ID: id}
		full, err := sobject.NormalizeID(id)
		if err != nil || c.store.ObjectOf(full) == nil {
			plans[i].err = &sobject.Error{Status: 400, Code: "MALFORMED_ID", Message: "malformed id " + id, Fields: []string{}}
		}
	}
	allOrNone := strings.EqualFold(c.query.Get("allOrNone"), "true")
	return ok(c.results(sobject.Delete, plans, c.carryOut(allOrNone, plans)))
}

// readMany serves GET and POST /composite/sobjects/X: an array parallel to
// the ids, with null for what is missing.
func (c *call) readMany(ob *sobject.Object) answer {
	ids, names := list(c.query, "ids"), list(c.query, "fields")
	if c.method == http.MethodPost {
		var body struct{ IDs, Fields []string }
		if err := c.decode(&body); err != nil {
			return failed(err)
		}
		ids, names = body.IDs, body.Fields
	}
	switch {
	case len(ids) == 0 || len(names) == 0:
		return fail(http.StatusBadRequest, "MISSING_ARGUMENT", "ids and fields are required")
	case len(ids) > maxRead:
		return fail(http.StatusBadRequest, "EXCEEDED_ID_LIMIT", fmt.Sprintf("record limit reached. cannot submit more than %d records into this call", maxRead))
	}
	fields, refused := c.fieldsOf(ob, names)
	if refused != nil {
		return failed(refused)
	}
	out, store := make([]any, len(ids)), c.s.unarchived(c.store)
	for i, id := range ids {
		full, err := sobject.NormalizeID(id)
		if err != nil {
			continue
		}
		if rec, found := store.Get(ob.Name, full); found && !rec.Deleted {
			out[i] = c.recordJSON(ob, rec, fields)
		}
	}
	return ok(out)
}

func tooMany() answer {
	return fail(http.StatusBadRequest, "EXCEEDED_ID_LIMIT",
		fmt.Sprintf("record limit reached. cannot submit more than %d records into this call", maxCollection))
}
