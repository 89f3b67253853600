package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// row is a row that an app has made, and all that became of it.
type row struct {
	*subject

	id      int64
	nonce   string
	key     string              // external id
	commits map[string][]string // values of each column, in the order of their commits
	dead    bool                // deleted by an app
	held    *txn                // the open transaction that has written it

	removed bool                // others have deleted a record of it
	created int                 // how many records Salesforce has made of it
	seen    map[string][]string // values that Salesforce has seen from us
	failed  bool                // some entry of it was FAILED
	parked  bool                // its insert was in doubt, and a person decided
	again   []string            // ids of records that a request has made of it which had been given up, after the first was deleted
}

// txn is a transaction of an app.
type txn struct {
	tx    pgx.Tx
	made  []func() // what its commit makes of the model
	held  []*row
	fresh []*row // rows it has inserted
}

func (t *txn) hold(r *row) {
	r.held = t
	t.held = append(t.held, r)
}

// app runs a transaction, or the part of one that stays open.
func (w *outWorld) app(ctx context.Context, s step, open bool) error {
	if open && len(w.opens) >= 2 {
		return nil
	}
	tx, err := w.db.pool.Begin(ctx)
	if err != nil {
		return err
	}
	stays := false
	defer func() {
		if !stays {
			_ = tx.Rollback(context.WithoutCancel(ctx)) // it is over where it was committed
		}
	}()
	t := &txn{tx: tx}
	r := rand.New(rand.NewPCG(uint64(s.a), uint64(s.b)))
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
		return err
	}
	if err := w.statements(ctx, t, r); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	if open {
		stays = true
		w.opens = append(w.opens, t)
		return nil
	}
	return w.finish(ctx, t, r.IntN(6) > 0)
}

// end ends an open transaction.
func (w *outWorld) end(ctx context.Context, s step) error {
	if len(w.opens) == 0 {
		return nil
	}
	n := s.a % len(w.opens)
	t := w.opens[n]
	w.opens = slices.Delete(w.opens, n, n+1)
	if r := rand.New(rand.NewPCG(uint64(s.a), uint64(s.b))); s.b%2 == 0 {
		if err := w.statements(ctx, t, r); err != nil {
			return fmt.Errorf("app: %w", err)
		}
	}
	return w.finish(ctx, t, s.b%5 > 0)
}

func (w *outWorld) finish(ctx context.Context, t *txn, commit bool) error {
	for _, r := range t.held {
		r.held = nil
	}
	if !commit {
		w.trail = append(w.trail, "  rollback")
		return t.tx.Rollback(ctx)
	}
	if err := t.tx.Commit(ctx); err != nil {
		return err
	}
	w.trail = append(w.trail, "  commit")
	for _, fn := range t.made {
		fn()
	}
	return nil
}

func (w *outWorld) statements(ctx context.Context, t *txn, r *rand.Rand) error {
	for range 1 + r.IntN(4) {
		if r.IntN(8) > 0 {
			if err := w.statement(ctx, t, r); err != nil {
				return err
			}
			continue
		}
		made, fresh := len(t.made), len(t.fresh)
		w.trail = append(w.trail, "  savepoint")
		if _, err := t.tx.Exec(ctx, "SAVEPOINT s"); err != nil {
			return err
		}
		if err := w.statement(ctx, t, r); err != nil {
			return err
		}
		if r.IntN(2) == 0 {
			w.trail = append(w.trail, "  rollback to it")
			if _, err := t.tx.Exec(ctx, "ROLLBACK TO s"); err != nil {
				return err
			}
			t.made, t.fresh = t.made[:made], t.fresh[:fresh]
		}
		if _, err := t.tx.Exec(ctx, "RELEASE s"); err != nil {
			return err
		}
	}
	return nil
}

// text is a value that no other has.
func (w *outWorld) text(r *rand.Rand) string {
	if w.Bad && r.IntN(6) == 0 {
		return "bad " + w.next()
	}
	return w.next()
}

