package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// MaxRetrieve is the most records that one Retrieve can ask for.
const MaxRetrieve = 2000

// saved is the org's answer about one written record.
type saved struct {
	ID      string      `json:"id"`
	Success *bool       `json:"success"`
	Created bool        `json:"created"`
	Errors  []wireError `json:"errors"`
}

// Create inserts one record and returns its id, 18 characters. Body holds API
// names; a nil value is null.
func (c *Client) Create(ctx context.Context, object string, body map[string]any) (string, error) {
	r, err := c.write("create", http.MethodPost, object, "", body)
	if err != nil {
		return "", err
	}
	var s saved
	a, err := c.call(ctx, r, &s)
	if err != nil {
		return "", err
	}
	if s.Success == nil || !*s.Success || !idForm(s.ID) {
		return "", c.mismatch(a, "no id")
	}
	return ID18(s.ID), nil
}

// Update changes the fields in body of one record and no others; a nil value clears.
func (c *Client) Update(ctx context.Context, object, id string, body map[string]any) error {
	r, err := c.write("update", http.MethodPatch, object, id, body)
	if err != nil {
		return err
	}
	return c.changed(ctx, r)
}

// Delete moves one record to the recycle bin. One that is there already fails with
// [CodeDeleted], a Conflict.
func (c *Client) Delete(ctx context.Context, object, id string) error {
	r, err := c.write("delete", http.MethodDelete, object, id, nil)
	if err != nil {
		return err
	}
	return c.changed(ctx, r)
}

// changed sends a write that is answered with 204 and nothing. A 200 with nothing
// proves nothing.
func (c *Client) changed(ctx context.Context, r request) error {
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if a.status == http.StatusNoContent {
		return nil
	}
	var s saved
	if err := c.decode(a, &s); err != nil {
		return err
	}
	if s.Success == nil || !*s.Success {
		return c.mismatch(a, "neither success nor error")
	}
	return nil
}

// Get returns one record: all fields the present user sees, or those named. One
// that does not exist or is hidden is NOT_FOUND.
func (c *Client) Get(ctx context.Context, object, id string, fields ...string) (json.RawMessage, error) {
	const op = "get"
	if !nameForm(object) || !idForm(id) {
		return nil, invalid(op, "not an object and an id")
	}
	path := c.base() + "/sobjects/" + object + "/" + id
	if len(fields) > 0 {
		path += "?fields=" + url.QueryEscape(strings.Join(fields, ","))
	}
	var raw json.RawMessage
	a, err := c.call(ctx, request{op: op + " " + object, method: http.MethodGet, path: path}, &raw)
	if err != nil {
		return nil, err
	}
	if raw[0] != '{' {
		return nil, c.mismatch(a, "not a record")
	}
	return raw, nil
}

// Retrieve returns the named fields of up to [MaxRetrieve] records, in the order of
// ids; nil stands for a record that does not exist, is deleted, or is hidden. One
// field that the org does not know fails the whole call with [CodeInvalidField].
//
// REST API Developer Guide, "Get Multiple Records with Fields Using sObject Collections".
func (c *Client) Retrieve(ctx context.Context, object string, ids, fields []string) ([]json.RawMessage, error) {
	op := "retrieve"
	if !nameForm(object) {
		return nil, invalid(op, "%q is not an API name", object)
	}
	op += " " + object
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > MaxRetrieve {
		return nil, invalid(op, "%d records in one call, at most %d", len(ids), MaxRetrieve)
	}
	for _, id := range ids {
		if !idForm(id) {
			return nil, invalid(op, "not an id")
		}
	}
	body, err := encode(op, map[string]any{"ids": ids, "fields": fields})
	if err != nil {
		return nil, err
	}
	var records []json.RawMessage
	a, err := c.call(ctx, request{op: op, method: http.MethodPost, path: c.base() + collections + "/" + object, body: body}, &records)
	if err != nil {
		return nil, err
	}
	if len(records) != len(ids) {
		return nil, c.mismatch(a, "not as many records as ids")
	}
	for i, r := range records {
		switch {
		case bytes.Equal(r, []byte("null")):
			records[i] = nil
		case r[0] != '{':
			return nil, c.mismatch(a, "not records")
		}
	}
	return records, nil
}

// write builds a request for one record.
func (c *Client) write(op, method, object, id string, body map[string]any) (request, error) {
	if !nameForm(object) {
		return request{}, invalid(op, "%q is not an API name", object)
	}
	op += " " + object
	if method != http.MethodPost && !idForm(id) {
		return request{}, invalid(op, "not an id")
	}
	r := request{op: op, method: method, path: c.base() + "/sobjects/" + object + "/" + id, write: true}
	if method == http.MethodDelete {
		return r, nil
	}
	var err error
	r.body, err = encode(op, body)
	return r, err
}

// encode writes a body. What cannot be written, such as a NaN, is the caller's
// mistake; the error does not quote it.
func encode(op string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, invalid(op, "a value that JSON cannot hold")
	}
	return b, nil
}
