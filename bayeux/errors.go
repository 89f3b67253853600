package bayeux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrRefused reports that the server will not have this client and advised
// against reconnecting, for a reason that is not its token. A person is needed.
var ErrRefused = errors.New("refused")

// ErrEndpoint reports an endpoint that a token must not be sent to: not a URL,
// or plain http to a host that is not loopback.
var ErrEndpoint = errors.New("endpoint not usable")

// ErrRunning reports a second Run while the first has not returned.
var ErrRunning = errors.New("already running")

var (
	errTooLarge = errors.New("reply too large")
	errNoReply  = errors.New("no reply to this subscription")
)

// Error is a failure the server reported in a Bayeux reply, for example
// "403::Unknown client", or the lack of a usable reply.
type Error struct {
	Channel      string // meta channel that failed, for example "/meta/connect"
	Subscription string // channel concerned, for /meta/subscribe

	// The decisive message in three parts, "code:args:text": Salesforce's
	// failure reason if there is one, else the error field. Code is 0 if the
	// message has none.
	Code       int
	Args, Text string

	Message string // the error field as sent
	Reason  string // ext.sfdc.failureReason as sent

	HTTPStatus int   // set if the HTTP status was not 200
	Err        error // set if there was no usable reply: what went wrong

	retryAfter time.Duration // the HTTP header, if there was one
	inDoubt    bool          // of a publish
}

// newError makes an Error of a reply's two texts. Salesforce hides the true
// cause in the failure reason ("Streaming API Developer Guide, Handling
// Streaming API Errors"), so that comes first.
func newError(channel, subscription, message, reason string) *Error {
	e := &Error{Channel: channel, Subscription: subscription, Message: message, Reason: reason}
	if e.Code, e.Args, e.Text = splitError(reason); e.Code == 0 {
		e.Code, e.Args, e.Text = splitError(message)
	}
	if e.Text == "" {
		e.Text = reason
	}
	return e
}

// splitError takes "code:args:text" apart ("Bayeux 1.0, error"). What does not
// have that form is all text.
func splitError(s string) (code int, args, text string) {
	parts := strings.SplitN(s, ":", 3)
	if len(parts) != 3 || len(parts[0]) != 3 {
		return 0, "", s
	}
	code, err := strconv.Atoi(parts[0])
	if err != nil || code < 100 {
		return 0, "", s
	}
	return code, parts[1], parts[2]
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Channel)
	if e.Subscription != "" {
		b.WriteString(" " + e.Subscription)
	}
	b.WriteString(": ")
	switch {
	case e.HTTPStatus != 0 && e.Err != nil:
		fmt.Fprintf(&b, "HTTP %d: %v", e.HTTPStatus, e.Err)
	case e.HTTPStatus != 0:
		fmt.Fprintf(&b, "HTTP %d", e.HTTPStatus)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	case e.Reason != "":
		b.WriteString(e.Message + " (" + e.Reason + ")")
	case e.Message != "":
		b.WriteString(e.Message)
	default:
		b.WriteString("not successful")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// InDoubt reports whether this is about a [Client.Publish] that the server may
// have taken although its reply did not come.
func (e *Error) InDoubt() bool { return e.inDoubt }

// Unauthorized reports whether the token was refused: any 401, except one the
// server shows while it is too busy, and faye's "401:...:Unknown client".
func (e *Error) Unauthorized() bool {
	if e.Busy() || e.Code == 401 && e.has("unknown client") {
		return false
	}
	return e.Code == 401 || e.HTTPStatus == 401 || codeOf(e.Message) == 401
}

// UnknownClient reports whether the server has no session for us any more, or
// none that we can go on with. All subscriptions are gone with it. CometD says
// 402 where Salesforce says 403 and faye 401; faye's 402 is another matter.
func (e *Error) UnknownClient() bool {
	switch e.Code {
	case 401:
		return e.has("unknown client")
	case 402:
		return !e.has("missing required parameter")
	case 403:
		return e.has("unknown client") || e.has("not completed handshake")
	case 400:
		return e.has("cookie present") || e.has("does not match the session")
	}
	return codeOf(e.Message) == 402 ||
		codeOf(e.Message) == 403 && strings.Contains(strings.ToLower(e.Message), "unknown client")
}

// ReplayInvalid reports whether the replay id is not, or no longer, one of the
// channel: purged after 24 h or 72 h, of another org or of a topic made anew.
func (e *Error) ReplayInvalid() bool {
	return e.Code == 400 && e.has("replayid") && e.has("invalid")
}

// LimitExceeded reports whether a limit of the org, the server or the topic is
// used up. Only time, or fewer clients, can heal that.
func (e *Error) LimitExceeded() bool {
	return e.Code == 403 && (e.has("limit exceeded") || e.has("limit has been exceeded"))
}

// orgLimit tells limits that concern every channel from those of one topic.
func (e *Error) orgLimit() bool {
	return e.LimitExceeded() && (e.has("organization") || e.has("simultaneous connections"))
}

// spent reports whether it is the day's events that are used up, which takes hours
// to heal and not minutes as the others do.
func (e *Error) spent() bool { return e.LimitExceeded() && e.has("daily limit") }

// Busy reports whether the server asked to come back in some minutes. It may
// show a refused token or a denied subscription at the same time, which then
// means nothing.
func (e *Error) Busy() bool { return e.Code == 503 }

// TooLarge reports whether a reply was larger than allowed by [WithMaxReply].
// The events in it were not delivered, and asking for them again would bring
// the same reply: the position has to move past them.
func (e *Error) TooLarge() bool { return errors.Is(e.Err, errTooLarge) }

// NoReply reports whether the server answered a request and said nothing of the
// subscription in it.
func (e *Error) NoReply() bool { return errors.Is(e.Err, errNoReply) }

// redirected reports whether the server wants us elsewhere, where the token
// must not go unasked.
func (e *Error) redirected() bool { return e.HTTPStatus >= 300 && e.HTTPStatus < 400 }

// noRoute reports whether there is no Bayeux server at the endpoint. 420 is said by
// Salesforce's edge where it does not know the org.
func (e *Error) noRoute() bool { return e.HTTPStatus == 404 || e.HTTPStatus == 420 }

// unanswered reports whether there was no usable reply at all.
func (e *Error) unanswered() bool { return e.Err != nil || e.HTTPStatus != 0 }

func (e *Error) has(lower string) bool {
	return strings.Contains(strings.ToLower(e.Text), lower)
}

func codeOf(s string) int {
	code, _, _ := splitError(s)
	return code
}
