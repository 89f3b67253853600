package cdc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"hcbridge/bayeux"
)

// ErrMalformed reports a message that is not a change event. Asking for it
// again will not help.
var ErrMalformed = errors.New("malformed change event")

// Type says what happened to records.
type Type string

// The types of change that are told apart; Unknown stands for gap events and for
// types that Salesforce may add: read the records.
const (
	Create   Type = "CREATE"
	Update   Type = "UPDATE"
	Delete   Type = "DELETE"
	Undelete Type = "UNDELETE"
	Unknown  Type = "GAP"
)

// Event is one change of one or more records.
type Event struct {
	Type        Type
	ReplayID    int64     // at least 1; grows along a channel, which it may share with other events
	CommittedAt time.Time // UTC, milliseconds
	SFIDs       []string  // of the records, 18 characters; none if All
	All         bool      // any records of the object may have changed, in any way

	// ModifiedAt is LastModifiedDate, zero if the event has none. SystemModstamp
	// is never earlier.
	ModifiedAt time.Time
	// Fields is the body without the header as a JSON object. The parts of a
	// person's name stand beside the other fields; addresses and geolocations are
	// nested.
	Fields json.RawMessage
	// Unread names the fields that have another value now which the event does
	// not tell: texts that came as differences, and the Name of a person.
	Unread []string
}

// Channel returns the channel of an object's change events, by its API name:
// /data/AccountChangeEvent for Account, /data/Employee__ChangeEvent for
// Employee__c. Channels are case-sensitive.
func Channel(object string) string {
	if base, custom := strings.CutSuffix(object, "__c"); custom {
		return "/data/" + base + "__ChangeEvent"
	}
	return "/data/" + object + "ChangeEvent"
}

// Decode reads an event. An error is [ErrMalformed] and tells which rule is
// broken, never a value of a record.
func Decode(m bayeux.Message) (Event, error) {
	e, err := decode(m)
	if err != nil {
		return Event{}, fmt.Errorf("%w on %s: %w", ErrMalformed, m.Channel, err)
	}
	return e, nil
}

func decode(m bayeux.Message) (e Event, err error) {
	if m.ReplayID < 1 {
		return e, errors.New("event.replayId is not a positive integer")
	}
	e.ReplayID = m.ReplayID
	if !m.Valid() {
		return e, errors.New("data is not valid JSON")
	}
	var payload json.RawMessage
	for key, value := range bayeux.Members(m.Data) {
		if key == "payload" {
			payload = value
		}
	}
	body := bytes.NewBuffer(make([]byte, 0, len(payload)))
	body.WriteByte('{')
	add := func(key string, value json.RawMessage) {
		if body.Len() > 1 {
			body.WriteByte(',')
		}
		name, _ := json.Marshal(key) // no string is refused
		body.Write(name)
		body.WriteByte(':')
		body.Write(value)
	}
	var header json.RawMessage
	for key, value := range bayeux.Members(payload) {
		switch {
		case key == "ChangeEventHeader":
			header = value
			continue
		case key == "LastModifiedDate":
			e.ModifiedAt = moment(value)
		case key == "Name" && value[0] == '{':
			e.Unread = append(e.Unread, key)
			for part, value := range bayeux.Members(value) {
				add(part, value)
			}
			continue
		case isDifference(value):
			e.Unread = append(e.Unread, key)
			continue
		}
		add(key, value)
	}
	body.WriteByte('}')
	e.Fields = body.Bytes()
	return e, e.readHeader(header)
}

func (e *Event) readHeader(raw json.RawMessage) error {
	var header struct {
		ChangeType      string   `json:"changeType"`
		CommitTimestamp int64    `json:"commitTimestamp"`
		RecordIDs       []string `json:"recordIds"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &header) != nil {
		return errors.New("no ChangeEventHeader as documented")
	}
	if header.CommitTimestamp <= 0 {
		return errors.New("commitTimestamp is not a time")
	}
	e.CommittedAt = time.UnixMilli(header.CommitTimestamp).UTC()
	switch t := Type(header.ChangeType); t {
	case Create, Update, Delete, Undelete:
		e.Type = t
	case "GAP_OVERFLOW":
		e.Type, e.All = Unknown, true
		return nil
	case "":
		return errors.New("no changeType")
	default:
		e.Type = Unknown
	}
	if len(header.RecordIDs) == 0 {
		return errors.New("no recordIds")
	}
	for _, id := range header.RecordIDs {
		if id == noRecord || strings.HasSuffix(id, "*") {
			e.All = true
			continue
		}
		if !isID(id) {
			return errors.New("recordIds holds what is not an id")
		}
		e.SFIDs = append(e.SFIDs, id)
	}
	if e.All {
		e.SFIDs = nil
	}
	return nil
}

// isDifference reports whether a value is {"diff": …}.
func isDifference(value json.RawMessage) bool {
	members, diff := 0, false
	for key := range bayeux.Members(value) {
		members++
		diff = diff || key == "diff"
	}
	return members == 1 && diff
}

// noRecord is the id of an event that is about no single record.
const noRecord = "000000000000000AAA"

// isID reports whether id has the form of an id of 18 characters.
func isID(id string) bool {
	return len(id) == 18 && strings.IndexFunc(id, func(c rune) bool {
		return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}) < 0
}

// moment reads a JSON string such as "2024-04-09T20:26:27.000Z", zero for
// anything else.
func moment(raw json.RawMessage) time.Time {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