// free are the rows that a transaction can write without waiting for another.
func (w *outWorld) free(t *txn, object string) (list []*row) {
	for _, r := range append(slices.Clone(w.rows), t.fresh...) {
		if !r.dead && (r.held == nil || r.held == t) && (object == "" || r.object == object) {
			list = append(list, r)
		}
	}
	return list
}

func (w *outWorld) statement(ctx context.Context, t *txn, r *rand.Rand) error {
	some := w.free(t, "")
	do := r.IntN(20)
	if len(some) == 0 || do < 6 && len(some) < 6 {
		return w.insertRow(ctx, t, r)
	}
	it := some[r.IntN(len(some))]
	switch {
	case do < 15:
		return w.updateRow(ctx, t, it, r)
	case do < 16:
		_, err := t.tx.Exec(ctx, fmt.Sprintf("UPDATE salesforce.%s SET ours = $1 WHERE id = $2", it.table), w.next(), it.id)
		t.hold(it)
		return err
	case do < 17 && it.external:
		return w.upsertRow(ctx, t, it, r)
	case do < 19:
		return w.deleteRow(ctx, t, it)
	default:
		return w.insertRow(ctx, t, r)
	}
}

func (w *outWorld) insertRow(ctx context.Context, t *txn, r *rand.Rand) error {
	sub := subjects[w.Used[r.IntN(len(w.Used))]]
	nonce := "n" + w.next()
	it := &row{subject: sub, nonce: nonce, commits: map[string][]string{}, seen: map[string][]string{}}
	columns, values := []string{sub.subject().nonce}, []any{nonce}
	set := map[string]string{}
	for _, f := range sub.fields {
		set[f] = w.text(r)
	}
	for _, f := range sub.columns() {
		columns, values = append(columns, f), append(values, set[f])
	}
	if sub.external {
		it.key = "k" + nonce
		for _, old := range w.rows { // the key of one that was deleted, now and then
			if old.dead && old.held == nil && old.object == sub.object && old.key != "" && r.IntN(3) == 0 && !w.keyUsed(t, old.key) && old.again == nil {
				it.key = old.key
			}
		}
		columns, values = append(columns, "external_id__c"), append(values, it.key)
	}
	if parents := w.free(t, "Account"); sub.lookup != "" && len(parents) > 0 && r.IntN(4) > 0 {
		parent := parents[r.IntN(len(parents))]
		if sub.object == "Invoice__c" {
			columns, values = append(columns, sub.lookup), append(values, parent.key)
		} else {
			var id *string
			if err := t.tx.QueryRow(ctx, "SELECT sfid FROM salesforce.account WHERE id = $1", parent.id).Scan(&id); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			columns, values = append(columns, sub.lookup), append(values, id)
		}
	}
	marks := make([]string, len(columns))
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	sql := fmt.Sprintf("INSERT INTO salesforce.%s (%s) VALUES (%s) RETURNING id", sub.table, strings.Join(columns, ", "), strings.Join(marks, ", "))
	w.trail = append(w.trail, fmt.Sprintf("  insert %s %v", sub.object, values))
	if err := t.tx.QueryRow(ctx, sql, values...).Scan(&it.id); err != nil {
		return err
	}
	t.hold(it)
	t.fresh = append(t.fresh, it)
	t.made = append(t.made, func() {
		w.rows = append(w.rows, it)
		w.byRow[nonce] = it
	})
	w.set(t, it, set)
	return nil
}

// subject returns s, for those who embed it beside a field of the same name.
func (s *subject) subject() *subject { return s }

// columns are those that change.
func (s *subject) columns() []string { return slices.Compact([]string{s.fields[0], s.fields[1]}) }

// keyUsed reports whether a live row, or one of a transaction, has the key.
func (w *outWorld) keyUsed(t *txn, key string) bool {
	list := append(slices.Clone(w.rows), t.fresh...)
	for _, o := range w.opens {
		list = append(list, o.fresh...)
	}
	return slices.ContainsFunc(list, func(r *row) bool { return r.key == key && (!r.dead || r.held != nil) })
}

