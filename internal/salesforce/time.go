package salesforce

import (
	"encoding/json"
	"fmt"
	"time"
)

// Time is a datetime as the API writes it: "2011-07-07T00:37:00.000+0000" or with
// Z. Null is the zero time.
type Time struct{ time.Time }

// timeForms are tried in order; time.RFC3339 alone reads none of the REST answers,
// whose offset has no colon.
func timeForms() []string { return []string{"2006-01-02T15:04:05.999-0700", time.RFC3339Nano} }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		t.Time = time.Time{}
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("datetime: %w", err)
	}
	for _, form := range timeForms() {
		if v, err := time.Parse(form, s); err == nil {
			t.Time = v.UTC()
			return nil
		}
	}
	return fmt.Errorf("datetime of %d characters in no known form", len(s))
}
