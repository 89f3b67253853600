package salesforce

import (
	"context"
	"net/http"
)

// SObject is what the org says of an object.
type SObject struct {
	Name                string `json:"name"`
	Label               string `json:"label"`
	LabelPlural         string `json:"labelPlural"`
	KeyPrefix           string `json:"keyPrefix"` // first three characters of its ids; "" if it has none
	Custom              bool   `json:"custom"`
	CustomSetting       bool   `json:"customSetting"`
	DeprecatedAndHidden bool   `json:"deprecatedAndHidden"`
	Createable          bool   `json:"createable"` // for the present user, as are the next four
	Updateable          bool   `json:"updateable"`
	Deletable           bool   `json:"deletable"`
	Undeletable         bool   `json:"undeletable"`
	Queryable           bool   `json:"queryable"`
	Retrieveable        bool   `json:"retrieveable"`
	Replicateable       bool   `json:"replicateable"` // Deleted and Updated work for it
	Triggerable         bool   `json:"triggerable"`
	Layoutable          bool   `json:"layoutable"`
	Searchable          bool   `json:"searchable"`
	Mergeable           bool   `json:"mergeable"`
}

// Describe is an object with its fields. Fields hidden from the present user are
// absent.
type Describe struct {
	SObject

	Fields             []Field             `json:"fields"`
	ChildRelationships []ChildRelationship `json:"childRelationships"`
}

// Field returns the field of that API name, compared exactly, or nil.
func (d *Describe) Field(name string) *Field {
	for i := range d.Fields {
		if d.Fields[i].Name == name {
			return &d.Fields[i]
		}
	}
	return nil
}

// Field is a field as the present user sees it.
//
// SOAP API Developer Guide, "DescribeSObjectResult".
type Field struct {
	Name                    string          `json:"name"`
	Label                   string          `json:"label"`
	Type                    string          `json:"type"` // lower case, for example "reference"
	SoapType                string          `json:"soapType"`
	Length                  int             `json:"length"`    // characters; 0 unless text
	Precision               int             `json:"precision"` // decimal digits of double, currency, percent
	Scale                   int             `json:"scale"`     // of them after the point
	Digits                  int             `json:"digits"`    // of int
	Nillable                bool            `json:"nillable"`
	Createable              bool            `json:"createable"`
	Updateable              bool            `json:"updateable"`
	Calculated              bool            `json:"calculated"` // formula or roll-up: changes do not move SystemModstamp
	AutoNumber              bool            `json:"autoNumber"`
	Custom                  bool            `json:"custom"`
	ExternalID              bool            `json:"externalId"` // does not imply Unique
	IDLookup                bool            `json:"idLookup"`
	Unique                  bool            `json:"unique"`
	CaseSensitive           bool            `json:"caseSensitive"`
	DefaultedOnCreate       bool            `json:"defaultedOnCreate"`
	DeprecatedAndHidden     bool            `json:"deprecatedAndHidden"`
	Encrypted               bool            `json:"encrypted"`
	Filterable              bool            `json:"filterable"`
	Sortable                bool            `json:"sortable"`
	NameField               bool            `json:"nameField"`
	HTMLFormatted           bool            `json:"htmlFormatted"`
	ReferenceTo             []string        `json:"referenceTo"`
	RelationshipName        string          `json:"relationshipName"` // "" if it cannot be traversed
	PolymorphicForeignKey   bool            `json:"polymorphicForeignKey"`
	WriteRequiresMasterRead bool            `json:"writeRequiresMasterRead"` // master-detail
	CompoundFieldName       string          `json:"compoundFieldName"`       // parent of an address, name or location part
	ExtraTypeInfo           string          `json:"extraTypeInfo"`
	RestrictedPicklist      bool            `json:"restrictedPicklist"`
	PicklistValues          []PicklistValue `json:"picklistValues"`
}

// PicklistValue is one choice; Value is what is stored.
type PicklistValue struct {
	Value        string `json:"value"`
	Label        string `json:"label"`
	Active       bool   `json:"active"`
	DefaultValue bool   `json:"defaultValue"`
}

// ChildRelationship is a lookup of another object to this one.
type ChildRelationship struct {
	ChildSObject        string `json:"childSObject"`
	Field               string `json:"field"`
	RelationshipName    string `json:"relationshipName"`
	CascadeDelete       bool   `json:"cascadeDelete"`
	DeprecatedAndHidden bool   `json:"deprecatedAndHidden"`
}

// DescribeGlobal lists the org's objects that the present user can see.
func (c *Client) DescribeGlobal(ctx context.Context) ([]SObject, error) {
	var w struct {
		SObjects []SObject `json:"sobjects"`
	}
	a, err := c.call(ctx, request{op: "describe objects", method: http.MethodGet, path: c.base() + "/sobjects/"}, &w)
	if err != nil {
		return nil, err
	}
	if w.SObjects == nil {
		return nil, c.mismatch(a, "not a list of objects")
	}
	return w.SObjects, nil
}

// Describe returns one object. An object that does not exist or is hidden from the
// present user is NOT_FOUND.
func (c *Client) Describe(ctx context.Context, object string) (*Describe, error) {
	op := "describe"
	if !nameForm(object) {
		return nil, invalid(op, "%q is not an API name", object)
	}
	op += " " + object
	var d Describe
	a, err := c.call(ctx, request{op: op, method: http.MethodGet, path: c.base() + "/sobjects/" + object + "/describe"}, &d)
	if err != nil {
		return nil, err
	}
	if d.Name == "" || len(d.Fields) == 0 {
		return nil, c.mismatch(a, "not a description")
	}
	return &d, nil
}
