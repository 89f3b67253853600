package bayeux_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"

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
