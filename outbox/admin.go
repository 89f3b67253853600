package outbox

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB is what the functions for people need: a pool, a connection or a
// transaction. They work beside a running Worker and without one.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Count is how many entries of one table are not done.
type Count struct {
	Pending int64     // NEW or PENDING
	Failed  int64     // FAILED
	Oldest  time.Time // capture of the oldest pending entry; zero without one
}

// WriteError is an entry that Salesforce refused, or an insert in doubt.
type WriteError struct {
	ID       int64 // trigger log id
	Table    string
	RecordID int64
	SFID     string // "" where it is not known
	Action   string // INSERT, UPDATE, DELETE
	Message  string
	At       time.Time // when it failed
	InDoubt  bool      // the record may exist in Salesforce
}

// Counts returns the open entries by table name. Tables without any are not
// in the map.
func Counts(ctx context.Context, db DB, schema string) (map[string]Count, error) {
	var table string
	var c Count
	var oldest *time.Time
	counts := map[string]Count{}
	err := ask(ctx, db, schema, "admin_counts", []any{&table, &c.Pending, &c.Failed, &oldest}, func() {
		c.Oldest = time.Time{}
		if oldest != nil {
			c.Oldest = *oldest
		}
		counts[table] = c
	})
	return counts, err
}

// Errors returns the failed entries, newest first, at most limit (0 = 1,000).
func Errors(ctx context.Context, db DB, schema string, limit int) ([]WriteError, error) {
	if limit <= 0 {
		limit = 1000
	}
	var list []WriteError
	var e WriteError
	err := ask(ctx, db, schema, "admin_errors", []any{&e.ID, &e.Table, &e.RecordID, &e.SFID, &e.Action, &e.Message, &e.At}, func() {
		e.InDoubt = strings.HasPrefix(e.Message, CodeInDoubt)
		list = append(list, e)
	}, limit)
	return list, err
}

// Retry sends failed entries again and returns how many. nil means all, except
// inserts in doubt: those are repeated only where a person names their ids,
// having seen that the record is not in Salesforce. Archived FAILED entries can
// be named too; they are marked REQUEUE.
func Retry(ctx context.Context, db DB, schema string, ids []int64) (int64, error) {
	return change(ctx, db, schema, "admin_retry", ids)
}

// Ignore dismisses failed entries and returns how many; nil means all, those in
// doubt included. Archived FAILED entries can be named too. A Worker has rows read back of
// which nothing else is open.
func Ignore(ctx context.Context, db DB, schema string, ids []int64) (int64, error) {
	return change(ctx, db, schema, "admin_ignore", ids)
}

// Inherit says that whatever is on its way now was sent by another program, as a user of its
// own: its creations cannot be looked for as the bridge's are, and a person must, but for
// those that can be repeated. It returns how many there are. No Worker must have run.
func Inherit(ctx context.Context, db DB, schema string) (int64, error) {
	sql, err := adminSQL(schema, "admin_inherit")
	if err != nil {
		return 0, err
	}
	tag, err := db.Exec(ctx, sql)
	if err != nil {
		return 0, fmt.Errorf("outbox: inherit: %w", err)
	}
	return tag.RowsAffected(), nil
}

// adminTexts are the texts that adminSQL has made: the bridge counts each second.
var adminTexts sync.Map

func adminSQL(schema, name string) (string, error) {
	key := [2]string{schema, name}
	if made, ok := adminTexts.Load(key); ok {
		return made.(string), nil //nolint:forcetypeassert // nothing else is stored
	}
	sql, err := render(name+".sql.tmpl", map[string]any{"Log": ident(schema, "_trigger_log"), "Archive": ident(schema, "_trigger_log_archive")})
	if err == nil {
		adminTexts.Store(key, sql)
	}
	return sql, err
}

func ask(ctx context.Context, db DB, schema, name string, into []any, each func(), args ...any) error {
	sql, err := adminSQL(schema, name)
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	rows, err := db.Query(ctx, sql, args...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error {
			each()
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("outbox: trigger log of schema %s: %w", schema, err)
	}
	return nil
}

func change(ctx context.Context, db DB, schema, name string, ids []int64) (n int64, err error) {
	err = ask(ctx, db, schema, name, []any{&n}, func() {}, ids)
	return n, err
}
