package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/cdc"
	"hcbridge/internal/salesforce"
	"hcbridge/pushtopic"
)

// probeLimit is how long a streaming session may take to answer.
const probeLimit = 20 * time.Second

// probe is a short streaming session which finds out whether there can be one,
// and whether the channels of change events are open to the user: nothing else
// tells both.
type probe struct {
	mu      sync.Mutex
	refused map[string]*bayeux.Error // nil: accepted; by channel
	done    chan struct{}            // closed when all channels are known
	open    int
}

func (p *probe) answered(channel string, err *bayeux.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.refused[channel]; known {
		return
	}
	p.refused[channel] = err
	if p.open--; p.open == 0 {
		close(p.done)
	}
}

// listenTo opens a session, subscribes, and goes away. The error says that
// there is no session.
func listenTo(ctx context.Context, cfg *config.Config, sf *salesforce.Client, channels []string) (map[string]*bayeux.Error, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	p := &probe{refused: map[string]*bayeux.Error{}, done: make(chan struct{}), open: len(channels)}
	client, err := bayeux.New(func(ctx context.Context, refused string) (string, string, error) {
		sess, err := sf.Token(ctx, refused)
		return sess.InstanceURL + "/cometd/" + cfg.Salesforce.APIVersion, sess.Token, err
	}, func(context.Context, []bayeux.Message) error { return nil })
	if err != nil {
		return nil, err
	}
	for _, name := range channels {
		client.Subscribe(bayeux.Subscription{
			Channel:   name,
			Confirmed: func(context.Context) { p.answered(name, nil) },
			Refused: func(_ context.Context, err *bayeux.Error) bayeux.Verdict {
				if err.NoReply() {
					return bayeux.Retry
				}
				p.answered(name, err)
				return bayeux.Drop
			},
		})
	}
	run := make(chan error, 1)
	rctx, stop := context.WithCancel(ctx)
	go func() { run <- client.Run(rctx) }()
	end := func() error {
		stop()
		return <-run
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for err = nil; err == nil; {
		select {
		case <-p.done:
			_ = end()
			return p.refused, nil
		case err = <-run:
			stop()
			return nil, errors.Join(err, client.Status().LastError)
		case <-ctx.Done():
			err = fmt.Errorf("no answer within %s", probeLimit)
		case <-tick.C: // a session that was refused is tried again, for which we do not wait
			if s := client.Status(); s.State == bayeux.Waiting && s.LastError != nil {
				err = s.LastError
			}
		}
	}
	_ = end()
	return nil, err
}

// stream finds out whether events can be had, and by which objects.
func (c *checker) stream(ctx context.Context, sf *salesforce.Client, topics bool) {
	var channels []string
	captured := map[string]string{} // object by channel
	for _, o := range c.cfg.Objects {
		if o.Mode == config.ModeCDC {
			captured[cdc.Channel(o.Name)] = o.Name
			channels = append(channels, cdc.Channel(o.Name))
		}
	}
	i := slices.IndexFunc(c.cfg.Objects, func(o config.Object) bool { return o.Mode == config.ModeStreaming })
	if topics && i >= 0 { // its topic need not be there yet: the question is whether there can be a session
		channels = append(channels, pushtopic.Channel(pushtopic.Name(c.cfg.Objects[i].Name)))
	}
	if len(channels) == 0 {
		return
	}
	refused, err := listenTo(ctx, c.cfg, sf, channels)
	if err != nil {
		c.warn("Streaming", "there is no stream, and objects are polled: "+err.Error(), streamRemedy(err))
		return
	}
	selected, selectErr := sf.Selected(ctx)
	for _, channel := range channels {
		object, change := captured[channel]
		e := refused[channel]
		switch {
		case !change && e != nil && strings.Contains(strings.ToLower(e.Text), "not enabled for streaming"):
			c.warn("Streaming", "the user may not use streaming: "+e.Text, "grant the user API Enabled and Read on PushTopic")
			return
		case change && e != nil && strings.Contains(e.Text, "View All"):
			c.warn(object, "no change events for this user ("+e.Text+"): it is polled", "grant the user View All Records on "+object)
		case change && e != nil:
			c.warn(object, "no change events ("+e.Text+"): it is polled", "select "+object+" in Setup, Change Data Capture, and grant the user View All Records on it")
		case change && selectErr == nil && len(selected) > 0 && !slices.Contains(selected, strings.TrimPrefix(channel, "/data/")):
			c.warn(object, "it is not selected for Change Data Capture: there will be no events, and it is polled", "select "+object+" in Setup, Change Data Capture")
		}
	}
	c.good("Streaming", "a session can be opened")
}

func streamRemedy(err error) string {
	var be *bayeux.Error
	if errors.As(err, &be) {
		switch {
		case be.LimitExceeded():
			return "end other streaming clients, or wait until tomorrow; the bridge tries again by itself"
		case be.HTTPStatus == 404 || be.HTTPStatus == 410:
			return "see that the org has the Streaming API (Enterprise, Unlimited, Performance or Developer Edition) and knows HC_SALESFORCE_API_VERSION"
		case be.Code == 403 || be.HTTPStatus == 403:
			return "see that the org has the Streaming API and that the user is API Enabled; sessions that are locked to an IP address or domain (Setup, Session Settings) stop it too"
		}
	}
	return "see that https://<instance>/cometd/ can be reached from here; a proxy must let answers wait for two minutes"
}
