package bayeux_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"hcbridge/bayeux"
)

func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var position int64 = bayeux.FromNew // in earnest: what the database says
	client, err := bayeux.New(
		func(_ context.Context, refused string) (endpoint, token string, err error) {
			// Log in anew if refused is the token in use.
			return "https://acme.my.salesforce.com/cometd/64.0", os.Getenv("TOKEN"), nil
		},
		func(_ context.Context, msgs []bayeux.Message) error {
			for _, m := range msgs {
				fmt.Println(m.Channel, m.ReplayID, string(m.Data))
				position = m.ReplayID
			}
			return nil
		},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Subscribe(bayeux.Subscription{
		Channel: "/topic/hc_Account",
		From:    func() int64 { return position },
		Refused: func(_ context.Context, err *bayeux.Error) bayeux.Verdict {
			if err.ReplayInvalid() {
				position = bayeux.FromNew // and read the gap in another way
				return bayeux.Again
			}
			return bayeux.Retry
		},
	})
	if err := client.Run(ctx); err != nil {
		fmt.Println(err) // bayeux: refused: ...
	}
}

func ExampleMembers() {
	for key, value := range bayeux.Members([]byte(`{"Id":"001...","Name":"Acme"}`)) {
		fmt.Println(key, string(value))
	}
	// Output:
	// Id "001..."
	// Name "Acme"
}

// A CometD or faye server of one's own: no token is checked there, but the
// client wants one. WebSocket and acknowledgement are used if the server has
// them.
func ExampleClient_Publish() {
	client, err := bayeux.New(
		func(context.Context, string) (endpoint, token string, err error) {
			return "http://localhost:8080/cometd", "none", nil
		},
		func(_ context.Context, msgs []bayeux.Message) error {
			for _, m := range msgs {
				switch {
				case bayeux.Match("/room/*", m.Channel):
					fmt.Println(m.Channel, string(m.Data))
				case m.Channel == "/service/time":
					fmt.Println("it is", string(m.Data))
				}
			}
			return nil
		},
		bayeux.WithWebSocket(), bayeux.WithAck(),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Subscribe(bayeux.Subscription{Channel: "/room/*"})
	client.Subscribe(bayeux.Subscription{Channel: "/service/time"})

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()

	say, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var refused *bayeux.Error
	switch err := client.Publish(say, "/room/one", map[string]string{"text": "hello"}); {
	case errors.As(err, &refused) && refused.InDoubt():
		fmt.Println("it may have been sent:", err)
	case err != nil:
		fmt.Println("not sent:", err)
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
}

func ExampleMatch() {
	fmt.Println(bayeux.Match("/room/*", "/room/one"))
	fmt.Println(bayeux.Match("/room/*", "/room/one/two"))
	fmt.Println(bayeux.Match("/room/**", "/room/one/two"))
	// Output:
	// true
	// false
	// true
}

// Status says at any time what the client is doing, for a health check.
func ExampleClient_Status() {
	healthy := func(client *bayeux.Client) bool {
		s := client.Status()
		// A server holds a connect for 110 s at most.
		return s.State == bayeux.Connected && time.Since(s.LastReply) < 3*time.Minute
	}
	client, err := bayeux.New(
		func(context.Context, string) (endpoint, token string, err error) { return "", "", nil },
		func(context.Context, []bayeux.Message) error { return nil })
	fmt.Println(err, healthy(client))
	// Output: <nil> false
}
