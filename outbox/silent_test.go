package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// outage is an org that nothing gets through to, or only what asks.
type outage struct {
	*fakeOrg

	deaf    atomic.Bool
	failure error
}

func (o *outage) Find(ctx context.Context, object, key string, attempts []Attempt) ([]Candidate, error) {
	if o.deaf.Load() {
		return nil, o.failure
	}
	return o.fakeOrg.Find(ctx, object, key, attempts)
}

// While nothing is answered at most one call of plain inserts is in doubt: the others
// wait, and go as soon as anything is answered, though that one is in doubt still.
// What can be repeated does not wait, and a lost answer alone holds nothing up.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keyed bool
		down  error
		want  int // calls while nothing is answered
	}{
		"an outage":                    {false, errors.New("503 Service Unavailable"), 1},
		"an outage, with external ids": {true, errors.New("503 Service Unavailable"), 5},
		"an answer lost":               {false, nil, 5},
		"lost, and a look refused":     {false, &Failure{Class: Transient, Code: "QUERY_TIMEOUT"}, 5},
		"lost, and no look possible":   {false, &Failure{Class: Permanent}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			o := &outage{fakeOrg: b.sf, failure: c.down}
			o.deaf.Store(c.down != nil)
			change := []func(*Config){b.finding(time.Hour), func(c *Config) { c.Finder = o }}
			if c.keyed {
				change = append(change, withExternalID)
			}
			b.restart(change...)
			lost := 0
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
				if lost++; c.want == 1 && o.deaf.Load() || c.keyed && o.deaf.Load() || lost == 1 {
					return nil, errLost, false
				}
				return nil, nil, false
			})
			for n := range 5 {
				b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $1)`, fmt.Sprint(n))
				for range 3 {
					if _, err := b.worker.RunOnce(t.Context()); err != nil && !isFailure(err) {
						t.Fatal(err)
					}
				}
			}
			if lost < c.want || !c.keyed && lost > c.want {
				t.Errorf("%d calls, want %d", lost, c.want)
			}
			o.deaf.Store(false)
			for _, d := range b.worker.doubts {
				d.due = time.Now()
			}
			left := 1
			if c.keyed {
				left = 0
			}
			eventually(t, "sent", func() bool {
				if _, err := b.worker.RunOnce(t.Context()); err != nil && !isFailure(err) {
					t.Fatal(err)
				}
				return b.one(`SELECT count(*) FROM salesforce._trigger_log`) == fmt.Sprint(left)
			})
			b.want("records", fmt.Sprint(b.sf.count("Account")), fmt.Sprint(5-left))
		})
	}
}
