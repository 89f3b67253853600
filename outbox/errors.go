package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Codes that the outbox itself writes to _hc_err, beside those of Salesforce.
const (
	CodeInDoubt  = "IN_DOUBT"              // the answer to an insert was lost; the record may exist in Salesforce
	CodeNoSFID   = "NO_SFID"               // an update of a row that Salesforce does not know
	CodeBadValue = "INVALID_VALUE"         // a captured value has no form that Salesforce takes
	CodePingPong = "PING_PONG"             // the value was changed back again and again
	CodeFrozen   = "FIELD_FROZEN"          // the field cannot be seen in Salesforce now
	CodeParent   = "PARENT_REFUSED"        // a record that it names was refused, and is waited for
	CodeTaken    = "DUPLICATE_SFID"        // Salesforce answered with an id that another row holds
	CodeTwin     = "DUPLICATE_EXTERNAL_ID" // another row whose change goes before has the same external id
)

// ErrOtherOrg reports that the schema belongs to another Salesforce org than
// the one given. Nothing has been changed.
var ErrOtherOrg = errors.New("schema belongs to another org")

// Class says what to do about a failure.
type Class int

// The classes of a failure. The zero value is Transient.
const (
	Transient Class = iota // try again after a while; only this record waits
	Limit                  // the org is out of calls; everything waits, no attempt is counted
	Permanent              // a person must change something
	Conflict               // the record is not as we think, such as deleted
)

// String returns the class in lower case, as in log lines.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Limit:
		return "limit"
	case Permanent:
		return "permanent"
	case Conflict:
		return "conflict"
	}
	return "unknown"
}

// Failure is why a record, or a whole call, was not written.
type Failure struct {
	Class   Class
	InDoubt bool   // the request may have taken effect all the same
	Ended   bool   // with InDoubt: but it does not run any more
	Unsent  bool   // the Sender has kept the request back, as it would be refused like the last
	Code    string // Salesforce's, "REQUIRED_FIELD_MISSING"
	Message string // Salesforce's, which may quote values of a record
	Reason  string // the same for logs, where a Sender has another text for them
	Fields  []string

	// Retries is how often a Permanent one is tried again all the same, because what
	// it misses may be on its way.
	Retries int
}

// Error returns what logs may say: the reason, else code and message.
func (f *Failure) Error() string {
	if f.Reason != "" {
		return f.Reason
	}
	if f.Code == "" {
		return f.Message
	}
	return f.Code + ": " + f.Message
}

// failureOf turns whatever a Sender returned into a Failure. An error of
// another type says nothing about the request's fate, so it is in doubt.
func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Class: Transient, InDoubt: true, Message: err.Error()}
}

// gone reports whether the failure says that the record does not exist any
// more, which is what a delete wanted.
func (f *Failure) gone() bool {
	switch f.Code {
	case "ENTITY_IS_DELETED", "NOT_FOUND", "404", "INVALID_CROSS_REFERENCE_KEY":
		return true
	}
	return false
}

// column is the JSON text for _hc_err.
func (f *Failure) column(at time.Time) string {
	fields := f.Fields
	if fields == nil {
		fields = []string{}
	}
	b, err := json.Marshal(struct {
		Code    string    `json:"code"`
		Message string    `json:"message"`
		Fields  []string  `json:"fields"`
		At      time.Time `json:"at"`
	}{f.Code, f.Message, fields, at.UTC().Truncate(time.Millisecond)})
	if err != nil { // strings and a time always marshal
		return `{"code":"","message":"","fields":[]}`
	}
	return string(b)
}

// parked is the failure of an insert whose answer was lost and of which nobody
// can tell whether it took effect. candidates are records that may be its own.
func parked(cause *Failure, candidates ...string) *Failure {
	why := "the bridge stopped before it arrived"
	if cause != nil && cause.Message != "" {
		why = cause.Message
	}
	return &Failure{
		Class: Permanent, InDoubt: true, Code: CodeInDoubt,
		Message: fmt.Sprintf("%s: the answer to this insert was lost (%s). The record may exist in Salesforce, so the insert is not sent again "+
			"by itself. "+parkedAdvice+" if it exists, dismiss this entry (state IGNORED); if not, retry it by its id, or set state NEW and sf_message NULL.%s", CodeInDoubt, why, candidatesText(candidates)),
	}
}

// parkedAdvice is how parked begins to say what to do.
const parkedAdvice = "Look for it there:"

// parked is why an insert in doubt is parked again that somebody has made NEW. Where its
// message says it already, with the records that may be it, that stays.
func (e *entry) parked() *Failure {
	f := parked(nil)
	if strings.Contains(e.message, parkedAdvice) {
		f.Message = e.message
	}
	return f
}
