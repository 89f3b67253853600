package bayeux

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"hcbridge/internal/rawjson"
)

// reply is the answer to one batch, split by kind. Within a kind the order is
// that of the wire.
type reply struct {
	metas  []meta
	events []Message
}

// decode splits the body of a reply. It returns all of it or an error.
//
// Events are the hot path, so they are not decoded: the body is checked once as
// a whole, then cut where messages and their data begin and end.
func decode(body []byte) (reply, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return reply{}, errors.New("empty reply")
	}
	if body[0] != '[' && body[0] != '{' {
		return reply{}, fmt.Errorf("not a Bayeux reply (%d bytes beginning with %q)", len(body), body[0])
	}
	if !rawjson.Valid(body) {
		return reply{}, fmt.Errorf("reply of %d bytes is not valid JSON", len(body))
	}
	var r reply
	c := rawjson.Over(body)
	if body[0] == '{' { // a lone message need not be in an array
		return r, r.message(c)
	}
	for more := c.Enter(); more; more = c.Next() {
		if c.Peek() != '{' {
			return reply{}, errors.New("reply holds something that is not a message")
		}
		if err := r.message(c); err != nil {
			return reply{}, err
		}
	}
	return r, nil
}

// message reads the message at c, which is at its opening brace.
func (r *reply) message(c *rawjson.Cursor) error {
	start := c.At()
	m := Message{valid: true}
	var id []byte
	for more := c.Enter(); more; more = c.Next() {
		switch c.Key() {
		case "channel":
			raw := c.Value()
			if raw[0] != '"' {
				return errors.New("message whose channel is not a string")
			}
			m.Channel = r.channel(raw)
		case "data":
			at := c.At()
			m.ReplayID = replayID(c)
			m.Data = json.RawMessage(c.Since(at))
		case "ext":
			m.Ext = json.RawMessage(c.Value())
		case "id":
			id = c.Value()
		default:
			c.Value()
		}
	}
	switch {
	case m.Channel == "":
		return errors.New("message without channel")
	case isMeta(m.Channel):
		var reply meta
		if err := json.Unmarshal(c.Since(start), &reply); err != nil {
			return fmt.Errorf("reply on %s: %w", m.Channel, err)
		}
		r.metas = append(r.metas, reply)
	case len(m.Data) == 0 || m.Data[0] == 'n': // the answer to a publish
		var reply meta
		if json.Unmarshal(c.Since(start), &reply) == nil {
			r.metas = append(r.metas, reply)
		}
	default:
		if len(id) > 0 && id[0] == '"' {
			m.ID = rawjson.Text(id)
		} else if len(id) > 0 && id[0] != 'n' {
			m.ID = string(id)
		}
		if len(m.Ext) > 0 && m.Ext[0] == 'n' {
			m.Ext = nil
		}
		r.events = append(r.events, m)
	}
	return nil
}

// channel is text(raw), without a copy for each event of the same channel.
func (r *reply) channel(raw []byte) string {
	if n := len(r.events); n > 0 && string(raw[1:len(raw)-1]) == r.events[n-1].Channel {
		return r.events[n-1].Channel
	}
	return rawjson.Text(raw)
}

// replayID reads the value at c and returns the integer in its member
// event.replayId, or 0.
func replayID(c *rawjson.Cursor) (id int64) {
	if c.Peek() != '{' {
		c.Value()
		return 0
	}
	for more := c.Enter(); more; more = c.Next() {
		if c.Key() != "event" {
			c.Value()
			continue
		}
		id = 0 // the last of two members of one name counts, as everywhere
		if c.Peek() != '{' {
			c.Value()
			continue
		}
		for more := c.Enter(); more; more = c.Next() {
			if c.Key() != "replayId" {
				c.Value()
				continue
			}
			raw := c.Value()
			n, err := strconv.ParseInt(unsafe.String(unsafe.SliceData(raw), len(raw)), 10, 64)
			if err != nil {
				n = 0
			}
			id = max(n, 0)
		}
	}
	return id
}
