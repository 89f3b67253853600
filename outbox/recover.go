package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// recoverPage is how many entries Recover reads, and records it settles, at a time.
const recoverPage = 500

// Recover takes up what an earlier process left PENDING, or in attempts. Nobody knows whether
// those requests took effect: deletes are repeatable and become NEW; updates are in
// doubt, and creations too, unless the answer is in the log, or the row has got a
// Salesforce id. What is in doubt is looked up by the next runs; without
// [Config.Finder], and where another program had sent them, plain inserts are parked
// as FAILED with [CodeInDoubt], and all else becomes NEW.
//
// Run does this first. It must not run while another process works the log.
func (w *Worker) Recover(ctx context.Context) error {
	if _, err := w.finish(ctx); err != nil {
		return fmt.Errorf("outbox: recover: %w", err)
	}
	if err := w.recoverLates(ctx); err != nil {
		return fmt.Errorf("outbox: recover: %w", err)
	}
	if _, err := w.pool.Exec(ctx, w.sql.attemptLeft); err != nil {
		return fmt.Errorf("outbox: recover: attempts: %w", err)
	}
	bundles, err := w.inflight(ctx)
	if err != nil {
		return fmt.Errorf("outbox: recover: %w", err)
	}
	if len(bundles) == 0 {
		return nil
	}
	var results []*result
	doubts := 0
	for page := range slices.Chunk(bundles, recoverPage) {
		list, err := w.orphaned(ctx, page)
		if err != nil {
			return fmt.Errorf("outbox: recover: %w", err)
		}
		results = append(results, list...)
	}
	for _, r := range results {
		if r.outcome == unknown || r.outcome == inDoubt {
			doubts++
		}
	}
	w.log.Warn().Str("event", "recovered_pending").Int("rows", len(results)).Int("in_doubt", doubts).Msg("records were in flight when the bridge stopped")
	for page := range slices.Chunk(results, recoverPage) {
		if _, err := w.settle(ctx, &settlement{results: page}); err != nil {
			return fmt.Errorf("outbox: recover: %w", err)
		}
	}
	return nil
}

// inflight reads the PENDING entries that this process knows nothing of, by
// record, in order.
func (w *Worker) inflight(ctx context.Context) (bundles [][]*entry, err error) {
	mine := map[key]bool{}
	for _, d := range w.doubts {
		mine[d.item.key] = true
	}
	for _, i := range w.inJobs() {
		mine[i.key] = true
	}
	for _, s := range w.unsettled { // answers for locked rows
		for _, r := range s.results {
			mine[r.item.key] = true
		}
	}
	at := map[key]int{}
	for after := int64(0); ; {
		rows, err := w.pool.Query(ctx, w.sql.inflight, w.writable, after, recoverPage)
		if err != nil {
			return nil, err //nolint:wrapcheck // wrapped by Recover
		}
		entries, err := w.scanEntries(rows)
		if err != nil || len(entries) == 0 {
			return bundles, err
		}
		for _, e := range entries {
			if after = e.id; mine[e.key] {
				continue
			}
			n, ok := at[e.key]
			if !ok {
				n = len(bundles)
				at[e.key], bundles = n, append(bundles, nil)
			}
			bundles[n] = append(bundles[n], e)
		}
	}
}

