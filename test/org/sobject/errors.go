package sobject

import (
	"fmt"
	"strings"
)

// Error is a refusal in the terms of the REST API.
type Error struct {
	Status  int    // HTTP status when the operation is a request of its own
	Code    string // errorCode, or statusCode in sObject collections
	Message string
	Fields  []string // nil: the key is absent from the answer; empty: []
	Matches []string // with DUPLICATE_EXTERNAL_ID (300): ids of the records that match
}

// Error returns "CODE: message".
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func fail(status int, code string, fields []string, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...), Fields: fields}
}

// none is the empty, present field list of DML errors.
func none() []string { return []string{} }

// ErrNotFound is the answer to an unknown object, URL or read of a missing id.
func ErrNotFound() *Error {
	return fail(404, "NOT_FOUND", nil, "The requested resource does not exist")
}

// ErrExternalIDField is the answer to an upsert or read by a field that is no
// external id.
func ErrExternalIDField(name string) *Error {
	return fail(404, "NOT_FOUND", nil, "Provided external ID field does not exist or is not accessible: %s", name)
}

// ErrNoColumn is the answer to a write of an unknown or hidden field.
func ErrNoColumn(field, object string) *Error {
	return fail(400, "INVALID_FIELD", nil, "No such column '%s' on sobject of type %s", field, object)
}

// ErrMalformedID is the answer to an id with a wrong form, checksum or type.
func ErrMalformedID(id string) *Error {
	return fail(400, "MALFORMED_ID", []string{"Id"}, "Record ID: id value of incorrect type: %s", id)
}

// ErrDeleted is the answer to a write of a record in the recycle bin.
func ErrDeleted() *Error { return fail(404, "ENTITY_IS_DELETED", none(), "entity is deleted") }

// ErrMissing is the answer to a write of an id that does not exist.
func ErrMissing() *Error {
	return fail(404, "INVALID_CROSS_REFERENCE_KEY", none(), "invalid cross reference id")
}

// ErrReadOnly is the answer to a write of fields that cannot be written.
func ErrReadOnly(fields []string) *Error {
	return fail(400, "INVALID_FIELD_FOR_INSERT_UPDATE", fields,
		"Unable to create/update fields: %s. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
		strings.Join(fields, ", "))
}

// ErrIDInBody is the answer to a body that names the Id or the key of an upsert.
func ErrIDInBody(field string) *Error {
	return fail(400, "INVALID_FIELD", nil, "The %s field should not be specified in the sobject data.", field)
}

// ErrValidation is the answer of a validation rule with the rule's own text.
func ErrValidation(message string, fields ...string) *Error {
	if fields == nil {
		fields = none()
	}
	return &Error{Status: 400, Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: message, Fields: fields}
}

func errRolledBack() *Error {
	return fail(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", none(),
		"Record rolled back because not all records were valid and the request was using AllOrNone header")
}

func errRequired(fields []string) *Error {
	return fail(400, "REQUIRED_FIELD_MISSING", fields, "Required fields are missing: [%s]", strings.Join(fields, ", "))
}

func errBadReference(field string) *Error {
	return fail(400, "INVALID_CROSS_REFERENCE_KEY", []string{field}, "invalid cross reference id")
}

func errType(typ, token, value string) *Error {
	return fail(400, "JSON_PARSER_ERROR", nil,
		"Cannot deserialize instance of %s from %s value %s or request may be missing a required field at [line:1, column:2]", typ, token, value)
}

func errDuplicate(field, id string) *Error {
	return fail(400, "DUPLICATE_VALUE", none(), "duplicate value found: %s duplicates value on record with id: %s", field, id[:15])
}
