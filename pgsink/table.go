package pgsink

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// Names of the columns that every mapped table has beside its fields.
const (
	colSFID   = "sfid"
	colID     = "id"
	colLastOp = "_hc_lastop"
	colErr    = "_hc_err"
)

// Field is what a mapped field's describe result says about it.
type Field struct {
	Name      string // API name, or a parent's external id as Account__r.External_Id__c
	Type      string // describe type in its own spelling: string, double, datetime …
	Length    int    // characters; 0 where the type has none
	Precision int    // digits of a number
	Scale     int    // digits after its point
	Long      bool   // a long or rich text area
	Indexed   bool   // wants an index
	Unique    bool   // values are unique in Salesforce
	Fixed     bool   // what an app writes to it is never sent
}

// Spec says which table to keep.
type Spec struct {
	Schema     string  // mapped schema, "salesforce"
	Object     string  // API name
	Fields     []Field // mapped fields without compound parents; SystemModstamp must be among them, Id may be
	ExternalID string  // API name of the unique external id field, or empty
	ReadWrite  bool    // the app may write: rows with unsent changes are held
	Numeric    bool    // new number columns are numeric instead of double precision
}

// Column is one mapped field of a table.
type Column struct {
	Name   string // column name
	Field  string // API name, possibly Parent.Field
	Type   string // Salesforce type
	PgType string // column type as format_type spells it: "character varying(80)"

	kind    kind
	indexed bool
	fixed   bool
	length  int // characters of the field, if it is known
}

// Table is a mapped object: its names, its column types and its SQL. It is
// immutable but for the column types that [Table.Ensure] finds in the
// database, and safe for concurrent use.
type Table struct {
	Schema     string
	Object     string
	Name       string // table name in Schema
	Columns    []Column
	ExternalID string // API name, or empty
	ReadWrite  bool

	stamp    int // index of SystemModstamp in Columns
	deleted  int // index of IsDeleted, or -1
	external int // index of ExternalID, or -1
	fields   map[string]int
	found    atomic.Pointer[[]string] // column types in the database, aligned with Columns
	order    atomic.Pointer[string]   // collation of sfid, if it is not ours
	texts    sync.Map                 // textKey → SQL
}

// textKey names a statement of a table.
type textKey struct {
	what    string
	columns string    // those it is for, if not all
	types   *[]string // found
}

// text is a statement that write makes, once.
func (t *Table) text(what string, columns []int, write func() string) string {
	key := textKey{what: what, types: t.found.Load()}
	if len(columns) != len(t.Columns) {
		key.columns = fmt.Sprint(columns)
	}
	known, _ := t.texts.Load(key)
	sql, ok := known.(string)
	if !ok {
		sql = write()
		t.texts.Store(key, sql)
	}
	return sql
}

// NewTable works out names and types. It fails on a name that Postgres cannot
// hold, on two fields that would share a column, and on a missing
// SystemModstamp; all problems are reported at once.
func NewTable(spec Spec) (*Table, error) {
	t := &Table{
		Schema: spec.Schema, Object: spec.Object, Name: TableName(spec.Object),
		ExternalID: spec.ExternalID, ReadWrite: spec.ReadWrite,
		stamp: -1, deleted: -1, external: -1, fields: make(map[string]int),
	}
	var errs []error
	if !usable(spec.Schema) || len(spec.Schema) > maxName {
		errs = append(errs, fmt.Errorf("schema name %q is not a Postgres name", spec.Schema))
	}
	if !usable(t.Name) {
		errs = append(errs, fmt.Errorf("object name %q is not a Postgres name", spec.Object))
	}
	taken := map[string]string{colSFID: "Id", colID: "the row's own id", colLastOp: colLastOp, colErr: colErr}
	for _, f := range spec.Fields {
		if strings.EqualFold(f.Name, "Id") {
			continue // sfid
		}
		if err := t.add(f, spec, taken); err != nil {
			errs = append(errs, err)
		}
	}
	if t.stamp < 0 {
		errs = append(errs, errors.New("field SystemModstamp is not mapped"))
	}
	if t.external < 0 && spec.ExternalID != "" && !strings.EqualFold(spec.ExternalID, "Id") {
		errs = append(errs, fmt.Errorf("external id %s is not mapped", spec.ExternalID))
	}
	errs = append(errs, t.checkIndexNames())
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("pgsink: table of %s: %w", spec.Object, err)
	}
	return t, nil
}

// add appends the column of f.
func (t *Table) add(f Field, spec Spec, taken map[string]string) error {
	name := ColumnName(f.Name)
	if !usable(name) {
		return fmt.Errorf("field name %q is not a Postgres name", f.Name)
	}
	if other, ok := taken[name]; ok {
		return fmt.Errorf("field %s: column %s belongs to %s", f.Name, name, other)
	}
	typ, kind, err := pgType(f, spec.Numeric)
	if err != nil {
		return err
	}
	taken[name] = f.Name
	i := len(t.Columns)
	t.fields[f.Name] = i
	t.Columns = append(t.Columns, Column{
		Name: name, Field: f.Name, Type: f.Type, PgType: typ, kind: kind, indexed: f.Indexed, fixed: f.Fixed,
	})
	if kind == kindText {
		t.Columns[i].length = f.Length
	}
	switch {
	case strings.EqualFold(f.Name, "SystemModstamp"):
		if kind != kindDatetime {
			return fmt.Errorf("field SystemModstamp: type %s is not datetime", f.Type)
		}
		t.stamp = i
	case strings.EqualFold(f.Name, "IsDeleted"):
		t.deleted = i
	}
	if spec.ExternalID != "" && strings.EqualFold(f.Name, spec.ExternalID) {
		t.external = i
	}
	return nil
}

// Characters is how many a record may have in its texts, as far as that is known.
func (t *Table) Characters() (n int) {
	for _, c := range t.Columns {
		n += c.length
	}
	return n
}

// checkIndexNames refuses two indexes of one name, which hashes make all but
// impossible.
func (t *Table) checkIndexNames() error {
	taken := make(map[string]string)
	for _, ix := range t.indexes() {
		if other, ok := taken[ix.name]; ok {
			return fmt.Errorf("index %s: columns %s and %s would share it", ix.name, other, ix.column)
		}
		taken[ix.name] = ix.column
	}
	return nil
}

// index is one index a table should have.
type index struct {
	name, column string
	unique       bool
}

// indexes lists them: the Salesforce id, the external id, SystemModstamp, and
// what the user asked for.
func (t *Table) indexes() []index {
	all := []index{{indexName(t.Name, colSFID, true), colSFID, true}}
	for i, c := range t.Columns {
		switch {
		case i == t.external:
			all = append(all, index{indexName(t.Name, c.Name, true), c.Name, true})
		case c.indexed || i == t.stamp:
			all = append(all, index{indexName(t.Name, c.Name, false), c.Name, false})
		}
	}
	return all
}

// ident is the quoted schema and table.
func (t *Table) ident() string { return quote(t.Schema, t.Name) }

// as is a Salesforce id of one of our own tables, to be compared with sfid. Heroku
// Connect gave that another collation of the same meaning, and Postgres compares two
// only when it is told by which, and uses an index of that one alone.
func (t *Table) as(id string) string {
	collation := `"C"`
	if found := t.order.Load(); found != nil {
		collation = *found
	}
	return id + " COLLATE " + collation
}

// types are the column types to write with: those Ensure found, else our own.
func (t *Table) types() []string {
	if found := t.found.Load(); found != nil {
		return *found
	}
	types := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		types[i] = c.PgType
	}
	return types
}
