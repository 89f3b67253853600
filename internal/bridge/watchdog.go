package bridge

import (
	"sync"
	"time"
)

const (
	// probeEvery is how long the stream may be silent before it is asked for the
	// canary, and probeWithin how long that may take: together less than the
	// minute in which a stall must show.
	probeEvery  = 40 * time.Second
	probeWithin = 12 * time.Second
	// pushAfter is the age at which the canary is renewed: Salesforce keeps
	// events for 24 h.
	pushAfter = 20 * time.Hour
	// echoWithin is how long the event of one of our own writes may take, and
	// foundWithin that of a change which a poll has seen already.
	echoWithin  = 45 * time.Second
	foundWithin = 15 * time.Second
	maxUnechoed = 3 // writes in a row without an event
	maxUnheard  = 2 // polls in a row that found what no event announced
	// maxMissed is how many of both have a position given up from which no event has come:
	// Salesforce may pass over one that it holds no more, in place of refusing it.
	maxMissed = 3
	// quickPoll is the poll interval of an object whose events are in doubt.
	quickPoll = 30 * time.Second
	// doubtFor is how long an object is polled like that after the last sign, and
	// the least time between two sessions opened on suspicion.
	doubtFor = 10 * time.Minute
	maxOwed  = 1000 // records waited for, per object
)

// watchdog judges from evidence alone whether events arrive, whatever the
// client says of its own state. It does no I/O: it is told what happens, and
// tick says what to do.
//
// Three kinds of evidence are weighed:
//
//   - The canary, an event of our own that is kept in the org for a day: while
//     nothing else is heard, it is asked for again, which costs no API call.
//     What does not bring it is mute.
//   - Our own writes that change a record, each of which must come back as an event.
//     Not all can be told from those that do not, so a doubt ends where no more of
//     them are missed.
//   - What polls find and no event announced. Bulk loads and cascading deletes
//     have no events, so this alone never counts as a stall while the canary
//     arrives: it is asked for again from the last position, and the object is
//     polled more often for a while.
type watchdog struct {
	mu      sync.Mutex
	canary  bool      // there is one
	heard   time.Time // the last event of any kind
	asked   time.Time // since when the canary is owed; zero if it is not
	pushed  time.Time // when the newest canary was made
	mute    bool
	renewed time.Time // the last session opened on suspicion
	stirred bool      // something has changed in the org since settle
	stir    time.Time // the last time that something has, or that a stream began
	objects map[string]*watch
}

// watch is what is known of one object's events.
type watch struct {
	since       time.Time // server time at which its channel went live; zero if it is not
	owed        map[string]debt
	fresh, aged map[string]heard // records that events named in this and the last span
	span        time.Duration    // a minute unless remember says more
	turned      time.Time
	unechoed    int
	unheard     int
	why         string    // it is suspect
	until       time.Time // end of the quick polls
	polled      time.Time

	unproven bool // no event has come since its channel went live
	missed   int  // writes and polls without an event since then
}

// heard is the newest event of a record.
type heard struct {
	at   time.Time // Salesforce's clock
	when time.Time // it came
}

// debt is an event that must come.
type debt struct {
	due time.Time
	own bool
}

// orders is what the watchdog wants done.
type orders struct {
	probe, push bool     // ask for the canary, make one
	renew       bool     // open a new session
	again       []string // objects to be asked for again from the last position
	anew        []string // objects to be asked for from now on, as that position may be the trouble
	poll        []string // objects to be polled now
}

func newWatchdog() *watchdog { return &watchdog{objects: map[string]*watch{}} }

func (w *watchdog) of(object string) *watch {
	o := w.objects[object]
	if o == nil {
		o = &watch{owed: map[string]debt{}, fresh: map[string]heard{}, aged: map[string]heard{}, span: time.Minute}
		w.objects[object] = o
	}
	return o
}

// remember has the events of an object kept in mind for at least span. It is
// for objects of which polls find again what events have announced.
func (w *watchdog) remember(object string, span time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of(object).span = span
}

// useCanary says whether there is a canary to ask for, and that it has just
// been asked for.
func (w *watchdog) useCanary(on bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.canary, w.asked = on, time.Time{}
	if on {
		w.asked, w.stir = now, now
	} else {
		w.mute = false
	}
}

// sang takes in the canary, made at born.
func (w *watchdog) sang(born, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if born.After(w.pushed) {
		w.pushed = born
	}
	w.hear(now)
}

func (w *watchdog) hear(now time.Time) { w.heard, w.asked, w.mute = now, time.Time{}, false }

// event takes in an event of a record, which happened at, by Salesforce's clock.
func (w *watchdog) event(object, sfid string, at, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hear(now)
	w.stirred, w.stir = true, now
	o := w.of(object)
	o.fresh[sfid] = heard{at: at, when: now}
	delete(o.owed, sfid)
	o.unechoed, o.unheard, o.why, o.until, o.unproven = 0, 0, "", time.Time{}, false
}

// wrote notes that Salesforce has answered a write of ours: its event is owed,
// unless it came before the answer.
func (w *watchdog) wrote(object, sfid string, now time.Time) {
	w.owe(object, sfid, debt{due: now.Add(echoWithin), own: true}, time.Time{}, now)
}

