package cometd

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestEventsOnConnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Gap: contiguous(3), Pickup: time.Second})
		u := newUser(t, s).open()
		u.subscribe(topic, "-1")
		reply := u.poll()
		synctest.Wait()
		publish(s, topic, 2)
		time.Sleep(999 * time.Millisecond)
		publish(s, topic, 1)
		synctest.Wait()
		select {
		case m := <-reply:
			t.Fatalf("answered before the pick-up: %v", m)
		default:
		}
		msgs := <-reply
		if got := events(msgs); !reflect.DeepEqual(got, []int64{1, 4, 7}) {
			t.Errorf("events %v", got)
		}
		if m := meta(msgs, metaConnect); m == nil || m["successful"] != true {
			t.Errorf("no connect reply in %v", msgs)
		}
	})
}

func TestReplay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		replay string
		want   []int64
	}{
		{"", nil},
		{"-1", nil},
		{`"-1"`, nil},
		{`"3"`, nil},
		{"-2", []int64{1, 3, 5}},
		{`"-2"`, []int64{1, 3, 5}},
		{"1", []int64{3, 5}},
		{"5", nil},
	} {
		t.Run(c.replay, func(t *testing.T) {
			t.Parallel()
			for _, ride := range []Ride{RideSubscribe, RideConnect} {
				s := New(Config{Gap: contiguous(2), Ride: ride, Hold: time.Millisecond})
				publish(s, topic, 3)
				u := newUser(t, s).open()
				sub := u.subscribe(topic, c.replay)
				if m := meta(sub, metaSubscribe); m["successful"] != true || m["subscription"] != topic {
					t.Fatalf("subscribe %v", m)
				}
				con := u.connect()
				got, other := events(sub), events(con)
				if ride == RideConnect {
					got, other = other, got
				}
				if !reflect.DeepEqual(got, c.want) || other != nil {
					t.Errorf("ride %d: got %v and %v, want %v", ride, got, other, c.want)
				}
			}
		})
	}
}

func TestReplayInvalid(t *testing.T) {
	t.Parallel()
	clock := &steps{now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := New(Config{Gap: contiguous(2), Clock: clock.Now})
	publish(s, topic, 2)
	u := newUser(t, s).open()
	refused := func(id string) {
		t.Helper()
		m := meta(u.subscribe(topic, id), metaSubscribe)
		want := `{"channel":"/meta/subscribe","clientId":"` + u.id + `","error":"400::The replayId {` + id +
			`} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.",` +
			`"id":"4","subscription":"` + topic + `","successful":false}`
		if asJSON(m) != want {
			t.Errorf("got %s", asJSON(m))
		}
	}
	refused("2")  // in a gap
	refused("99") // never given
	clock.now = clock.now.Add(25 * time.Hour)
	refused("3") // purged
	if s.Stored(topic) != 0 {
		t.Errorf("%d events kept after 25 h", s.Stored(topic))
	}
	publish(s, topic, 1)
	s.ExpireReplay(topic)
	refused("5")
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		u := newUser(t, s).open()
		u.subscribe(topic, "-1")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { u.post(ctx, u.connectBody()); close(done) }()
		synctest.Wait()
		cancel()
		<-done
		publish(s, topic, 1)
		if got := events(u.connect()); len(got) != 1 {
			t.Errorf("events %v after a lost poll", got)
		}
	})
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	s := New(Config{Authorize: func(_, sub string) string {
		if strings.HasPrefix(sub, "/topic/No") {
			return "400::The channel you requested to subscribe to doesn't exist {" + sub + "}"
		}
		return ""
	}, Hold: time.Millisecond})
	u := newUser(t, s).open()
	both := u.send(`[{"channel":"/meta/subscribe","clientId":"` + u.id + `","id":1,"subscription":"/topic/A"},
		{"channel":"/meta/subscribe","clientId":"` + u.id + `","id":2,"subscription":["/topic/B","/topic/C"]}]`)
	if len(both) != 2 || both[1]["successful"] != true || asJSON(both[1]["subscription"]) != `["/topic/B","/topic/C"]` || both[0]["id"] != 1.0 {
		t.Fatalf("replies %v", both)
	}
	for sub, want := range map[string]string{
		`"/topic/No"`:    "400::The channel you requested to subscribe to doesn't exist {/topic/No}",
		`"topic/A"`:      errNoSlash,
		`""`:             errNoChannel,
		`"/meta/*"`:      errRestricted,
		`["/a","/meta"]`: "",
	} {
		m := u.one(`{"channel":"/meta/subscribe","clientId":"` + u.id + `","subscription":` + sub + `}`)
		if got, _ := m["error"].(string); got != want {
			t.Errorf("%s: %v", sub, m)
		}
	}
	publish(s, "/topic/B", 1)
	publish(s, "/topic/A", 1)
	var order []string
	for _, m := range u.connect() {
		if m["data"] != nil {
			order = append(order, m["channel"].(string))
		}
	}
	if !reflect.DeepEqual(order, []string{"/topic/B", "/topic/A"}) {
		t.Errorf("order %v", order)
	}
	if m := u.one(`{"channel":"/meta/unsubscribe","clientId":"` + u.id + `","subscription":"/topic/A"}`); m["successful"] != true {
		t.Errorf("unsubscribe %v", m)
	}
	publish(s, "/topic/A", 1)
	if got := events(u.connect()); got != nil {
		t.Errorf("events %v after unsubscribe", got)
	}
}

