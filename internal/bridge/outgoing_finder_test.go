package bridge

import (
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
	c.Finder, c.InDoubt, c.Late = finder{w.s}, time.Hour, time.Hour
	if w.over {
		c.InDoubt, c.Late = 1, 1
	}
}

func (w *outWorld) resolved() { w.s.writer = w.worker }
