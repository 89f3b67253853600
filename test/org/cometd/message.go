package cometd

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
)

const (
	metaHandshake   = "/meta/handshake"
	metaConnect     = "/meta/connect"
	metaSubscribe   = "/meta/subscribe"
	metaUnsubscribe = "/meta/unsubscribe"
	metaDisconnect  = "/meta/disconnect"
)

// Error texts of the Streaming API Developer Guide, "Streaming API Error
// Codes" and "Handling Streaming API Errors", and of recorded traffic. The
// double spaces are theirs.
const (
	errAuthInvalid     = "401::Authentication invalid"
	errAuthRequired    = "401::Request requires authentication"
	errHandshakeDenied = "403::Handshake denied"
	errUnknownClient   = "403::Unknown client"
	errNoHandshake     = "403::Client has not completed handshake"
	errClientLimit     = "403::Organization concurrent user limit exceeded"
	errEventLimit      = "403::Organization total events daily limit exceeded"
	errOtherUser       = "400::Authenticated user id does not match the session's user id"
	errNoVersion       = "400::API version in the URI is mandatory. URI format: '/cometd/66.0'"
	errOldVersion      = "400::Unsupported API version. Only API versions '37.0' and later are supported"
	errNoChannel       = "400::Channel name not specified"
	errNoSlash         = "400::Channel subscriptions must start with a leading '/'"
	errRestricted      = "403::Restricted channel"
)

// maxRequest is the body limit of the Streaming API Developer Guide, "How the
// Client Connects"; a larger body is answered with 413.
const maxRequest = 32768

// reply is one Bayeux message from the server that is not an event.
type reply map[string]any

// request is one Bayeux message from a client.
type request struct {
	Channel                  string          `json:"channel"`
	ID                       json.RawMessage `json:"id"`
	ClientID                 string          `json:"clientId"`
	ConnectionType           string          `json:"connectionType"`
	SupportedConnectionTypes []string        `json:"supportedConnectionTypes"`
	Subscription             json.RawMessage `json:"subscription"`
	Advice                   struct {
		Timeout *int64 `json:"timeout"`
	} `json:"advice"`
	Ext struct {
		Replay map[string]json.RawMessage `json:"replay"`
	} `json:"-"`

	raw map[string]any
}

// parseRequests reads a body that holds one message or an array of them.
func parseRequests(body []byte) ([]*request, error) {
	body = bytes.TrimSpace(body)
	var parts []json.RawMessage
	if len(body) > 0 && body[0] == '{' {
		parts = []json.RawMessage{body}
	} else if err := json.Unmarshal(body, &parts); err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, errors.New("no message")
	}
	out := make([]*request, len(parts))
	for i, part := range parts {
		m := new(request)
		if err := json.Unmarshal(part, m); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(part, &m.raw); err != nil || m.raw == nil {
			return nil, errors.New("message is not an object")
		}
		// ext is free-form: "replay" is true on a handshake and a map on a
		// subscribe, and neither may break the other.
		var ext struct {
			Ext struct {
				Replay map[string]json.RawMessage `json:"replay"`
			} `json:"ext"`
		}
		if json.Unmarshal(part, &ext) == nil {
			m.Ext.Replay = ext.Ext.Replay
		}
		out[i] = m
	}
	return out, nil
}

// reply starts the answer to m. The id goes back as it came, number or string.
func (m *request) reply(clientID string) reply {
	r := reply{"channel": m.Channel, "successful": true}
	if len(m.ID) > 0 && !bytes.Equal(m.ID, []byte("null")) {
		r["id"] = m.ID
	}
	if clientID != "" {
		r["clientId"] = clientID
	}
	if len(m.Subscription) > 0 {
		r["subscription"] = m.Subscription
	}
	return r
}

// fail turns m's answer into a refusal.
func (m *request) fail(clientID, text string) reply {
	r := m.reply(clientID)
	r["successful"] = false
	r["error"] = text
	return r
}

// unknown is the answer to a session the server does not have. It carries no
// client id.
func (m *request) unknown() reply {
	r := m.fail("", errUnknownClient)
	r["advice"] = reply{"interval": 0, "reconnect": "handshake"}
	return r
}

func (r reply) reason(text string) reply {
	if text != "" {
		r["ext"] = reply{"sfdc": reply{"failureReason": text}}
	}
	return r
}

// write sends events and replies as one JSON array, the replies in order. The
// events go first or last.
func write(w http.ResponseWriter, replies []reply, events []json.RawMessage, eventsFirst bool) {
	size := 2
	for _, e := range events {
		size += len(e) + 1
	}
	var meta []json.RawMessage
	for _, r := range replies {
		b, err := json.Marshal(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		meta = append(meta, b)
		size += len(b) + 1
	}
	first, last := meta, events
	if eventsFirst {
		first, last = events, meta
	}
	out := make([]byte, 0, size)
	out = append(out, '[')
	for _, list := range [][]json.RawMessage{first, last} {
		for _, b := range list {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, b...)
		}
	}
	out = append(out, ']')
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=UTF-8")
	h.Set("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private")
	_, _ = w.Write(out)
}
