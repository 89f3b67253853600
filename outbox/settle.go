package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
)

// outcome is what becomes of an item.
type outcome int

const (
	accepted outcome = iota + 1 // Salesforce has it: SUCCESS, the folded ones MERGED
	refused                     // FAILED
	again                       // back to NEW
	ignored                     // IGNORED, or IGNORE, nothing to send
	inDoubt                     // inserts FAILED, updates that were folded into them back to NEW
	unknown                     // its answer was lost: PENDING until it is known what became of it
)

// result is an item with its outcome.
type result struct {
	item     *item
	op       Op // as sent; 0 = not sent
	outcome  outcome
	sfid     string
	failure  *Failure
	free     bool // again, and not the record's fault: no attempt, no back-off
	note     string
	sent     time.Time // when the request left; zero if none did
	late     time.Time // until when it may run on, if it was not answered
	idle     bool      // ignored, as the row was gone before anything of it was sent
	vain     bool      // a delete that met no record
	absent   string    // what Salesforce said then
	withheld *withheld // what of it is kept for later; nil = nothing
	together bool      // again, with what was refused before

	left leftOut // columns that were changed and not sent
}

// settlement is the results of one call. It is written in one transaction.
type settlement struct {
	results []*result
	attempt int64 // the attempt that is over with it; 0 = none
	locked  bool  // when it was written last, all rows of these results were
}

func dropped(d drop) *result {
	if d.failure == nil {
		return &result{item: d.item, outcome: ignored, sfid: d.item.sfid, idle: d.idle}
	}
	out := refused
	if d.failure.Code == CodeInDoubt {
		out = inDoubt
	}
	return &result{item: d.item, outcome: out, sfid: d.item.sfid, failure: d.failure}
}

// settle writes results down and remembers what the rest of the run goes by.
func (w *Worker) settle(ctx context.Context, s *settlement) (n int, err error) {
	return w.remember(w.write(ctx, s))
}

// written is what could be written down of a settlement: none of it after an
// error, else all but the results of rows that an app holds locked.
type written struct {
	now, later []*result
	attempt    int64 // that is not over, after an error
	err        error
}

// write writes results down: rows, log, archive and whatever Config.Settle adds,
// all or nothing. It touches nothing but the database and what belongs to the
// results, so that calls can do it by themselves, writersMost at a time.
func (w *Worker) write(ctx context.Context, s *settlement) (x written) {
	if len(s.results) == 0 && s.attempt == 0 {
		return x
	}
	w.writing <- struct{}{}
	defer func() { <-w.writing }()
	// An answer is worth more than the deadline that it came in under.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 15*time.Second, errors.New("results not written within 15s"))
	defer cancel()
	now, later := s.results, []*result(nil)
	if s.locked {
		now, later, x.err = w.unlocked(ctx, s.results)
		for inTheWay(x.err) && ctx.Err() == nil { // a table, which is not asked again
			now, later, x.err = w.unlocked(ctx, s.results)
		}
		if x.err != nil || len(now) == 0 {
			return written{later: s.results, err: x.err}
		}
	}
	for {
		x = w.tryWrite(ctx, s, now, later)
		if errors.Is(x.err, errLocked) {
			now, later = x.now, x.later
			continue
		}
		// What Config.Settle touches may be held for long, as by a reading back of as many
		// records. No row is locked meanwhile.
		if !inTheWay(x.err) || ctx.Err() != nil {
			break
		}
		w.log.Debug().Err(x.err).Str("event", "settle_retry").Int("rows", len(s.results)).Msg("the transaction is run again")
	}
	if x.err != nil {
		return written{later: s.results, attempt: s.attempt, err: fmt.Errorf("settle %d records: %w", len(s.results), x.err)}
	}
	return x
}

// writersMost is how many calls write their results down at a time: while one waits
// for the disk, the server works on the other. More
// would take from the app what they gain.
const writersMost = 2

