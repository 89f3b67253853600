package soql

import (
	"encoding/json"
	"slices"
	"strings"

	"hcbridge/test/org/sobject"
)

// Visible says whether the querying user may see a field. nil shows all.
type Visible = func(*sobject.Object, *sobject.Field) bool

// maxParents is how many relationships a path may go up.
const maxParents = 5

// column is a path that has been looked up.
type column struct {
	name    string          // "Account.Name" in canonical case
	parents []string        // relationship names, canonical
	refs    []string        // their reference fields
	owner   *sobject.Object // the object of field; of a polymorphic parent the likeliest
	index   int             // of field in owner
	field   *sobject.Field
}

// Bind looks up every name in the schema and checks that literals fit their
// fields. The error is an [*Error] with the place marked. Bind and [Run] must
// not be called concurrently on one Query.
func (q *Query) Bind(store sobject.Store, visible Visible) error {
	if err := q.bind(store, visible); err != nil {
		return err
	}
	return nil
}

func (q *Query) bind(store sobject.Store, visible Visible) *Error {
	if visible == nil {
		visible = func(*sobject.Object, *sobject.Field) bool { return true }
	}
	q.object = store.Object(q.From)
	if q.object == nil {
		return q.noType(q.fromPos, q.From)
	}
	if err := q.bindSelect(store, visible); err != nil {
		return err
	}
	var failed *Error
	walk(q.Where, func(c *Compare) {
		if failed == nil {
			failed = q.bindCompare(store, visible, c)
		}
	})
	if failed != nil {
		return failed
	}
	for i := range q.OrderBy {
		o := &q.OrderBy[i]
		c, err := q.lookup(store, visible, o.Path, o.pos)
		if err != nil {
			return err
		}
		if !c.field.Sortable() {
			return q.at(o.pos, "INVALID_FIELD", "field '%s' can not be sorted in a query call", c.field.Name)
		}
		o.column = c
	}
	return nil
}

func (q *Query) bindSelect(store sobject.Store, visible Visible) *Error {
	q.columns = nil
	seen := map[string]bool{}
	for _, s := range q.Select {
		if s.Func == "FIELDS" {
			if err := q.expand(visible, s, seen); err != nil {
				return err
			}
			continue
		}
		c, err := q.lookup(store, visible, s.Path, s.pos)
		if err != nil {
			return err
		}
		if s.Func == "" && seen[c.name] {
			return q.at(s.pos, "INVALID_FIELD", "duplicate field selected: %s", c.name)
		}
		seen[c.name] = true
		q.columns = append(q.columns, c)
	}
	q.tree = grow(q.columns)
	return nil
}

// expand replaces FIELDS(ALL), FIELDS(STANDARD) and FIELDS(CUSTOM).
func (q *Query) expand(visible Visible, s Column, seen map[string]bool) *Error {
	which := strings.ToUpper(s.Path[0])
	switch which {
	case "ALL", "CUSTOM":
		if q.Limit < 0 || q.Limit > 200 {
			return malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
		}
	case "STANDARD":
	default:
		return malformed("unexpected token: %s", s.Path[0])
	}
	for i, f := range q.object.Fields {
		if !visible(q.object, f) || seen[f.Name] || (which == "CUSTOM" && !f.Custom) || (which == "STANDARD" && f.Custom) {
			continue
		}
		seen[f.Name] = true
		q.columns = append(q.columns, &column{name: f.Name, owner: q.object, index: i, field: f})
	}
	return nil
}

// lookup finds the field that a path names. Of a polymorphic parent any
// object's field will do.
func (q *Query) lookup(store sobject.Store, visible Visible, path []string, pos int) (*column, *Error) {
	c := &column{}
	owners := []*sobject.Object{q.object}
	if len(path) > maxParents+1 {
		return nil, q.at(pos, "MALFORMED_QUERY", "SOQL supports at most %d levels of parent relationships", maxParents)
	}
	for _, name := range path[:len(path)-1] {
		var ref *sobject.Field
		for _, o := range owners {
			if f := o.Relationship(name); f != nil && visible(o, f) {
				ref = f
				break
			}
		}
		if ref == nil {
			return nil, q.noRelationship(pos, name)
		}
		c.parents, c.refs = append(c.parents, ref.RelationshipName), append(c.refs, ref.Name)
		owners = nil
		for _, target := range ref.ReferenceTo {
			if o := store.Object(target); o != nil {
				owners = append(owners, o)
			}
		}
	}
	last := path[len(path)-1]
	for _, o := range slices.Backward(owners) {
		if f := o.Field(last); f != nil && visible(o, f) {
			c.owner, c.index, c.field = o, o.Index(last), f
			c.name = strings.Join(append(slices.Clone(c.parents), f.Name), ".")
			return c, nil
		}
	}
	entity := q.object.Name
	if len(owners) > 0 {
		entity = owners[0].Name
	}
	return nil, q.noColumn(pos, last, entity)
}

