package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/outbox"
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
			if old.dead && old.held == nil && old.object == sub.object && old.key != "" && r.IntN(3) == 0 && !w.keyUsed(t, old.key) {
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
	if _, err := t.tx.Exec(ctx, fmt.Sprintf("DELETE FROM salesforce.%s WHERE id = $1", it.table), it.id); err != nil {
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
		if it := w.byRow[r.nonce]; it != nil && it.dead && !it.failed {
			return fmt.Errorf("%s has a row again, after an app deleted it", r.nonce)
		}
		have[r.table+r.nonce] = true
		byID[fmt.Sprint(r.table, r.id)] = r
	}
	for _, e := range entries {
		it := w.rowAt(e.table, e.record)
		r, ok := byID[fmt.Sprint(e.table, e.record)]
		if it == nil || !ok || !e.open() {
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
