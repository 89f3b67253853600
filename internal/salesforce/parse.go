package salesforce

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// wireError is every form in which Salesforce reports a failure: REST and Bulk
// 2.0 say errorCode, sObject Collections statusCode, OAuth error.
type wireError struct {
	Message    string   `json:"message"`
	ErrorCode  string   `json:"errorCode"`
	StatusCode string   `json:"statusCode"`
	Fields     []string `json:"fields"`

	OAuthError  string `json:"error"`
	Description string `json:"error_description"`
}

func (w wireError) code() string {
	for _, c := range []string{w.ErrorCode, w.StatusCode, w.OAuthError} {
		if nameForm(c) && len(c) <= 100 { // a code is a word; anything else is not one
			return c
		}
	}
	return ""
}

// fields returns the API names among the fields; they are printed in logs.
func (w wireError) fields() []string {
	return slices.DeleteFunc(slices.Clone(w.Fields), func(f string) bool { return !nameForm(f) || len(f) > 100 })
}

func (w wireError) message() string {
	if w.Message == "" {
		return w.Description
	}
	return w.Message
}

// parseErrors reads an error body: an array of errors, one of them alone, or an
// OAuth error. For a 300 it is an array of record URLs, of which only the number
// matters. It reports false for anything else.
//
// Bodies: REST API Developer Guide, "Status Codes and Error Responses".
func parseErrors(status int, body []byte) ([]wireError, bool) {
	if status == http.StatusMultipleChoices {
		var urls []string
		if json.Unmarshal(body, &urls) == nil && len(urls) > 0 {
			return []wireError{{
				ErrorCode: CodeDuplicateExtID,
				Message:   fmt.Sprintf("%d records have this external id", len(urls)),
			}}, true
		}
	}
	var many []wireError
	if json.Unmarshal(body, &many) != nil {
		var one wireError
		if json.Unmarshal(body, &one) != nil {
			return nil, false
		}
		many = []wireError{one}
	}
	if len(many) == 0 || many[0].code() == "" && many[0].message() == "" {
		return nil, false
	}
	return many, true
}

// failed turns an answer that is not a success into an *Error. Of several errors
// the first counts; Salesforce lists the reason for a rollback first.
func (c *Client) failed(r request, status int, body []byte) *Error {
	wire, ok := parseErrors(status, body)
	if !ok {
		return c.unreadable(r, status, "not an error that Salesforce documents", body)
	}
	e := c.newError(r.op, status, wire[0], r.write)
	if r.write && !untouched(status) {
		e.InDoubt, e.Ended = fate(status, e.Code)
	}
	return e
}

// newError builds the Error of one wireError, with secrets removed from its text.
func (c *Client) newError(op string, status int, w wireError, write bool) *Error {
	e := &Error{
		Op: op, Status: status, Code: c.scrub(w.code()), Message: c.scrub(w.message()),
		Fields: w.fields(), quotes: write,
	}
	e.Class, e.Brief = classify(status, e.Code, e.Message)
	return e
}
