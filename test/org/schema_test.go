package org_test

import "hcbridge/test/org/sobject"

// externalID is a text field that is an external id but not unique.
func externalID(name string) *sobject.Field {
	return &sobject.Field{Name: name, Label: name, Type: "string", Length: 40, Nillable: true, Createable: true, Updateable: true, ExternalID: true, Custom: true}
}
