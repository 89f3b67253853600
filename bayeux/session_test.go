package bayeux

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Replies as they were recorded from Salesforce.
const (
	unknownClient = `[{"advice":{"interval":0,"reconnect":"handshake"},"channel":"/meta/connect","id":"$id","error":"403::Unknown client","successful":false}]`
	invalidToken  = `[{"clientId":"1q1ib66fvm7kli1gfoauu95i78g","advice":{"reconnect":"none","interval":0},"channel":"/meta/connect","id":7,"error":"401::Authentication invalid","successful":false}]`
	tokenDenied   = `[{"ext":{"sfdc":{"failureReason":"401::Authentication invalid"},"replay":true,"payload.format":true},"advice":{"reconnect":"none"},"channel":"/meta/handshake","error":"403::Handshake denied","successful":false}]`
	hiddenBusy    = `[{"channel":"/meta/connect","id":"6","error":"401::Authentication invalid","successful":false,"ext":{"sfdc":{"failureReason":"503::Server is too busy.  Please try your request again later."}},"clientId":"b1unwa43ckd43m16v60gs6v2yv7","advice":{"reconnect":"none","interval":0}}]`
	replayInvalid = `[{"clientId":"1uqq","channel":"/meta/subscribe","id":"$id","subscription":"/topic/hc_Account","error":"400::The replayId {1} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.","successful":false}]`
	heldConnect   = `[{"clientId":"1cyu","channel":"/meta/connect","id":"$id","successful":true}]`
)

