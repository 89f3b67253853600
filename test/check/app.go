package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// App writes to the mapped tables as a suite's app does, and remembers what it has
// committed. All its methods may be called by many goroutines.
type App struct {
	Pool   *pgxpool.Pool // of its own, straight to the server, not through what spoils the bridge's
	Schema string

	// Mark names, by object, the column that the app gives another text for each
	// row that it inserts, and no row ever again: so records are counted (I3).
	Mark map[string]string

	// Bridge is the application_name of the bridge's sessions, and Patience how
	// long an app's statement may wait for one of them (I10); 0 is 50 ms.
	Bridge   string
	Patience time.Duration

	mu     sync.Mutex
	writes []write // those of a row in the order of their commits
	txs    int     // transactions so far
	harm   []Violation
}

type kind string

const (
	inserted kind = "insert"
	updated  kind = "update"
	deleted  kind = "delete"
)

// write is what one transaction did to one row.
type write struct {
	tx     int
	object string
	row    int64
	kind   kind
	sfid   *string            // of a deleted row
	values map[string]*string // by column, as Postgres shows them
}

// Tx is a transaction of the app.
type Tx struct {
	app    *App
	tx     pgx.Tx
	writes []write
}

// Do runs a transaction. If fn or the commit fails nothing is remembered as
// written; a failure that fn did not return itself is the bridge's (I10), unless
// ctx has ended.
func (a *App) Do(ctx context.Context, fn func(*Tx) error) error {
	conn, err := a.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	ended := make(chan struct{})
	go a.watch(ctx, conn.Conn().PgConn().PID(), ended)
	defer close(ended)
	t := &Tx{app: a, tx: tx}
	if err := fn(t); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // fn's error is what matters
		return err
	}
	// Rows are still locked, so what is of one row is in the order of its commits.
	// A commit that fails is taken back.
	a.mu.Lock()
	a.txs++
	number := a.txs
	for i := range t.writes {
		t.writes[i].tx = number
	}
	a.writes = append(a.writes, t.writes...)
	a.mu.Unlock()
	if err := tx.Commit(ctx); err != nil {
		a.mu.Lock()
		a.writes = slices.DeleteFunc(a.writes, func(w write) bool { return w.tx == number })
		a.mu.Unlock()
		t.failed(ctx, "commit", err)
		return fmt.Errorf("app: commit: %w", err)
	}
	return nil
}

// Insert is a transaction of one insert.
func (a *App) Insert(ctx context.Context, object string, values map[string]any) (id int64, err error) {
	err = a.Do(ctx, func(tx *Tx) error { id, err = tx.Insert(ctx, object, values); return err })
	return id, err
}

// Update is a transaction of one update.
func (a *App) Update(ctx context.Context, object string, id int64, values map[string]any) error {
	return a.Do(ctx, func(tx *Tx) error { return tx.Update(ctx, object, id, values) })
}

// Delete is a transaction of one delete.
func (a *App) Delete(ctx context.Context, object string, id int64) error {
	return a.Do(ctx, func(tx *Tx) error { return tx.Delete(ctx, object, id) })
}

