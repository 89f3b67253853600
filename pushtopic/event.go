package pushtopic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hcbridge/bayeux"
)

// ErrMalformed reports a message that is not a PushTopic event. Its position
// cannot be trusted; asking for it again will not help.
var ErrMalformed = errors.New("malformed event")

// Type says what happened to a record.
type Type string

// The types of events. ("Streaming API Developer Guide, PushTopic Notification
// Message")
const (
	TypeCreated   Type = "created"
	TypeUpdated   Type = "updated"
	TypeDeleted   Type = "deleted"
	TypeUndeleted Type = "undeleted"
)

// Event is a change of a record.
type Event struct {
	Topic     string // name of the topic, for example "hc_Account"
	Type      Type
	ReplayID  int64           // at least 1
	CreatedAt time.Time       // UTC
	SFID      string          // 18 characters
	SObject   json.RawMessage // the fields of the query; Id alone if deleted
}

// Decode reads an event. The event's bytes share the message's memory. An error
// is [ErrMalformed] and tells which rule is broken, never a value of the record.
func Decode(m bayeux.Message) (Event, error) {
	e, err := decode(m)
	if err != nil {
		return Event{}, fmt.Errorf("%w on %s: %w", ErrMalformed, m.Channel, err)
	}
	return e, nil
}

func decode(m bayeux.Message) (e Event, err error) {
	topic, ok := strings.CutPrefix(m.Channel, channelPrefix)
	if !ok || topic == "" {
		return e, errors.New("not the channel of a topic")
	}
	e.Topic = topic
	if !m.Valid() {
		return e, errors.New("data is not valid JSON")
	}
	var header json.RawMessage
	for key, value := range bayeux.Members(m.Data) {
		switch key {
		case "event":
			header = value
		case "sobject":
			e.SObject = value
		}
	}
	if err := e.readHeader(header); err != nil {
		return e, err
	}
	return e, e.readID()
}

func (e *Event) readHeader(header json.RawMessage) error {
	var created, replay, kind json.RawMessage
	for key, value := range bayeux.Members(header) {
		switch key {
		case "createdDate":
			created = value
		case "replayId":
			replay = value
		case "type":
			kind = value
		}
	}
	var err error
	if e.ReplayID, err = strconv.ParseInt(string(replay), 10, 64); err != nil || e.ReplayID < 1 {
		return errors.New("event.replayId is not a positive integer")
	}
	if e.CreatedAt, err = parseTime(text(created)); err != nil {
		return errors.New("event.createdDate is not a time")
	}
	switch text(kind) {
	case "created":
		e.Type = TypeCreated
	case "updated":
		e.Type = TypeUpdated
	case "deleted":
		e.Type = TypeDeleted
	case "undeleted":
		e.Type = TypeUndeleted
	default:
		return errors.New("event.type is none of created, updated, deleted, undeleted")
	}
	return nil
}

func (e *Event) readID() error {
	if len(e.SObject) == 0 || e.SObject[0] != '{' {
		return errors.New("sobject is not an object")
	}
	var id json.RawMessage
	for key, value := range bayeux.Members(e.SObject) {
		if key == "Id" {
			id = value
		}
	}
	var ok bool
	if e.SFID, ok = longID(text(id)); !ok {
		return errors.New("sobject.Id is not an id")
	}
	return nil
}

// text is the value of a JSON string, "" for anything else.
func text(raw json.RawMessage) (s string) {
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// parseTime reads both forms of createdDate: "2018-10-18T14:53:33.777Z", and
// "2013-05-10T18:16:19.000+0000" as API versions up to 36 have it.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999-0700", s)
	}
	return t.UTC(), err
}

// longID returns the 18 characters of an id. To the 15 of the short form it
// adds the three that tell which of them are capitals ("Object Reference, ID
// Field Type").
func longID(id string) (string, bool) {
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", false
		}
	}
	if len(id) != 15 {
		return id, len(id) == 18
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	long := []byte(id)
	for group := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[group*5+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		long = append(long, digits[bits])
	}
	return string(long), true
}