// found notes that a poll saw a change of the record, stamped by Salesforce.
func (w *watchdog) found(object, sfid string, stamp, now time.Time) {
	w.owe(object, sfid, debt{due: now.Add(foundWithin)}, stamp, now)
}

func (w *watchdog) owe(object, sfid string, d debt, stamp, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stirred, w.stir = true, now
	o := w.of(object)
	last, ok := o.fresh[sfid]
	if !ok {
		last = o.aged[sfid]
	}
	// What events told of lately, or what happened before the last of them.
	told := now.Sub(last.when) < 2*time.Minute || !stamp.IsZero() && !stamp.After(last.at)
	_, known := o.owed[sfid]
	if told || known || len(o.owed) >= maxOwed || o.since.IsZero() || !stamp.IsZero() && !stamp.After(o.since) {
		return
	}
	o.owed[sfid] = d
}

// restless reports whether an event, a write or a poll has shown a change in
// the org since settle.
func (w *watchdog) restless() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stirred
}

func (w *watchdog) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stirred = false
}

// quiet reports whether the events of an object are proven to arrive, and nothing
// in the org has changed for at least the time given.
func (w *watchdog) quiet(object string, since time.Duration, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.of(object)
	sure := w.canary && !w.mute && !o.since.IsZero() && o.why == "" && !now.Before(o.until)
	return sure && now.Sub(w.stir) >= since
}

// live notes whether an object's channel is subscribed; at is server time.
func (w *watchdog) live(object string, on bool, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.of(object)
	switch {
	case !on:
		o.since = time.Time{}
	case o.since.IsZero():
		o.since, o.unproven, o.missed = at, true, 0
	}
}

// doubts returns whether the stream is mute, and why objects are suspect.
func (w *watchdog) doubts() (mute bool, objects map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	objects = map[string]string{}
	for name, o := range w.objects {
		if o.why != "" {
			objects[name] = o.why
		}
	}
	return w.mute, objects
}

// tick weighs the evidence. It is to be called about every second.
func (w *watchdog) tick(now time.Time, connected bool) (todo orders) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !connected {
		w.heard = now // nothing can arrive, which is shown elsewhere
		if !w.asked.IsZero() {
			w.asked = now
		}
	} else if w.canary {
		w.listen(now, &todo)
	}
	for name, o := range w.objects {
		o.turn(now)
		o.collect(name, now, connected, w.canary && !w.mute, &todo)
		if o.unproven && o.missed >= maxMissed {
			o.unproven = false
			todo.anew = append(todo.anew, name)
		}
		if (w.mute && !o.since.IsZero() || o.why != "" || now.Before(o.until)) && now.Sub(o.polled) >= quickPoll {
			o.polled = now
			todo.poll = append(todo.poll, name)
		}
		if o.why != "" && now.Sub(w.renewed) >= doubtFor {
			todo.renew = true
		}
	}
	if w.mute && now.Sub(w.renewed) >= doubtFor {
		todo.renew = true
	}
	if todo.renew {
		w.renewed = now
	}
	return todo
}

// listen asks for the canary and judges its silence.
func (w *watchdog) listen(now time.Time, todo *orders) {
	stale := now.Sub(w.pushed) > pushAfter
	ask := func() {
		w.asked, todo.probe, todo.push = now, true, stale
		if stale {
			w.pushed = now
		}
	}
	switch silence := now.Sub(w.asked); {
	case w.asked.IsZero() && now.Sub(w.heard) >= probeEvery:
		ask()
	case w.asked.IsZero() || silence < probeWithin:
	case stale: // there may have been none to send
		ask()
	case !w.mute:
		w.mute = true
	case silence >= probeEvery:
		ask()
	}
}

// turn forgets the events of the last span but one.
func (o *watch) turn(now time.Time) {
	if now.Sub(o.turned) < o.span {
		return
	}
	o.turned, o.aged, o.fresh = now, o.fresh, map[string]heard{}
}

// collect counts the events that are overdue.
func (o *watch) collect(name string, now time.Time, connected, sings bool, todo *orders) {
	unheard := false
	for sfid, d := range o.owed {
		switch {
		case !connected || o.since.IsZero():
			d.due = now.Add(foundWithin) // the next subscription may bring it
			o.owed[sfid] = d
		case now.Before(d.due):
		case d.own:
			delete(o.owed, sfid)
			o.missed++
			if o.unechoed++; o.unechoed >= maxUnechoed {
				o.why, o.until = "no events of its own writes arrive", now.Add(doubtFor)
			}
		default:
			delete(o.owed, sfid)
			unheard = true
		}
	}
	if !unheard {
		if o.why != "" && !now.Before(o.until) { // nothing more was missed: what was may have had no events
			o.why, o.unechoed, o.unheard = "", 0, 0
		}
		return
	}
	o.unheard++
	o.missed++
	todo.again = append(todo.again, name)
	o.polled = now
	todo.poll = append(todo.poll, name)
	if o.unheard >= maxUnheard {
		o.until = now.Add(doubtFor)
		if !sings {
			o.why = "polls find changes that no event announced"
		}
	}
}
