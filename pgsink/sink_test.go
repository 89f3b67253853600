package pgsink

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/migrate"
	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// id makes an 18-character id from a number.
func id(n int) string {
	full, _ := canonID(fmt.Sprintf("001%012d", n))
	return full
}

// at is a second of the tests' morning.
func at(second int) time.Time {
	return time.Date(2024, 5, 1, 8, 0, second, 0, time.UTC)
}

// account is a small read-only mapping; tests change what they need.
func account() Spec {
	return Spec{Schema: "salesforce", Object: "Account", Fields: []Field{
		{Name: "Id", Type: "id"},
		{Name: "Name", Type: "string", Length: 80},
		{Name: "Ext__c", Type: "string", Length: 20, Unique: true},
		{Name: "Amount__c", Type: "double"},
		{Name: "SystemModstamp", Type: "datetime"},
		{Name: "IsDeleted", Type: "boolean"},
	}}
}

// writable is the same mapping, read_write.
func writable() Spec {
	spec := account()
	spec.ReadWrite = true
	return spec
}

// keyed has an external id too.
func keyed() Spec {
	spec := writable()
	spec.ExternalID = "Ext__c"
	return spec
}

type bundle struct {
	t     testing.TB
	pool  *pgxpool.Pool
	sink  *Sink
	table *Table
}

// setup installs everything that the table of spec needs.
func setup(t testing.TB, spec Spec) *bundle {
	t.Helper()
	return setupIn(t, pgtest.Copy(t, "migrated", migrate.Up), spec)
}

// setupIn is setup in a migrated database.
func setupIn(t testing.TB, pool *pgxpool.Pool, spec Spec) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pool}
	b.exec(`CREATE SCHEMA IF NOT EXISTS ` + quote(spec.Schema))
	b.exec(`CREATE TABLE ` + quote(spec.Schema) + `._trigger_log (
		id bigserial PRIMARY KEY, txid bigint, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
		processed_at timestamptz, processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128),
		record_id bigint, sfid varchar(18), old text, values text, sf_result integer, sf_message text)`)
	b.exec(`CREATE TABLE ` + quote(spec.Schema) + `._trigger_log_archive (LIKE ` + quote(spec.Schema) + `._trigger_log INCLUDING ALL)`)
	var err error
	b.table, err = NewTable(spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ensure(); err != nil {
		t.Fatal(err)
	}
	b.sink = New(b.pool, spec.Schema, zerolog.Nop())
	return b
}

func (b *bundle) ensure() (report Report, err error) {
	b.t.Helper()
	err = pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		report, err = b.table.Ensure(b.t.Context(), tx)
		return err
	})
	return report, err
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// one returns the text of a single value, "<null>" or "<none>".
func (b *bundle) one(sql string, args ...any) string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), sql, args...)
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[any])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	switch {
	case len(values) == 0:
		return "<none>"
	case values[0] == nil:
		return "<null>"
	}
	return fmt.Sprint(values[0])
}

func (b *bundle) want(want, sql string, args ...any) {
	b.t.Helper()
	if got := b.one(sql, args...); got != want {
		b.t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// name is the name in record n's row.
func (b *bundle) name(n int) string {
	b.t.Helper()
	return b.one(`SELECT name FROM salesforce.account WHERE sfid = $1`, id(n))
}

// record makes a complete row of the table from pairs of field and value.
func (b *bundle) record(n int, stamp time.Time, pairs ...any) Row {
	b.t.Helper()
	members := map[string]any{"Id": id(n), "SystemModstamp": stamp.Format("2006-01-02T15:04:05.000-0700")}
	for _, c := range b.table.Columns {
		if _, ok := members[c.Field]; !ok {
			members[c.Field] = nil
		}
	}
	members["IsDeleted"] = false
	for i := 0; i < len(pairs); i += 2 {
		members[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(members)
	if err != nil {
		b.t.Fatal(err)
	}
	row, err := b.table.Decode(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

func (b *bundle) change(kind Kind, n int, stamp time.Time, pairs ...any) Change {
	b.t.Helper()
	return Change{Table: b.table, Kind: kind, Row: b.record(n, stamp, pairs...)}
}

// known is a read of a record whose row had its stamp already.
func known(c Change) Change {
	c.Row.Known = true
	return c
}

func (b *bundle) remove(n int) Change {
	return Change{Table: b.table, Kind: Delete, Row: Row{SFID: id(n)}}
}

// apply applies changes and compares the counts.
func (b *bundle) apply(want Result, batch Batch) {
	b.t.Helper()
	got, err := b.sink.Apply(b.t.Context(), batch)
	if err != nil {
		b.t.Fatalf("apply: %v", err)
	}
	var sum Written
	for _, w := range got.Objects {
		sum = Written{sum.Inserted + w.Inserted, sum.Updated + w.Updated, sum.Deleted + w.Deleted, sum.Unchanged + w.Unchanged, 0}
	}
	if total := (Written{got.Inserted, got.Updated, got.Deleted, got.Unchanged, 0}); sum != total {
		b.t.Errorf("the objects' figures add up to %+v, want %+v", sum, total)
	}
	got.Objects = nil
	if !reflect.DeepEqual(got, want) {
		b.t.Errorf("applied %+v, want %+v", got, want)
	}
}

func (b *bundle) applyChanges(want Result, changes ...Change) {
	b.t.Helper()
	b.apply(want, Batch{Changes: changes})
}

// seq is the seq of record n's mark, 0 without one.
func (b *bundle) seq(n int) int64 {
	b.t.Helper()
	var seq int64
	err := b.pool.QueryRow(b.t.Context(), `SELECT coalesce(max(seq), 0) FROM hcbridge.mark WHERE sfid = $1`, id(n)).Scan(&seq)
	if err != nil {
		b.t.Fatal(err)
	}
	return seq
}

// reason is the reason of record n's mark.
func (b *bundle) reason(n int) string {
	b.t.Helper()
	return b.one(`SELECT reason FROM hcbridge.mark WHERE sfid = $1`, id(n))
}

// mark marks record n and returns the seq.
func (b *bundle) mark(n int) int64 {
	b.t.Helper()
	b.apply(Result{Marked: 1}, Batch{Marks: []Mark{{Object: "Account", SFID: id(n), Reason: "test"}}})
	return b.seq(n)
}

// entry adds an unsent change of the app to the log.
func (b *bundle) entry(state, action string, recordID, sfid string) {
	b.t.Helper()
	b.exec(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid)
		VALUES ($1, $2, 'account', nullif($3, '')::bigint, nullif($4, ''))`, state, action, recordID, sfid)
}

// rowID is the id of record n's row.
func (b *bundle) rowID(n int) string {
	b.t.Helper()
	return b.one(`SELECT id FROM salesforce.account WHERE sfid = $1`, id(n))
}

// withTimeout bounds what could wait for ever.
func withTimeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
