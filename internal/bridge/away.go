package bridge

import (
	"context"
	"time"

	"hcbridge/bayeux"
	"hcbridge/internal/beat"
)

const (
	awayCheck = 5 * time.Second // how often it is looked whether the session is there
	awayPoll  = time.Minute     // how often objects are polled while it is not
)

// pollAway has the objects that are to be streamed polled while there is no session:
// once when it has been away for streamDownAfter, and every awayPoll where nobody has
// set an interval. It returns when ctx ends.
func (st *stream) pollAway(ctx context.Context) error {
	up, polled := time.Now(), map[string]time.Time{}
	for ctx.Err() == nil {
		sleep(ctx, beat.Wait(awayCheck))
		now := time.Now()
		if st.client.Status().State == bayeux.Connected {
			up = now
			continue
		}
		pace := st.s.pace()
		if trouble := st.s.trouble.Load(); now.Sub(up) <= streamDownAfter || pace.Limited || trouble != nil && *trouble != "" {
			continue // where Salesforce does not answer, polls ask ever less often by themselves
		}
		for _, ch := range st.all() {
			o, last := ch.obj, polled[ch.name]
			again := o.cfg.PollRelaxed && now.Sub(last) >= awayPoll*time.Duration(pace.Stretch)
			if wanted, _ := ch.missing(); wanted && (again || last.Before(up)) {
				polled[ch.name] = now
				o.wantPoll()
			}
		}
	}
	return nil
}
