package salesforce

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// MaxRecords is the most records that InsertAll, UpdateAll, UpsertAll or DeleteAll
// can write: as many collections as one composite request may hold, see [part].
const MaxRecords = maxHeavy * maxCollection

// maxCollection is the most records of one collection that is written.
const maxCollection = 200

// collections is the resource of all collections, below the API's root.
const collections = "/composite/sobjects"

// SaveResult is what became of one record of a call.
type SaveResult struct {
	ID      string // 18 characters; "" for a record that was not created
	Success bool
	Created bool     // by an insert or upsert
	Errors  []*Error // at least one if not Success
}

// InsertAll creates up to [MaxRecords] records of one object, by one API call where
// the org takes it. Each stands or falls alone, and results are in the order of
// records. An error means that the whole call failed; if it is InDoubt, each record
// may or may not exist. So may a record whose first error is InDoubt.
//
// REST API Developer Guide, "Create Multiple Records with Fewer Round-Trips".
func (c *Client) InsertAll(ctx context.Context, object string, records []map[string]any) ([]SaveResult, error) {
	results, err := c.saveAll(ctx, "insert", http.MethodPost, object, "", records)
	for i := range results {
		results[i].Created = results[i].Success
	}
	return results, err
}

// UpdateAll changes up to [MaxRecords] records of one object, each named by its
// "id"; otherwise as InsertAll. An id must not occur twice.
func (c *Client) UpdateAll(ctx context.Context, object string, records []map[string]any) ([]SaveResult, error) {
	for _, r := range records {
		if id, _ := r["id"].(string); !idForm(id) {
			return nil, invalid("update", "a record without an id")
		}
	}
	return c.saveAll(ctx, "update", http.MethodPatch, object, "", records)
}

// UpsertAll creates or changes up to [MaxRecords] records of one object by the
// value that each has in the external id field extField; otherwise as InsertAll. A
// value must not occur twice. If several records have it, that record fails with
// [CodeDuplicateExtID].
//
// REST API Developer Guide, "Upsert Multiple Records with Fewer Round-Trips".
func (c *Client) UpsertAll(ctx context.Context, object, extField string, records []map[string]any) ([]SaveResult, error) {
	if !nameForm(extField) {
		return nil, invalid("upsert", "%q is not an API name", extField)
	}
	for _, r := range records {
		if r[extField] == nil || r[extField] == "" {
			return nil, invalid("upsert "+object, "a record without %s", extField)
		}
	}
	return c.saveAll(ctx, "upsert", http.MethodPatch, object, extField, records)
}

// DeleteAll moves up to [MaxRecords] records, of any objects, to the recycle bin;
// otherwise as InsertAll.
func (c *Client) DeleteAll(ctx context.Context, ids []string) ([]SaveResult, error) {
	const op = "delete records"
	if err := fits(op, len(ids)); err != nil || len(ids) == 0 {
		return nil, err
	}
	for _, id := range ids {
		if !idForm(id) {
			return nil, invalid(op, "not an id")
		}
	}
	var parts []part
	for chunk := range slices.Chunk(ids, maxCollection) {
		parts = append(parts, part{request{
			op: op, method: http.MethodDelete, write: true,
			path: c.base() + collections + "?ids=" + strings.Join(chunk, ",") + "&allOrNone=false",
		}, len(chunk)})
	}
	return c.saveParts(ctx, parts)
}

func (c *Client) saveAll(ctx context.Context, op, method, object, extField string, records []map[string]any) ([]SaveResult, error) {
	if !nameForm(object) {
		return nil, invalid(op, "%q is not an API name", object)
	}
	op += " " + object
	if err := fits(op, len(records)); err != nil || len(records) == 0 {
		return nil, err
	}
	path := c.base() + collections
	if extField != "" {
		path += "/" + object + "/" + extField
	}
	var parts []part
	for chunk := range slices.Chunk(records, maxCollection) {
		typed := make([]map[string]any, len(chunk))
		for i, r := range chunk {
			typed[i] = maps.Clone(r)
			if typed[i] == nil {
				typed[i] = map[string]any{}
			}
			typed[i]["attributes"] = map[string]string{"type": object}
		}
		body, err := encode(op, map[string]any{"allOrNone": false, "records": typed})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{request{op: op, method: method, path: path, body: body, write: true}, len(chunk)})
	}
	return c.saveParts(ctx, parts)
}

// results matches an answer to n records by position: it is not believed at all
// unless there is exactly one result for each record.
func (c *Client) results(a *answer, n int) ([]SaveResult, *Error) {
	var wire []saved
	if err := c.decode(a, &wire); err != nil {
		return nil, err
	}
	if len(wire) != n {
		return nil, c.mismatch(a, "not as many results as records")
	}
	out := make([]SaveResult, n)
	for i, w := range wire {
		out[i] = c.result(a, w)
	}
	return out, nil
}

// result reads one record's outcome. One that claims neither success with an id
// nor failure with a reason leaves the record in doubt.
func (c *Client) result(a *answer, w saved) SaveResult {
	s := SaveResult{Created: w.Created}
	if idForm(w.ID) {
		s.ID = ID18(w.ID)
	}
	for _, e := range w.Errors {
		failure := c.newError(a.req.op, 0, e, true)
		c.refusedAll(failure)
		s.Errors = append(s.Errors, failure)
	}
	switch {
	case w.Success != nil && *w.Success && s.ID != "" && len(s.Errors) == 0:
		s.Success = true
	case w.Success != nil && !*w.Success && len(s.Errors) > 0:
	default:
		doubt := c.unreadable(a.req, a.status, "a result without id or reason", nil)
		s.Errors = append([]*Error{doubt}, s.Errors...)
	}
	return s
}

// fits refuses a call that the org would refuse.
func fits(op string, n int) error {
	if n > MaxRecords {
		return invalid(op, "%d records in one call, at most %d", n, MaxRecords)
	}
	return nil
}
