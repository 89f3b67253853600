package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
)

// How far a backlog is shows in the log, and its end.
func TestDrainIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	b := r.Start()
	r.Synced()
	r.SF.Fault(org.Fault{Path: "/composite", Verb: org.Slow, Delay: 10 * time.Second})
	r.Exec(`INSERT INTO salesforce.contact (lastname, external_id__c) SELECT 'Waits ' || n, 'waits-' || n FROM generate_series(1, 1900) AS n`)
	for _, said := range []string{`"event":"draining","rows":0,"of":1900,`, `"event":"drained","rows":1900,`} {
		r.Eventually("the backlog to be told of", time.Minute, func() error {
			if !strings.Contains(b.Log.String(), said) {
				return fmt.Errorf("%s is not in the log", said)
			}
			return nil
		})
		r.SF.ClearFaults() // what is under way takes its time all the same
	}
	r.Equal("Contact")
}
