// Package compare tells whether a simulated org and the tables that mirror it
// hold the same: the question that every end-to-end test and the demo end on.
//
// It shares no code with the bridge. Values are compared by what they mean to
// their type, not by how either side spells them.
package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/test/org/sobject"
)

// MaxDifferences bounds what is reported of one object.
const MaxDifferences = 10

// Org is the side of Salesforce. *org.Server has it.
type Org interface {
	Object(name string) *sobject.Object
	Get(object, id string) (sobject.Record, bool)
	Records(object string) []sobject.Record // those that are not deleted
}

// Kind says how a row and its record differ.
type Kind int

// The kinds of difference.
const (
	Unsent Kind = iota + 1 // a row without sfid
	Double                 // two rows of one sfid
	Extra                  // a row whose record is deleted or was never there
	Value                  // a field has another value
	Absent                 // a record without a row
)

// Difference is one difference of the sides.
type Difference struct {
	Kind  Kind
	ID    string // sfid, "" of an unsent row
	Field string // of a Value
	Text  string // a sentence
}

// Sides compares every live record of an object with its row, in every column
// that is a field. It returns one sentence per difference, at most ten.
func Sides(ctx context.Context, pool *pgxpool.Pool, schema string, sf Org, object string) ([]string, error) {
	differences, err := Differences(ctx, pool, schema, sf, object)
	var out []string
	for _, d := range differences {
		out = append(out, d.Text)
	}
	return out, err
}

// Differences is Sides for those who want to know which.
func Differences(ctx context.Context, pool *pgxpool.Pool, schema string, sf Org, object string) ([]Difference, error) {
	o := sf.Object(object)
	if o == nil {
		return nil, fmt.Errorf("the org has no object %s", object)
	}
	table := pgx.Identifier{schema, strings.ToLower(object)}.Sanitize()
	columns, err := columnsOf(ctx, pool, table, o)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = pgx.Identifier{c.column}.Sanitize() + "::text"
	}
	rows, err := pool.Query(ctx, "SELECT sfid::text, "+strings.Join(list, ", ")+" FROM "+table)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	defer rows.Close()
	var out []Difference
	add := func(kind Kind, id, field, text string) {
		if len(out) < MaxDifferences {
			out = append(out, Difference{kind, id, field, object + ": " + text})
		}
	}
	seen := map[string]bool{}
	for rows.Next() {
		values := make([]*string, len(columns)+1)
		targets := make([]any, len(values))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, fmt.Errorf("read %s: %w", table, err)
		}
		if values[0] == nil {
			add(Unsent, "", "", "a row without sfid")
			continue
		}
		id := *values[0]
		if seen[id] {
			add(Double, id, "", id+" has two rows")
		}
		seen[id] = true
		r, ok := sf.Get(object, id)
		if !ok || r.Deleted {
			add(Extra, id, "", id+" has a row but no record")
			continue
		}
		for i, c := range columns {
			if want := r.Get(o, c.field.Name); !Equal(c.field.Type, want, values[i+1]) {
				add(Value, id, c.field.Name, fmt.Sprintf("%s.%s is %s in Salesforce, %s in Postgres", id, c.field.Name, show(want), show(values[i+1])))
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	for _, r := range sf.Records(object) {
		if !seen[r.ID] {
			add(Absent, r.ID, "", r.ID+" has a record but no row")
		}
	}
	return out, nil
}

type column struct {
	column string
	field  *sobject.Field
}

func columnsOf(ctx context.Context, pool *pgxpool.Pool, table string, o *sobject.Object) ([]column, error) {
	rows, err := pool.Query(ctx, `SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`, table)
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	var columns []column
	for _, name := range names {
		if f := o.Field(name); f != nil && !strings.EqualFold(f.Name, "Id") {
			columns = append(columns, column{name, f})
		}
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("no column of %s is a field of %s", table, o.Name)
	}
	return columns, nil
}

// Equal reports whether a value of a field, of a kind that [sobject.Record] lists,
// means the same as the text of a column's value.
func Equal(fieldType string, want any, got *string) bool {
	if want == nil || got == nil {
		return want == nil && got == nil
	}
	switch w := want.(type) {
	case bool:
		return *got == fmt.Sprint(w)
	case json.Number:
		a, ok := new(big.Rat).SetString(w.String())
		b, ok2 := new(big.Rat).SetString(*got)
		if !ok || !ok2 {
			return false
		}
		if a.Cmp(b) == 0 {
			return true
		}
		// A double precision column holds the nearest double.
		x, _ := a.Float64()
		y, _ := b.Float64()
		return x == y
	case time.Time:
		return strings.TrimSuffix(*got, ".000") == w.UTC().Format("2006-01-02 15:04:05")
	case string:
		if fieldType == "time" {
			return trimTime(w) == trimTime(*got)
		}
		return w == *got
	}
	return false
}

// trimTime leaves hours to seconds, and a fraction only if it is not zero.
func trimTime(s string) string {
	s = strings.TrimSuffix(s, "Z")
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func show(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case *string:
		if x == nil {
			return "null"
		}
		return fmt.Sprintf("%q", *x)
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}
