package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// firstLook is the wait between the first two looks for what became of an
// attempt; it doubles.
const firstLook = time.Second

// failedLook is the most after a look that failed.
const failedLook = 5 * time.Second

// doubt is a creation or update whose answer was lost. Its entries stay PENDING, so
// that the record's later changes wait, and of a creation whatever comes in without a
// row is held, until it is known whether there is a record.
type doubt struct {
	item    *item
	op      Op
	fields  map[string]any
	sent    time.Time // when it was sent first, by this process's monotonic clock
	late    time.Time // until when the last request may run on
	unclear time.Time // since when it is known that only an event can tell
	looked  time.Time // when it was looked for last
	said    time.Time // when the log told last that it is still in doubt
	due     time.Time // when it is looked for next
	looks   int
	ended   bool     // it is not running any more
	failure *Failure // why there is no answer
}

// over reports whether the request cannot take effect any more at t.
func (d *doubt) over(t time.Time, window time.Duration) bool {
	return d.ended || t.Sub(d.sent) >= window
}

// postpone sets the next look: ever later, but one as soon as the window is over.
func (d *doubt) postpone(now time.Time, window time.Duration) {
	d.looked = now
	most := 2 * time.Minute
	if d.op == Update { // one look decides, so the last has failed
		most = 15 * time.Second
	}
	d.due = now.Add(min(firstLook<<min(d.looks, 9), most))
	d.looks++
	if end := d.sent.Add(window); now.Before(end) && end.Before(d.due) {
		d.due = end
	}
}

// wonder keeps an attempt in doubt.
func (w *Worker) wonder(r *result) {
	id := r.item.carrier.id
	if w.doubts[id] != nil {
		return
	}
	fields, _ := fieldsOf(r.item.table, r.op, r.item.values) // sent before, so it has a form
	sent, ended := r.sent, r.failure.Ended
	if first := w.retries[r.item.key].first; !first.IsZero() {
		sent, ended = first, false // the request before this one may be the one that took effect
	}
	if r.op == Update {
		w.sent.begin([]*item{r.item}, sent)
	}
	w.doubts[id] = &doubt{item: r.item, op: r.op, fields: fields, sent: sent, late: r.late, due: time.Now(), ended: ended, failure: r.failure}
}

// underWay are the items of which it is not known yet what became of them: in jobs,
// in calls that are not answered, and in doubt. A record in doubt may be made a second time, with what it held then,
// so one that has taken over its external id must not be sent before.
func (w *Worker) underWay() []*item {
	all := append(w.inJobs(), w.setAside()...)
	for _, d := range w.doubts {
		all = append(all, d.item)
	}
	return all
}

// Suspect tells that a record has come in that may be one of those in doubt: they
// are looked for at the next run. Safe for concurrent use.
func (w *Worker) Suspect() { w.suspect.Store(true) }

// doubtsDue is how long until something in doubt is to be looked for.
func (w *Worker) doubtsDue(now time.Time) (wait time.Duration, some bool) {
	for _, d := range w.doubts {
		if left := d.due.Sub(now); !some || left < wait {
			wait, some = left, true
		}
	}
	return wait, some
}

