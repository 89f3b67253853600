package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// recoverPage is how many entries Recover settles in one transaction.
const recoverPage = 500

// Recover settles what an earlier process left PENDING. Nobody knows whether
// those requests took effect: updates, deletes and upserts are repeatable and
// become NEW; a plain insert is parked as FAILED with [CodeInDoubt], unless its
// answer is in the log, or its row has got a Salesforce id.
//
// Run does this first. It must not run while another process works the log.
func (w *Worker) Recover(ctx context.Context) error {
	if _, err := w.finish(ctx); err != nil {
		return fmt.Errorf("outbox: recover: %w", err)
	}
	held := map[int64]bool{} // answers for locked rows, in memory again
	for after := int64(0); ; {
		rows, err := w.pool.Query(ctx, w.sql.inflight, w.writable, after, recoverPage)
		if err != nil {
			return fmt.Errorf("outbox: recover: %w", err)
		}
		entries, err := scanEntries(rows)
		if err != nil {
			return fmt.Errorf("outbox: recover: %w", err)
		}
		if len(entries) == 0 {
			return nil
		}
		after = entries[len(entries)-1].id
		s, err := w.resolve(ctx, entries, held)
		if err == nil {
			_, err = w.settle(ctx, s)
		}
		if err != nil {
			return fmt.Errorf("outbox: recover: %w", err)
		}
		for _, u := range w.unsettled {
			for _, r := range u.results {
				held[r.item.carrier.id] = true
			}
		}
	}
}

// resolve decides over entries that are PENDING without a process that knows
// about them.
func (w *Worker) resolve(ctx context.Context, entries []*entry, held map[int64]bool) (*settlement, error) {
	sfids, err := w.lookUp(ctx, entries)
	if err != nil {
		return nil, err
	}
	s := &settlement{}
	parkedRows := 0
	for _, e := range entries {
		if held[e.id] {
			continue
		}
		t := w.tables[e.key.table]
		i := &item{key: e.key, table: t, op: Update, entries: []*entry{e}, carrier: e, values: e.values, sfid: sfids[e.key]}
		r := &result{item: i, sfid: i.sfid, outcome: again, free: true}
		if e.action == actionInsert && i.sfid == "" {
			i.op = Insert
			if c := t.external(); c != nil && set(e.values[c.Name]) {
				i.op = Upsert
				e.message = CodeInDoubt + ": the bridge stopped before the answer arrived"
			}
			switch {
			case e.sfid != "":
				r.outcome, r.op, r.sfid = accepted, i.op, e.sfid
			case i.op == Insert:
				r.outcome, r.op, r.failure = inDoubt, i.op, parked(nil)
				parkedRows++
			}
		}
		s.results = append(s.results, r)
	}
	w.log.Warn().Str("event", "recovered_pending").Int("rows", len(s.results)).Int("parked", parkedRows).Msg("entries were in flight when the bridge stopped")
	return s, nil
}

func (w *Worker) lookUp(ctx context.Context, entries []*entry) (map[key]string, error) {
	ids := map[string][]int64{}
	for _, e := range entries {
		ids[e.key.table] = append(ids[e.key.table], e.key.id)
	}
	found := map[key]string{}
	batch := &pgx.Batch{}
	for table, list := range ids {
		batch.Queue(w.sql.sfids[table], list).Query(func(rows pgx.Rows) error { return scanSFIDs(rows, table, found) })
	}
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	return found, nil
}