// tryWrite writes a settlement in one transaction: the results now, of which nobody has
// seen yet that their rows are locked, and what must be kept of those for later. Config.Settle
// comes first, while nothing is locked for which an app, or another transaction of the
// bridge, could wait; it is told of what is written, and of nothing else.
func (w *Worker) tryWrite(ctx context.Context, s *settlement, now, later []*result) (x written) {
	list := report(now)
	x.err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if err := w.tell(ctx, tx, list); err != nil {
			return err
		}
		free, locked, err := w.lockRows(ctx, tx, now)
		if err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		x.now, x.later = free, slices.Concat(later, locked)
		if w.cfg.Settle != nil && len(locked) > 0 {
			return errLocked
		}
		if err := w.keepAnswers(ctx, tx, x.later); err != nil {
			return fmt.Errorf("answers: %w", err)
		}
		if err := w.findWithheld(ctx, tx, x.now); err != nil {
			return fmt.Errorf("frozen fields: %w", err)
		}
		return w.writeResults(ctx, tx, x.now, s.attempt, len(list) > 0)
	})
	return x
}

// tell calls Config.Settle. Whatever it waits for, and whoever holds that, it gives up
// before Postgres would take it for a deadlock, and is tried again.
func (w *Worker) tell(ctx context.Context, tx pgx.Tx, list []Settled) error {
	if len(list) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, briefSQL); err != nil || w.cfg.Settle == nil {
		return err //nolint:wrapcheck // wrapped by settle
	}
	w.settling.Lock()
	defer w.settling.Unlock()
	return w.cfg.Settle(ctx, tx, list)
}

// inTheWay reports that others were in the way of a transaction, which may find them
// gone when it is run again.
func inTheWay(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "55P03" || e.Code == "40P01")
}

// remember keeps what is to be written later for finish, and of what is written
// what the rest of the run goes by. It returns how many entries are settled.
func (w *Worker) remember(x written) (n int, err error) {
	if len(x.later) > 0 || x.attempt != 0 {
		w.unsettled = append(w.unsettled, &settlement{results: x.later, attempt: x.attempt, locked: x.err == nil})
	}
	for _, r := range x.now {
		n += w.note(r)
	}
	return n, x.err
}

// ownSQL marks a transaction as the bridge's own. Should this process stand still in it,
// because its machine does, the app waits for its rows no longer than that. The status
// trigger leaves what it says of a row, also where that is what the row said.
const ownSQL = "SELECT set_config('xmlbinary', 'hex', true), set_config('hcbridge.tells', 'on', true), set_config('lock_timeout', '5s', true), set_config('idle_in_transaction_session_timeout', '5s', true)"

// briefSQL is ownSQL for what comes before rows are locked.
const briefSQL = "SELECT set_config('lock_timeout', '250ms', true), set_config('idle_in_transaction_session_timeout', '5s', true)"

// rowWrite is what is written to the rows of one table.
type rowWrite struct {
	results []*result
	ids     []int64
	sfids   []*string
	lastOps []string
	errs    []*string
}

func (b *rowWrite) add(r *result, sfid *string, lastOp string, err *string) {
	b.results = append(b.results, r)
	b.ids = append(b.ids, r.item.key.id)
	b.sfids = append(b.sfids, sfid)
	b.lastOps = append(b.lastOps, lastOp)
	b.errs = append(b.errs, err)
}

