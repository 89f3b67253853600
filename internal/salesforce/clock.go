package salesforce

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock follows the org's time by the Date header of its answers.
type clock struct{ newest atomic.Pointer[reading] }

// reading pairs a server time with the moment it was read. The monotonic part of
// read keeps the difference right when this machine's clock is set.
type reading struct{ server, read time.Time }

// note takes the time from an answer; answers without a readable Date are passed over.
func (c *clock) note(h http.Header) {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		c.newest.Store(&reading{server: t, read: time.Now()})
	}
}

func (c *clock) now() time.Time {
	r := c.newest.Load()
	if r == nil {
		return time.Now().UTC()
	}
	return r.server.Add(time.Since(r.read)).UTC()
}

// ServerTime returns the org's time, UTC: the Date header of the newest answer,
// advanced by the time since. It is exact to a second and never ahead of the
// server by more than the answer's way. Before the first answer it is this
// machine's time.
func (c *Client) ServerTime() time.Time { return c.clock.now() }
