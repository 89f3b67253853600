package bridge

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"hcbridge/bayeux"
	"hcbridge/internal/salesforce"
)

// The canary is an event of our own on a generic streaming channel of our own.
// Salesforce keeps it for a day, and subscribing to its channel anew brings it
// again: a proof that events reach us which costs one API call a day. Where the
// user may not have such a channel there is none, and a stream that goes mute
// while nothing is written is noticed by the next poll.
const (
	canaryObject  = "StreamingChannel"
	canaryChannel = "/u/hcbridge"
	canaryText    = "hcbridge: asks whether events arrive"
)

// canary makes the channel, once, and listens to it.
func (st *stream) canary(ctx context.Context) error {
	id, err := st.findCanary(ctx)
	if err == nil && id == "" {
		id, err = st.s.sf.Create(ctx, canaryObject, map[string]any{"Name": canaryChannel, "Description": canaryText})
	}
	switch {
	case err == nil:
		st.canaryID = id
		st.sing(false)
		st.dog.useCanary(true, time.Now())
	case salesforce.ClassOf(err) == salesforce.Permanent:
		st.caged = true
		st.noCanary(err)
	default:
		return err
	}
	return nil
}

func (st *stream) findCanary(ctx context.Context) (id string, err error) {
	page, err := st.s.sf.Query(ctx, "SELECT Id FROM "+canaryObject+" WHERE Name = '"+canaryChannel+"'", salesforce.QueryOpts{})
	if err != nil || len(page.Records) == 0 {
		return "", err
	}
	var record struct {
		ID string `json:"Id"`
	}
	return record.ID, json.Unmarshal(page.Records[0], &record)
}

// noCanary does without.
func (st *stream) noCanary(err error) {
	st.dog.useCanary(false, time.Now())
	st.client.Unsubscribe(canaryChannel)
	st.log.Info().Str("event", "no_canary").AnErr("error", err).
		Msg("no permission for StreamingChannel: a mute stream is noticed by writes and polls only")
}

// sing asks for the canary, again or for the first time. A subscription that replaces
// another is served from its beginning: from now on it would bring nothing, unless a
// canary were made for each, by an API call.
func (st *stream) sing(again bool) {
	st.client.Subscribe(bayeux.Subscription{
		Channel: canaryChannel,
		From:    func() int64 { return bayeux.FromAll },
		Quiet:   again,
		Refused: func(_ context.Context, err *bayeux.Error) bayeux.Verdict {
			if err.Busy() || err.LimitExceeded() || err.TooLarge() || err.NoReply() {
				return bayeux.Retry
			}
			if err.Code == 404 { // somebody has deleted the channel
				st.later(func(context.Context) error { st.canaryID = ""; return nil })
				st.doubt()
			}
			st.noCanary(err)
			return bayeux.Drop
		},
	})
}

// push makes a new canary.
func (st *stream) push(ctx context.Context) {
	if err := st.s.sf.Push(ctx, st.canaryID, canaryText); err != nil && ctx.Err() == nil {
		st.s.salesforce(err)
		if salesforce.ClassOf(err) == salesforce.Permanent {
			st.caged = true
			st.noCanary(err)
		}
	}
}

// heardCanary takes in an event of the canary's channel.
func (st *stream) heardCanary(m bayeux.Message) {
	var data struct {
		Event struct {
			CreatedDate string `json:"createdDate"`
		} `json:"event"`
	}
	_ = json.Unmarshal(m.Data, &data) // that it came is what counts
	born, _ := time.Parse(time.RFC3339, strings.Replace(data.Event.CreatedDate, "+0000", "Z", 1))
	st.dog.sang(born, time.Now())
}
