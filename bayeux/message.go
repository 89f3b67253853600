package bayeux

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"

	"hcbridge/internal/rawjson"
)

// Meta channels. ("Bayeux 1.0, Bayeux Channels")
const (
	metaHandshake   = "/meta/handshake"
	metaConnect     = "/meta/connect"
	metaSubscribe   = "/meta/subscribe"
	metaUnsubscribe = "/meta/unsubscribe"
	metaDisconnect  = "/meta/disconnect"
)

// Message is one event as it came from the server. Its byte slices share the
// memory of the whole reply: who keeps a message for long should copy them.
type Message struct {
	Channel  string          // for example "/topic/hc_Account", without filter
	Data     json.RawMessage // valid JSON
	ReplayID int64           // data.event.replayId; 0 if it is not a positive integer
	ID       string          // usually ""
	Ext      json.RawMessage // nil if there is none

	valid bool // Data was checked, with the reply
}

// Valid reports whether m.Data is valid JSON. It always is on a delivered
// message, and is not looked at again: its bytes must not be changed.
func (m Message) Valid() bool { return m.valid || rawjson.Valid(m.Data) }

// Members iterates over the members of a JSON object in their order, without
// decoding them. The object must be valid JSON, as the Data of a delivered
// [Message] is; anything but an object has no members. Keys and values share
// the memory of object.
func Members(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return rawjson.Members(object)
}

// Handler takes the events of one reply, in wire order. It is called on the
// goroutine that called Run, never twice at a time, with a context of at most
// 30 s. An error drops the session; the channels are subscribed again from
// [Subscription.From], with back-off.
type Handler func(ctx context.Context, msgs []Message) error

// request is one message to the server.
type request struct {
	Channel                  string          `json:"channel"`
	ID                       string          `json:"id"`
	ClientID                 string          `json:"clientId,omitempty"`
	Version                  string          `json:"version,omitempty"`
	MinimumVersion           string          `json:"minimumVersion,omitempty"`
	SupportedConnectionTypes []string        `json:"supportedConnectionTypes,omitempty"`
	ConnectionType           string          `json:"connectionType,omitempty"`
	Subscription             string          `json:"subscription,omitempty"`
	Data                     json.RawMessage `json:"data,omitempty"`
	Ext                      map[string]any  `json:"ext,omitempty"`
	Advice                   *pollAdvice     `json:"advice,omitempty"`
}

// pollAdvice asks the server not to hold a connect.
type pollAdvice struct {
	Timeout int `json:"timeout"`
}

// meta is a reply on a meta channel, or to a publish.
type meta struct {
	Channel                  string      `json:"channel"`
	ID                       looseID     `json:"id"`
	ClientID                 string      `json:"clientId"`
	Successful               bool        `json:"successful"`
	Error                    string      `json:"error"`
	Subscription             channels    `json:"subscription"`
	SupportedConnectionTypes []string    `json:"supportedConnectionTypes"`
	Advice                   *wireAdvice `json:"advice"`
	Ext                      metaExt     `json:"ext"`
}

// failure makes an Error of an unsuccessful reply.
func (m *meta) failure() *Error {
	subscription := ""
	if len(m.Subscription) > 0 {
		subscription = m.Subscription[0]
	}
	return newError(m.Channel, subscription, m.Error, m.Ext.reason)
}

// looseID is an id that may come back as a number although it was sent as a
// string; Salesforce does that on /meta/connect.
type looseID string

func (id *looseID) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*id = looseID(s)
		return nil
	}
	if !bytes.Equal(b, []byte("null")) {
		*id = looseID(b)
	}
	return nil
}

// channels is a subscription field: one channel or an array of them.
// ("Bayeux 1.0, subscription")
type channels []string

func (c *channels) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var list []string
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		*c = list
		return nil
	}
	var one *string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	if one != nil {
		*c = channels{*one}
	}
	return nil
}

// metaExt picks Salesforce's failure reason and the signs of the extensions out
// of ext, which is free to hold anything: what does not look like them is not
// an error.
type metaExt struct {
	reason string
	replay bool
	ackOn  bool  // in a handshake
	ack    int64 // in a connect, 0 if there is none
}

func (e *metaExt) UnmarshalJSON(b []byte) error {
	var ext struct {
		Sfdc   json.RawMessage `json:"sfdc"`
		Replay json.RawMessage `json:"replay"`
		Ack    json.RawMessage `json:"ack"`
	}
	var sfdc struct {
		FailureReason string `json:"failureReason"`
	}
	if json.Unmarshal(b, &ext) == nil {
		e.replay = string(ext.Replay) == "true"
		e.ackOn = string(ext.Ack) == "true"
	}
	if json.Unmarshal(ext.Ack, &e.ack) != nil {
		e.ack = 0
	}
	if json.Unmarshal(ext.Sfdc, &sfdc) == nil {
		e.reason = sfdc.FailureReason
	}
	return nil
}
