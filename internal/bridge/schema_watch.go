package bridge

import (
	"strings"
	"sync"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
)

const (
	// schemaEvery is how often the org is asked for its schema without a reason,
	// one API call each time. Only a new field gives none: whatever else changes
	// makes some request fail.
	schemaEvery = 6 * time.Hour
	// asideFirst and asideMost bound the wait before an object that is put aside
	// is looked at again, asideMostLocked where its table is locked.
	asideFirst      = 2 * time.Second
	asideMost       = time.Hour
	asideMostLocked = time.Minute
	// doubtFirst and doubtMost bound the wait after a look that found nothing
	// before a doubt causes another: four times as long after each.
	doubtFirst = time.Second
	doubtMost  = time.Hour
	// doubtSoon is how soon a look must come for a refusal to wait for it.
	doubtSoon = 2 * time.Second
	// suspectsMost bounds how many refusals are remembered.
	suspectsMost = 1000
)

// schemaWatch decides when the org is asked whether it still is what the
// mappings say. It is safe for concurrent use.
type schemaWatch struct {
	wake chan struct{} // capacity 1: due may be earlier now

	mu       sync.Mutex
	at       time.Time // of the last look
	next     time.Time // of one that was wanted anyway; zero = none
	doubtful bool
	vain     int                  // looks in a row that a doubt caused and that found nothing
	vainAt   time.Time            // when the last of them began
	suspects map[string]time.Time // refusals that waited for a look, and since when
}

func newSchemaWatch() *schemaWatch {
	return &schemaWatch{wake: make(chan struct{}, 1), at: time.Now(), suspects: map[string]time.Time{}}
}

// begin notes that a look begins, and reports whether a doubt has caused it.
// What is doubted from now on, it may not have seen.
func (w *schemaWatch) begin() (doubted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	doubted, w.doubtful, w.at = w.doubtful, false, time.Now()
	return doubted
}

// done notes that a look found nothing. vain says that a doubt had caused it,
// again after how long another one is wanted; 0 = none is.
func (w *schemaWatch) done(vain bool, again time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if vain {
		w.vain++
		w.vainAt = w.at
	}
	w.next = time.Time{}
	if again > 0 {
		w.next = time.Now().Add(again)
	}
}

// due is when to look next.
func (w *schemaWatch) due() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.at.Add(schemaEvery)
	if !w.next.IsZero() && w.next.Before(due) {
		due = w.next
	}
	if doubt := w.doubtDue(); w.doubtful && doubt.Before(due) {
		due = doubt
	}
	return due
}

// doubtDue is the earliest that a doubt causes a look.
func (w *schemaWatch) doubtDue() time.Time {
	return w.at.Add(min(doubtFirst<<min(2*w.vain, 20), doubtMost))
}

// soon has the org looked at now, without a doubt.
func (w *schemaWatch) soon() {
	w.mu.Lock()
	w.next = time.Now()
	w.mu.Unlock()
	w.stir()
}

func (w *schemaWatch) stir() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ask has the org looked at. It never blocks.
func (w *schemaWatch) ask() {
	w.mu.Lock()
	if time.Since(w.at) > doubtMost {
		w.vain = 0
	}
	w.doubtful = true
	w.mu.Unlock()
	w.stir()
}

// doubt asks if the code of a failure may mean that the schema has changed. It
// reports whether nothing else is as likely, so that what failed is worth another
// try after the look.
func (w *schemaWatch) doubt(code string) (again bool) {
	switch {
	case code == salesforce.CodeInvalidField, code == salesforce.CodeInvalidType, code == salesforce.CodeNotFound, code == "INVALID_FIELD_FOR_INSERT_UPDATE":
		w.ask()
		return true
	case strings.HasPrefix(code, "INSUFFICIENT_ACCESS"), code == "FIELD_INTEGRITY_EXCEPTION":
		w.ask()
	}
	return false
}

// waits reports whether a refusal is to wait for a look at the schema: that comes
// soon, or is under way. One that comes again after a look in vain has another reason.
func (w *schemaWatch) waits(refusal string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	since, known := w.suspects[refusal]
	if known && now.Sub(since) <= doubtMost {
		return !w.vainAt.After(since)
	}
	if w.doubtDue().Sub(now) > doubtSoon {
		return false
	}
	if len(w.suspects) >= suspectsMost {
		clear(w.suspects)
	}
	w.suspects[refusal] = now
	return true
}

// refused makes a write that was perhaps refused because of a changed schema
// one to be tried again, once the org was looked at: then it is sent without what is
// gone. If the look finds nothing, the next answer stands.
func (w *schemaWatch) refused(f *outbox.Failure) *outbox.Failure {
	if f.Class == outbox.Permanent && !noParent(f) && w.doubt(f.Code) && w.waits(f.Code+": "+f.Message) {
		f.Class = outbox.Transient
	}
	return f
}