// clearUp looks for what became of attempts in doubt and settles those of which
// it is known. It must not run while a creation is on its way, and leaves out tables
// of which a job makes records: the record of one could be taken for that of
// another.
//
// An upsert is looked for by its key. A record under it that this user has made
// since is its record, and keeps what others have written to it meanwhile; else
// the upsert is repeated. A plain insert is looked for by what was sent. If there
// is no such record when the request cannot run any more, it is sent again; if
// this user has made another one since, that nothing explains, a person must
// decide: it may be the one, changed by the org's automation. A record that is
// found deleted was made all the same. An update is compared with the record, see
// standing.go.
func (w *Worker) clearUp(ctx context.Context) (n int, err error) {
	now := time.Now()
	if w.suspect.Swap(false) {
		for _, d := range w.doubts {
			if soon := d.looked.Add(firstLook); soon.Before(d.due) {
				d.due = soon
			}
		}
	}
	type group struct {
		table string
		op    Op
	}
	due := map[group]bool{}
	groups := map[group][]*doubt{}
	for _, d := range w.doubts {
		g := group{d.item.table.Name, d.op}
		due[g] = due[g] || !now.Before(d.due)
		groups[g] = append(groups[g], d)
	}
	for g, list := range groups {
		if !due[g] || ctx.Err() != nil {
			continue
		}
		if g.op.creates() && w.creating(g.table) {
			for _, d := range list {
				d.due = later(d.due, now.Add(time.Second))
			}
			continue
		}
		slices.SortFunc(list, func(x, y *doubt) int { return int(x.item.carrier.id - y.item.carrier.id) })
		look := w.lookFor
		if g.op == Update {
			look = w.lookAt
		}
		settled, err := look(ctx, list)
		if n += settled; err != nil {
			return n, err
		}
	}
	return n, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// creating reports whether a job, or a call that is not answered, makes records of a
// table.
func (w *Worker) creating(table string) bool {
	for _, j := range w.jobs {
		if j.table == table && j.items[0].op.creates() {
			return true
		}
	}
	return slices.ContainsFunc(w.aside, func(f *flight) bool {
		return f.request.Op.creates() && len(f.ready) > 0 && f.ready[0].table.Name == table
	})
}

// lookFor decides over attempts of one table and operation.
func (w *Worker) lookFor(ctx context.Context, list []*doubt) (n int, err error) {
	began := time.Now()
	t, op := list[0].item.table, list[0].op
	attempts := make([]Attempt, len(list))
	for i, d := range list {
		attempts[i] = Attempt{Fields: d.fields, Age: began.Sub(d.sent)}
	}
	key := ""
	if op == Upsert {
		key = t.ExternalID
	}
	found, err := w.find(ctx, t.Object, key, attempts)
	for _, d := range list {
		d.postpone(began, w.cfg.InDoubt)
	}
	if err != nil {
		if f := failureOf(err); f.Class == Permanent {
			return w.undecidable(ctx, list, began)
		}
		for _, d := range list { // others wait to be sent until this works
			if soon := began.Add(failedLook); soon.Before(d.due) {
				d.due = soon
			}
		}
		if ctx.Err() == nil {
			w.log.Warn().Err(err).Str("event", "look_up_failed").Str("object", t.Object).Int("rows", len(list)).Msg("records in doubt cannot be looked for now")
		}
		return 0, nil
	}
	if found, err = w.unknown(ctx, t, found, attempts); inTheWay(err) {
		return 0, nil // they are looked for again
	} else if err != nil {
		return 0, fmt.Errorf("known records: %w", err)
	}
	got := match(attempts, found)
	if w.stranger(list, attempts, found, got, began) {
		if found, err = w.explain(ctx, t, found, oldest(attempts)); err != nil {
			return 0, fmt.Errorf("other entries: %w", err)
		}
		got = match(attempts, found)
	}
	var results []*result
	for i, d := range list {
		r := &result{item: d.item, op: op, sfid: d.item.sfid}
		switch {
		case got[i] >= 0:
			r.outcome, r.sfid = accepted, found[got[i]].SFID
		case op == Upsert:
			r.outcome, r.failure = again, d.again()
			r.orRefused()
		case !d.over(began, w.cfg.InDoubt):
			continue
		default:
			if others := unexplained(found, attempts[i]); others != nil {
				r.outcome, r.failure = inDoubt, parked(d.failure, others...)
			} else {
				// Whoever captured it anew meanwhile may send it as new, too.
				r.outcome, r.free, r.failure = again, !d.ended, d.known()
				r.orRefused()
				d.item.carrier.message = ""
			}
		}
		r.sent, r.late = d.sent, d.late
		results = append(results, r)
	}
	return w.conclude(ctx, list, results, began, "looked for records whose answer was lost; the others are looked for again")
}

// conclude settles what a look at list has decided, and tells of it. A look that has decided
// nothing is no news until it has been quiet about one for long.
func (w *Worker) conclude(ctx context.Context, list []*doubt, results []*result, began time.Time, message string) (int, error) {
	decided := map[outcome]int{}
	for _, r := range results {
		delete(w.doubts, r.item.carrier.id)
		decided[r.outcome]++
	}
	level := zerolog.InfoLevel
	switch {
	case len(results) == len(list):
	case len(results) > 0 || slices.ContainsFunc(list, func(d *doubt) bool { return time.Since(d.said) >= quiet }):
		level = zerolog.WarnLevel
		for _, d := range list {
			d.said = time.Now()
		}
	default:
		level = zerolog.DebugLevel
	}
	w.log.WithLevel(level).Str("event", "in_doubt").Str("object", list[0].item.table.Object).Stringer("op", list[0].op).Int("rows", len(list)).Int("found", decided[accepted]).
		Int("sent_again", decided[again]).Int("parked", decided[inDoubt]).Dur("took_ms", time.Since(began)).Msg(message)
	return w.settle(ctx, &settlement{results: results})
}

// undecidable settles attempts that cannot be looked for at all: what can be
// repeated is, and for the others a person must look.
func (w *Worker) undecidable(ctx context.Context, list []*doubt, now time.Time) (int, error) {
	s := &settlement{}
	for _, d := range list {
		r := &result{item: d.item, op: d.op, sfid: d.item.sfid, sent: d.sent, late: d.late, outcome: inDoubt, failure: parked(d.failure)}
		if d.op != Insert {
			r.outcome, r.failure = again, d.again()
		} else if !d.over(now, w.cfg.InDoubt) {
			continue
		}
		s.results = append(s.results, r)
		delete(w.doubts, d.item.carrier.id)
	}
	return w.settle(ctx, s)
}

// known is the failure of a request of which it is known now that it has not taken
// effect.
func (d *doubt) known() *Failure {
	f := *d.failure
	f.InDoubt = false
	return &f
}

// again is the failure of a request that is repeated, marked as one that may have
// taken effect, if it can still.
func (d *doubt) again() *Failure {
	if d.ended {
		return d.known()
	}
	f := *d.failure
	f.Message = CodeInDoubt + ": " + f.Message
	return &f
}

// find asks the Finder, within the time that a call may take.
func (w *Worker) find(ctx context.Context, object, key string, attempts []Attempt) ([]Candidate, error) {
	ctx, cancel := hold(ctx, w.cfg.CallTimeout, w.cfg.StopGrace)
	defer cancel()
	found, err := w.cfg.Finder.Find(ctx, object, key, attempts)
	w.heard(err)
	return found, err //nolint:wrapcheck // only logged
}

// heard takes in whether a look was answered, by an error or not, or can never be.
func (w *Worker) heard(err error) {
	if f := failureOf(err); f != nil && f.Class != Permanent {
		switch f.Code {
		case "", "UNAVAILABLE", "SERVER_UNAVAILABLE":
			return
		}
	}
	w.silent = false
	if err == nil {
		w.answered = time.Now()
	}
}

// wondering reports whether a plain insert is in doubt.
func (w *Worker) wondering() bool {
	for _, d := range w.doubts {
		if d.op == Insert {
			return true
		}
	}
	return false
}

// unknown leaves out the records that have a row, or had one until the app or
// somebody in Salesforce deleted it. Deleted ones come last.
func (w *Worker) unknown(ctx context.Context, t *Table, found []Candidate, attempts []Attempt) ([]Candidate, error) {
	var live, deleted []Candidate
	for _, c := range found {
		switch {
		case !c.Deleted:
			live = append(live, c)
		case len(c.Equal) > 0: // else it is of no use, and in nobody's way
			deleted = append(deleted, c)
		}
	}
	if len(deleted) > 0 {
		// Whatever has its id was done after it was made.
		var err error
		if deleted, err = w.unnamed(ctx, deleted, w.sql.handled, t.Name, (oldest(attempts) + time.Hour).Seconds()); err != nil {
			return nil, err
		}
	}
	if found = slices.Concat(live, deleted); len(found) == 0 {
		return nil, nil
	}
	return w.unnamed(ctx, found, w.sql.known[t.Name], t.Name)
}

// unnamed leaves out the records that a statement names. It is asked with their
// ids and args.
func (w *Worker) unnamed(ctx context.Context, found []Candidate, sql string, args ...any) ([]Candidate, error) {
	ids := make([]string, len(found))
	for i, c := range found {
		ids[i] = c.SFID
	}
	named := map[string]bool{}
	err := w.readSafely(ctx, func(batch *pgx.Batch) {
		batch.Queue(sql, append([]any{ids}, args...)...).Query(func(rows pgx.Rows) error {
			var id string
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				named[id] = true
				return nil
			})
			return err //nolint:wrapcheck // wrapped by lookFor
		})
	})
	return slices.DeleteFunc(found, func(c Candidate) bool { return named[c.SFID] }), err //nolint:wrapcheck // wrapped by lookFor
}

func oldest(attempts []Attempt) (age time.Duration) {
	for _, a := range attempts {
		age = max(age, a.Age)
	}
	return age
}

// stranger reports whether a plain insert would be parked for a record that nothing
// explains.
func (w *Worker) stranger(list []*doubt, attempts []Attempt, found []Candidate, got []int, now time.Time) bool {
	for i, d := range list {
		if got[i] < 0 && d.op == Insert && d.over(now, w.cfg.InDoubt) && unexplained(found, attempts[i]) != nil {
			return true
		}
	}
	return false
}

// unexplained lists up to five records that may be what became of an attempt: those
// that were made after it and are equal to nothing that was sent. The org's automation
// can change whatever it likes, so nothing they have tells them apart.
func unexplained(found []Candidate, a Attempt) []string {
	var ids []string
	for _, c := range found {
		if len(c.Equal) == 0 && c.Age <= a.Age && len(ids) < 5 {
			ids = append(ids, c.SFID)
		}
	}
	return ids
}

// candidatesText says where a person should look.
func candidatesText(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return " Records that may be it: " + strings.Join(ids, ", ") + "."
}
