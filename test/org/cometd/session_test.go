package cometd

import (
	"reflect"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "/topic/hc_Account"

func TestHandshake(t *testing.T) {
	t.Parallel()
	u := newUser(t, New(Config{}))
	m := u.handshake()
	if _, advice := m["advice"]; advice {
		t.Error("a successful handshake carries advice")
	}
	if ok, _ := regexp.MatchString(`^[0-9a-z]{26,27}$`, u.id); !ok {
		t.Errorf("client id %q", u.id)
	}
	want := message{"replay": true, "payload.format": true}
	if !reflect.DeepEqual(m["ext"], want) || m["id"] != "1" || m["version"] != "1.0" {
		t.Errorf("handshake reply %v", m)
	}
	for _, name := range []string{"BAYEUX_BROWSER", "t", "sfdc-stream"} {
		if u.cookies[name] == "" {
			t.Errorf("no cookie %s", name)
		}
	}
	if got := len(u.send(`[{"channel":"/meta/handshake"},{"channel":"/meta/connect"}]`)); got != 1 {
		t.Errorf("a handshake with company got %d replies", got)
	}
}

func TestConnectHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUser(t, New(Config{}))
		u.handshake()
		start := time.Now()
		first := meta(u.connect(), metaConnect)
		want := message{"interval": 0.0, "timeout": 110000.0, "reconnect": "retry"}
		if !reflect.DeepEqual(first["advice"], want) || first["id"] != 7.0 || time.Since(start) != 0 {
			t.Fatalf("first connect %v after %s", first, time.Since(start))
		}
		second := meta(u.connect(), metaConnect)
		if _, ok := second["advice"]; ok || time.Since(start) != 110*time.Second {
			t.Fatalf("second connect %v after %s", second, time.Since(start))
		}
	})
}

func TestSessionExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		u := newUser(t, s).open()
		time.Sleep(39 * time.Second)
		if m := meta(u.connect(), metaConnect); m["successful"] != true {
			t.Fatalf("after 39 s: %v", m)
		}
		time.Sleep(41 * time.Second)
		if n := s.Clients(); n != 0 {
			t.Errorf("%d clients", n)
		}
		got := asJSON(u.connect())
		want := `[{"advice":{"interval":0,"reconnect":"handshake"},"channel":"/meta/connect","error":"403::Unknown client","id":7,"successful":false}]`
		if got != want {
			t.Errorf("after 41 s: %s", got)
		}
	})
}

func TestCookies(t *testing.T) {
	t.Parallel()
	s := New(Config{Hold: time.Millisecond})
	u := newUser(t, s).open()
	keep := u.cookies["BAYEUX_BROWSER"]
	delete(u.cookies, "BAYEUX_BROWSER")
	m := meta(u.connect(), metaConnect)
	if want := "400::Client {" + u.id + "} has established a session, but no BAYEUX_BROWSER cookie present"; m["error"] != want {
		t.Errorf("error %v", m["error"])
	}
	u.cookies["BAYEUX_BROWSER"] = keep
	old := u.cookies["sfdc-stream"]
	delete(u.cookies, "sfdc-stream")
	if m := meta(u.connect(), metaConnect); m["error"] != errUnknownClient {
		t.Errorf("without sfdc-stream: %v", m)
	}
	u.cookies["sfdc-stream"] = old
	s.RotateCookies()
	u.connect()
	if u.cookies["sfdc-stream"] == old {
		t.Fatal("the cookie did not rotate")
	}
	fresh := u.cookies["sfdc-stream"]
	u.cookies["sfdc-stream"] = old
	if m := meta(u.connect(), metaConnect); m["error"] != errUnknownClient {
		t.Errorf("with the old cookie: %v", m)
	}
	u.cookies["sfdc-stream"] = fresh
	if m := meta(u.connect(), metaConnect); m["successful"] != true {
		t.Errorf("with the new cookie: %v", m)
	}
}

func TestMultipleClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		a := newUser(t, s).open()
		b := newUser(t, s)
		b.cookies["BAYEUX_BROWSER"] = a.cookies["BAYEUX_BROWSER"]
		b.handshake()
		want := message{"interval": 2000.0, "timeout": 110000.0, "reconnect": "retry", "multiple-clients": true}
		for _, u := range []*user{a, b, a} {
			if m := meta(u.connect(), metaConnect); !reflect.DeepEqual(m["advice"], want) {
				t.Fatalf("advice %v", m["advice"])
			}
		}
		a.send(`{"channel":"/meta/disconnect","clientId":"` + a.id + `"}`)
		if m := meta(b.connect(), metaConnect); m["advice"].(message)["interval"] != 0.0 {
			t.Errorf("alone again: %v", m)
		}
	})
}

func TestSecondConnectReleasesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		u := newUser(t, s).open()
		start := time.Now()
		first := u.poll()
		synctest.Wait()
		second := u.poll()
		if m := meta(<-first, metaConnect); m["successful"] != true || time.Since(start) != 0 {
			t.Errorf("first connect %v after %s", m, time.Since(start))
		}
		synctest.Wait()
		u.send(`{"channel":"/meta/disconnect","clientId":"` + u.id + `","id":"9"}`)
		if m := meta(<-second, metaConnect); asJSON(m["advice"]) != `{"reconnect":"none"}` || time.Since(start) != 0 {
			t.Errorf("connect after disconnect %v", m)
		}
		if s.Clients() != 0 {
			t.Error("the session is still there")
		}
	})
}

func TestManyClients(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	defer s.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			u := newUser(t, s).open()
			n := len(events(u.subscribe(topic, "-2")))
			for n < 200 {
				n += len(events(u.connect()))
			}
		})
	}
	for range 20 {
		publish(s, topic, 10)
	}
	wg.Wait()
}

func TestSessionLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Clients: 1, Ride: RideConnect})
		u := newUser(t, s).open()
		time.Sleep(30 * time.Second)
		u.subscribe(topic, "-1") // any request keeps it alive
		time.Sleep(30 * time.Second)
		reply := u.poll()
		time.Sleep(time.Minute) // and so does a parked poll
		if s.Clients() != 1 || s.Parked() != 1 {
			t.Errorf("%d clients, %d parked", s.Clients(), s.Parked())
		}
		publish(s, "/topic/Other", 1)
		start := time.Now()
		u.subscribe("/topic/Other", "-2")
		if got := events(<-reply); len(got) != 1 || time.Since(start) != 0 {
			t.Errorf("the parked poll has %v of a new subscription after %s", got, time.Since(start))
		}
		both := u.send(`[{"channel":"/meta/connect","clientId":"` + u.id + `","connectionType":"long-polling"},
			{"channel":"/meta/unsubscribe","clientId":"` + u.id + `","subscription":"` + topic + `"}]`)
		if len(both) != 2 || time.Since(start) != 0 {
			t.Errorf("a connect with company: %v after %s", both, time.Since(start))
		}
		if m := newUser(t, s).handshake(); m["successful"] == true {
			t.Error("one session too many")
		}
		time.Sleep(41 * time.Second)
		if m := newUser(t, s).handshake(); m["successful"] != true {
			t.Errorf("an expired session takes a place: %v", m)
		}
	})
}
