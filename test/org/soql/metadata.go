package soql

import (
	"strconv"
	"strings"

	"hcbridge/test/org/sobject"
)

// Metadata describes a column of the result, as the query resource does for
// columns=true. The fields of a parent are columns below a column of the
// parent. The shape is that of answers recorded by the Salesforce CLI's own
// tests; Apex's names of the types that these do not show are the primitive
// types of the Apex Developer Guide.
type Metadata struct {
	Aggregate      bool       `json:"aggregate"`
	ApexType       *string    `json:"apexType"` // null for a parent or an aggregate
	BooleanType    bool       `json:"booleanType"`
	ColumnName     string     `json:"columnName"` // key in a record
	Custom         bool       `json:"custom"`
	DisplayName    string     `json:"displayName"`
	ForeignKeyName *string    `json:"foreignKeyName"` // of a parent: the field that refers to it
	Insertable     bool       `json:"insertable"`
	JoinColumns    []Metadata `json:"joinColumns"`
	NumberType     bool       `json:"numberType"`
	TextType       bool       `json:"textType"`
	Updatable      bool       `json:"updatable"`
}

// Metadata describes the columns of a bound query in the order in which a
// record has them; COUNT() has none.
func (q *Query) Metadata() []Metadata {
	if !q.Aggregate {
		return described(q.tree)
	}
	out := make([]Metadata, len(q.columns))
	for i, c := range q.columns {
		s := q.Select[i]
		if s.Func == "" {
			out[i] = ofField(c.field)
			continue
		}
		name := s.alias
		if name == "" {
			name = "expr" + strconv.Itoa(i)
		}
		out[i] = Metadata{
			Aggregate: true, ColumnName: name, DisplayName: strings.ToLower(s.Func) + "(" + c.name + ")",
			JoinColumns: []Metadata{}, NumberType: strings.HasPrefix(s.Func, "COUNT") || number(c.field),
		}
	}
	return out
}

func described(tree []*node) []Metadata {
	out := make([]Metadata, len(tree))
	for i, n := range tree {
		if n.children == nil {
			out[i] = ofField(n.column.field)
			continue
		}
		out[i] = Metadata{
			ColumnName: n.name, DisplayName: n.name, Custom: strings.HasSuffix(n.name, "__r"),
			ForeignKeyName: &n.column.refs[n.depth], JoinColumns: described(n.children),
		}
	}
	return out
}

func ofField(f *sobject.Field) Metadata {
	apex := "String"
	switch f.Type {
	case "id", "reference":
		apex = "Id"
	case "boolean", "date", "datetime", "time", "address", "location":
		apex = strings.ToUpper(f.Type[:1]) + f.Type[1:]
	case "int":
		apex = "Integer"
	case "double", "currency", "percent":
		apex = "Double"
	case "base64":
		apex = "Blob"
	}
	return Metadata{
		ApexType: &apex, BooleanType: f.Type == "boolean", ColumnName: f.Name, Custom: f.Custom, DisplayName: f.Name,
		Insertable: f.Createable, JoinColumns: []Metadata{}, NumberType: number(f), TextType: apex == "String", Updatable: f.Updateable,
	}
}

func number(f *sobject.Field) bool {
	switch f.Type {
	case "int", "double", "currency", "percent":
		return true
	}
	return false
}
