package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// prepare renders and claims what may go of a call. What needs no sending is
// added to s.
func (w *Worker) prepare(ctx context.Context, c *call, s *settlement) (ready []*item, records []Record, err error) {
	for _, i := range c.items {
		if i.blocked() {
			continue
		}
		fields, r := i.request(c)
		if f := w.turns.refuse(i); f != nil && r == nil {
			r = &result{item: i, outcome: refused, failure: f}
		}
		if r != nil {
			s.results = append(s.results, r)
			continue
		}
		i.tried, i.twice = w.retries[i.key].attempts, w.retries[i.key].duplicate
		i.spent = w.spent(i.key)
		ready = append(ready, i)
		records = append(records, Record{SFID: i.sfid, Fields: fields})
	}
	return w.claim(ctx, c, s, ready, records)
}

func (c *call) request(records []Record) Call {
	request := Call{Object: c.table.Object, Op: c.op, Records: records}
	if c.op == Upsert {
		request.ExternalID = c.table.ExternalID
	}
	return request
}

// hold is a context for a call in hand: it does not end with parent, but grace
// after it, and after limit in any case.
func hold(parent context.Context, limit, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(parent), limit, fmt.Errorf("no answer within %s", limit))
	ctx, cut := context.WithCancelCause(ctx)
	var timer *time.Timer
	armed := make(chan struct{})
	stop := context.AfterFunc(parent, func() {
		timer = time.AfterFunc(grace, func() { cut(errors.New("the grace of a stop is over")) })
		close(armed)
	})
	return ctx, func() {
		if !stop() {
			<-armed
			timer.Stop()
		}
		cut(context.Canceled)
		cancel()
	}
}

// blocked reports whether something the item depends on was not done in this
// run, or an update of the same record was refused, as what is left of that is known to
// the next plan only. It takes over the Salesforce id that an insert before it brought.
func (i *item) blocked() bool {
	for _, d := range i.hard {
		refused := d.key == i.key && d.op == Update && i.op == Update && d.status == failed
		if (d.holds() || refused) && d.level < i.level {
			return true
		}
		if d.key == i.key && d.sfid != "" && d.op != Delete {
			i.sfid = d.sfid
		}
	}
	return i.sfid == "" && !i.op.creates()
}

// request renders an item. A result instead means that there is nothing to
// send: no field that may be written, or a value that has no form.
func (i *item) request(c *call) (map[string]any, *result) {
	if c.op == Delete {
		return nil, nil
	}
	fields, err := fieldsOf(i.table, c.op, i.values)
	if err != nil {
		return nil, &result{item: i, outcome: refused, failure: failureOf(err)}
	}
	if len(fields) == 0 && !c.op.creates() {
		return nil, &result{item: i, outcome: ignored, sfid: i.sfid}
	}
	return fields, nil
}

// manyRecords are a collection full: a call of as many is one of a backlog, of which
// nobody watches the single entries, and the writing of whose states is most of the
// work.
const manyRecords = 200

// backlog reports whether a call of n items may note its attempt alone.
func (w *Worker) backlog(c *call, n int) bool {
	return !c.bulk && n >= min(manyRecords, w.cfg.BatchSize)
}

// light reports whether the entries of an item of such a call may be taken by the
// attempt alone: others go by the state PENDING, as they may make a record, or more
// than their attempt must be remembered of them.
func (i *item) light() bool {
	return !i.op.creates() && all(i.entries, func(e *entry) bool {
		return e.state == stateNew && e.action != actionInsert && e.message == ""
	})
}

// claim makes it durable that the entries of items are about to be sent, by an
// attempt or by their state PENDING, and leaves out items of which a user has
// dismissed an entry since they were planned.
func (w *Worker) claim(ctx context.Context, c *call, s *settlement, items []*item, records []Record) ([]*item, []Record, error) {
	var light, ids []int64
	full := w.backlog(c, len(items))
	for _, i := range items {
		into := &ids
		if full && i.light() {
			into = &light
		}
		for _, e := range i.entries {
			*into = append(*into, e.id)
		}
	}
	got := make(map[int64]bool, len(ids)+len(light))
	take := func(rows pgx.Rows) error { return addIDs(got, rows) }
	batch := &pgx.Batch{} // one transaction
	if len(ids) > 0 {
		batch.Queue(w.sql.claim, ids).Query(take)
	}
	if len(light) > 0 {
		s.attempt = light[0]
		batch.Queue(w.sql.attempt, s.attempt, light).Query(take)
	}
	if batch.Len() == 0 {
		return nil, nil, nil
	}
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		// The commit may have happened all the same; nothing was sent.
		back := putBack(items)
		back.attempt = s.attempt
		w.unsettled = append(w.unsettled, back)
		return nil, nil, fmt.Errorf("claim: %w", err)
	}
	var lost []*item
	keep := 0
	for n, i := range items {
		if !all(i.entries, func(e *entry) bool { return got[e.id] }) {
			i.entries = onlyIn(i.entries, got)
			lost = append(lost, i)
			continue
		}
		items[keep], records[keep] = i, records[n]
		keep++
	}
	if len(lost) > 0 {
		if _, err := w.settle(ctx, putBack(lost)); err != nil {
			back := putBack(items[:keep])
			back.attempt = s.attempt
			w.unsettled = append(w.unsettled, back)
			return nil, nil, err
		}
	}
	return items[:keep], records[:keep], nil
}

// putBack makes entries NEW again of which nothing was sent.
func putBack(items []*item) *settlement {
	s := &settlement{}
	for _, i := range items {
		s.results = append(s.results, &result{item: i, outcome: again, free: true})
	}
	return s
}

