package bridge

import (
	"context"
	"time"

	"hcbridge/outbox"
)

// resolve says how the worker finds out what became of requests in doubt.
func (w *outWorld) resolve(c *outbox.Config) {
	w.s.userID = w.sf.UserID()
	for _, o := range w.s.objects {
		if o.authors {
			o.poll.Me = w.s.userID
		}
	}
	c.Finder, c.InDoubt, c.Late = aged{finder{w.s}, w}, time.Hour, time.Hour
	if w.over {
		c.InDoubt, c.Late = 1, 1
	}
}

func (w *outWorld) resolved() { w.s.writer = w.worker }

// aged is the bridge's finder where the org's clock is moved on and ours is not.
type aged struct {
	finder

	w *outWorld
}

func (f aged) Find(ctx context.Context, object, externalID string, attempts []outbox.Attempt) ([]outbox.Candidate, error) {
	now := time.Now()
	for i := range attempts {
		sent := now.Add(-attempts[i].Age)
		for _, m := range f.w.moves {
			if m.at.After(sent) {
				attempts[i].Age += m.by
			}
		}
	}
	return f.finder.Find(ctx, object, externalID, attempts)
}
