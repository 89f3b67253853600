package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/outbox"
	"hcbridge/test/compare"
	"hcbridge/test/org"
)

// quiet ends all faults and changes, cures what was refused as a person would,
// lets time pass until every layer has looked behind the last change, and
// compares both sides.
func (w *outWorld) quiet(ctx context.Context) error {
	for len(w.opens) > 0 {
		if err := w.end(ctx, step{a: 0, b: 1}); err != nil {
			return err
		}
	}
	if err := w.runLate(ctx); err != nil {
		return err
	}
	w.sf.ClearFaults()
	w.giveUp, w.locked, w.over = false, 0, true
	if err := w.rebirth(ctx); err != nil {
		return err
	}
	if err := errors.Join(w.tell(ctx), w.connect(ctx), w.load(ctx)); err != nil {
		return err
	}
	for range 4 {
		if err := w.settleDown(ctx); err != nil {
			return err
		}
		n, err := w.cure(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return errors.Join(w.ended(ctx), w.equal(ctx))
}

// settleDown lets everything run until nothing is left to do.
func (w *outWorld) settleDown(ctx context.Context) error {
	for _, d := range []time.Duration{16 * time.Minute, 61 * time.Minute} {
		// What waits by the clock of this process does so for up to a second.
		began := time.Now()
		for waiting := 1; waiting > 0 && (waiting < 8 || time.Since(began) < 3*time.Second); {
			for n := 1; n > 0; {
				var err error
				if n, err = w.runOnce(ctx); err != nil {
					return err
				}
				if err := w.lookOut(ctx); err != nil {
					return err
				}
			}
			work, err := w.allDue(ctx)
			if err != nil {
				return err
			}
			if work != nil {
				if err := errors.Join(w.s.in.apply(ctx, work), w.lookOut(ctx)); err != nil {
					return err
				}
			}
			if err := w.pass(ctx, 3*time.Second); err != nil {
				return err
			}
			waiting++
			_, entries, err := w.readAll(ctx)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(entries, unsent.open) {
				waiting = 0
			}
		}
		if err := w.pass(ctx, d); err != nil {
			return err
		}
		for _, o := range w.s.objects {
			if err := errors.Join(w.poll(ctx, o), w.lookOut(ctx)); err != nil {
				return err
			}
		}
		if err := w.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cure does what a person does about refusals: it corrects the row, or deletes
// it if Salesforce has never had it. It returns how many there were.
func (w *outWorld) cure(ctx context.Context) (n int, err error) {
	_, entries, err := w.readAll(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		it := w.rowAt(e.table, e.record)
		if e.state != "FAILED" || it == nil || w.cured[e.id] == e.message {
			continue
		}
		if w.cured == nil {
			w.cured = map[int64]string{}
		}
		w.cured[e.id] = e.message
		n++
		var sfid *string
		err := w.db.pool.QueryRow(ctx, "SELECT sfid FROM salesforce."+it.table+" WHERE id = $1", it.id).Scan(&sfid)
		gone := errors.Is(err, pgx.ErrNoRows)
		if err != nil && !gone {
			return n, err
		}
		switch {
		case strings.HasPrefix(e.message, outbox.CodeInDoubt):
			err = w.decide(ctx, it, e)
		case gone:
			_, err = outbox.Ignore(ctx, w.db.pool, "salesforce", []int64{e.id})
		case sfid == nil:
			err = w.alone(ctx, func(t *txn) error { return w.deleteRow(ctx, t, it) })
		default:
			err = w.alone(ctx, func(t *txn) error {
				return w.write(ctx, t, it, map[string]string{it.fields[0]: w.next(), it.fields[1]: w.next()})
			})
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (w *outWorld) alone(ctx context.Context, fn func(*txn) error) error {
	tx, err := w.db.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it is over where it was committed
	t := &txn{tx: tx}
	if err := fn(t); err != nil {
		return err
	}
	return w.finish(ctx, t, true)
}

// decide looks for the record of an insert in doubt in the org.
func (w *outWorld) decide(ctx context.Context, it *row, e unsent) error {
	ob := w.sf.Object(it.object)
	for _, rec := range w.sf.Records(it.object) {
		if nonce, _ := rec.Get(ob, subjectFields[it.subject.nonce]).(string); nonce != it.nonce {
			continue
		}
		// It is there, and has come in as a row of its own.
		w.trail = append(w.trail, "  is there: "+it.nonce)
		if it.dead {
			if err := w.sf.As(org.DefaultOther).Delete(it.object, rec.ID); err != nil {
				return err
			}
		}
		it.dead = true
		return w.alone(ctx, func(t *txn) error {
			_, err := t.tx.Exec(ctx, "SET LOCAL xmlbinary = 'hex'")
			if err == nil {
				_, err = t.tx.Exec(ctx, "DELETE FROM salesforce."+it.table+" WHERE id = $1", it.id)
			}
			if err == nil {
				_, err = outbox.Ignore(ctx, t.tx, "salesforce", []int64{e.id})
			}
			return err
		})
	}
	w.trail = append(w.trail, "  is not there: "+it.nonce)
	if it.created > 0 || it.dead {
		_, err := outbox.Ignore(ctx, w.db.pool, "salesforce", []int64{e.id})
		if err == nil && !it.dead {
			err = w.alone(ctx, func(t *txn) error { return w.deleteRow(ctx, t, it) })
		}
		return err
	}
	_, err := outbox.Retry(ctx, w.db.pool, "salesforce", []int64{e.id})
	return err
}

// ended checks what must hold when nothing is left to do.
func (w *outWorld) ended(ctx context.Context) error {
	rows, entries, err := w.readAll(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.open() {
			return fmt.Errorf("an %s of %s %d is still %s: %s", e.action, e.table, e.record, e.state, e.message)
		}
	}
	var state string
	err = w.db.pool.QueryRow(ctx, `SELECT state FROM salesforce._trigger_log_archive
		WHERE state <> ALL ('{SUCCESS,MERGED,IGNORE,IGNORED,REQUEUED}') LIMIT 1`).Scan(&state)
	if !errors.Is(err, pgx.ErrNoRows) {
		return errors.Join(err, fmt.Errorf("an entry is archived as %q", state))
	}
	there := map[string]bool{}
	for _, r := range rows {
		there[r.table+r.nonce] = true
	}
	for _, it := range w.rows {
		switch {
		case it.dead && !it.failed && there[it.table+it.nonce]:
			return fmt.Errorf("%s still has a row, after an app deleted it", it.nonce)
		case it.dead || it.failed:
			continue
		case !there[it.table+it.nonce]:
			if !w.faint {
				return fmt.Errorf("%s has lost its row", it.nonce)
			}
			continue
		}
		for f, all := range it.commits {
			if seen := it.seen[f]; len(seen) == 0 || seen[len(seen)-1] != all[len(all)-1] {
				return fmt.Errorf("the last value of %s.%s is %q, Salesforce saw %v", it.nonce, f, all[len(all)-1], seen)
			}
		}
	}
	return nil
}

// equal compares both sides.
func (w *outWorld) equal(ctx context.Context) error {
	var all []string
	for _, name := range w.used {
		diff, err := compare.Sides(ctx, w.db.pool, "salesforce", w.sf, name)
		if err != nil {
			return err
		}
		all = append(all, diff...)
	}
	if len(all) > 0 {
		return errors.New("not equal: " + strings.Join(all, "; "))
	}
	return nil
}
