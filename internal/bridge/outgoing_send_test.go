package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/outbox"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// hooked is the bridge's sender. What happens during a call happens in it.
type hooked struct {
	sender

	w *outWorld
}

func (d hooked) Send(ctx context.Context, call outbox.Call) ([]outbox.Outcome, error) {
	w := d.w
	w.gate.Lock()
	leave := sync.OnceFunc(w.gate.Unlock)
	defer leave()
	w.hook(&w.before)
	if w.stopping && w.Hasty {
		<-ctx.Done() // else the request might be out before
	}
	if err := w.onlyChanged(ctx, call); err != nil {
		return nil, err
	}
	if w.giveUp && ctx.Err() == nil {
		// It is on its way, and the deadline comes.
		w.sf.ClearFaults()
		f := w.sf.Fault(org.Fault{Path: writesPath, Verb: org.Hold, Before: true, Times: 1})
		w.giveUp, w.late = false, f
		w.revives = w.revives || call.Op == outbox.Upsert
		w.trail = append(w.trail, fmt.Sprintf("given up: %v %s", call.Op, call.Object))
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			if f.Wait(ctx, 1) == nil {
				cancel()
			}
		}()
		outcomes, err := d.sender.Send(ctx, call)
		w.hook(&w.after)
		return outcomes, err
	}
	leave()
	outcomes, err := d.shared(ctx, call)
	w.gate.Lock()
	defer w.gate.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "%v %d %s: ", call.Op, len(call.Records), call.Object)
	if err != nil {
		text.WriteString(err.Error())
	}
	for i, o := range outcomes {
		text.WriteString(o.SFID)
		if o.Failure != nil {
			text.WriteString(o.Failure.Code)
		}
		fmt.Fprint(&text, call.Records[i].SFID, call.Records[i].Fields, " ")
	}
	w.trail = append(w.trail, text.String())
	w.hook(&w.after)
	return outcomes, err
}

// shared sends a call beside others, while nothing else happens.
func (d hooked) shared(ctx context.Context, call outbox.Call) ([]outbox.Outcome, error) {
	d.w.gate.RLock()
	defer d.w.gate.RUnlock()
	return d.sender.Send(ctx, call)
}

// hook does what happens during a call.
func (w *outWorld) hook(fn *func()) {
	if do := *fn; do != nil {
		*fn = nil
		w.inCall = true
		defer func() { w.inCall = false }()
		do()
	}
}

// hookedBulk is the bridge's way to make jobs. The org works on them while nothing
// else happens.
type hookedBulk struct {
	bulk

	w *outWorld
}

func (b hookedBulk) Start(ctx context.Context, call outbox.Call, opened func(string) error) error {
	b.w.hook(&b.w.before)
	err := b.bulk.Start(ctx, call, opened)
	b.w.sf.Jobs().Wait()
	b.w.trail = append(b.w.trail, fmt.Sprintf("job: %v %s %v %v", call.Op, call.Object, call.Records, err))
	b.w.hook(&b.w.after)
	return err
}

func (b hookedBulk) Result(ctx context.Context, id string, of *outbox.Table) (map[string]outbox.Outcome, bool, error) {
	outcomes, done, err := b.bulk.Result(ctx, id, of)
	b.w.sf.Jobs().Wait()
	b.w.trail = append(b.w.trail, fmt.Sprint("job: ", outcomes, done, err))
	return outcomes, done, err
}

// onlyChanged checks that an update sends no more than what was changed.
func (w *outWorld) onlyChanged(ctx context.Context, call outbox.Call) error {
	sub := subjects[call.Object]
	if call.Op != outbox.Update {
		return nil
	}
	rows, err := w.db.pool.Query(ctx, fmt.Sprintf(`SELECT t.sfid, akeys(l."values"::hstore) FROM salesforce._trigger_log AS l
		JOIN salesforce.%s AS t ON t.id = l.record_id
		WHERE (l.state = 'PENDING' OR EXISTS (SELECT FROM salesforce._trigger_log_attempt AS a WHERE l.id = ANY (a.entries))) AND l.table_name = $1 AND t.sfid IS NOT NULL AND l."values" IS NOT NULL`, sub.table), sub.table)
	if err != nil {
		return err
	}
	changed := map[string][]string{}
	var id string
	var columns []string
	if _, err := pgx.ForEachRow(rows, []any{&id, &columns}, func() error {
		changed[id] = append(changed[id], columns...)
		return nil
	}); err != nil {
		return err
	}
	for _, r := range call.Records {
		for _, f := range sub.columns() {
			if _, sent := r.Fields[subjectFields[f]]; sent && len(changed[r.SFID]) > 0 && !slices.Contains(changed[r.SFID], f) {
				w.wrong("%s of %s is sent and was not changed", f, r.SFID)
			}
		}
	}
	return nil
}

// writes are the requests that write, reads those that read.
const (
	writesPath = `/composite/sobjects(\?|$|/\w+/\w+)`
	jobsPath   = `/jobs/ingest`
	readsPath  = `/query|/composite/sobjects/\w+$|/deleted|/updated`
)