func TestSession(t *testing.T) {
	t.Parallel()

	t.Run("OpensAsDocumented", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(5 * time.Minute)
			equal(t, "requests", b.server.requests(), "handshake", "subscribe", "connect", "connect", "connect", "connect")
			h := b.server.on(metaHandshake)[0].batch
			if len(h) != 1 || h[0].Version != "1.0" || h[0].Ext["replay"] != true || fmt.Sprint(h[0].SupportedConnectionTypes) != "[long-polling]" {
				t.Errorf("handshake was %+v", h)
			}
			equal(t, "positions", b.server.positions(topic), any(float64(-2)))
			polls := b.server.on(metaConnect)
			if m := polls[0].batch[0]; m.Advice == nil || m.ClientID != "client1" || m.ConnectionType != "long-polling" {
				t.Errorf("first connect was %+v", m)
			}
			if polls[1].batch[0].Advice != nil {
				t.Error("a later connect asked not to be held")
			}
			if s := b.client.Status(); s.State != Connected || s.ClientID != "client1" || s.Sessions != 1 || len(s.Channels) != 1 || s.LastError != nil {
				t.Errorf("status is %+v", s)
			}
		})
	})

	t.Run("AsksForReplayOnlyIfWanted", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.client.Subscribe(Subscription{Channel: topic})
			b.run(time.Second)
			if h := b.server.on(metaHandshake)[0].batch[0]; h.Ext != nil {
				t.Errorf("handshake has ext %v", h.Ext)
			}
			if m := b.server.on(metaSubscribe)[0].batch[0]; m.Ext != nil {
				t.Errorf("subscribe has ext %v", m.Ext)
			}
			// One that wants it needs another session.
			b.client.Subscribe(Subscription{Channel: "/topic/x?Industry='Energy'", From: b.from})
			b.pass(time.Second)
			equal(t, "requests", b.server.requests(),
				"handshake", "subscribe", "connect", "connect", "disconnect", "handshake", "subscribe", "connect", "connect")
			// The key is the channel without its filter.
			equal(t, "positions", b.server.positions("/topic/x"), any(float64(-2)))
		})
	})

	t.Run("ResubscribesEverythingAfterUnknownClient", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.client.Subscribe(Subscription{Channel: "/topic/other"})
			b.run(time.Minute)
			b.server.control(metaConnect, unknownClient)
			b.server.publish(event(topic, 5), event(topic, 7))
			b.pass(time.Second)
			equal(t, "requests", b.server.requests(), "handshake", "subscribe", "connect", "connect", "connect",
				"handshake", "subscribe", "connect", "connect")
			equal(t, "positions", b.server.positions(topic), any(float64(-2)), any(float64(7)))
			subs := b.server.on(metaSubscribe)
			if len(subs[1].batch) != 2 || subs[1].batch[0].ClientID != "client2" {
				t.Errorf("resubscribed with %+v", subs[1].batch)
			}
			b.server.publish(event(topic, 8))
			b.pass(time.Second)
			equal(t, "events", b.ids(), 5, 7, 8)
		})
	})

	t.Run("SpacesSessionsThatDoNotLast", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			for range 6 {
				b.server.control(metaConnect, unknownClient)
			}
			b.subscribe()
			b.run(time.Minute)
			var at []time.Duration
			for _, h := range b.server.on(metaHandshake) {
				at = append(at, h.at)
			}
			s := time.Second
			equal(t, "handshakes", at, 0, 0, 1*s, 3*s, 6*s, 10*s, 15*s)
			if s := b.client.Status(); s.Failures != 0 || s.LastError != nil {
				t.Errorf("after a minute without trouble status is %+v", s)
			}
		})
	})

	t.Run("TakesANewTokenOncePerRefusal", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(20 * time.Second)
			b.server.control(metaConnect, invalidToken)
			b.server.publish(event(topic, 3))
			b.pass(time.Second)
			equal(t, "credentials asked", b.refused, "", "token0")
			equal(t, "tokens used", b.server.tokens, "token0", "token1")
			equal(t, "positions", b.server.positions(topic), any(float64(-2)), any(float64(3)))
			if n := len(b.server.on(metaDisconnect)); n != 0 {
				t.Errorf("%d disconnects with a token that is no good", n)
			}
			b.server.control(metaConnect, unknownClient)
			b.server.publish(event(topic, 4))
			b.pass(20 * time.Second)
			equal(t, "then asked", b.refused, "", "token0", "")
		})
	})

	t.Run("ReadsTheFailureReasonFirst", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaHandshake, tokenDenied, tokenDenied, tokenDenied)
			b.subscribe()
			b.run(10 * time.Second)
			equal(t, "credentials asked", b.refused, "", "token0", "token1", "token2")
			equal(t, "requests", b.server.requests(), "handshake", "handshake", "handshake", "handshake", "subscribe", "connect", "connect")
			if at := b.server.on(metaHandshake)[3].at; at != 3*time.Second { // 0, then 1 s and 2 s
				t.Errorf("the fourth login was at %s, want 3s", at)
			}
		})
	})

	t.Run("KeepsTheTokenWhileTheServerIsBusy", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(20 * time.Second)
			b.server.control(metaConnect, hiddenBusy)
			b.server.publish(event(topic, 3))
			b.pass(30 * time.Second)
			if s := b.client.Status(); s.State != Waiting || s.Failures != 1 || !strings.Contains(s.LastError.Error(), "too busy") {
				t.Errorf("status is %+v", s)
			}
			b.pass(time.Minute)
			equal(t, "credentials asked", b.refused, "", "")
			equal(t, "positions", b.server.positions(topic), any(float64(-2)), any(float64(3)))
		})
	})

	// Servers are busy for minutes, but the events of a day come back hours later.
	t.Run("WaitsMinutesOrUpToAnHour", func(t *testing.T) {
		t.Parallel()
		const (
			users = "403::Organization concurrent user limit exceeded"
			conns = "403::To protect all customers from excessive use and Denial of Service attacks, we limit the number of simultaneous connections per server.  " +
				"Your request has been denied because this limit has been exceeded.  Please try your request again later."
		)
		for reason, most := range map[string]time.Duration{
			"503::Server is too busy.  Please try your request again later.": 5 * time.Minute,
			users: 5 * time.Minute, conns: 5 * time.Minute,
			"403::Organization total events daily limit exceeded": time.Hour,
		} {
			bubble(t, func(b *bundle) {
				many(b.server, metaHandshake, `[{"ext":{"sfdc":{"failureReason":"`+reason+`"}},"channel":"/meta/handshake","error":"403::Handshake denied","successful":false}]`)
				b.subscribe()
				b.run(24 * time.Hour)
				var last, longest time.Duration
				for _, h := range b.server.on(metaHandshake) {
					last, longest = h.at, max(longest, h.at-last)
				}
				if longest > most || longest < most*3/4 {
					t.Errorf("%s: %s between two handshakes, want up to %s", reason, longest, most)
				}
			}, defaultPace)
		}
	})

	// So is a subscription.
	t.Run("WaitsMinutesToSubscribe", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			many(b.server, metaSubscribe, `[{"channel":"/meta/subscribe","id":"$id","subscription":"/topic/hc_Account","successful":false,`+
				`"error":"403:denied_by_security_policy:create_denied","ext":{"sfdc":{"failureReason":"503::Server is too busy."}}}]`)
			b.subscribe()
			b.run(6 * time.Hour)
			var last time.Duration
			for _, s := range b.server.on(metaSubscribe) {
				if s.at-last > 5*time.Minute {
					t.Errorf("%s between two subscribes", s.at-last)
				}
				last = s.at
			}
		}, defaultPace)
	})

	t.Run("CredentialsFailing", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.credErr = errors.New("login is down")
			b.subscribe()
			b.run(time.Minute)
			if n := len(b.refused); n < 3 || n > 12 {
				t.Errorf("%d logins in a minute", n)
			}
			b.mu.Lock()
			b.credErr = nil
			b.mu.Unlock()
			b.pass(time.Minute)
			if s := b.client.Status(); s.State != Connected {
				t.Errorf("status is %+v", s)
			}
		})
	})

	// Where tokens come from may be away for long. They are asked for again soon after.
	t.Run("CredentialsBackAfterAnHour", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(20 * time.Second)
			b.mu.Lock()
			b.credErr = errors.New("login is down")
			b.mu.Unlock()
			b.server.control(metaConnect, invalidToken)
			b.server.publish(event(topic, 3))
			b.pass(time.Hour)
			b.mu.Lock()
			b.credErr = nil
			b.mu.Unlock()
			b.pass(31 * time.Second)
			if s := b.client.Status(); s.State != Connected {
				t.Errorf("status is %+v", s)
			}
			if asked := b.refused[1:]; len(asked) > 250 || slices.Contains(asked, "") {
				t.Errorf("credentials were asked %d times in an hour, for %q, want token0 each time", len(asked), asked)
			}
		}, defaultPace)
	})

	// A server that has moved is not where its endpoint was: only the credentials know.
	t.Run("AsksWhereTheServerIsNow", func(t *testing.T) {
		t.Parallel()
		times := func(n int, reply string) (list []string) {
			for range n {
				list = append(list, reply)
			}
			return list
		}
		for name, c := range map[string]struct {
			replies []string
			want    []string // what the credentials were asked for
		}{
			"NotThere":        {[]string{"404"}, []string{"", "token0"}},
			"NoRoute":         {[]string{"420"}, []string{"", "token0"}},
			"StillNotThere":   {times(6, "404"), []string{"", "token0", "", "", "", "token1", ""}},
			"Elsewhere":       {[]string{"302"}, []string{"", "token0"}},
			"InTrouble":       {times(4, "503"), []string{"", "", "", "", ""}},
			"InTroubleLong":   {times(5, "503"), []string{"", "", "", "", "", "token0"}},
			"OnlyPages":       {times(5, "<html>"), []string{"", "", "", "", "", "token0"}},
			"NotReached":      {times(10, lost), []string{"", "", "", "", "", "token0", "", "", "", "", "token1"}},
			"TroubleAndReply": {append(times(4, "503"), `[{"channel":"/meta/handshake","successful":false,"error":"500::x"}]`, "503"), []string{"", "", "", "", "", "", ""}},
		} {
			bubble(t, func(b *bundle) {
				b.server.control(metaHandshake, c.replies...)
				b.subscribe()
				b.run(2 * time.Minute)
				equal(t, name, b.refused, c.want...)
				if s := b.client.Status(); s.State != Connected {
					t.Errorf("%s: status is %+v", name, s)
				}
				// Once it has been there, it starts anew.
				b.server.control(metaConnect, unknownClient)
				b.server.control(metaHandshake, times(4, "503")...)
				b.server.publish(event(topic, 4))
				b.pass(2 * time.Minute)
				equal(t, name+", later", b.refused, append(c.want, "", "", "", "", "")...)
			})
		}
	})

	t.Run("FollowsAnUnsolicitedDisconnect", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.subscribe()
			b.run(time.Second)
			b.server.publish(event(topic, 4), `{"channel":"/meta/disconnect","clientId":"client1","successful":true}`)
			b.pass(time.Second)
			equal(t, "requests", b.server.requests(), "handshake", "subscribe", "connect", "connect",
				"handshake", "subscribe", "connect", "connect")
			equal(t, "positions", b.server.positions(topic), any(float64(-2)), any(float64(4)))
		})
	})

	t.Run("DropsASessionWhoseReplyIsLost", func(t *testing.T) {
		t.Parallel()
		for _, what := range []string{lost, "503", "403", `[{"channel":"/topic/hc_Account","data":{`, "<html>", "[]"} {
			bubble(t, func(b *bundle) {
				b.subscribe()
				b.run(20 * time.Second)
				b.server.control(metaConnect, what)
				b.server.publish(event(topic, 3))
				b.pass(5 * time.Second)
				equal(t, what, b.server.positions(topic), any(float64(-2)), any(float64(3)))
				equal(t, what+": credentials asked", b.refused, "", "")
			})
		}
	})

	t.Run("GivesUpAPollThatIsOverdue", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaConnect, `[{"channel":"/meta/connect","successful":true,"advice":{"timeout":20000}}]`, stuck)
			b.subscribe()
			b.run(39 * time.Second)
			equal(t, "before", b.server.requests(), "handshake", "subscribe", "connect", "connect")
			b.pass(1500 * time.Millisecond)
			equal(t, "after", b.server.requests()[4:], "disconnect")
			b.pass(time.Second)
			equal(t, "then", b.server.requests()[5:], "handshake", "subscribe", "connect", "connect")
		})
	})

	// The first is not held, so its answer is missed sooner.
	t.Run("GivesUpAFirstPollThatIsNotAnswered", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaConnect, stuck)
			b.subscribe()
			b.run(29 * time.Second)
			equal(t, "before", b.server.requests(), "handshake", "subscribe", "connect")
			b.pass(3 * time.Second)
			equal(t, "after", b.server.requests()[3:], "disconnect", "handshake", "subscribe", "connect", "connect")
			// And the next time again.
			b.server.control(metaConnect, unknownClient, stuck)
			b.server.publish(event(topic, 3))
			b.pass(time.Minute)
			equal(t, "then", b.server.requests(), "handshake", "subscribe", "connect", "disconnect", "handshake", "subscribe", "connect", "connect", "connect",
				"handshake", "subscribe", "connect", "disconnect", "handshake", "subscribe", "connect", "connect")
		})
	})

	// A server may hold the first all the same.
	t.Run("WaitsForAFirstPollThatIsHeld", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.holdsAll = true
			b.subscribe()
			b.run(142 * time.Second) // 30 s, a wait and 110 s
			if s := b.client.Status(); s.State != Connected || s.Sessions != 2 {
				t.Errorf("status is %+v", s)
			}
			b.server.control(metaConnect, unknownClient)
			b.server.publish(event(topic, 3))
			b.pass(10 * time.Minute)
			if s := b.client.Status(); s.State != Connected || s.Sessions != 3 {
				t.Errorf("after another session status is %+v", s)
			}
		})
	})

	t.Run("StopsWithinFiveSeconds", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaDisconnect, stuck)
			b.subscribe()
			b.run(time.Second)
			begun := time.Now()
			b.stop()
			if err := <-b.done; err != nil {
				t.Errorf("Run ended with %v", err)
			}
			b.stop = nil
			if took := time.Since(begun); took != 5*time.Second {
				t.Errorf("stop took %s, want 5s", took)
			}
			if s := b.client.Status(); s.State != Stopped || s.ClientID != "" {
				t.Errorf("status is %+v", s)
			}
		})
	})

	t.Run("EndsWhenTheServerForbidsReconnecting", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.server.control(metaHandshake, `[{"channel":"/meta/handshake","successful":false,"error":"403::User not enabled for streaming","advice":{"reconnect":"none"}}]`)
			b.subscribe()
			b.run(time.Second)
			err := b.ended()
			var e *Error
			if !errors.Is(err, ErrRefused) || !errors.As(err, &e) || e.Text != "User not enabled for streaming" {
				t.Errorf("Run ended with %v", err)
			}
		})
	})

	t.Run("IdlesWithoutSubscriptions", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.run(time.Minute)
			equal(t, "before", b.server.requests())
			b.subscribe()
			b.pass(time.Second)
			b.client.Unsubscribe(topic)
			b.pass(time.Minute)
			equal(t, "after", b.server.requests(), "handshake", "subscribe", "connect", "connect", "disconnect")
			if s := b.client.Status(); s.State != Idle {
				t.Errorf("status is %+v", s)
			}
		})
	})

	// The server gives a slot with its answer, whether that is still wanted or not.
	t.Run("SaysGoodbyeAfterAStopInMidHandshake", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			reply string
			took  time.Duration // from the stop to the end of Run
			want  []string
		}{
			"AnswerOnTheWay": {late, 2 * time.Second, []string{"handshake", "disconnect"}},
			"NoAnswer":       {stuck, 5 * time.Second, []string{"handshake"}},
		} {
			bubble(t, func(b *bundle) {
				b.server.control(metaHandshake, c.reply)
				b.subscribe()
				b.run(time.Second)
				begun := time.Now()
				b.stop()
				if err := <-b.done; err != nil {
					t.Errorf("%s: Run ended with %v", name, err)
				}
				b.stop = nil
				if took := time.Since(begun); took != c.took {
					t.Errorf("%s: the end took %s, want %s", name, took, c.took)
				}
				equal(t, name, b.server.requests(), c.want...)
				if gone := b.server.on(metaDisconnect); len(gone) > 0 && gone[0].batch[0].ClientID != b.server.session {
					t.Errorf("%s: goodbye for %q, want %q", name, gone[0].batch[0].ClientID, b.server.session)
				}
			})
		}
	})

	t.Run("RefusesToRunTwice", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(b *bundle) {
			b.run(time.Second)
			if err := b.client.Run(t.Context()); !errors.Is(err, ErrRunning) {
				t.Errorf("second Run: %v", err)
			}
		})
	})
}
