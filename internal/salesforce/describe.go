package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	Replicateable       bool   `json:"replicateable"` // Deleted and Updated work for it; true where a Describe does not say
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

// Field returns the field of that API name, in upper or lower case as in all requests,
// or nil.
func (d *Describe) Field(name string) *Field {
	for i := range d.Fields {
		if strings.EqualFold(d.Fields[i].Name, name) {
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
	Permissionable          bool            `json:"permissionable"` // field permissions can be granted for it
	Calculated              bool            `json:"calculated"`     // formula or roll-up: changes do not move SystemModstamp
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
	d := newDescribe()
	a, err := c.call(ctx, request{op: op, method: http.MethodGet, path: c.base() + "/sobjects/" + object + "/describe"}, d)
	if err != nil {
		return nil, err
	}
	if d.Name == "" || len(d.Fields) == 0 {
		return nil, c.mismatch(a, "not a description")
	}
	return d, nil
}

// newDescribe is what an answer is decoded into.
func newDescribe() *Describe { return &Describe{SObject: SObject{Replicateable: true}} }

// Description is the answer about one object of [Client.DescribeAll]: a
// Describe or an error, as of [Client.Describe].
type Description struct {
	*Describe
	Err error
}

// maxDescribes is how many subrequests a composite request may have (REST API
// Developer Guide, "Composite").
const maxDescribes = 25

// DescribeAll describes several objects for one API call per 25, in the order
// of objects, and one for each that is refused in it: it may be the packing that is.
// The error is that of the whole. It does not ask for what has changed only: a
// permission that was lost need not count as a change.
func (c *Client) DescribeAll(ctx context.Context, objects []string) ([]Description, error) {
	all := make([]Description, 0, len(objects))
	for chunk := range slices.Chunk(objects, maxDescribes) {
		some, err := c.describeSome(ctx, chunk)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (c *Client) describeSome(ctx context.Context, objects []string) ([]Description, error) {
	type subrequest struct {
		Method      string `json:"method"`
		URL         string `json:"url"`
		ReferenceID string `json:"referenceId"`
	}
	const op = "describe objects"
	var body struct {
		Requests []subrequest `json:"compositeRequest"`
	}
	for i, object := range objects {
		if !nameForm(object) {
			return nil, invalid(op, "%q is not an API name", object)
		}
		body.Requests = append(body.Requests, subrequest{http.MethodGet, c.base() + "/sobjects/" + object + "/describe", "d" + strconv.Itoa(i)})
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, invalid(op, "%w", err)
	}
	var w struct {
		Responses []struct {
			Body        json.RawMessage `json:"body"`
			Status      int             `json:"httpStatusCode"`
			ReferenceID string          `json:"referenceId"`
		} `json:"compositeResponse"`
	}
	a, err := c.call(ctx, request{op: op, method: http.MethodPost, path: c.base() + "/composite", body: text}, &w)
	if err != nil {
		return nil, err
	}
	all := make([]Description, len(objects))
	for _, r := range w.Responses { // collated: not necessarily in our order
		i, err := strconv.Atoi(strings.TrimPrefix(r.ReferenceID, "d"))
		if err != nil || i < 0 || i >= len(all) || all[i].answered() {
			return nil, c.mismatch(a, "an answer that was not asked for")
		}
		d := newDescribe()
		switch {
		case r.Status < 200 || r.Status > 299:
			all[i].Err = c.failed(request{op: "describe " + objects[i]}, r.Status, r.Body)
		case json.Unmarshal(r.Body, d) != nil || d.Name == "" || len(d.Fields) == 0:
			return nil, c.mismatch(a, "not a description")
		default:
			all[i].Describe = d
		}
	}
	for i, d := range all {
		if !d.answered() {
			return nil, c.mismatch(a, "a description is missing")
		}
		if ClassOf(d.Err) != Permanent {
			continue
		}
		alone, err := c.Describe(ctx, objects[i])
		if ClassOf(err) != Permanent && err != nil {
			return nil, err
		}
		all[i] = Description{alone, err}
	}
	return all, nil
}

func (d Description) answered() bool { return d.Describe != nil || d.Err != nil }
