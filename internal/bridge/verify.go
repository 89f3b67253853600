package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"hcbridge/config"
	"hcbridge/internal/retry"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

const (
	// verifyEvery is how long after a look at the topics the next is due, if
	// anything has changed in the org meanwhile, and verifyPause the least time
	// between two.
	verifyEvery = 10 * time.Minute
	verifyPause = 5 * time.Second
)

//go:embed sql/bridge_name.sql
var bridgeNameSQL string

// looks says when the topics are to be compared with what they should be: at
// the start, in each session, on doubt, and ten minutes after the last look if
// anything has changed in the org since or a channel was refused. Where nothing
// changes, nothing can be missed, and a look, an API call, would be spent on nothing.
type looks struct {
	last     time.Time
	next     time.Time // not before this, after a failure
	failures int
	sessions int // that there had been at the last look, or that it had begin
}

// due reports whether to look now. doubted is that a topic is perhaps not what
// it was, stirred that something has changed in the org since the last look, or may
// have been granted to us.
func (l *looks) due(now time.Time, sessions int, doubted, stirred bool) bool {
	switch {
	case l.last.IsZero():
		return true
	case l.failures > 0:
		return !now.Before(l.next)
	case doubted || sessions > l.sessions:
		return now.Sub(l.last) >= verifyPause
	default:
		return stirred && now.Sub(l.last) >= verifyEvery
	}
}

// looked notes the outcome of a look and returns the wait before the next try
// if it failed.
func (l *looks) looked(now time.Time, sessions int, err error) (wait time.Duration) {
	l.last = now
	if err == nil {
		l.failures, l.sessions = 0, sessions
		return 0
	}
	l.failures++
	wait = retry.Delay(l.failures, time.Second, 5*time.Minute)
	l.next = now.Add(wait)
	return wait
}

// doubt has the topics compared soon.
func (st *stream) doubt() {
	st.mu.Lock()
	st.doubted = true
	st.mu.Unlock()
	st.rouse()
}

func (st *stream) doubtful() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.doubted
}

// givenUp reports whether a channel is not asked for any more, as it was refused.
func (st *stream) givenUp() bool {
	return slices.ContainsFunc(st.all(), func(ch *channel) bool {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		return !ch.wanted
	})
}

// verify subscribes to the change events that are wanted, makes every streamed
// object's topic what it should be, subscribes new ones, and removes our topics of objects that are no longer streamed. As long
// as there is nothing to mend it costs one call.
func (st *stream) verify(ctx context.Context, positions map[string]pgsink.Position) error {
	st.mu.Lock()
	st.doubted = false
	st.mu.Unlock()
	st.dog.settle()
	if st.name == "" {
		if err := st.s.pool.QueryRow(ctx, bridgeNameSQL, st.s.cfg.Schema).Scan(&st.name); err != nil {
			return fmt.Errorf("name of the bridge: %w", err)
		}
	}
	for _, o := range st.s.objects {
		if o.cfg.Mode == config.ModeCDC {
			st.listen(o, positions)
		}
	}
	api := &glance{API: topics{st.s.sf}}
	var keep []string
	var first error // the other objects are not to wait for what it is about
	for _, o := range st.s.objects {
		if o.cfg.Mode != config.ModeStreaming {
			continue
		}
		keep = append(keep, pushtopic.Name(o.cfg.Name))
		if err := st.ensure(ctx, api, o, positions); err != nil {
			why, final := refused(err)
			if !final {
				if first == nil {
					first = fmt.Errorf("topic of %s: %w", o.cfg.Name, err)
				}
				continue
			}
			if ch := st.channel(pushtopic.Channel(pushtopic.Name(o.cfg.Name))); ch != nil && ch.want(false) {
				st.client.Unsubscribe(ch.name)
			}
			st.fallBack(o, why)
		}
	}
	var removed []string
	var err error
	if st.s.unsafe == "" { // a copy must not remove what the original made
		removed, err = pushtopic.Remove(ctx, api, st.name, keep)
	}
	for _, name := range removed {
		st.log.Info().Str("event", "topic_removed").Str("topic", name).Msg("no longer streamed")
	}
	if _, final := refused(err); err != nil && !final {
		return err // where it is final, there are no topics to be removed
	}
	if first != nil {
		return first
	}
	switch {
	case !st.any() && st.canaryID != "": // nothing to prove
		st.canaryID = ""
		st.client.Unsubscribe(canaryChannel)
		st.dog.useCanary(false, time.Now())
	case st.any() && st.canaryID == "" && !st.caged:
		return st.canary(ctx)
	}
	return nil
}

func (st *stream) ensure(ctx context.Context, api pushtopic.API, o *object, positions map[string]pgsink.Position) error {
	spec, err := pushtopic.Plan(o.cfg.Name, o.custom, o.topic, st.s.cfg.Salesforce.APIVersion)
	if err != nil {
		return err
	}
	topic, _, action, err := pushtopic.Ensure(ctx, api, st.name, spec)
	if err != nil {
		return err
	}
	name := pushtopic.Channel(topic.Name)
	ch := st.channel(name)
	if ch == nil {
		ch = &channel{name: name, obj: o, kind: topicKind, topicID: topic.ID}
		if p, ok := positions[name]; ok {
			ch.topicID, ch.accepted = p.TopicID, p.ReplayID
		}
		st.add(ch, positions[name])
	}
	wanted := ch.want(true)
	if action != pushtopic.Kept && !(action == pushtopic.Shared && wanted) {
		st.log.Info().Str("event", "topic_"+action.String()).Str("object", o.cfg.Name).Str("topic", topic.Name).Msg("topic set up")
	}
	switch {
	case ch.topic() != topic.ID:
		// Another topic of the same name has another history: its numbers may be
		// valid and yet mean something else.
		ch.forget(topic.ID)
		st.gap(ch, "the topic was made anew")
		st.subscribe(ch)
	case action == pushtopic.Repaired:
		st.gap(ch, "the topic had been changed")
		st.subscribe(ch)
	case !wanted:
		st.subscribe(ch)
	}
	return nil
}

// glance answers all searches of one verification from one call.
type glance struct {
	pushtopic.API
	known  []pushtopic.Topic
	err    error
	looked bool
}

// Find implements pushtopic.API.
func (g *glance) Find(ctx context.Context, prefix string) ([]pushtopic.Topic, error) {
	if !g.looked {
		g.known, g.err = g.API.Find(ctx, ourPrefix)
		g.looked = true
	}
	if g.err != nil {
		return nil, g.err
	}
	var some []pushtopic.Topic
	for _, t := range g.known {
		if len(t.Name) >= len(prefix) && strings.EqualFold(t.Name[:len(prefix)], prefix) {
			some = append(some, t)
		}
	}
	return some, nil
}

// Create implements pushtopic.API.
func (g *glance) Create(ctx context.Context, t pushtopic.Topic) (string, error) {
	g.looked = false
	return g.API.Create(ctx, t)
}

// Update implements pushtopic.API.
func (g *glance) Update(ctx context.Context, t pushtopic.Topic) error {
	g.looked = false
	return g.API.Update(ctx, t)
}

const ourPrefix = "hc_"
