package bayeux

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What the client does after a connect reply, for every kind of advice. Each
// case answers the second connect of a session, 20 s after the first, and says
// what is sent then and how much later.
func TestAdvice(t *testing.T) {
	t.Parallel()
	const (
		connect   = "connect"
		handshake = "handshake"
		bye       = "disconnect"
	)
	cases := []struct {
		name, reply string
		next        []string
		after       time.Duration // to the last of next
	}{
		{"Absent", `"successful":true`, []string{connect}, 0},
		{"Null", `"successful":true,"advice":null`, []string{connect}, 0},
		{"Retry", `"successful":true,"advice":{"reconnect":"retry","interval":0}`, []string{connect}, 0},
		{"Interval", `"successful":true,"advice":{"reconnect":"retry","interval":2000}`, []string{connect}, 2 * time.Second},
		{"MultipleClients", `"successful":true,"advice":{"interval":2000,"multiple-clients":true,"reconnect":"retry","timeout":110000}`, []string{connect}, 2 * time.Second},
		{"IntervalCapped", `"successful":true,"advice":{"interval":86400000}`, []string{connect}, 5 * time.Minute},
		{"IntervalNegative", `"successful":true,"advice":{"interval":-1}`, []string{bye, handshake}, time.Second},
		{"NestedWins", `"successful":true,"advice":{"reconnect":"none","interval":9,"long-polling":{"reconnect":"retry","interval":3000}}`, []string{connect}, 3 * time.Second},
		{"NestedOfAnotherTransport", `"successful":true,"advice":{"reconnect":"retry","callback-polling":{"reconnect":"none"}}`, []string{connect}, 0},
		{"HandshakeOnSuccess", `"successful":true,"advice":{"reconnect":"handshake"}`, []string{bye, handshake}, 0},
		{"HandshakeAfterInterval", `"successful":false,"error":"403::Unknown client","advice":{"reconnect":"handshake","interval":4000}`, []string{handshake}, 4 * time.Second},
		{"HandshakeOtherError", `"successful":false,"error":"500::x","advice":{"reconnect":"handshake"}`, []string{bye, handshake}, 0},
		{"UnknownClientWithoutAdvice", `"successful":false,"error":"403::Unknown client"`, []string{handshake}, 0},
		{"UnknownClientAdviceRetry", `"successful":false,"error":"402::Unknown client","advice":{"reconnect":"retry"}`, []string{handshake}, 0},
		{"UnknownClientAdviceNone", `"successful":false,"error":"402::session_unknown","advice":{"reconnect":"none"}`, []string{handshake}, 0},
		{"TokenAdviceRetry", `"successful":false,"error":"401::Authentication invalid","advice":{"reconnect":"retry"}`, []string{handshake}, 0},
		{"LimitAdviceNone", `"successful":false,"error":"403::Organization total events daily limit exceeded","advice":{"reconnect":"none"}`, []string{bye, handshake}, time.Minute},
		{"FailedNoAdvice", `"successful":false,"error":"500::x"`, []string{connect}, time.Second},
		{"FailedRetryInterval", `"successful":false,"advice":{"reconnect":"retry","interval":7000}`, []string{connect}, 7 * time.Second},
		{"Nonsense", `"successful":true,"advice":{"reconnect":"perhaps","interval":"soon","timeout":null}`, []string{connect}, 0},
		{"NotAnObject", `"successful":true,"advice":"retry"`, []string{connect}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(b *bundle) {
				b.server.hold = 20 * time.Second
				b.subscribe()
				b.run(10 * time.Second)
				b.server.control(metaConnect, fmt.Sprintf(`[{"channel":"/meta/connect","id":"$id",%s}]`, c.reply))
				b.pass(10 * time.Second) // the second connect ends, the third gets the reply
				at := 20 * time.Second
				before := slices.Index(b.server.requests(), "connect") + 3
				b.pass(c.after)
				got := b.server.requests()[before:]
				if len(got) < len(c.next) || !slices.Equal(got[:len(c.next)], c.next) {
					t.Fatalf("then sent %v, want %v", got, c.next)
				}
				if sentAt := b.server.log[before+len(c.next)-1].at; sentAt != at+c.after {
					t.Errorf("sent after %s, want %s", sentAt-at, c.after)
				}
			})
		})
	}
}

// Advice ends with its session: the handshake reply of Salesforce carries none,
// and a client that went on with the old "handshake" would loop.
func TestAdviceEndsWithItsSession(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bundle) {
		b.subscribe()
		b.server.control(metaConnect,
			`[{"channel":"/meta/connect","successful":true,"advice":{"interval":60000}}]`,
			`[{"channel":"/meta/connect","successful":false,"error":"403::Unknown client","advice":{"reconnect":"handshake"}}]`,
			heldConnect, heldConnect)
		b.run(2*time.Minute + time.Second)
		// After the handshake the old interval is gone too.
		equal(t, "requests", b.server.requests(),
			"handshake", "subscribe", "connect", "connect", "handshake", "subscribe", "connect", "connect", "connect", "connect")
	})
}

func FuzzAdvice(f *testing.F) {
	f.Add([]byte(`{"reconnect":"retry","interval":0,"timeout":110000}`))
	f.Add([]byte(`{"long-polling":{"interval":-1e300}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var w wireAdvice
		if err := w.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		a := advice{}.merge(&w, "long-polling")
		if a.interval < 0 || a.interval > maxInterval || a.timeout < 0 || a.timeout > maxTimeout {
			t.Errorf("%s gives %+v", raw, a)
		}
	})
}
