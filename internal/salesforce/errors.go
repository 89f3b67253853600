package salesforce

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Class is what a caller does about a failure.
type Class int

// The classes; the zero Class is that of no error.
const (
	_         Class = iota
	Transient       // try again later
	Auth            // no session can be had: a person must look at the credentials or permissions
	Limit           // an allowance of the org is used up; see Error.Brief
	Conflict        // the record is not what the request took it for: look it up
	Permanent       // the same request cannot succeed
)

// String returns the class as a fixed word, for logs.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Auth:
		return "auth"
	case Limit:
		return "limit"
	case Conflict:
		return "conflict"
	case Permanent:
		return "permanent"
	default:
		return "none"
	}
}

// Codes that callers decide on. Those not of Salesforce are in lower case.
const (
	CodeInvalidSession   = "INVALID_SESSION_ID"
	CodeDuplicateValue   = "DUPLICATE_VALUE"
	CodeDuplicateExtID   = "DUPLICATE_EXTERNAL_ID"
	CodeDeleted          = "ENTITY_IS_DELETED"
	CodeCrossReference   = "INVALID_CROSS_REFERENCE_KEY"
	CodeNotFound         = "NOT_FOUND"
	CodeInvalidField     = "INVALID_FIELD"
	CodeInvalidType      = "INVALID_TYPE"
	CodeRequestLimit     = "REQUEST_LIMIT_EXCEEDED"
	CodeReadOnly         = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
	CodeLocked           = "UNABLE_TO_LOCK_ROW"
	CodeLocator          = "INVALID_QUERY_LOCATOR"
	CodeReplicationDate  = "INVALID_REPLICATION_DATE"
	CodeExceededIDLimit  = "EXCEEDED_ID_LIMIT"
	codeMoved            = "URL_NOT_RESET"  // the org does not live at this instance
	CodeNotAllowedByHost = "instance_url"   // the token response named a host that is not to be trusted
	CodeOtherOrg         = "other_org"      // the credentials now lead to another org than at first
	CodeTooBig           = "answer_too_big" // a read has a larger answer than we take; ask for less
)

// Error is one failure of one request, or of one record of it.
type Error struct {
	Op      string   // what was tried, for example "create Account"; never a value
	Status  int      // HTTP status; 0 when there was no answer
	Code    string   // errorCode, statusCode or OAuth error; "" when the answer had none
	Message string   // Salesforce's own words; may quote record values
	Fields  []string // fields blamed, if any
	Class   Class

	// InDoubt is true for a write that may have taken effect nevertheless.
	InDoubt bool
	// Ended is true with InDoubt if Salesforce itself answered: whatever the write
	// has done is done, and can be seen.
	Ended bool

	// Brief is true for a Limit that passes within seconds, such as the number
	// of concurrent requests, and false for one that lasts, such as the daily one.
	Brief bool

	Err error // cause, if any

	quotes bool // Message may quote a record's values, so Error leaves it out
}

// Error returns operation, status, code, blamed fields and cause. The message is
// part of it only where it cannot quote a record's values, that is not for writes.
func (e *Error) Error() string {
	var what []string
	if e.Status != 0 {
		what = append(what, strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		what = append(what, e.Code)
	}
	if len(e.Fields) > 0 {
		what = append(what, "["+strings.Join(e.Fields, " ")+"]")
	}
	if e.Message != "" && !e.quotes {
		what = append(what, withoutQuery(e.Message))
	}
	text := e.Op
	if e.InDoubt {
		text += " (in doubt)"
	}
	if len(what) > 0 {
		text += ": " + strings.Join(what, " ")
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return oneLine(text)
}

// Barred reports that a whole request was refused whatever is in it: the API is
// switched off for the org or this version of it, or a policy shuts us out. That may
// be over soon.
func (e *Error) Barred() bool {
	switch e.Code {
	case "API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "TXN_SECURITY_NO_ACCESS", "GONE":
		return e.Status != 0
	}
	return false
}

// Unwrap returns the cause, so that errors.Is finds a context's end.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of err: that of the [*Error] in its chain, Transient
// for any other error, and 0 for nil.
func ClassOf(err error) Class {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Transient
}

// CodeOf returns the code of the [*Error] in err's chain, "" if there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// withoutQuery cuts off the part of a query error that repeats the query, and so
// its literals.
func withoutQuery(s string) string {
	if i := strings.Index(s, "ERROR at Row:"); i >= 0 {
		return s[i:]
	}
	return s
}

// oneLine makes text from outside fit for a log line.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	const limit = 600
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// invalid is a request that is wrong before it is sent.
func invalid(op, format string, args ...any) *Error {
	return &Error{Op: op, Class: Permanent, Err: fmt.Errorf(format, args...)}
}