// writeResults writes to rows and log in one round trip, and at its end what Config.Spent
// adds. Where a row does not take its result it begins again, so that the others are not
// undone.
func (w *Worker) writeResults(ctx context.Context, tx pgx.Tx, results []*result, attempt int64, spent bool) error {
	queueLog := func(batch *pgx.Batch) {
		w.queueLog(batch, results, attempt)
		if spent && w.cfg.Spent != nil {
			w.cfg.Spent(batch)
		}
	}
	writes := rowWrites(results)
	batch := &pgx.Batch{}
	if len(writes) > 0 {
		batch.Queue("SAVEPOINT results")
	}
	for table, b := range writes {
		batch.Queue(w.sql.row[table], b.ids, b.sfids, b.lastOps, b.errs)
	}
	queueLog(batch)
	err := tx.SendBatch(ctx, batch).Close()
	if err == nil || len(writes) == 0 || !rowFault(err) {
		return err //nolint:wrapcheck // wrapped by settle
	}
	if _, undo := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT results"); undo != nil {
		if e, ok := errors.AsType[*pgconn.PgError](undo); ok && e.Code == "3B001" {
			return err //nolint:wrapcheck // of a statement that could not be prepared, before the batch began
		}
		return undo //nolint:wrapcheck // wrapped by settle
	}
	for table, b := range writes {
		err := w.tryRows(ctx, tx, table, b)
		if err != nil && rowFault(err) {
			err = w.singly(ctx, tx, table, b.results)
		}
		if err != nil {
			return fmt.Errorf("rows: %w", err)
		}
	}
	batch = &pgx.Batch{}
	queueLog(batch)
	return tx.SendBatch(ctx, batch).Close() //nolint:wrapcheck // wrapped by settle
}

// rowWrites is what is to be written to rows, by table.
func rowWrites(results []*result) map[string]*rowWrite {
	writes := map[string]*rowWrite{}
	for _, r := range results {
		if !r.touchesRow() || r.item.gone || r.outcome == ignored && r.withheld == nil {
			continue
		}
		b := writes[r.item.key.table]
		if b == nil {
			b = &rowWrite{}
			writes[r.item.key.table] = b
		}
		b.result(r)
	}
	return writes
}

// result adds what a result shows at its row.
func (b *rowWrite) result(r *result) {
	failure, sfid := r.failure, (*string)(nil)
	if r.withheld != nil {
		failure = r.withheld.failure
	}
	if r.outcome == accepted {
		sfid = &r.sfid
	}
	if r.outcome != accepted || r.withheld != nil {
		text := failure.column(time.Now())
		b.add(r, sfid, "FAILED", &text)
		return
	}
	lastOp := "UPDATED"
	if r.op.creates() {
		lastOp = "INSERTED"
	}
	b.add(r, sfid, lastOp, nil)
}

// tryRows writes in a savepoint, so that a row which does not take its result
// does not undo the others.
func (w *Worker) tryRows(ctx context.Context, tx pgx.Tx, table string, b *rowWrite) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { //nolint:wrapcheck // wrapped by settle
		_, err := tx.Exec(ctx, w.sql.row[table], b.ids, b.sfids, b.lastOps, b.errs)
		return err //nolint:wrapcheck // wrapped by settle
	})
}

// rowFault reports whether an error is about the row: a constraint, a value, or
// an exception from a user's trigger. Anything else heals by trying again.
func rowFault(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(e.Code) != 5 {
		return false
	}
	switch e.Code[:2] {
	case "08", "25", "40", "53", "55", "57", "58", "XX":
		return false
	}
	return true
}

// singly writes each result on its own. Where the row refuses it, the log tells
// what Salesforce answered and the row, if it can, that it does not show it.
func (w *Worker) singly(ctx context.Context, tx pgx.Tx, table string, results []*result) error {
	for _, r := range results {
		one := &rowWrite{}
		one.result(r)
		err := w.tryRows(ctx, tx, table, one)
		if err == nil {
			continue
		}
		if !rowFault(err) {
			return err
		}
		r.note = "written, but the row refused the answer: " + err.Error()
		w.log.Error().Err(err).Str("event", "row_refused").Str("object", r.item.table.Object).Str("sfid", r.sfid).Msg("a row does not take what Salesforce answered")
		f := &Failure{Class: Permanent, Code: CodeTaken, Message: r.note}
		text := f.column(time.Now())
		one = &rowWrite{}
		one.add(r, nil, "FAILED", &text)
		if err := w.tryRows(ctx, tx, table, one); err != nil && !rowFault(err) {
			return err
		}
	}
	return nil
}

// report lists what the caller is told.
func report(results []*result) []Settled {
	var list []Settled
	for _, r := range results {
		if r.outcome == again || r.outcome == unknown {
			continue
		}
		list = append(list, Settled{
			Table: r.item.key.table, RecordID: r.item.key.id, SFID: r.sfid, Op: r.item.op, Job: r.item.jobKey != "", Changed: r.changed(),
			OK: r.outcome == accepted || r.outcome == ignored, Failure: r.failure,
		})
	}
	return list
}

