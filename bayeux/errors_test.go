package bayeux

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Every text the Streaming API is known to send, and what it means to us.
func TestError(t *testing.T) {
	t.Parallel()
	const denied = "403::Handshake denied"
	cases := []struct{ message, reason, want string }{
		{"401::Authentication invalid", "", "unauthorized"},
		{denied, "401::Authentication invalid", "unauthorized"},
		{denied, "401::Request requires authentication", "unauthorized"},
		{"401::Authentication invalid", "503::Server is too busy.  Please try your request again later.", "busy"},
		{"403:denied_by_security_policy:subscribe_denied", "503::Server is too busy.  Please try your request again later.", "busy"},
		{denied, "403::Organization concurrent user limit exceeded", "limit"},
		{denied, "403::To protect all customers from excessive use and Denial of Service attacks, we limit the number of simultaneous connections per server.  Your request has been denied because this limit has been exceeded.  Please try your request again later.", "limit"},
		{"403::Organization total events daily limit exceeded", "", "limit"},
		{"403::Subscription limit exceeded for this topic", "", "limit"},
		{"403::Unknown client", "", "unknown"},
		{"402::Unknown client", "", "unknown"},
		{"402::session_unknown", "", "unknown"},
		{"401:x6e2p:Unknown client", "", "unknown"},
		{"402:clientId:Missing required parameter", "", ""},
		{"403::Client has not completed handshake", "", "unknown"},
		{"400::Client 1abc has established a session, but no BAYEUX_BROWSER cookie present", "", "unknown"},
		{"400::Authenticated user id does not match the session's user id", "", "unknown"},
		{"400::The replayId {1} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.", "", "replay"},
		{"400::The channel you requested to subscribe to doesn't exist {/topic/X}", "", ""},
		{"403:denied_by_security_policy:create_denied", "", ""},
		{"403::Cannot create channel {/topic/X}", "", ""},
		{"403::Restricted channel", "", ""},
		{"403::User not enabled for streaming", "", ""},
		{"403::Subscriber does not have access to the entity in this topic", "", ""},
		{denied, "", ""},
		{"", "", ""},
		{"something else", "", ""},
	}
	for _, c := range cases {
		e := newError("/meta/x", "", c.message, c.reason)
		var got []string
		for name, is := range map[string]bool{
			"unauthorized": e.Unauthorized(), "busy": e.Busy(), "limit": e.LimitExceeded(),
			"unknown": e.UnknownClient(), "replay": e.ReplayInvalid(),
		} {
			if is {
				got = append(got, name)
			}
		}
		if strings.Join(got, "+") != c.want {
			t.Errorf("%q (%q) is %v, want %q", c.message, c.reason, got, c.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	cases := []struct {
		e    *Error
		want string
	}{
		{newError("/meta/connect", "", "403::Unknown client", ""), "/meta/connect: 403::Unknown client"},
		{newError("/meta/handshake", "", "403::Handshake denied", "401::Authentication invalid"), "/meta/handshake: 403::Handshake denied (401::Authentication invalid)"},
		{newError("/meta/subscribe", "/topic/x", "", ""), "/meta/subscribe /topic/x: not successful"},
		{&Error{Channel: "/meta/connect", HTTPStatus: 503}, "/meta/connect: HTTP 503"},
		{&Error{Channel: "/meta/connect", Err: errors.New("cut off")}, "/meta/connect: cut off"},
	}
	for _, c := range cases {
		if got := c.e.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if err := fmt.Errorf("x: %w", &Error{Err: errTooLarge}); !errors.Is(err, errTooLarge) {
		t.Error("the cause is not in the chain")
	}
}

func FuzzError(f *testing.F) {
	f.Add("403::Unknown client", "")
	f.Add("403::Handshake denied", "401::Authentication invalid")
	f.Add("403:denied_by_security_policy:create_denied", "503::Server is too busy.")
	f.Fuzz(func(t *testing.T, message, reason string) {
		e := newError("/meta/connect", "", message, reason)
		if !strings.HasSuffix(message, e.Text) && !strings.HasSuffix(reason, e.Text) {
			t.Errorf("text %q is the tail of neither %q nor %q", e.Text, message, reason)
		}
		if e.Code != 0 && (e.Code < 100 || e.Code > 999) {
			t.Errorf("code %d of %q, %q", e.Code, message, reason)
		}
		if e.Busy() && e.Unauthorized() {
			t.Errorf("%q, %q is busy and asks for a new token", message, reason)
		}
		_ = e.Error()
	})
}
