package salesforce

import (
	"net/http"
	"strings"
)

// classify sorts a failure by its errorCode. The status decides only where there
// is no code that we know, because Salesforce sends the same code with different
// statuses (UNABLE_TO_LOCK_ROW arrives as 400 and as 500).
//
// Codes: SOAP API Developer Guide, "Core Data Types Used in API Calls"; REST API
// Developer Guide, "Status Codes and Error Responses".
func classify(status int, code, message string) (class Class, brief bool) {
	switch code {
	case CodeLocked, "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION", "QUERY_TIMEOUT",
		"REQUEST_RUNNING_TOO_LONG", CodeReadOnly,
		codeMoved, "ENTITY_IS_LOCKED", "API_CURRENTLY_DISABLED", "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE",
		"TOO_MANY_LOCK_FAILURE", "TooManyLockFailure":
		return Transient, false
	case CodeRequestLimit:
		// "ConcurrentRequests (Concurrent API Requests) Limit exceeded." against
		// "TotalRequests Limit exceeded.", which lasts up to a day.
		return Limit, strings.HasPrefix(message, "Concurrent")
	case "STORAGE_LIMIT_EXCEEDED", "LIMIT_EXCEEDED", "EXCEEDED_QUOTA", "ExceededQuota":
		return Limit, false
	case CodeInvalidSession, "INVALID_AUTH_HEADER":
		return Auth, false
	case CodeDuplicateValue, CodeDuplicateExtID, CodeDeleted:
		return Conflict, false
	case "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER":
		// A trigger or flow failed; what failed inside it is only in its text.
		if strings.Contains(message, "UNABLE_TO_LOCK_ROW") {
			return Transient, false
		}
		return Permanent, false
	}
	switch {
	case status == http.StatusUnauthorized:
		return Auth, false
	case status == http.StatusMultipleChoices, status == http.StatusPreconditionFailed:
		return Conflict, false
	case status == http.StatusTooManyRequests:
		return Limit, true
	case tooLarge(status):
		return Permanent, false
	case status >= 500, status == statusNoRoute:
		return Transient, false
	default:
		return Permanent, false
	}
}

// fate reports whether a write that the API answered so may have taken effect all
// the same, and if so, whether it is over at least. What Salesforce refuses with a
// status below 500, or because of a lock, a limit or the session, it has not done.
// An internal error proves nothing: it may have come up after the commit. Nor does
// a status of 500 with a code that we do not know, which may be of something in
// front of Salesforce, so there the request may run on, too.
func fate(status int, code string) (inDoubt, ended bool) {
	doubt := status >= 500
	switch code {
	case "":
		return true, false
	case "UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG":
		return true, true
	case "QUERY_TIMEOUT": // as a 400 it is about a query of the request's own
		return doubt, doubt
	}
	class, _ := classify(0, code, "")
	return doubt && class == Permanent, false
}

// statusNoRoute is Salesforce Edge's where it has no route to the org (REST API
// Developer Guide, "Status Codes and Error Responses").
const statusNoRoute = 420

// tooLarge reports statuses with which a server refuses a request for its size,
// before it does anything and for ever.
func tooLarge(status int) bool {
	return status == http.StatusRequestEntityTooLarge || status == http.StatusRequestURITooLong ||
		status == http.StatusRequestHeaderFieldsTooLarge
}

// untouched reports statuses that say by themselves, whatever the body, that the
// request was not carried out. A redirect is of an edge, or of an org that has moved.
func untouched(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusNotFound, http.StatusMethodNotAllowed, statusNoRoute:
		return true
	default:
		redirect := status > http.StatusMultipleChoices && status < http.StatusBadRequest
		return redirect || tooLarge(status)
	}
}

// classifyOAuth sorts an answer of the token host. What it refuses it refuses
// again, and repeated attempts lock the user out, so the default is Auth.
//
// Codes: Salesforce Help, "OAuth 2.0 Authorization Errors".
func classifyOAuth(status int, code, description string) (class Class, brief bool) {
	switch {
	case status >= 500, status == http.StatusTooManyRequests,
		code == "server_error", code == "temporarily_unavailable", code == "unknown_error":
		return Transient, false
	case code == "rate_limit_exceeded",
		strings.Contains(strings.ToLower(description), "rate exceeded"):
		return Limit, false
	case code == "":
		return Transient, false
	default:
		return Auth, false
	}
}