// changed reports whether a record is another one for what was sent, so that Salesforce
// has an event of it. Where nothing was, or only what was there before, it has none, and
// where that is not known nobody should wait for one. Jobs keep no values to compare.
func (r *result) changed() bool {
	i := r.item
	if r.op != Update || i.jobKey != "" {
		return r.outcome == accepted && r.op != 0 && !r.vain
	}
	return r.outcome == accepted && slices.ContainsFunc(i.table.Columns, func(c Column) bool {
		v, sent := i.values[c.Name]
		before, known := i.old[c.Name]
		return sent && known && !c.system() && c.sendable(Update) && c.kept(v) != c.kept(before)
	})
}

// kept is what Salesforce makes of a value: text without the spaces around it, and an
// empty one is null.
func (c Column) kept(v *string) any {
	value, err := renderValue(c.Type, v)
	if text, ok := value.(string); ok {
		value = strings.TrimSpace(text)
	}
	if err != nil || value == "" {
		return nil
	}
	return value
}

// note keeps of a result what the rest of the run, and the back-off, go by. It
// returns how many entries are settled.
func (w *Worker) note(r *result) int {
	i := r.item
	if i.op == Update && r.outcome != unknown {
		w.sent.end(i)
	}
	switch r.outcome {
	case again:
		if r.together { // the record is as one that was refused, but there is more to do
			delete(w.retries, i.key)
			w.log.Debug().Str("event", "write_retry").Str("object", i.table.Object).Int64("entry", i.carrier.id).
				Str("error", r.failure.Code).Msg("will be sent again with what was refused before")
			return len(i.entries)
		}
		if !r.free {
			n := w.retries[i.key].attempts + 1
			wait := w.cfg.Backoff(n)
			old := w.retries[i.key]
			w.retries[i.key] = retry{attempts: n, due: time.Now().Add(wait), first: old.first, duplicate: old.duplicate || r.failure.Code == codeDuplicate}
			if r.failure.internal() {
				w.retries[i.key] = w.retries[i.key].answered(old, time.Now())
			}
			if r.failure.Code == CodeFull {
				w.retries[i.key] = w.retries[i.key].together()
			}
			if r.failure.InDoubt && old.first.IsZero() {
				w.retries[i.key] = w.retries[i.key].since(r.sent)
			}
			if r.failure.InDoubt && r.op != Delete {
				w.mayCome(i.key, i.values, r.op.creates(), r.late)
			}
			w.log.Debug().Str("event", "write_retry").Str("object", i.table.Object).Int64("entry", i.carrier.id).Int("attempt", n).Dur("wait_ms", wait).
				Str("error", r.failure.Code).Msg("will be sent again")
		}
		return 0
	case unknown:
		w.wonder(r)
		return 0
	case accepted, ignored:
		i.status = done
		w.turns.note(i)
		if r.withheld != nil {
			w.refuse(i.table.Object, CodeFrozen)
		}
		if len(r.left.unmapped) > 0 {
			w.leave(i.key.table, r.left.unmapped...)
		}
		for _, e := range i.entries {
			w.guard.note(i.key.table, e.action, e.id)
		}
		if r.op.creates() {
			i.sfid = r.sfid
		}
		if r.vain { // somebody was faster, and a late request may have been slower than the last look
			w.relook.expect(time.Now(), w.cfg.Late, 0)
		}
	case refused, inDoubt:
		i.status = failed
		level := zerolog.DebugLevel
		if r.outcome == inDoubt {
			level = zerolog.ErrorLevel
		} else {
			w.refuse(i.table.Object, r.failure.Code)
		}
		w.log.WithLevel(level).Str("event", "write_failed").Str("object", i.table.Object).Str("sfid", r.sfid).Int64("entry", i.carrier.id).Str("error", r.failure.Code).Msg("refused")
	}
	delete(w.retries, i.key)
	return len(i.entries)
}