func TestFilteredSubscription(t *testing.T) {
	t.Parallel()
	s := New(Config{Hold: time.Millisecond, Ride: RideSubscribe})
	publish(s, topic, 1)
	u := newUser(t, s).open()
	if got := events(u.subscribe(topic+"?Industry='Energy'&Name='x'", "-2")); len(got) != 1 {
		t.Errorf("matching filter: %v", got)
	}
	if got := events(u.subscribe(topic+"?Industry='Steel'", "-2")); got != nil {
		t.Errorf("other filter: %v", got)
	}
}

func TestAllocation(t *testing.T) {
	t.Parallel()
	clock := &steps{now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := New(Config{Allocation: 3, Clock: clock.Now, Hold: time.Millisecond, Ride: RideConnect, Gap: contiguous(1)})
	u := newUser(t, s).open()
	publish(s, topic, 5)
	u.subscribe(topic, "-2")
	if got := events(u.connect()); len(got) != 3 {
		t.Errorf("delivered %v of 3", got)
	}
	if m := meta(u.connect(), metaConnect); m["error"] != errEventLimit {
		t.Errorf("over the limit: %v", m)
	}
	if m := meta(u.subscribe(topic, "3"), metaSubscribe); m["error"] != errEventLimit {
		t.Errorf("subscribe over the limit: %v", m)
	}
	clock.now = clock.now.Add(24 * time.Hour)
	u.subscribe(topic, "3")
	if got := events(u.connect()); !reflect.DeepEqual(got, []int64{4, 5}) {
		t.Errorf("the next day: %v", got)
	}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := New(Config{StoreBytes: 10_000})
	publish(s, topic, 5000)
	if s.stored > 10_000 || s.Stored(topic) == 0 {
		t.Errorf("%d bytes in %d events", s.stored, s.Stored(topic))
	}
}

// Whatever a client does between, the events it gets over all its sessions,
// resuming from the last id it saw, are all events in order.
func TestResumeLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := New(Config{Hold: time.Microsecond, Seed: rapid.Uint64().Draw(rt, "seed")})
		u := newUser(t, s).open()
		var got []int64
		take := func(msgs []message) { got = append(got, events(msgs)...) }
		resume := func() {
			u.open()
			from := "-2"
			if len(got) > 0 {
				from = fmt.Sprint(got[len(got)-1])
			}
			take(u.subscribe(topic, from))
		}
		resume()
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				publish(s, topic, rapid.IntRange(1, 5).Draw(rt, "n"))
			case 2:
				take(u.connect())
			case 3:
				s.Forget()
				resume()
			case 4:
				s.Drop(func(string, int64) bool { return true })
				publish(s, topic, 1)
				s.Drop(nil)
				s.DisconnectAll()
				take(u.connect())
				resume()
			}
		}
		take(u.connect())
		c := s.channels[topic]
		if c == nil {
			return
		}
		var want []int64
		for _, e := range c.events {
			want = append(want, e.replayID)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("got %v, want %v", got, want)
		}
	})
}
