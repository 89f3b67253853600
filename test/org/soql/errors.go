package soql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is the refusal of a query: always HTTP 400.
type Error struct {
	Code    string // "MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE", ...
	Message string // as the query resource answers it
	Detail  string // Message without the quoted and marked query, as a PushTopic create answers it
}

// Error returns "CODE: message".
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func malformed(format string, args ...any) *Error {
	text := fmt.Sprintf(format, args...)
	return &Error{Code: "MALFORMED_QUERY", Message: text, Detail: text}
}

// at builds an error that quotes the line of the query with a mark under the
// byte at pos.
func (q *Query) at(pos int, code, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	before := q.Text[:pos]
	row := 1 + strings.Count(before, "\n")
	start := strings.LastIndexByte(before, '\n') + 1
	line, _, _ := strings.Cut(q.Text[start:], "\n")
	column := 1 + utf8.RuneCountInString(q.Text[start:pos])
	return &Error{
		Code:   code,
		Detail: detail,
		Message: fmt.Sprintf("\n%s\n%s^\nERROR at Row:%d:Column:%d\n%s",
			line, strings.Repeat(" ", column-1), row, column, detail),
	}
}

func (q *Query) noColumn(pos int, name, entity string) *Error {
	return q.at(pos, "INVALID_FIELD", "No such column '%s' on entity '%s'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.", name, entity)
}

func (q *Query) noRelationship(pos int, name string) *Error {
	return q.at(pos, "INVALID_FIELD", "Didn't understand relationship '%s' in field path. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names.", name)
}

func (q *Query) noType(pos int, name string) *Error {
	return q.at(pos, "INVALID_TYPE", "sObject type '%s' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.", name)
}
