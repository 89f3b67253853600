package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"time"
)

//go:embed sql/clock.sql
var clockSQL string

// clockEvery is how often the clocks are compared. What was on for less than that
// nobody knows of.
const clockEvery = 5 * time.Second

// clockGain compares Salesforce's clock with Postgres's, and tells by how much it
// has gained since then: because it was set forward, or Postgres's back, as with a
// fail-over to a machine whose clock is off. When something was sent is known by
// Postgres's clock, and when a record was made by Salesforce's: whoever infers the one
// from the other has to allow for that. A clock that loses makes a time earlier than
// it was, which is the safe side. now is what Salesforce's clock shows: the very time
// that is reckoned from, as the next answer may bring another.
func (s *session) clockGain(ctx context.Context, now time.Time, since time.Duration) (time.Duration, error) {
	var gain float64 // seconds
	if err := s.pool.QueryRow(ctx, clockSQL, s.cfg.Schema, now, since.Seconds()).Scan(&gain); err != nil {
		return 0, fmt.Errorf("compare clocks: %w", err)
	}
	return time.Duration(gain * float64(time.Second)), nil
}
