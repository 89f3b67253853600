package salesforce

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// DeletedRecord is a record that was deleted, whether or not it still is.
type DeletedRecord struct {
	ID      string `json:"id"`
	Deleted Time   `json:"deletedDate"`
}

// DeletedRecords is what was deleted in a window.
type DeletedRecords struct {
	Records  []DeletedRecord `json:"deletedRecords"`
	Earliest Time            `json:"earliestDateAvailable"`

	// Covered is the end of what the org could look at; it may be before the end
	// asked for, and is where the next window begins.
	Covered Time `json:"latestDateCovered"`
}

// UpdatedRecords is what was created, changed or undeleted in a window.
type UpdatedRecords struct {
	IDs     []string `json:"ids"`
	Covered Time     `json:"latestDateCovered"` // as in DeletedRecords
}

// Deleted lists the records of object deleted between from and to. The org cuts
// both to the minute and wants them more than a minute apart; it looks back 15 days
// at most and fails with [CodeReplicationDate] beyond, and with
// [CodeExceededIDLimit] over 600,000 ids.
//
// REST API Developer Guide, "sObject Get Deleted".
func (c *Client) Deleted(ctx context.Context, object string, from, to time.Time) (DeletedRecords, error) {
	var d DeletedRecords
	a, err := c.window(ctx, "deleted", object, from, to, &d)
	if err != nil {
		return DeletedRecords{}, err
	}
	for i, r := range d.Records {
		if !idForm(r.ID) {
			return DeletedRecords{}, c.mismatch(a, "not an id")
		}
		d.Records[i].ID = ID18(r.ID)
	}
	if d.Records == nil || d.Covered.IsZero() {
		return DeletedRecords{}, c.mismatch(a, "not a list of deleted records")
	}
	return d, nil
}

// Updated lists the records of object created or changed between from and to, as
// Deleted does, but looking back 30 days.
//
// REST API Developer Guide, "sObject Get Updated".
func (c *Client) Updated(ctx context.Context, object string, from, to time.Time) (UpdatedRecords, error) {
	var u UpdatedRecords
	a, err := c.window(ctx, "updated", object, from, to, &u)
	if err != nil {
		return UpdatedRecords{}, err
	}
	for i, id := range u.IDs {
		if !idForm(id) {
			return UpdatedRecords{}, c.mismatch(a, "not an id")
		}
		u.IDs[i] = ID18(id)
	}
	if u.IDs == nil || u.Covered.IsZero() {
		return UpdatedRecords{}, c.mismatch(a, "not a list of updated records")
	}
	return u, nil
}

func (c *Client) window(ctx context.Context, what, object string, from, to time.Time, into any) (*answer, error) {
	if !nameForm(object) {
		return nil, invalid(what, "%q is not an API name", object)
	}
	const form = "2006-01-02T15:04:05-07:00" // the org wants an offset, +00:00 and not Z
	q := url.Values{"start": {from.UTC().Format(form)}, "end": {to.UTC().Format(form)}}
	return c.call(ctx, request{
		op: what + " " + object, method: http.MethodGet,
		path: c.base() + "/sobjects/" + object + "/" + what + "/?" + q.Encode(),
	}, into)
}
