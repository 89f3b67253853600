package outbox

import (
	"context"
	"fmt"
	"time"
)

// An update whose answer was lost can be repeated, but should not be blindly: if it took
// effect, a user may have changed the same field since, and would lose that without
// a word. So the record is compared with what was sent, and with what was there before.
// An update takes effect as a whole or not at all. Where a user came later in all that
// was sent, only an event can tell, for which the worker waits a little. If none does,
// the update is repeated: a change that was not sent wins over that of a user.

const (
	// echoFor is how long a worker waits for the event of an update, once it knows that
	// nothing else can tell: streams begin, and tell what has happened meanwhile, in seconds.
	echoFor = 10 * time.Second
	// echoLook is how often it looks meanwhile.
	echoLook = 500 * time.Millisecond
)

// lookAt decides over updates of one table in doubt.
func (w *Worker) lookAt(ctx context.Context, list []*doubt) (int, error) {
	began := time.Now()
	t := list[0].item.table
	fates, err := w.fates(ctx, t, list)
	if err != nil {
		if failureOf(err).Class == Permanent {
			return w.undecidable(ctx, list, began)
		}
		for _, d := range list {
			d.postpone(began, w.cfg.InDoubt)
		}
		if ctx.Err() == nil {
			w.log.Warn().Err(err).Str("event", "look_up_failed").Str("object", t.Object).Int("rows", len(list)).Msg("records in doubt cannot be looked at now")
		}
		return 0, nil
	}
	var unclear []int64
	for i, d := range list {
		if fates[i] == Unsure {
			unclear = append(unclear, d.item.carrier.id)
		}
	}
	echoed, err := w.echoed(ctx, unclear)
	if err != nil {
		return 0, err
	}
	var results []*result
	for i, d := range list {
		r := &result{item: d.item, op: d.op, sfid: d.item.sfid, sent: d.sent, late: d.late}
		switch {
		case fates[i] == Yes, echoed[d.item.carrier.id]:
			r.outcome = accepted
			if w.retries[d.item.key].attempts > 0 { // one of several, and the others may still run
				w.mayCome(d.item.key, d.item.values, false, d.late)
			}
		case fates[i] == Unsure && d.waitsForEvent(t, began, min(echoFor, w.cfg.Late)):
			continue
		default:
			r.outcome, r.failure = again, d.again()
			r.orRefused()
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return 0, nil
	}
	return w.conclude(ctx, list, results, began, "looked at records of which the answer to an update was lost")
}

// waitsForEvent plans the next look at an update of which only an event can tell, and
// reports whether there is one.
func (d *doubt) waitsForEvent(t *Table, now time.Time, most time.Duration) bool {
	if d.unclear.IsZero() {
		d.unclear = now
	}
	d.due = now.Add(min(echoLook, most))
	return t.Events && now.Sub(d.unclear) < most
}

// fates compares the records with what was sent, and says of each update whether it took
// effect; Unsure if only an event can tell.
func (w *Worker) fates(ctx context.Context, t *Table, list []*doubt) ([]Answer, error) {
	counts := make([]int, len(list))
	var asked []Successive
	for i, d := range list {
		values := d.successive(t)
		counts[i] = len(values)
		asked = append(asked, values...)
	}
	var standings []Standing
	if len(asked) > 0 {
		var err error
		if standings, err = w.compare(ctx, t.Object, asked); err != nil {
			return nil, err
		}
	}
	fates := make([]Answer, len(list))
	for i, d := range list { // the record's age was told just now, or a little before
		fates[i] = tookEffect(standings[:counts[i]], time.Since(d.sent))
		standings = standings[counts[i]:]
	}
	return fates, nil
}

// compare asks the Finder, within the time that a call may take.
func (w *Worker) compare(ctx context.Context, object string, values []Successive) ([]Standing, error) {
	ctx, cancel := hold(ctx, w.cfg.CallTimeout, w.cfg.StopGrace)
	defer cancel()
	list, err := w.cfg.Finder.Compare(ctx, object, values)
	if err == nil && len(list) != len(values) {
		err = fmt.Errorf("%d answers about %d values", len(list), len(values))
	}
	w.heard(err)
	return list, err //nolint:wrapcheck // only logged
}

// successive is what to ask of the record: for each column that was sent, the value of
// before and the one sent.
func (d *doubt) successive(t *Table) (values []Successive) {
	for column, v := range d.item.values {
		now, err := fieldsOf(t, Update, map[string]*string{column: v})
		if err != nil || len(now) == 0 {
			continue
		}
		s := Successive{SFID: d.item.sfid, Now: now}
		if old, known := d.item.old[column]; known {
			s.First, _ = fieldsOf(t, Update, map[string]*string{column: old}) // if it has no form, Salesforce never had it
		}
		values = append(values, s)
	}
	return values
}

// tookEffect tells whether an update that was sent some time ago took effect, from what
// the record holds of each field:
//
//	the new value   it did, if that was not the old one too, as far as that is known
//	the old value   it did not
//	any other       it did not, if nobody has changed the record since. If another user
//	                has, it is Unsure, unless another field tells. If it was ours, the org
//	                may have made it of the new value, as another field would tell.
func tookEffect(list []Standing, age time.Duration) Answer {
	has, later, unsure := false, false, len(list) == 0
	for _, s := range list {
		switch {
		case s.Now == Yes:
			has = has || s.First == No
		case s.Now == Unsure:
			unsure = true
		case s.First == Yes, s.Age > age:
			return No
		case s.Ours:
			unsure = true
		default:
			later = true
		}
	}
	switch {
	case has:
		return Yes
	case later:
		return Unsure
	case unsure:
		return No
	}
	return Yes
}
