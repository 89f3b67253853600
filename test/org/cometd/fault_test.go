package cometd

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		valid := map[string]string{"good": "005A", "other": "005B"}
		s := New(Config{Authenticate: func(token string) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			user, ok := valid[token]
			return user, ok
		}})
		u := newUser(t, s)
		u.token = "bad"
		got := asJSON(u.send(`[{"channel":"/meta/handshake","supportedConnectionTypes":["long-polling"]}]`))
		want := `[{"advice":{"reconnect":"none"},"channel":"/meta/handshake","error":"403::Handshake denied",` +
			`"ext":{"payload.format":true,"replay":true,"sfdc":{"failureReason":"401::Authentication invalid"}},"successful":false}]`
		if got != want {
			t.Errorf("handshake %s", got)
		}
		u.token = ""
		if !strings.Contains(asJSON(u.handshake()), errAuthRequired) {
			t.Error("handshake without a token")
		}
		u.token = "good"
		u.open()
		reply := u.poll()
		synctest.Wait()
		mu.Lock()
		delete(valid, "good")
		mu.Unlock()
		s.Recheck()
		got = asJSON(<-reply)
		want = `[{"advice":{"interval":0,"reconnect":"none"},"channel":"/meta/connect","clientId":"` + u.id +
			`","error":"401::Authentication invalid","id":7,"successful":false}]`
		if got != want {
			t.Errorf("revoked in the middle of a poll: %s", got)
		}
		if got := asJSON(u.connect()); got != want {
			t.Errorf("next connect: %s", got)
		}
		u.token = "other"
		if m := meta(u.connect(), metaConnect); m["error"] != errOtherUser {
			t.Errorf("another user: %v", m)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := New(Config{Clients: 1})
	u := newUser(t, s).open()
	for _, c := range []struct{ body, want string }{
		{`[]`, ""},
		{`nonsense`, ""},
		{`[1]`, ""},
		{`"x"`, ""},
		{`{"channel":"/meta/connect","clientId":"` + u.id + `","connectionType":"websocket"}`, "400::Invalid connection type {websocket}"},
		{`{"channel":"/meta/connect","clientId":"nobody","connectionType":"long-polling"}`, errUnknownClient},
		{`{"channel":"/meta/subscribe","subscription":"/topic/A"}`, errNoHandshake},
		{`{"channel":"/meta/handshake"}`, errClientLimit},
		{`{"channel":"/topic/A","data":{}}`, "publish_denied"},
	} {
		w := u.post(t.Context(), c.body)
		if c.want == "" && w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: HTTP %d %s", c.body, w.Code, w.Body)
		}
	}
	if w := u.post(t.Context(), strings.Repeat(" ", 32769)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("32,769 bytes: HTTP %d", w.Code)
	}
	r := httptest.NewRequest(http.MethodGet, "/cometd/66.0", nil)
	r.Header.Set("Upgrade", "websocket")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("upgrade: HTTP %d", w.Code)
	}
	for path, want := range map[string]string{"/cometd": errNoVersion, "/cometd/": errNoVersion, "/cometd/36.0/": errOldVersion, "/cometd/37.0/handshake": errClientLimit} {
		u.path = path
		if got := asJSON(u.handshake()); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Gap: contiguous(1), Ride: RideSubscribe})
		u := newUser(t, s).open()
		u.subscribe(topic, "-1")

		reply := u.poll()
		synctest.Wait()
		s.DisconnectAll()
		msgs := <-reply
		if meta(msgs, metaDisconnect) == nil || meta(msgs, metaConnect)["successful"] != true {
			t.Errorf("unsolicited disconnect: %v", msgs)
		}
		if m := meta(u.connect(), metaConnect); m["error"] != errUnknownClient {
			t.Errorf("after the disconnect: %v", m)
		}

		s.RefuseHandshake("503::Server is too busy.  Please try your request again later.", 1)
		if m := u.handshake(); m["error"] != errHandshakeDenied {
			t.Errorf("refused handshake: %v", m)
		}
		u.open()
		reply = u.poll()
		synctest.Wait()
		s.Forget()
		if m := meta(<-reply, metaConnect); m["error"] != errUnknownClient || m["clientId"] != nil {
			t.Errorf("forgotten: %v", m)
		}

		u.open()
		s.RefuseSubscribe(topic, "403:denied_by_security_policy:create_denied", "503::Server is too busy.", 1)
		if m := meta(u.subscribe(topic, "-1"), metaSubscribe); !strings.Contains(asJSON(m), `"failureReason":"503::Server is too busy."`) {
			t.Errorf("refused subscribe: %v", m)
		}
		u.subscribe(topic, "-1")
		s.Drop(func(_ string, id int64) bool { return id == 2 })
		s.Duplicate(2)
		publish(s, topic, 3)
		if got := events(u.connect()); !reflect.DeepEqual(got, []int64{1, 1, 3, 3}) {
			t.Errorf("dropped and doubled: %v", got)
		}
		s.Duplicate(1)
		s.Drop(nil)
		s.Mute(true)
		publish(s, topic, 1)
		if got := events(u.connect()); got != nil {
			t.Errorf("muted: %v", got)
		}
		s.Mute(false)
		publish(s, topic, 1)
		if got := events(u.connect()); !reflect.DeepEqual(got, []int64{5}) {
			t.Errorf("unmuted: %v", got)
		}
		v := newUser(t, s).open()
		if got := events(v.subscribe(topic, "-2")); !reflect.DeepEqual(got, []int64{1, 2, 3, 4, 5}) {
			t.Errorf("replay of dropped events: %v", got)
		}

		start := time.Now()
		s.Control(metaConnect, func(request, reply map[string]any) []map[string]any {
			reply["advice"] = message{"interval": 5000, "reconnect": "retry"}
			return []map[string]any{reply}
		})
		if m := meta(u.connect(), metaConnect); m["advice"] == nil || time.Since(start) != 0 {
			t.Errorf("controlled: %v", m)
		}
		s.ForgetEvery(1)
		if m := meta(u.connect(), metaConnect); m["error"] != errUnknownClient {
			t.Errorf("forget every: %v", m)
		}
		s.ForgetEvery(0)
		s.Reset(topic)
		publish(s, topic, 1)
		if s.LastReplayID(topic) != 1 {
			t.Errorf("replay id %d after reset", s.LastReplayID(topic))
		}
		log := s.Subscribes()
		if len(log) != 4 || string(log[3].Replay) != "-2" || log[1].Error == "" {
			t.Errorf("log %+v", log)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`[{"channel":"/meta/handshake","ext":{"replay":true}}]`))
	f.Add([]byte(`{"channel":"/meta/subscribe","clientId":"x","subscription":["/a",1],"ext":{"replay":{"/a":"-2"}}}`))
	f.Add([]byte(`[{"channel":"/meta/connect","advice":{"timeout":-1},"id":{}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := New(Config{Hold: time.Microsecond})
		u := newUser(t, s).open()
		w := u.post(t.Context(), strings.ReplaceAll(string(body), `"x"`, `"`+u.id+`"`))
		if w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Errorf("reply %q", w.Body)
		}
	})
}