func (q *Query) bindCompare(store sobject.Store, visible Visible, c *Compare) *Error {
	column, err := q.lookup(store, visible, c.Path, c.pos)
	if err != nil {
		return err
	}
	c.column = column
	f := column.field
	if !f.Filterable() || f.IsCompound() {
		return q.at(c.pos, "INVALID_FIELD", "field '%s' can not be filtered in a query call", f.Name)
	}
	if c.Sub != nil {
		if err := c.Sub.bind(store, visible); err != nil {
			return err
		}
		if len(c.Sub.columns) != 1 {
			return malformed("a semi-join sub-select must select one field")
		}
		return nil
	}
	if c.Op == "LIKE" && kindOf(f) != Text || strings.ContainsAny(c.Op, "<>") && f.Type == "boolean" {
		return q.at(c.pos, "INVALID_FIELD", "invalid operator on %s field", f.Type)
	}
	c.set, c.null = nil, false
	for i := range c.Values {
		l := &c.Values[i]
		if err := q.bindLiteral(f, l); err != nil {
			return err
		}
		if l.value == nil {
			c.null = true
		} else if s, ok := l.value.(string); ok {
			if c.set == nil {
				c.set = map[string]bool{}
			}
			c.set[s] = true
		}
	}
	return nil
}

// kindOf is the kind of literal that a field is compared with.
func kindOf(f *sobject.Field) LiteralKind {
	switch f.Type {
	case "boolean":
		return Bool
	case "int", "double", "currency", "percent":
		return Number
	case "date":
		return Date
	case "datetime":
		return Datetime
	case "time":
		return Time
	}
	return Text
}

func (q *Query) bindLiteral(f *sobject.Field, l *Literal) *Error {
	want := kindOf(f)
	if l.Kind == Null {
		l.value = nil
		if want == Bool {
			l.value = false
		}
		return nil
	}
	if l.Kind != want {
		name, quotes := f.Type, "should not be enclosed in quotes"
		switch want {
		case Datetime:
			name = "dateTime"
		case Text:
			name, quotes = "string", "should be enclosed in quotes"
		case Number:
			if f.Type != "int" {
				name = "double"
			}
		}
		return q.at(l.pos, "INVALID_FIELD", "value of filter criterion for field '%s' must be of type %s and %s", f.Name, name, quotes)
	}
	switch l.Kind {
	case Bool:
		l.value = l.Text == "true"
	case Datetime:
		l.value = l.At
	case Number:
		if !strings.ContainsAny(l.Text, ".eE") && sobject.CompareNumbers(json.Number(strings.TrimLeft(l.Text, "+-")), "2147483647") > 0 {
			return malformed("For input string: \"%s\"", l.Text)
		}
		n, ok := sobject.PlainNumber(json.Number(l.Text))
		if !ok {
			return malformed("For input string: \"%s\"", l.Text)
		}
		l.value = n
	case Text:
		return q.bindText(f, l)
	default:
		l.value = l.Text
	}
	return nil
}

func (q *Query) bindText(f *sobject.Field, l *Literal) *Error {
	l.value = nil
	switch {
	case l.Text == "":
	case l.pattern != nil && (f.Type == "id" || f.Type == "reference"):
		return q.at(l.pos, "INVALID_FIELD", "invalid operator on %s field", f.Type)
	case f.Type == "id" || f.Type == "reference":
		id, err := sobject.NormalizeID(l.Text)
		if err != nil {
			return &Error{Code: "INVALID_QUERY_FILTER_OPERATOR", Message: q.at(l.pos, "", "invalid ID field: %s", l.Text).Message, Detail: "invalid ID field: " + l.Text}
		}
		l.value = id
	default:
		l.value = fold(f, l.Text)
	}
	return nil
}

// fold brings text into the form in which values of f are compared.
func fold(f *sobject.Field, s string) string {
	if f.CaseSensitive || f.Type == "id" || f.Type == "reference" {
		return s
	}
	return strings.ToLower(s)
}