// orphaned decides over records whose entries are PENDING without a process that
// knows about them.
func (w *Worker) orphaned(ctx context.Context, bundles [][]*entry) ([]*result, error) {
	sfids, err := w.lookUp(ctx, bundles)
	if err != nil {
		return nil, err
	}
	sent, err := w.attempted(ctx, bundles)
	if err != nil {
		return nil, err
	}
	var list []*result
	for _, entries := range bundles {
		arrange(entries)
		if entries[0].job() != "" { // its fate will be told
			for _, e := range entries {
				w.adopt(e, sfids[e.key])
			}
			continue
		}
		i := w.sentTogether(entries, sfids[entries[0].key])
		r := &result{item: i, sfid: i.sfid, outcome: again, free: true, sent: sent[i.carrier.id]}
		e := i.carrier
		r.late = r.sent.Add(w.cfg.Late)
		if e.inDoubt() && (i.op == Update || i.op == Upsert) { // it may be the second request that was in flight
			w.mayCome(i.key, i.values, i.op.creates(), r.late)
		}
		lost := &Failure{Class: Transient, InDoubt: true, Message: "the bridge stopped before it arrived"}
		switch {
		case i.op == Delete || e.action == actionDelete:
		case !i.op.creates() && w.cfg.Finder != nil && i.sfid != "" && all(entries, func(e *entry) bool { return e.action == actionUpdate }):
			r.outcome, r.op, r.failure = unknown, Update, lost
		case !i.op.creates():
			i.mark(lost)
		case e.sfid != "":
			r.outcome, r.op, r.sfid = accepted, i.op, e.sfid
		case i.op == Insert && e.inherited():
			r.outcome, r.op, r.failure = inDoubt, i.op, parked(&Failure{Message: "another program had sent it, as a user of its own"})
		case w.cfg.Finder != nil:
			r.outcome, r.op, r.failure = unknown, i.op, lost
		case i.op == Insert:
			r.outcome, r.op, r.failure = inDoubt, i.op, parked(nil)
		default:
			i.mark(lost)
		}
		list = append(list, r)
	}
	return list, nil
}

// inherited reports whether another program had sent the entry, see [Inherit].
func (e *entry) inherited() bool { return strings.HasPrefix(e.message, "INHERITED") }

// mark notes at all entries of an item that it may have taken effect.
func (i *item) mark(f *Failure) {
	for _, e := range i.entries {
		e.message = CodeInDoubt + ": " + f.Message
	}
}

// sentTogether is the item that the PENDING entries of one record were: if there
// is an insert among them that has made no record that we know of, the newest one
// with what was folded into it, else all of them.
func (w *Worker) sentTogether(entries []*entry, sfid string) *item {
	t := w.tables[entries[0].key.table]
	last := entries[len(entries)-1]
	i := &item{key: last.key, table: t, op: Update, entries: entries, carrier: last, values: last.values, old: last.old, sfid: sfid}
	if sfid != "" {
		for _, e := range slices.Backward(entries[:len(entries)-1]) {
			i.values, i.old = overlay(e.values, i.values), overlay(i.old, e.old)
		}
		return i
	}
	for _, e := range entries {
		switch {
		case e.action == actionInsert:
			i.op, i.carrier, i.values = Insert, e, e.values
		case e.action == actionDelete: // there was a record to delete
			i.op, i.carrier, i.values = Update, e, e.values
		case i.op == Insert && e.action == actionUpdate:
			i.values = overlay(i.values, e.values)
		}
	}
	if c := t.external(); i.op == Insert && c != nil && set(i.values[c.Name]) {
		i.op = Upsert
	}
	return i
}

// attempted tells when entries were claimed, by this process's clock.
func (w *Worker) attempted(ctx context.Context, bundles [][]*entry) (map[int64]time.Time, error) {
	var ids []int64
	for _, entries := range bundles {
		for _, e := range entries {
			ids = append(ids, e.id)
		}
	}
	now := time.Now()
	rows, err := w.pool.Query(ctx, w.sql.attempted, ids)
	if err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	at := map[int64]time.Time{}
	var id int64
	var age float64
	_, err = pgx.ForEachRow(rows, []any{&id, &age}, func() error {
		at[id] = now.Add(-time.Duration(age * float64(time.Second)))
		return nil
	})
	return at, err //nolint:wrapcheck // wrapped by Recover
}

func (w *Worker) lookUp(ctx context.Context, bundles [][]*entry) (map[key]string, error) {
	ids := map[string][]int64{}
	for _, entries := range bundles {
		k := entries[0].key
		ids[k.table] = append(ids[k.table], k.id)
	}
	found := map[key]string{}
	err := w.readSafely(ctx, func(batch *pgx.Batch) {
		for table, list := range ids {
			batch.Queue(w.sql.sfids[table], list).Query(func(rows pgx.Rows) error { return scanSFIDs(rows, table, found) })
		}
	})
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	return found, nil
}
