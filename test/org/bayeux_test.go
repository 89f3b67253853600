package org_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// message is one Bayeux message of a reply.
type message struct {
	Channel    string
	ClientID   string
	Successful bool
	Error      string
	Data       json.RawMessage
}

// stream is a Bayeux session that knows just enough to read events.
type stream struct {
	*rig
	clientID string
	events   []message
}

// post sends one Bayeux message and returns the reply to it; events go to st.events.
func (st *stream) post(body string) message {
	st.t.Helper()
	a := st.do("POST", "/cometd/66.0/", "["+body+"]")
	var list []message
	a.decode(st.t, &list)
	var meta message
	for _, m := range list {
		if strings.HasPrefix(m.Channel, "/meta/") {
			meta = m
			continue
		}
		st.events = append(st.events, m)
	}
	return meta
}

func (r *rig) handshake() *stream {
	r.t.Helper()
	st := &stream{rig: r}
	m := st.post(`{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"ext":{"replay":true},"id":"1"}`)
	if !m.Successful {
		r.t.Fatalf("handshake: %+v", m)
	}
	st.clientID = m.ClientID
	st.connect()
	return st
}

func (st *stream) connect() message {
	st.t.Helper()
	return st.post(text(`{"channel":"/meta/connect","clientId":"%s","connectionType":"long-polling","id":"2"}`, st.clientID))
}

// subscribe asks for all stored events of a channel.
func (st *stream) subscribe(channel string) message {
	st.t.Helper()
	plain, _, _ := strings.Cut(channel, "?")
	return st.post(text(`{"channel":"/meta/subscribe","clientId":"%s","subscription":"%s","ext":{"replay":{"%s":-2}},"id":"3"}`, st.clientID, channel, plain))
}

// read returns the next n events without their createdDate and replayId.
func (st *stream) read(n int) []string {
	st.t.Helper()
	for range 5 {
		if len(st.events) >= n {
			break
		}
		if m := st.connect(); !m.Successful {
			st.t.Fatalf("connect: %+v", m)
		}
	}
	if len(st.events) < n {
		st.t.Fatalf("got %d events, want %d", len(st.events), n)
	}
	var out []string
	for _, m := range st.events[:n] {
		var d struct {
			Event   struct{ Type string }
			SObject json.RawMessage
		}
		if err := json.Unmarshal(m.Data, &d); err != nil {
			st.t.Fatal(err)
		}
		out = append(out, d.Event.Type+" "+string(d.SObject))
	}
	st.events = st.events[n:]
	return out
}

// topic creates a PushTopic and returns its id.
func (r *rig) topic(name, query, more string) string {
	r.t.Helper()
	a := r.data("POST", "/sobjects/PushTopic", text(`{"Name":"%s","Query":"%s","ApiVersion":66.0%s}`, name, query, more))
	if a.status != 201 {
		r.t.Fatalf("create topic: %d %s", a.status, a.body)
	}
	return a.id(r.t)
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}
