package soql

import (
	"time"

	"hcbridge/test/org/sobject"
)

// Query is a parsed query. Bind checks it against a schema; [Run] does so
// itself. A Query that is bound may be used by many goroutines.
type Query struct {
	Text    string
	From    string // as written
	Select  []Column
	Where   Expr // nil: all records
	OrderBy []Order
	Limit   int // -1: absent
	Offset  int // -1: absent

	Count        bool // bare COUNT()
	Aggregate    bool // COUNT, MIN, ... or GROUP BY, HAVING
	Relationship bool // a parent path or a child subquery
	Not          bool // the NOT operator; NOT IN and != are none
	SemiJoin     bool // IN (SELECT ...)
	Subquery     bool // child subquery in the select list
	TypeOf       bool

	alias   string
	fromPos int
	grouped bool

	object  *sobject.Object
	columns []*column
	tree    []*node
}

// Column is one entry of the select list.
type Column struct {
	Path []string // as written: ["Account", "Name"]
	Func string   // upper case: "COUNT", "MIN", "FIELDS", ...; "" for a plain field

	alias string
	pos   int
}

// Order is one entry of ORDER BY.
type Order struct {
	Path       []string
	Descending bool
	NullsLast  bool

	pos    int
	column *column
}

// Expr is a condition: *And, *Or, *Not or *Compare.
type Expr interface {
	eval(store sobject.Store, r sobject.Record, all bool) bool
}

// And holds if all of its terms do.
type And struct{ Terms []Expr }

// Or holds if one of its terms does.
type Or struct{ Terms []Expr }

// Not holds if its term does not.
type Not struct{ Term Expr }

// Compare is a comparison of a field with literals.
type Compare struct {
	Path   []string
	Op     string // "=", "!=", "<", "<=", ">", ">=", "LIKE", "IN", "NOT IN"
	Values []Literal
	Sub    *Query // IN (SELECT ...)

	pos    int
	column *column
	set    map[string]bool // keys of IN lists
	null   bool            // the IN list has null
}

// LiteralKind is the kind of a literal.
type LiteralKind int

// The kinds of literal.
const (
	Null LiteralKind = iota
	Text
	Number
	Bool
	Date
	Datetime
	Time
)

// Literal is a constant of a condition.
type Literal struct {
	Kind LiteralKind
	Text string    // decoded string, number, date "2006-01-02", time
	At   time.Time // of a Datetime

	pattern []likeRune
	raw     string
	pos     int
	value   any // in the stored form, after Bind
}
