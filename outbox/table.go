package outbox

import (
	"slices"
	"strings"
)

// Table is a mapped table as the outbox sees it.
type Table struct {
	Object     string // API name, "Account"
	Name       string // table name without schema, "account"
	ReadWrite  bool   // false: changes are captured as READONLY and never sent
	ExternalID string // API name of the unique external id field; inserts that carry it become upserts; "" = none
	Events     bool   // Salesforce tells of changes by events, see Worker.Sent
	Columns    []Column
}

// Column is one mapped column. The bridge's own columns (id, _hc_lastop,
// _hc_err) are not listed; sfid, systemmodstamp and isdeleted may be.
type Column struct {
	Name       string   // column name
	Field      string   // API name; of a relationship column the lookup field ("Account__c"), or a path ("Account__r.External_Id__c")
	Type       string   // Salesforce type ("boolean", "currency", "reference", ...); of a relationship column the type of RelationField
	Createable bool     // may be sent on insert and upsert
	Updateable bool     // may be sent on update
	References []string // of a reference, the objects that it may refer to; nil = any
	Frozen     bool     // Salesforce does not show the field now: changes of it wait, see frozen.go
	Cased      bool     // of an external id: Salesforce tells values apart that differ in case only

	Relationship   string // "Account__r"; "" for an ordinary column
	RelationObject string // the parent's object, "Account"; "" = one of several
	RelationField  string // the parent's external id field, "External_Id__c"
}

// Op is what a call asks Salesforce to do.
type Op int

// The operations of a call.
const (
	Insert Op = iota + 1
	Update
	Upsert
	Delete
)

// String returns the operation in lower case, as in log lines.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Upsert:
		return "upsert"
	case Delete:
		return "delete"
	}
	return "unknown"
}

// creates reports whether the operation can make a record.
func (o Op) creates() bool { return o == Insert || o == Upsert }

// lookup is the field that a relationship column stands for: the one that is
// set to null when the reference is cleared.
func (c Column) lookup() string {
	if c.Field != "" && !strings.Contains(c.Field, ".") {
		return c.Field
	}
	if base, custom := strings.CutSuffix(c.Relationship, "__r"); custom {
		return base + "__c"
	}
	return c.Relationship + "Id"
}

// system reports whether a column is kept by Salesforce and says nothing about
// what a user changed.
func (c Column) system() bool {
	switch strings.ToLower(c.Name) {
	case "id", "sfid", "systemmodstamp", "isdeleted", colLastOp, colErr:
		return true
	}
	return false
}

// masked reports whether Salesforce may show a mask for the value.
func (c Column) masked() bool { return c.Type == "encryptedstring" }

// reference reports whether the column holds the id of another record.
func (c Column) reference() bool { return c.Type == "reference" && c.Relationship == "" && !c.system() }

// frozen reports whether a column is frozen.
func (t *Table) frozen(column string) bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Frozen && c.Name == column })
}

// refers reports whether rows may mention other records.
func (t *Table) refers() bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.reference() || c.Relationship != "" })
}

// naming are the columns by which rows are named, or name others.
func (t *Table) naming() (columns []string) {
	own := t.external()
	for i := range t.Columns {
		if c := &t.Columns[i]; c == own || c.reference() || c.Relationship != "" {
			columns = append(columns, c.Name)
		}
	}
	return columns
}

// external returns the column of the external id field, nil without one.
func (t *Table) external() *Column {
	if t.ExternalID == "" {
		return nil
	}
	for i := range t.Columns {
		if c := &t.Columns[i]; c.Relationship == "" && strings.EqualFold(c.Field, t.ExternalID) {
			return c
		}
	}
	return nil
}

// writes is the field that a column writes: two may write one, a lookup by the
// parent's id and by its external id.
func (t *Table) writes(column string) string {
	for _, c := range t.Columns {
		switch {
		case c.Name != column:
		case c.Relationship != "":
			return c.lookup()
		default:
			return c.Field
		}
	}
	return column
}

// The bridge's columns of a mapped table.
const (
	colLastOp = "_hc_lastop"
	colErr    = "_hc_err"
)

// field is the API name of a column.
func (t *Table) field(column string) string {
	for _, c := range t.Columns {
		if c.Name == column {
			return c.Field
		}
	}
	return column
}