// Insert inserts a row and returns its id. Keys of values are columns.
func (t *Tx) Insert(ctx context.Context, object string, values map[string]any) (int64, error) {
	columns, args, marks := list(values)
	if len(columns) == 0 {
		return 0, fmt.Errorf("app: insert into %s: no values", object)
	}
	sql := "INSERT INTO " + t.table(object) + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	ids, err := t.write(ctx, sql, object, inserted, columns, args)
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// Update changes columns of a row that must be there.
func (t *Tx) Update(ctx context.Context, object string, id int64, values map[string]any) error {
	ids, err := t.UpdateAll(ctx, object, fmt.Sprintf("id = %d", id), values)
	if err == nil && len(ids) == 0 {
		return pgx.ErrNoRows
	}
	return err
}

// UpdateAll changes columns of the rows that an SQL condition names, in one
// statement, and returns their ids. What a row has already it does not change: that
// is no news for anybody, and in the org there may be another value on its way.
func (t *Tx) UpdateAll(ctx context.Context, object, where string, values map[string]any) ([]int64, error) {
	columns, args, marks := list(values)
	set := make([]string, len(columns))
	for i := range columns {
		set[i] = columns[i] + " = " + marks[i]
	}
	table := t.table(object)
	sql := "UPDATE " + table + " AS is_now SET " + strings.Join(set, ", ") +
		" FROM (SELECT * FROM " + table + " WHERE " + where + " FOR UPDATE) AS was WHERE is_now.id = was.id"
	return t.write(ctx, sql, object, updated, columns, args)
}

// Delete deletes a row. One that is not there is no error: the org may have
// deleted it.
func (t *Tx) Delete(ctx context.Context, object string, id int64) error {
	_, err := t.write(ctx, fmt.Sprintf("DELETE FROM %s WHERE id = %d", t.table(object), id), object, deleted, nil, nil)
	return err
}

func (t *Tx) table(object string) string {
	return pgx.Identifier{t.app.Schema, strings.ToLower(object)}.Sanitize()
}

// write runs a statement and remembers what it did to each row.
func (t *Tx) write(ctx context.Context, sql, object string, kind kind, columns []string, args []any) (ids []int64, err error) {
	var id int64
	var sfid *string
	now, was := make([]*string, len(columns)), make([]*string, len(columns))
	targets := []any{&id, &sfid}
	back, prefix := []string{"id::bigint", "sfid::text"}, ""
	if kind == updated {
		back, prefix = []string{"is_now.id::bigint", "is_now.sfid::text"}, "is_now."
	}
	for i, c := range columns {
		back = append(back, prefix+c+"::text")
		targets = append(targets, &now[i])
	}
	if kind == updated {
		for i, c := range columns {
			back = append(back, "was."+c+"::text")
			targets = append(targets, &was[i])
		}
	}
	rows, err := t.tx.Query(ctx, sql+" RETURNING "+strings.Join(back, ", "), args...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, targets, func() error {
			w := write{object: object, row: id, kind: kind, sfid: sfid, values: map[string]*string{}}
			for i, c := range columns {
				if kind != updated || !same(now[i], was[i]) {
					w.values[strings.Trim(c, `"`)] = now[i]
				}
			}
			t.writes = append(t.writes, w)
			ids = append(ids, id)
			return nil
		})
	}
	if err != nil {
		t.failed(ctx, string(kind)+" of "+object, err)
		return nil, fmt.Errorf("app: %s of %s: %w", kind, object, err)
	}
	return ids, nil
}

func same(a, b *string) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func (t *Tx) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	t.app.mu.Lock()
	defer t.app.mu.Unlock()
	t.app.harm = append(t.app.harm, Violation{Invariant: "I10", Text: fmt.Sprintf("an app's %s failed: %v", what, err)})
}

// watch asks, each time that the app may have waited for too long, for whom.
func (a *App) watch(ctx context.Context, pid uint32, ended <-chan struct{}) {
	patience := a.Patience
	if patience <= 0 {
		patience = 50 * time.Millisecond
	}
	for {
		timer := time.NewTimer(patience)
		select {
		case <-ended:
			timer.Stop()
			return
		case <-timer.C:
		}
		var who string
		err := a.Pool.QueryRow(ctx, `SELECT b.application_name || ': ' || left(b.query, 100) FROM pg_stat_activity AS w, unnest(pg_blocking_pids(w.pid)) AS p
			JOIN pg_stat_activity AS b ON b.pid = p
			WHERE w.pid = $1 AND w.wait_event_type = 'Lock' AND b.application_name = $2 AND clock_timestamp() - w.query_start > $3 LIMIT 1`, pid, a.Bridge, patience).Scan(&who)
		if err == nil {
			a.mu.Lock()
			a.harm = append(a.harm, Violation{Invariant: "I10", Text: fmt.Sprintf("an app's statement has waited %s for %s", patience, who)})
			a.mu.Unlock()
			return
		}
	}
}

// list is values in the order of their columns, quoted.
func list(values map[string]any) (columns []string, args []any, marks []string) {
	for i, c := range slices.Sorted(maps.Keys(values)) {
		columns = append(columns, pgx.Identifier{c}.Sanitize())
		args = append(args, values[c])
		marks = append(marks, fmt.Sprintf("$%d", i+1))
	}
	return columns, args, marks
}

// history is what was committed, by row, in order.
func (a *App) history() (rows map[rowKey][]write, harm []Violation) {
	rows = map[rowKey][]write{}
	if a == nil {
		return rows, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.writes {
		k := rowKey{w.object, w.row}
		rows[k] = append(rows[k], w)
	}
	return rows, slices.Clone(a.harm)
}

type rowKey struct {
	object string
	row    int64
}
