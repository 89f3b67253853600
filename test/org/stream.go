package org

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"hcbridge/test/org/bulk"
	"hcbridge/test/org/cometd"
	"hcbridge/test/org/sobject"
)

func fmtInt(n int64) string { return strconv.FormatInt(n, 10) }

// newStream makes the Streaming API endpoint of the org.
func (s *Server) newStream() *cometd.Server {
	return cometd.New(cometd.Config{
		Authenticate: func(token string) (string, bool) {
			if sess := s.session(token); sess != nil {
				return sess.user.ID, true
			}
			return "", false
		},
		Authorize:  s.maySubscribe,
		View:       s.view,
		Clock:      s.opt.Now,
		Hold:       s.opt.PollTimeout,
		Expiry:     s.opt.PollGrace,
		Clients:    s.opt.StreamClients,
		Allocation: s.opt.StreamEvents,
		Seed:       s.opt.Seed,

		DeafReplay: s.opt.DeafReplay,
	})
}

// newJobs makes the Bulk API 2.0 endpoint of the org.
func (s *Server) newJobs() *bulk.Server {
	return bulk.New(bulk.Config{
		Org: s.org,
		User: func(r *http.Request) string {
			if sess := sessionOf(r.Context()); sess != nil {
				return sess.user.ID
			}
			return ""
		},
		Visible: func(user string, ob *sobject.Object, f *sobject.Field) bool {
			return !s.hides(user, ob, f) && !(user == s.user.ID && s.denies(ob.Name))
		},
		Store: s.sees,
		Clock: s.opt.Now,
		Seed:  s.opt.Seed,
	})
}

// maySubscribe returns the Bayeux error that refuses a subscription.
// (Streaming API Developer Guide, "Streaming API Error Codes".)
func (s *Server) maySubscribe(userID, subscription string) string {
	channel, filter, filtered := strings.Cut(subscription, "?")
	if strings.HasPrefix(channel, genericPrefix) {
		return s.mayListen(channel)
	}
	if strings.HasPrefix(channel, dataPrefix) {
		return s.capture.admits(userID, channel)
	}
	t := s.topics.find(channel)
	if t == nil {
		return "400::The channel you requested to subscribe to doesn't exist {" + channel + "}"
	}
	if s.topicsDenied() || s.denies(t.object.Name) {
		return "403::Subscriber does not have access to the entity in this topic"
	}
	if s.hidesAny(userID, t, t.filtered) {
		return "403::Subscriber does not have access to all fields referenced in the where clause of the PushTopic"
	}
	if !filtered {
		return ""
	}
	for term := range strings.SplitSeq(filter, "&") {
		name, _, _ := strings.Cut(term, "=")
		if !slices.ContainsFunc(t.chosen, func(i int) bool { return strings.EqualFold(t.object.Fields[i].Name, name) }) {
			return "400::Query fields {" + name + "} do not exist on the topic entity"
		}
	}
	return ""
}

// view leaves out of an event what the subscriber may not read. A topic whose
// WHERE he can no longer read is silent.
func (s *Server) view(userID, channel string, data json.RawMessage) (json.RawMessage, bool) {
	if strings.HasPrefix(channel, dataPrefix) {
		return s.capture.view(userID, channel, data)
	}
	t := s.topics.find(channel)
	if t == nil {
		return data, true
	}
	if s.hidesAny(userID, t, t.filtered) || userID == s.user.ID && s.denies(t.object.Name) {
		return nil, false
	}
	omits := func(f *sobject.Field) bool { return s.hides(userID, t.object, f) || s.omits(t.object, f) }
	if !slices.ContainsFunc(t.chosen, func(i int) bool { return omits(t.object.Fields[i]) }) {
		return data, true
	}
	var event struct {
		Event   json.RawMessage            `json:"event"`
		SObject map[string]json.RawMessage `json:"sobject"`
	}
	if json.Unmarshal(data, &event) != nil {
		return data, true
	}
	for _, i := range t.chosen {
		if f := t.object.Fields[i]; omits(f) {
			delete(event.SObject, f.Name)
		}
	}
	out, err := json.Marshal(event)
	if err != nil {
		return data, true
	}
	return out, true
}

func (s *Server) hidesAny(userID string, t *topic, fields []int) bool {
	return slices.ContainsFunc(fields, func(i int) bool { return s.hides(userID, t.object, t.object.Fields[i]) })
}