func onlyIn(entries []*entry, ids map[int64]bool) []*entry {
	var out []*entry
	for _, e := range entries {
		if ids[e.id] {
			out = append(out, e)
		}
	}
	return out
}

func addIDs(set map[int64]bool, rows pgx.Rows) error {
	var id int64
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		set[id] = true
		return nil
	})
	return err //nolint:wrapcheck // wrapped by the caller
}

// send makes the request and judges the answer of every record.
func (w *Worker) send(ctx context.Context, f *flight) {
	began := time.Now()
	if f.request.Op == Update {
		w.sent.begin(f.ready, began)
	}
	outcomes, err := w.cfg.Sender.Send(ctx, f.request)
	f.took = time.Since(began)
	if err == nil && len(outcomes) != len(f.ready) {
		err = &Failure{Class: Transient, InDoubt: true, Message: fmt.Sprintf("%d answers to %d records", len(outcomes), len(f.ready))}
	}
	if err != nil {
		f.whole = failureOf(err)
	}
	whole := f.whole.ofMany(len(f.ready))
	for n, i := range f.ready {
		o := Outcome{Failure: whole}
		if whole == nil {
			o = outcomes[n]
		}
		r := w.judge(i, f.request.Op, i.mayOverlap(f.request.Op, o))
		r.sent, r.late = began, w.lateUntil(began)
		if o.Failure != nil && o.Failure.Class == Limit {
			f.whole = o.Failure // nothing else will get through either
		}
		f.results.results = append(f.results.results, r)
	}
	level := zerolog.DebugLevel
	if f.whole != nil {
		level = zerolog.WarnLevel
		if f.whole.Class == Limit {
			w.limited.Store(true)
		}
		if f.whole.Unsent {
			return
		}
	}
	w.log.WithLevel(level).AnErr("error", cause(f.whole)).Str("event", "sent").Str("object", f.request.Object).Stringer("op", f.request.Op).Int("rows", len(f.ready)).Dur("took_ms", f.took).Msg("call")
}

// ofMany is the failure of a call for each of its n records. Where the call is refused
// for what it holds, and nobody says which record that is of, they are tried again in
// ever smaller calls, until the one is alone.
func (f *Failure) ofMany(n int) *Failure {
	if f == nil || n < 2 || f.Class != Permanent || f.Code != "" && f.Code != "JSON_PARSER_ERROR" {
		return f
	}
	each := *f
	each.Retries = UntilAlone
	return &each
}

// UntilAlone is after how many attempts a record goes alone, however many go in a call
// (see planner.size). A Sender that divides calls gives so many [Failure.Retries] to each
// record of a part that is refused for what one of them holds.
const UntilAlone = 5

// codeDuplicate is Salesforce's for a value that another record has already.
const codeDuplicate = "DUPLICATE_VALUE"

// CodeFull is Salesforce's where the org's storage is full.
const CodeFull = "STORAGE_LIMIT_EXCEEDED"

// fullEvery is how far apart the moments are at which records come back that were refused
// for that: as few calls as possible find out.
const fullEvery = 5 * time.Second

// mayOverlap gives an upsert that was refused as a duplicate another chance:
// another request, maybe an earlier one of our own, may have made the record at
// the same moment, and now it is found. If some other unique field is the reason,
// it is refused again.
func (i *item) mayOverlap(op Op, o Outcome) Outcome {
	if op == Upsert && o.Failure != nil && o.Failure.Code == codeDuplicate && !i.twice {
		f := *o.Failure
		f.Class, f.InDoubt = Transient, true
		o.Failure = &f
	}
	return o
}

// cause is f as an error, nil without one.
func cause(f *Failure) error {
	if f == nil {
		return nil
	}
	return f
}

// judge decides what an answer means for an item.
func (w *Worker) judge(i *item, op Op, o Outcome) *result {
	r := &result{item: i, op: op, failure: o.Failure, sfid: i.sfid}
	f := o.Failure
	switch {
	case f == nil && o.SFID == "" && op.creates():
		// Accepted, but the answer does not say under which id.
		r.failure = &Failure{Class: Transient, InDoubt: true, Message: "an answer without an id"}
		return w.doubt(r)
	case f == nil:
		r.outcome = accepted
		if o.SFID != "" {
			r.sfid = o.SFID
		}
	case op == Delete && f.gone():
		// Of a record that the user cannot see it says the same as of one that is gone.
		r.outcome, r.failure, r.vain, r.absent = accepted, nil, true, "no record to delete that the user can see: "+f.Code+": "+f.Message
	case f.InDoubt:
		return w.doubt(r)
	case f.Class == Limit:
		r.outcome, r.free = again, true
	case f.Class == Transient, f.Class == Permanent && i.tried < f.Retries:
		r.outcome = again
	case i.rejoins && !f.gone():
		r.outcome, r.free, r.together = again, true, true
	default:
		r.outcome = refused
	}
	return r.orRefused()
}

// doubt repeats a delete, and an update of a job, which keeps no values to compare. What
// became of anything else is looked up first; where nobody can, a plain insert is
// parked and the others are repeated.
func (w *Worker) doubt(r *result) *result {
	if w.cfg.Finder != nil && (r.op.creates() || r.op == Update && r.item.jobKey == "") {
		r.outcome = unknown
		return r
	}
	if r.op == Insert {
		r.outcome, r.failure = inDoubt, parked(r.failure)
		return r
	}
	r.outcome = again
	f := *r.failure
	if f.Ended {
		f.InDoubt = false // nothing can overtake what comes next
	} else if r.op != Delete {
		f.Message = CodeInDoubt + ": " + f.Message
	}
	r.failure = &f
	return r.orRefused()
}
