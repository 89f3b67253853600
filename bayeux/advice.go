package bayeux

import (
	"encoding/json"
	"time"
)

// Values of advice.reconnect. ("Bayeux 1.0, reconnect advice")
const (
	reconnectRetry     = "retry"
	reconnectHandshake = "handshake"
	reconnectNone      = "none"
)

const (
	maxInterval = 5 * time.Minute
	maxTimeout  = 10 * time.Minute
)

// advice is what the server wants us to do next. The zero value is that of a
// fresh session: retry at once, timeout not known.
type advice struct {
	reconnect string // "" is retry
	interval  time.Duration
	timeout   time.Duration
	never     bool // negative interval: do not connect again in this session
}

// wireAdvice is the advice field of a reply. Servers are free in its form, so
// whatever cannot be read is taken as not said.
type wireAdvice struct {
	fields map[string]json.RawMessage
}

func (w *wireAdvice) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &w.fields) != nil {
		w.fields = nil
	}
	return nil
}

// merge returns a after w was received over the transport kind. New advice
// supersedes the old, field by field, and what is nested under the name of the
// transport supersedes what is general ("Bayeux 1.0, advice"). Only reconnect
// is not carried on: it speaks about the reply it came with.
func (a advice) merge(w *wireAdvice, kind string) advice {
	a.reconnect = ""
	if w == nil {
		return a
	}
	a = a.read(w.fields)
	var nested map[string]json.RawMessage
	if json.Unmarshal(w.fields[kind], &nested) == nil {
		a = a.read(nested)
	}
	return a
}

func (a advice) read(fields map[string]json.RawMessage) advice {
	var reconnect string
	if json.Unmarshal(fields["reconnect"], &reconnect) == nil {
		switch reconnect {
		case reconnectRetry, reconnectHandshake, reconnectNone:
			a.reconnect = reconnect
		}
	}
	if ms, ok := millis(fields["interval"]); ok {
		a.never = ms < 0
		a.interval = min(max(ms, 0), maxInterval)
	}
	if ms, ok := millis(fields["timeout"]); ok && ms > 0 {
		a.timeout = min(ms, maxTimeout)
	}
	return a
}

func millis(raw json.RawMessage) (time.Duration, bool) {
	var ms *float64
	if json.Unmarshal(raw, &ms) != nil || ms == nil {
		return 0, false
	}
	const limit = float64(time.Hour / time.Millisecond)
	return time.Duration(min(max(*ms, -limit), limit) * float64(time.Millisecond)), true
}

// action is what follows a failure.
type action int

const (
	actRetry  action = iota // connect again in this session
	actRenew                // new session at once: ours, not the server's wish
	actResume               // new session, at once the first time
	actAgain                // new session after a wait
	actLogin                // new token, then a new session
	actSlow                 // new session after minutes
	actSpent                // new session when the events of the day may be had again
	actStop                 // nothing we may do on our own
)

// decide is the order of precedence for a failed handshake or connect, and for
// the failures of a subscribe that concern the whole session.
func decide(e *Error, a advice) action {
	switch {
	case e.Busy(): // first: it hides behind 401 and 403
		return actSlow
	case e.Unauthorized(), e.redirected():
		return actLogin
	case e.unanswered():
		return actAgain
	case a.reconnect == reconnectHandshake, e.UnknownClient():
		return actResume
	case e.spent():
		return actSpent
	case e.LimitExceeded():
		return actSlow
	case a.reconnect == reconnectNone:
		return actStop
	case a.never, e.Channel == metaHandshake:
		return actAgain
	default:
		return actRetry
	}
}
