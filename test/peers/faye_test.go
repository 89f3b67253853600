package peers

import (
	"fmt"
	"testing"

	"hcbridge/test/org"
)

// TestFaye lets the client of the faye project read 2,000 events, of which some
// are older than its subscription, while its session is taken from it and its
// cookies change; then its token is revoked.
func TestFaye(t *testing.T) {
	t.Parallel()
	o := started(t, org.Options{})
	if _, err := o.Insert("PushTopic", map[string]any{
		"Name": "peer_Account", "Query": "SELECT Id, Name FROM Account", "ApiVersion": "66.0", "NotifyForFields": "All",
	}); err != nil {
		t.Fatal(err)
	}
	made, seen := 0, 0
	change := func(n int) {
		t.Helper()
		for range n {
			made++
			if _, err := o.Insert("Account", map[string]any{"Name": fmt.Sprint(made)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	change(500)
	s := run(t, o, "faye.mjs", "AUTHORIZATION=OAuth "+token(t, o), "CHANNEL=/topic/peer_Account", "REPLAY=-2")
	check := func() {
		t.Helper()
		for _, e := range s.events(made - seen) {
			if seen++; e.SObject["Name"] != fmt.Sprint(seen) {
				t.Fatalf("event %v instead of number %d", e, seen)
			}
		}
	}
	check()
	for range 3 {
		o.Stream().RotateCookies()
		for range 2 { // the second time with the new cookie
			change(100)
			check()
		}
		o.Forget()
		change(200)
		check()
	}
	o.RevokeTokens()
	s.is("refused", `{"channel":"/meta/connect","error":"401::Authentication invalid"}`)
	change(100)
	s.tell("Bearer of-nobody")
	s.is("refused", `{"channel":"/meta/handshake","error":"403::Handshake denied","reason":"401::Authentication invalid"}`)
	s.tell("Bearer " + token(t, o))
	change(200)
	check()
	s.stop()
	s.is("disconnect", `{"good":5,"errors":{"403::Unknown client":3,"401::Authentication invalid":1,"403::Handshake denied":1}}`)
	s.ended()
	if n := o.StreamClients(); n != 1 { // the one whose token was revoked stays its 40 s
		t.Errorf("%d sessions after the disconnect", n)
	}
}
