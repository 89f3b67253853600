package org

import (
	"encoding/json"
	"net/http"
	"strings"

	"hcbridge/test/org/sobject"
)

const (
	streamingChannel = "StreamingChannel"
	genericPrefix    = "/u/"
)

// DenyStreamingChannels takes the integration user's permission on
// StreamingChannel away: the object answers as if it did not exist.
func (s *Server) DenyStreamingChannels(deny bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denyChannels = deny
}

// denies reports whether the integration user has no permission on an object.
func (s *Server) denies(object string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied[strings.ToLower(object)] || strings.EqualFold(object, pushTopic) && s.denyTopics || strings.EqualFold(object, streamingChannel) && s.denyChannels
}

// mayListen returns the Bayeux error that refuses a generic channel.
// (Streaming API Developer Guide, "Streaming API Error Codes".)
func (s *Server) mayListen(channel string) string {
	if s.denies(streamingChannel) {
		return "403::No access on channel"
	}
	found := false
	ob := s.store.Object(streamingChannel)
	s.store.Scan(streamingChannel, "", func(rec sobject.Record) bool {
		name, _ := rec.Get(ob, "Name").(string)
		found = found || name == channel && !rec.Deleted
		return !found
	})
	if !found {
		return "404::Unknown channel"
	}
	return ""
}

// push serves POST /sobjects/StreamingChannel/ID/push: it publishes events on
// a generic channel. (Streaming API Developer Guide, "Streaming Channel Push".)
func (c *call) push(ob *sobject.Object, id string) answer {
	rec, ok := c.store.Get(ob.Name, id)
	if !ok || rec.Deleted {
		return notFound()
	}
	var body struct {
		PushEvents []struct {
			Payload string `json:"payload"`
		} `json:"pushEvents"`
	}
	if err := c.decode(&body); err != nil {
		return failed(err)
	}
	name, _ := rec.Get(ob, "Name").(string)
	var fanout []any
	for _, e := range body.PushEvents {
		now := c.s.opt.Now()
		c.s.stream.Publish(name, now, func(replayID int64) any {
			return object{
				{"event", object{
					{"createdDate", now.UTC().Format(sobject.EventTime)},
					{"replayId", json.Number(fmtInt(replayID))},
				}},
				{"payload", e.Payload},
			}
		})
		fanout = append(fanout, object{{"fanoutCount", -1}, {"userOnlineStatus", object{}}})
	}
	return answer{status: http.StatusOK, body: fanout}
}
