package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/outbox"
	"hcbridge/test/org/sobject"
)

// see follows the org's transactions: what it sees from us, and how often it
// makes a record of a row.
func (w *outWorld) see(tx sobject.Tx) {
	if tx.Origin.API != "rest" && tx.Origin.API != "bulk" {
		return
	}
	for _, c := range tx.Changes {
		sub := subjects[c.Object.Name]
		if sub == nil || c.Kind != sobject.Insert && c.Kind != sobject.Update || tx.Origin.UserID == "" {
			continue
		}
		nonce, _ := c.After.Get(c.Object, subjectFields[sub.nonce]).(string)
		it := w.byRow[nonce]
		if it == nil {
			w.wrong("Salesforce sees row %q of %s, which was never committed", nonce, sub.object)
			continue
		}
		if c.Kind == sobject.Insert {
			if it.created++; it.created > 1 && !(it.removed && w.revives) {
				w.wrong("%s %s was created %d times", it.object, nonce, it.created)
			}
			if it.created > 1 && w.running.Load() {
				it.again = append(it.again, c.After.ID)
			}
		}
		for _, f := range sub.columns() {
			v, _ := c.After.Get(c.Object, subjectFields[f]).(string)
			if was, _ := c.Before.Get(c.Object, subjectFields[f]).(string); c.Kind == sobject.Update && was == v {
				continue
			}
			it.saw(w, f, v)
		}
	}
}

func (r *row) saw(w *outWorld, f, v string) {
	seen := r.seen[f]
	if len(seen) > 0 && seen[len(seen)-1] == v {
		return
	}
	r.seen[f] = append(seen, v)
	at := slices.Index(r.commits[f], v)
	if at < 0 {
		w.wrong("Salesforce sees %s.%s = %q, which was never committed: %v", r.nonce, f, v, r.commits[f])
	}
	if len(seen) > 0 && at < slices.Index(r.commits[f], seen[len(seen)-1]) {
		w.wrong("Salesforce sees %s.%s in the order %v, committed were %v", r.nonce, f, r.seen[f], r.commits[f])
	}
}

func (w *outWorld) wrong(format string, args ...any) {
	w.odd = errors.Join(w.odd, fmt.Errorf(format, args...))
}

// stored is a row as it is.
type stored struct {
	table  string
	id     int64
	sfid   string
	nonce  string
	values [2]string
}

// unsent is an entry of the log.
type unsent struct {
	id      int64
	table   string
	record  int64
	state   string
	action  string
	message string
	columns []string
}

func (e unsent) open() bool { return e.state == "NEW" || e.state == "PENDING" }

// readAll reads rows and log in one statement, which sees one moment.
func (w *outWorld) readAll(ctx context.Context) (rows []stored, entries []unsent, err error) {
	list := []string{`SELECT id, table_name::text, record_id, state::text, action::text, coalesce(sf_message, ''), '', coalesce(akeys("values"::hstore), '{}')
		FROM salesforce._trigger_log`}
	for _, name := range w.Used {
		s := subjects[name]
		list = append(list, fmt.Sprintf("SELECT 0, '%s', id, coalesce(sfid, ''), coalesce(%s, ''), coalesce(%s, ''), coalesce(%s, ''), '{}' FROM salesforce.%[1]s", s.table, s.nonce, s.fields[0], s.fields[1]))
	}
	got, err := w.db.pool.Query(ctx, strings.Join(list, " UNION ALL ")+" ORDER BY 1, 2, 3")
	if err != nil {
		return nil, nil, err
	}
	var e unsent
	var last string
	_, err = pgx.ForEachRow(got, []any{&e.id, &e.table, &e.record, &e.state, &e.action, &e.message, &last, &e.columns}, func() error {
		if e.id == 0 {
			rows = append(rows, stored{e.table, e.record, e.state, e.action, [2]string{e.message, last}})
		} else {
			entries = append(entries, e)
		}
		return nil
	})
	return rows, entries, err
}

func (w *outWorld) rowAt(table string, id int64) *row {
	for _, r := range w.rows {
		if r.table == table && r.id == id {
			return r
		}
	}
	return nil
}

// lookOut checks what must hold at any moment.
func (w *outWorld) lookOut(ctx context.Context) error {
	if w.odd != nil {
		return w.odd
	}
	rows, entries, err := w.readAll(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		it := w.rowAt(e.table, e.record)
		if e.state != "FAILED" || it == nil {
			continue
		}
		it.failed = true
		if strings.HasPrefix(e.message, outbox.CodeInDoubt) {
			it.parked = true
			w.faint = true
		}
		if !w.faint || e.message == "" {
			return fmt.Errorf("an %s of %s is FAILED: %q", e.action, it.nonce, e.message)
		}
	}
	have := map[string]bool{}
	byID := map[string]stored{}
	for _, r := range rows {
		if it := w.byRow[r.nonce]; have[r.table+r.nonce] && (it == nil || !it.parked) {
			return fmt.Errorf("%s has two rows", r.nonce)
		}
		// What a late request has made again comes in until it is looked for.
		if it := w.byRow[r.nonce]; it != nil && it.dead && !it.failed && !slices.Contains(it.again, r.sfid) {
			return fmt.Errorf("%s has a row again, after an app deleted it", r.nonce)
		}
		have[r.table+r.nonce] = true
		byID[fmt.Sprint(r.table, r.id)] = r
	}
	for _, e := range entries {
		it := w.rowAt(e.table, e.record)
		r, ok := byID[fmt.Sprint(e.table, e.record)]
		if it == nil || !ok || !e.open() || e.message == badValue { // refused before, when the row may have been read
			continue
		}
		for n, f := range it.fields {
			if all := it.commits[f]; slices.Contains(e.columns, f) && len(all) > 0 && all[len(all)-1] != r.values[n] {
				return fmt.Errorf("%s.%s shows %q in place of %q, which is not sent", it.nonce, f, r.values[n], all[len(all)-1])
			}
		}
	}
	return nil
}
