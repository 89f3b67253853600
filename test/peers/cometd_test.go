package peers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"hcbridge/test/org"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notification is the data of a PushTopic event.
type notification struct {
	Event struct {
		Type     string `json:"type"`
		ReplayID int64  `json:"replayId"`
	} `json:"event"`
	SObject map[string]any `json:"sobject"`
}

func started(t *testing.T, options org.Options) *org.Server {
	t.Helper()
	o := org.New(options).Start()
	t.Cleanup(o.Close)
	return o
}

// token logs in as the integration user.
func token(t *testing.T, o *org.Server) string {
	t.Helper()
	form := url.Values{
		"grant_type": {"password"}, "client_id": {org.DefaultClientID}, "client_secret": {org.DefaultClientSecret},
		"username": {org.DefaultUsername}, "password": {org.DefaultPassword},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.URL()+"/services/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	defer http.DefaultClient.CloseIdleConnections()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.AccessToken == "" {
		t.Fatalf("login: HTTP %d, %v", res.StatusCode, err)
	}
	return body.AccessToken
}

// TestCometD lets the reference client of CometD read a topic from its start,
// live, and again from the middle.
func TestCometD(t *testing.T) {
	t.Parallel()
	o := started(t, org.Options{})
	if _, err := o.Insert("PushTopic", map[string]any{
		"Name": "peer_Account", "Query": "SELECT Id, Name, Industry FROM Account", "ApiVersion": "66.0", "NotifyForFields": "All",
	}); err != nil {
		t.Fatal(err)
	}
	env := []string{"TOKEN=" + token(t, o), "CHANNEL=/topic/peer_Account"}
	before, err := o.Insert("Account", map[string]any{"Name": "before"})
	if err != nil {
		t.Fatal(err)
	}

	s := run(t, o, "cometd.mjs", append(env, "REPLAY=-2")...)
	s.is("handshake", `{"ok":true,"replay":true}`)
	events := s.events(1)
	for _, step := range []func() error{
		func() error { return o.Update("Account", before, map[string]any{"Industry": "Energy"}) },
		func() error { return o.Update("Account", before, map[string]any{"Industry": nil, "Name": "after"}) },
		func() error { return o.Delete("Account", before) },
		func() error { return o.Undelete("Account", before) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	events = append(events, s.events(4)...)
	want := []string{
		fmt.Sprintf("created map[Id:%s Industry:<nil> Name:before]", before),
		fmt.Sprintf("updated map[Id:%s Industry:Energy Name:before]", before),
		fmt.Sprintf("updated map[Id:%s Industry:<nil> Name:after]", before),
		fmt.Sprintf("deleted map[Id:%s]", before),
		fmt.Sprintf("undeleted map[Id:%s Industry:<nil> Name:after]", before),
	}
	if got := text(events); !reflect.DeepEqual(got, want) {
		t.Errorf("events %q\nwant %q", got, want)
	}
	s.stop()
	s.is("disconnect", `{"ok":true}`)
	s.ended()
	if n := o.StreamClients(); n != 0 {
		t.Errorf("%d sessions after the disconnect", n)
	}

	// While nobody listens.
	if _, err := o.Insert("Account", map[string]any{"Name": "meanwhile"}); err != nil {
		t.Fatal(err)
	}
	s = run(t, o, "cometd.mjs", append(env, fmt.Sprintf("REPLAY=%d", events[2].Event.ReplayID))...)
	s.is("handshake", `{"ok":true,"replay":true}`)
	resumed := s.events(3)
	if got := text(resumed); !reflect.DeepEqual(got[:2], want[3:]) || resumed[2].SObject["Name"] != "meanwhile" {
		t.Errorf("resumed with %q", got)
	}
	s.stop()
	s.is("disconnect", `{"ok":true}`)
	s.ended()
}

// TestCometDSurvives takes the session away and changes cookies under the
// reference client; it loses nothing, because the errors are the ones it knows.
func TestCometDSurvives(t *testing.T) {
	t.Parallel()
	o := started(t, org.Options{})
	if _, err := o.Insert("PushTopic", map[string]any{
		"Name": "peer_Account", "Query": "SELECT Id, Name FROM Account", "ApiVersion": "66.0", "NotifyForFields": "All",
	}); err != nil {
		t.Fatal(err)
	}
	next := 0
	change := func() {
		t.Helper()
		next++
		if _, err := o.Insert("Account", map[string]any{"Name": fmt.Sprint(next)}); err != nil {
			t.Fatal(err)
		}
	}
	change()
	s := run(t, o, "cometd.mjs", "TOKEN="+token(t, o), "CHANNEL=/topic/peer_Account", "REPLAY=-2")
	s.is("handshake", `{"ok":true,"replay":true}`)
	check := func(what string, n int) {
		t.Helper()
		for _, e := range s.events(n) {
			n--
			if e.SObject["Name"] != fmt.Sprint(next-n) {
				t.Fatalf("%s: event %v, want name %d", what, e, next-n)
			}
		}
	}
	check("start", 1)
	for range 2 {
		o.Stream().RotateCookies()
		change()
		check("new cookie", 1)
	}
	for range 3 {
		o.Forget()
		change()
		s.is("connect", `{"error":"403::Unknown client"}`)
		s.is("handshake", `{"ok":true,"replay":true}`)
		check("forgotten", 1)
		change()
		check("after", 1)
	}
	o.Stream().Drop(func(string, int64) bool { return true })
	change()
	o.Stream().Drop(nil)
	o.Forget()
	change()
	s.is("connect", `{"error":"403::Unknown client"}`)
	s.is("handshake", `{"ok":true,"replay":true}`)
	check("an event between two polls", 2)
	s.stop()
	s.is("disconnect", `{"ok":true}`)
	s.ended()
}

// events returns the next n events, whose replay ids must grow.
func (s *script) events(n int) []notification {
	s.t.Helper()
	var out []notification
	for len(out) < n {
		var said struct {
			Data notification `json:"data"`
		}
		s.next("event", &said)
		if last := len(out) - 1; last >= 0 && out[last].Event.ReplayID >= said.Data.Event.ReplayID {
			s.t.Errorf("replay id %d after %d", said.Data.Event.ReplayID, out[last].Event.ReplayID)
		}
		out = append(out, said.Data)
	}
	return out
}

func text(events []notification) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = fmt.Sprintf("%s %v", e.Event.Type, e.SObject)
	}
	return out
}
