package bayeux

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// What a server may say or do, in any order and on any channel. $id is the id
// of the request, $c its channel.
var weather = []string{
	lost, stuck, eaten, "large", "301", "401", "403", "404", "413", "500", "503",
	"", "", "", // well
	"[]", "[{}]", "<html>", "{", `{"channel":"$c","successful":true}`,
	`[{"channel":"/meta/disconnect","successful":true}]`,
	`[{"channel":"$c","id":"$id","successful":true,"subscription":"/topic/hc_Account","clientId":"x"$a}]`,
	`[{"channel":"$c","id":"$id","successful":true,"subscription":"/topic/hc_Account","clientId":"x","ext":{"ack":true,"replay":true}$a}]`,
	`[{"channel":"$c","id":"$id","successful":false,"subscription":"/topic/hc_Account"$a}]`,
	`[{"channel":"$c","id":"$id","successful":false,"subscription":"/topic/hc_Account","error":"$e"$a}]`,
	`[{"channel":"$c","id":"$id","successful":false,"error":"403::Handshake denied","ext":{"sfdc":{"failureReason":"$e"}}$a}]`,
}

var complaints = []string{
	"403::Unknown client", "402::session_unknown", "401:x:Unknown client", "401::Authentication invalid", "500::x", "400::x",
	"400::The replayId {1} you provided was invalid.  Please provide a valid ID", "503::Server is too busy.", "403::subscribe_denied",
	"403::Organization total events daily limit exceeded", "nonsense", "",
}

// Whatever a server says, the client never spins and never falls asleep: once
// the server is well again an event arrives, unless it was told to stop by
// advice "none" with a reason of its own.
func TestWeather(t *testing.T) {
	t.Parallel()
	advice := rapid.Custom(func(r *rapid.T) string {
		pick := func(list ...string) string { return rapid.SampledFrom(list).Draw(r, "advice") }
		fields := pick("", `"reconnect":"retry"`, `"reconnect":"handshake"`, `"reconnect":"none"`, `"long-polling":{"reconnect":"handshake"}`) +
			pick("", `,"interval":0`, `,"interval":2000`, `,"interval":-1`, `,"interval":1e12`) +
			pick("", `,"timeout":0`, `,"timeout":30000`, `,"timeout":1e15`)
		if fields == "" {
			return ""
		}
		if fields[0] == ',' {
			fields = fields[1:]
		}
		return `,"advice":{` + fields + `}`
	})
	reply := rapid.Custom(func(r *rapid.T) string {
		return replace(rapid.SampledFrom(weather).Draw(r, "reply"), "$a", advice.Draw(r, "advice"),
			"$e", rapid.SampledFrom(complaints).Draw(r, "error"))
	})
	rapid.Check(t, func(r *rapid.T) {
		replies := map[string][]string{}
		for _, channel := range []string{metaHandshake, metaSubscribe, metaConnect} {
			for _, s := range rapid.SliceOfN(reply, 0, 8).Draw(r, channel) {
				replies[channel] = append(replies[channel], replace(s, "$c", channel))
			}
		}
		socket, acks := rapid.Bool().Draw(r, "socket"), rapid.Bool().Draw(r, "acks")
		if problem := storm(t, replies, socket, acks); problem != "" {
			r.Fatal(problem)
		}
	})
}

