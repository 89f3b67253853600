package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// markerDetails is what _hcmeta says of a schema that we have made.
const markerDetails = "hcbridge"

// Marker is what _hcmeta says of a schema.
type Marker struct {
	Exists bool   // the table is there
	Ours   bool   // a bridge has made the schema, and not Heroku Connect
	OrgID  string // whose rows these are; empty if it does not say
}

// ReadMarker reads the marker of schema. Its zero value is that of a schema, or
// a database, in which nobody has been.
func ReadMarker(ctx context.Context, db DB, schema string) (m Marker, err error) {
	meta := ident(schema, "_hcmeta")
	rows, err := db.Query(ctx, "SELECT to_regclass($1) IS NOT NULL", meta)
	if err == nil {
		m.Exists, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return m, fmt.Errorf("marker: %w", err)
	}
	if !m.Exists {
		return m, nil
	}
	rows, err = db.Query(ctx, "SELECT COALESCE(org_id, ''), COALESCE(details, '') = $1 FROM "+meta+" ORDER BY COALESCE(org_id, '') <> '' DESC, id DESC LIMIT 1", markerDetails)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&m.OrgID, &m.Ours}, func() error { return nil })
	}
	if err != nil {
		return m, fmt.Errorf("marker: %w", err)
	}
	return m, nil
}

// Fits reports whether the schema may hold rows of an org. Ids of 15 and 18
// characters are the same, and nobody's rows fit every org.
func (m Marker) Fits(orgID string) bool {
	return m.OrgID == "" || orgID == "" || first15(m.OrgID) == first15(orgID)
}

func first15(id string) string { return id[:min(len(id), 15)] }
