package outbox

import "time"

// A record may break Salesforce itself, such as a trigger of the org that fails in a way
// that is no failure of a rule. The answer is an internal error each time, and nothing
// says that it ever ends: such a record is refused in the end, for a person to look at.

// CodeInternal is Salesforce's for an internal error.
const CodeInternal = "UNKNOWN_EXCEPTION"

// internalMost is how many attempts in a row of a record are answered so before it is
// refused. From UntilAlone on it has gone alone.
const internalMost = 10

// internal reports whether Salesforce itself has answered with an internal error.
func (f *Failure) internal() bool {
	return f.Code == CodeInternal && (f.Ended || !f.InDoubt)
}

// answered takes in one more of such answers, after those that old knows.
func (r retry) answered(old retry, now time.Time) retry {
	r.internal, r.ill = old.internal+1, old.ill
	if old.internal == 0 {
		r.ill = now
	}
	return r
}

// spent reports whether a record is refused if it gets such an answer once more: not
// while all may get it, as far as is known.
func (w *Worker) spent(k key) bool {
	r := w.retries[k]
	return r.internal >= internalMost-1 && !w.down && w.answered.After(r.ill)
}

// orRefused makes a result that is to be sent again one that is refused, where the
// attempts are spent and it is known that none took effect.
func (r *result) orRefused() *result {
	if r.outcome == again && !r.free && r.item.spent && r.failure.internal() && !r.failure.InDoubt {
		r.outcome = refused
	}
	return r
}
