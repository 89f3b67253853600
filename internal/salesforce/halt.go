package salesforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// probeEvery is how often one request is let through while the org says that the
// calls of the day are used up. They come back bit by bit, as those of a day ago
// no longer count. While the org is read only, it is ten times as often.
const probeEvery = 10 * time.Minute

// halt keeps requests back that the org would refuse, whoever makes them: each
// worker and poller that tries by itself would cost a request, and some a login.
// One is let through now and then, and if it is not refused all are.
type halt struct {
	every time.Duration

	mu      sync.Mutex
	failure *Error    // with which the org refused; nil = nothing is kept back
	until   time.Time // when the next may be tried
	probing bool
	over    chan struct{} // closed when it is over; nil if nobody has asked
}

// ErrNotSent is in the chain of an error of a request that was kept back.
var ErrNotSent = errors.New("not sent")

// Lifted returns a channel that is closed once the org, which had no calls of the day left,
// takes requests again. Whoever asks before the request that is refused misses nothing.
func (c *Client) Lifted() <-chan struct{} {
	h := &c.spent
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over == nil {
		h.over = make(chan struct{})
	}
	return h.over
}

// pass reports whether a request may go, and whether all others wait for what
// becomes of it. If it may not, refused tells why.
func (h *halt) pass(op string) (probe bool, refused *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failure == nil {
		return false, nil
	}
	if h.probing || time.Now().Before(h.until) {
		e := *h.failure
		e.Op, e.Status, e.InDoubt = op, 0, false
		e.Err = fmt.Errorf("%w: tried again at %s", ErrNotSent, h.until.UTC().Format(time.TimeOnly))
		return false, &e
	}
	h.probing, h.until = true, time.Now().Add(h.every)
	return true, nil
}

// begin keeps back what follows a refusal.
func (h *halt) begin(e *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failure, h.until, h.probing = e, time.Now().Add(h.every), false
}

// probed ends a probe that was not refused. It says that the org takes requests
// again only if there is an answer.
func (h *halt) probed(answered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.probing = false; !answered {
		return
	}
	if h.failure = nil; h.over != nil {
		close(h.over)
		h.over = nil
	}
}

// giveUp ends a probe that whoever made it did not wait for. Another is made soon, but no
// request for each that is given up.
func (h *halt) giveUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing, h.until = false, time.Now().Add(h.every/60)
}

// used reports that the calls of the day are used up.
func (e *Error) used() bool { return e.Class == Limit && e.Code == CodeRequestLimit && !e.Brief }

// guarded sends r unless it would be refused.
func (c *Client) guarded(r request, send func() (*answer, error)) (*answer, error) {
	halts := []*halt{&c.spent}
	if r.write {
		halts = append(halts, &c.readOnly)
	}
	if r.free {
		halts = nil
	}
	var probes []*halt
	for _, h := range halts {
		probe, refused := h.pass(r.op)
		if refused != nil {
			for _, p := range probes {
				p.giveUp()
			}
			return nil, refused
		}
		if probe {
			probes = append(probes, h)
		}
	}
	a, err := send()
	e, _ := err.(*Error) //nolint:errorlint // it is never wrapped
	again := e != nil && c.refusedAll(e)
	for _, h := range probes {
		if errors.Is(err, context.Canceled) {
			h.giveUp()
			continue
		}
		h.probed(err == nil || !again && e != nil && e.Code != "" && e.Class != Auth)
	}
	return a, err
}

// refusedAll keeps requests back after one that failed for what is not its own
// fault, and reports whether it was one.
func (c *Client) refusedAll(e *Error) bool {
	switch {
	case e.used():
		c.spent.begin(e)
	case e.Code == CodeReadOnly:
		c.readOnly.begin(e)
	default:
		return false
	}
	return true
}
