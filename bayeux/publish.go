package bayeux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// How long a session without subscriptions is kept after a publish, so that a
// client that only publishes need not shake hands each time.
const linger = time.Minute

// ErrInHandler reports a Publish with the context of a handler or hook. Run
// waits for those and could not send the message meanwhile.
var ErrInHandler = errors.New("publish inside of a handler")

// Publish sends data, which must marshal to JSON, to channel and waits for the
// server's reply. It returns nil if the server took the message, an [*Error]
// with its reason if it did not, and the error of ctx if that ended first. If
// the session ended between message and reply, the server may have taken it or
// not; see [Error.InDoubt]. Nothing is sent twice.
//
// It waits for a session: Run must be active in another goroutine, and ctx
// should have an end. It must not be called from a Handler or a hook, and with
// their context it fails with [ErrInHandler]. Messages go out in the order of
// the calls. Salesforce takes none; its channels are for subscribers only.
//
// Publishing works without subscriptions too: a session is opened for it and
// kept for a minute after the last message.
func (c *Client) Publish(ctx context.Context, channel string, data any) error {
	if ctx.Value(insideKey{}) == c {
		return fmt.Errorf("bayeux: %w", ErrInHandler)
	}
	if !strings.HasPrefix(channel, "/") || isMeta(channel) || strings.Contains(channel, "*") {
		return fmt.Errorf("bayeux: publish to %q: not a channel to publish to", channel)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("bayeux: publish to %s: %w", channel, err)
	}
	p := &post{channel: channel, data: raw, done: make(chan *Error, 1)}
	c.posts.add(p)
	c.subs.notify()
	select {
	case e := <-p.done:
		if e != nil {
			return fmt.Errorf("bayeux: %w", e)
		}
		return nil
	case <-ctx.Done():
		if c.posts.remove(p) {
			return fmt.Errorf("bayeux: publish to %s, not sent: %w", channel, context.Cause(ctx))
		}
		return fmt.Errorf("bayeux: %w", &Error{Channel: channel, Err: context.Cause(ctx), inDoubt: true})
	}
}

// insideKey marks the contexts of handlers and hooks with their client.
type insideKey struct{}

// post is a message to publish.
type post struct {
	channel string
	data    json.RawMessage
	id      string      // given by the session
	done    chan *Error // has room for the one outcome
}

// posts holds the messages to publish, in the order of the calls.
type posts struct {
	mu   sync.Mutex
	list []*post
}

func (q *posts) add(p *post) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, p)
}

// remove takes p out and reports whether it was there.
func (q *posts) remove(p *post) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.list)
	q.list = slices.DeleteFunc(q.list, func(other *post) bool { return other == p })
	return len(q.list) < n
}

// take takes the oldest out, nil if there is none.
func (q *posts) take() *post {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil
	}
	p := q.list[0]
	q.list = q.list[1:]
	return p
}

func (q *posts) putBack(p *post) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append([]*post{p}, q.list...)
}

func (q *posts) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) == 0
}

// publish adds messages to a batch as long as they fit, and to those that wait
// for a reply.
func (s *session) publish(now time.Time, fits func(request) bool) {
	for p := s.posts.take(); p != nil; p = s.posts.take() {
		p.id = s.nextID()
		if !fits(request{Channel: p.channel, ID: p.id, ClientID: s.clientID, Data: p.data}) {
			s.posts.putBack(p)
			return
		}
		s.posted = append(s.posted, p)
		s.lingerTill = now.Add(linger)
	}
}

// published takes in the reply to a publish.
func (s *session) published(reply *meta) {
	i := slices.IndexFunc(s.posted, func(p *post) bool { return p.id == string(reply.ID) })
	if i < 0 {
		return
	}
	p := s.posted[i]
	s.posted = slices.Delete(s.posted, i, i+1)
	if reply.Successful {
		p.done <- nil
		return
	}
	p.done <- reply.failure()
}

// abandon tells the callers of Publish that no reply will come.
func (s *session) abandon(why error) {
	for _, p := range s.posted {
		p.done <- &Error{Channel: p.channel, Err: why, inDoubt: true}
	}
	s.posted = nil
}

// publishing reports whether the session is needed without subscriptions.
func (s *session) publishing(now time.Time) bool {
	return len(s.posted) > 0 || !s.posts.empty() || now.Before(s.lingerTill)
}