// storm lets a client live through replies and returns what is wrong after it.
func storm(t *testing.T, replies map[string][]string, socket, acks bool) (problem string) {
	t.Helper()
	var opts []Option
	if socket {
		opts = append(opts, WithWebSocket())
	}
	if acks {
		opts = append(opts, WithAck())
	}
	synctest.Test(t, func(t *testing.T) {
		f := &tube{fake: newFake()}
		f.fake.acks = acks
		for channel, list := range replies {
			f.control(channel, list...)
		}
		got := make(chan Message, 100)
		c, err := New(func(context.Context, string) (string, string, error) { return "fake", "token", nil },
			func(_ context.Context, msgs []Message) error {
				for _, m := range msgs {
					got <- m
				}
				return nil
			}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		c.open = func(string, string) (transport, error) { return f, nil }
		c.Subscribe(Subscription{Channel: topic, From: func() int64 { return FromAll }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()

		// Time enough for every wait there can be.
		const hours = 24
		time.Sleep(hours * time.Hour)
		synctest.Wait()
		select {
		case err := <-done:
			cancel()
			if !told(replies) {
				problem = fmt.Sprintf("stopped untold: %v", err)
			}
			return
		default:
		}
		// A held connect comes back every 110 s, at the least every 30 s, and
		// stormy hours may bring some more.
		if n := len(f.requests()); n > hours*120+200 {
			problem = fmt.Sprintf("%d requests in %d hours", n, hours)
		}
		f.publish(event(topic, 1))
		select {
		case <-got:
		case <-time.After(maxInterval + 3*time.Minute): // an interval stays advised
			problem = fmt.Sprintf("deaf: status %+v after %d requests", c.Status(), len(f.requests()))
		}
		cancel()
		if err := <-done; err != nil {
			problem = fmt.Sprintf("ended with %v", err)
		}
	})
	return problem
}

// told reports whether some reply asks not to reconnect.
func told(replies map[string][]string) bool {
	for _, list := range replies {
		for _, s := range list {
			if replace(s, `"reconnect":"none"`, "") != s {
				return true
			}
		}
	}
	return false
}

// replace replaces pairs of old and new.
func replace(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }

// However a server misbehaves, it must not be flooded.
func TestNeverATightLoop(t *testing.T) {
	t.Parallel()
	loops := map[string]func(f *fake){
		"UnknownClientForEver": func(f *fake) { many(f, metaConnect, unknownClient) },
		"TokenRefusedForEver":  func(f *fake) { many(f, metaConnect, invalidToken) },
		"HandshakeDenied":      func(f *fake) { many(f, metaHandshake, tokenDenied) },
		"Busy":                 func(f *fake) { many(f, metaConnect, hiddenBusy) },
		"ConnectionsReset":     func(f *fake) { many(f, metaHandshake, lost) },
		"Redirects":            func(f *fake) { many(f, metaHandshake, "302") },
		"NotThere":             func(f *fake) { many(f, metaHandshake, "404") },
		"ReplayInvalid":        func(f *fake) { many(f, metaSubscribe, replayInvalid) },
		"SubscribeUnanswered":  func(f *fake) { many(f, metaSubscribe, "[]") },
		"ConnectNeverHeld":     func(f *fake) { many(f, metaConnect, heldConnect) },
		"ConnectUnanswered":    func(f *fake) { many(f, metaConnect, "[]") },
		"ConnectFailsNoAdvice": func(f *fake) {
			many(f, metaConnect, `[{"channel":"/meta/connect","successful":false,"error":"500::x"}]`)
		},
		"AdviceHandshakeAlways": func(f *fake) {
			many(f, metaConnect, `[{"channel":"/meta/connect","successful":true,"advice":{"reconnect":"handshake"}}]`)
		},
		"NegativeInterval": func(f *fake) {
			many(f, metaConnect, `[{"channel":"/meta/connect","successful":true,"advice":{"interval":-1}}]`)
		},
		"DailyLimit": func(f *fake) {
			many(f, metaConnect, `[{"channel":"/meta/connect","successful":false,"error":"403::Organization total events daily limit exceeded"}]`)
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(b *bundle) {
				loop(b.server)
				b.client.Subscribe(Subscription{
					Channel: topic, From: b.from,
					Refused: func(context.Context, *Error) Verdict { return Again },
				})
				b.run(10 * time.Minute)
				if n := len(b.server.requests()); n > 250 {
					t.Errorf("%d requests in ten minutes: %v...", n, b.server.requests()[:20])
				}
			})
		})
	}
}

func many(f *fake, channel, reply string) {
	for range 10000 {
		f.control(channel, reply)
	}
}
