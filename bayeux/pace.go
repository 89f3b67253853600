package bayeux

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// A session that has been connected this long ends a series of failures.
	stableAfter = 10 * time.Second

	// Handshakes in a row without a usable reply after which the credentials are
	// asked whether the server is elsewhere now, and again after as many.
	maxUnheard = 5
)

// exponential returns a back-off that doubles from first to limit, of which it
// takes off up to half at random so that clients do not come back together.
func exponential(first, limit time.Duration) func(attempt int) time.Duration {
	return func(attempt int) time.Duration {
		d := limit
		if shift := max(attempt, 1) - 1; first < limit>>shift { // the other way round it would overflow
			d = first << shift
		}
		return d - rand.N(d/2+1) //nolint:gosec // jitter is no secret
	}
}

// end says how a session ended.
type end struct {
	act  action
	wait time.Duration // the least the server wants us to wait
	err  error         // nil if it was our own wish
	gone bool          // the server has no session to disconnect
}

// pacer spaces sessions. It is a pure state machine: Run does the waiting.
type pacer struct {
	quick, login, slow, spent func(attempt int) time.Duration

	failures, refusals, slows int

	unheard int // handshakes in a row without a usable reply
}

// next returns the wait before the next session. connected is how long the one
// that ended was connected.
func (p *pacer) next(e end, connected time.Duration) time.Duration {
	if connected >= stableAfter {
		p.failures, p.refusals, p.slows = 0, 0, 0
	}
	var wait time.Duration
	switch e.act {
	case actRenew:
	case actSlow:
		p.slows++
		wait = p.slow(p.slows)
	case actSpent:
		p.slows++
		wait = p.spent(p.slows)
	case actLogin:
		// The first new token is used at once. If that is refused too, tokens
		// are not the problem, and logins are limited.
		if p.refusals++; p.refusals > 1 {
			wait = p.login(p.refusals - 1)
		}
	case actResume:
		// Losing a session now and then is normal. Losing it again right after
		// is a loop, and each handshake takes one of the org's client slots.
		if p.failures++; p.failures > 1 {
			wait = p.quick(p.failures - 1)
		}
	default:
		p.failures++
		wait = p.quick(p.failures)
	}
	return max(wait, e.wait)
}

// astray reports whether the server may be elsewhere now, so that its endpoint has
// to be asked for: at the old one nobody speaks Bayeux, or nobody has for long. An
// endpoint that does not answer once is only in trouble.
func (p *pacer) astray(e end) bool {
	var failure *Error
	if e.act != actAgain || !errors.As(e.err, &failure) || failure.Channel != metaHandshake || !failure.unanswered() {
		p.unheard = 0
		return false
	}
	p.unheard++
	return failure.noRoute() && p.unheard == 1 || p.unheard%maxUnheard == 0
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