// healAll ends all faults but that of a request that has been given up.
func (w *outWorld) healAll() {
	for _, f := range w.sf.Faults() {
		if f != w.late {
			f.Remove()
		}
	}
	w.giveUp = false
}

// badValue is what the org says of a value that it refuses.
const badValue = "a bad value"

// refuse is the org's trigger: it has locked records and a validation rule.
func (w *outWorld) refuse(d *sobject.Draft) error {
	if api := d.Tx.Origin.API; api != "rest" && api != "bulk" {
		return nil
	}
	if _, mapped := subjects[d.Object.Name]; !mapped {
		return nil
	}
	now := w.locked & 1
	w.locked >>= 1
	if now == 1 {
		return &sobject.Error{Status: 400, Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access to this record", Fields: []string{}}
	}
	for _, field := range subjects[d.Object.Name].fields {
		if text, _ := d.Get(subjectFields[field]).(string); strings.HasPrefix(text, "bad") {
			return sobject.ErrValidation(badValue)
		}
	}
	return nil
}

func (w *outWorld) fault(s step) {
	verbs := []org.Verb{org.Reject, org.Drop, org.HTML}
	if w.Doubt {
		verbs = append(verbs, org.FailAfterWrite, org.Cut, org.Garble, org.FailAfterWrite)
	}
	f := org.Fault{Path: writesPath, Verb: verbs[s.b%len(verbs)], Times: 1, After: s.a % 3}
	if f.Verb == org.FailAfterWrite && s.b/8%3 == 0 {
		f.Status, f.Body = 500, `[{"message":"An unexpected error occurred.","errorCode":"UNKNOWN_EXCEPTION"}]`
	}
	if !w.Doubt && f.Verb == org.Drop {
		f.Verb = org.Reject // a request that did not arrive leaves the same doubt
	}
	if !w.Doubt && f.Verb == org.HTML {
		f.Path = readsPath
	}
	if f.Verb == org.Garble && s.b%5 == 0 {
		f.Path = readsPath
	}
	if w.Bulk && s.a/3%2 == 0 {
		f.Path = jobsPath
	}
	w.sf.Fault(f)
}

// send lets the worker look at the log once.
func (w *outWorld) send(ctx context.Context) (err error) {
	if w.inCall || w.during == nil && w.sending {
		return nil
	}
	w.sending = true
	defer func() {
		w.sending = false
		w.dying.Store(false)
		switch r := recover(); r.(type) {
		case nil:
		case crashed:
			w.trail = append(w.trail, "crashed")
			w.inCall = false
			err = w.startAgain(ctx, true)
		default:
			panic(r)
		}
	}()
	run, stop := context.WithCancel(ctx)
	defer stop()
	w.stop, w.stopping = stop, false
	_, err = w.runOnce(run)
	if f := (*outbox.Failure)(nil); errors.As(err, &f) || w.stopping && errors.Is(err, context.Canceled) {
		err = nil
	}
	if w.stopping && err == nil {
		w.stopping = false
		w.trail = append(w.trail, "stopped")
		return w.startAgain(ctx, true)
	}
	return err
}

// runOnce lets the worker look at the log, and whoever doubts the schema look
// at the org, which has not changed.
func (w *outWorld) runOnce(ctx context.Context) (int, error) {
	n, err := w.worker.RunOnce(ctx)
	if w.s.schema.begin() {
		w.s.schema.done(true, 0)
	}
	return n, err
}

// crash ends the process: at once, or in the call or the transaction to come.
func (w *outWorld) crash(ctx context.Context, s step) error {
	if w.inCall {
		switch s.a % 3 {
		case 0:
			w.dying.Store(true)
			return nil
		case 1:
			if s.b/2%2 == 0 {
				w.stopping = true
				w.stop()
				return nil
			}
		}
		panic(crashed{})
	}
	if w.sending { // it is a read that this happens in
		return nil
	}
	return w.startAgain(ctx, s.b%3 > 0)
}

func (w *outWorld) startAgain(ctx context.Context, connect bool) error {
	w.dying.Store(false)
	w.stopping, w.before, w.after = false, nil, nil
	w.over = w.late == nil && !w.giveUp && !connect
	if err := w.rebirth(ctx); err != nil {
		return err
	}
	if connect {
		return w.cutOr(w.connect(ctx))
	}
	return nil
}

// runLate lets the request that was given up run, and waits until it has.
func (w *outWorld) runLate(ctx context.Context) error {
	if w.late == nil {
		return nil
	}
	count := func() (n int) {
		for _, r := range w.sf.Requests() {
			if r.Fault == org.Hold {
				n++
			}
		}
		return n
	}
	if w.late.Hits() == 0 { // it did not even begin
		w.late.Remove()
		w.late = nil
		return nil
	}
	w.running.Store(true)
	defer w.running.Store(false)
	w.late.Release()
	w.late = nil
	w.ran++
	for count() < w.ran {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