// set notes what a commit will have written.
func (w *outWorld) set(t *txn, it *row, set map[string]string) {
	for f, v := range set {
		w.faint = w.faint || strings.HasPrefix(v, "bad")
		t.made = append(t.made, func() { it.commits[f] = append(it.commits[f], v) })
	}
}

func (w *outWorld) updateRow(ctx context.Context, t *txn, it *row, r *rand.Rand) error {
	set := map[string]string{it.fields[r.IntN(2)]: w.text(r)}
	if r.IntN(3) == 0 {
		set[it.fields[1]] = w.text(r)
	}
	return w.write(ctx, t, it, set)
}

func (w *outWorld) write(ctx context.Context, t *txn, it *row, set map[string]string) error {
	var list []string
	values := []any{it.id}
	for _, f := range it.columns() {
		if v, ok := set[f]; ok {
			values = append(values, v)
			list = append(list, fmt.Sprintf("%s = $%d", f, len(values)))
		}
	}
	w.trail = append(w.trail, fmt.Sprintf("  update %s %s %v", it.object, it.nonce, set))
	tag, err := t.tx.Exec(ctx, fmt.Sprintf("UPDATE salesforce.%s SET %s WHERE id = $1", it.table, strings.Join(list, ", ")), values...)
	if err != nil || tag.RowsAffected() == 0 { // it was deleted in Salesforce
		return err
	}
	t.hold(it)
	w.set(t, it, set)
	return nil
}

// upsertRow writes a row by its external id, as apps do that do not know whether
// it exists.
func (w *outWorld) upsertRow(ctx context.Context, t *txn, it *row, r *rand.Rand) error {
	f, v := it.fields[0], w.text(r)
	w.trail = append(w.trail, fmt.Sprintf("  upsert %s %s %s", it.object, it.nonce, v))
	var id int64
	err := t.tx.QueryRow(ctx, fmt.Sprintf(`INSERT INTO salesforce.%[1]s AS x (external_id__c, %[2]s) SELECT external_id__c, $2 FROM salesforce.%[1]s WHERE id = $1
		ON CONFLICT (external_id__c) DO UPDATE SET %[2]s = excluded.%[2]s RETURNING x.id`, it.table, f), it.id, v).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil && id != it.id {
		err = fmt.Errorf("upsert of row %d wrote row %d", it.id, id)
	}
	t.hold(it)
	w.set(t, it, map[string]string{f: v})
	return err
}

func (w *outWorld) deleteRow(ctx context.Context, t *txn, it *row) error {
	w.trail = append(w.trail, fmt.Sprintf("  delete %s %s", it.object, it.nonce))
	w.faint = true // what refers to it may be refused
	tag, err := t.tx.Exec(ctx, fmt.Sprintf("DELETE FROM salesforce.%s WHERE id = $1", it.table), it.id)
	if err != nil || tag.RowsAffected() == 0 { // it was deleted in Salesforce
		return err
	}
	t.hold(it)
	t.made = append(t.made, func() { it.dead = true })
	return nil
}

// records are those of the org that came of rows, in the order of their ids.
func (w *outWorld) recordOf(n int) (object string, rec sobject.Record, ok bool) {
	object = w.Used[n%len(w.Used)]
	list := w.sf.Records(object)
	if len(list) == 0 {
		return object, rec, false
	}
	return object, list[n/7%len(list)], true
}

func (w *outWorld) edit(s step) error {
	object, rec, ok := w.recordOf(s.a)
	if !ok {
		return nil
	}
	return w.sf.As(org.DefaultOther).Update(object, rec.ID, map[string]any{subjectFields[subjects[object].fields[s.b%2]]: "r" + w.next()})
}

func (w *outWorld) remove(s step) error {
	object, rec, ok := w.recordOf(s.a)
	if !ok || !w.Remote {
		return nil
	}
	w.faint = true
	nonce, _ := rec.Get(w.sf.Object(object), subjectFields[subjects[object].nonce]).(string)
	if it := w.byRow[nonce]; it != nil {
		it.removed = true
	}
	return w.sf.As(org.DefaultOther).Delete(object, rec.ID)
}
