package org

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"hcbridge/test/org/sobject"
)

const (
	dataPrefix = "/data/"
	allChanges = dataPrefix + "ChangeEvents"

	// maxSelected is the number of entities that may be selected without an
	// add-on, and maxChanges that of changes in a transaction, each changed field
	// counting, beyond which an entity overflows. ("Change Data Capture Developer
	// Guide, Change Data Capture Allocations", "Overflow Events")
	maxSelected = 5
	maxChanges  = 100_000

	// NoRecord is the id that an event has instead of a record's when it is about
	// no single one.
	NoRecord = "000000000000000AAA"
)

// capturable are standard objects of which change events can be had; custom
// objects all can. ("Change Data Capture Developer Guide, Objects That Support
// Change Events")
var capturable = map[string]bool{
	"Account": true, "Asset": true, "Campaign": true, "Case": true, "Contact": true, "Contract": true, "Event": true,
	"Lead": true, "Opportunity": true, "Order": true, "OrderItem": true, "Product2": true, "Quote": true, "Task": true,
	"User": true, "WorkOrder": true,
}

// capture is Change Data Capture: it turns transactions into change events.
type capture struct {
	s *Server

	mu       sync.Mutex
	selected map[string]bool // object names
	denied   map[string]bool // of which the integration user may not see all records
	gaps     map[string]bool // whose changes come as gap events
	lost     map[string]int  // whose next events are lost
	quiet    bool            // subscribing to what is not selected is no error
	limit    int             // changes in a transaction
}

func newCapture(s *Server) *capture {
	return &capture{
		s: s, limit: maxChanges,
		selected: map[string]bool{}, denied: map[string]bool{}, gaps: map[string]bool{}, lost: map[string]int{},
	}
}

// Select selects exactly these entities for Change Data Capture, as an
// administrator does in Setup. It refuses more than five and what has no change
// events.
func (s *Server) Select(objects ...string) error {
	if len(objects) > maxSelected {
		return fmt.Errorf("at most %d entities can be selected", maxSelected)
	}
	selected := map[string]bool{}
	for _, name := range objects {
		ob := s.store.Object(name)
		if ob == nil || !ob.Custom && !capturable[ob.Name] {
			return fmt.Errorf("%s has no change events", name)
		}
		selected[ob.Name] = true
	}
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.capture.selected = selected
	return nil
}

// DenyCapture takes the integration user's permission to view all records of
// an object away, without which there are no change events for him.
func (s *Server) DenyCapture(object string, deny bool) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.capture.denied[object] = deny
}

// GapEvents makes the changes of an object come as gap events, which say what
// happened to which record but not how, as after an internal error.
// ("Change Data Capture Developer Guide, Gap Events")
func (s *Server) GapEvents(object string, on bool) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.capture.gaps[object] = on
}

// LoseChanges makes the next n change events of an object be lost for good,
// which the documents call rare but possible. ("Change Data Capture Developer
// Guide, Change Event Persistence")
func (s *Server) LoseChanges(object string, n int) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.capture.lost[object] = n
}

// OverflowAbove sets how many changes of a transaction, each changed field
// counting, have events of their own. From there on each entity has one overflow
// event in their place.
func (s *Server) OverflowAbove(n int) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.capture.limit = n
}

// QuietCapture lets clients subscribe to entities that are not selected, and
// hear nothing. Which of the two an org does is not documented.
func (s *Server) QuietCapture(on bool) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.capture.quiet = on
}

// Convert publishes what follows when the type of a field is changed so that
// values are lost: a gap event for all records of the object.
// ("Change Data Capture Developer Guide, Gap Events")
func (s *Server) Convert(object string) {
	ob := s.store.Object(object)
	if ob == nil {
		panic("org: no object " + object)
	}
	c := s.capture
	s.writing.Lock()
	defer s.writing.Unlock()
	tx := sobject.Tx{At: s.opt.Now(), Origin: sobject.Origin{UserID: s.org.Admin()}}
	c.publish(tx, &changeEvent{object: ob, kind: "GAP_UPDATE", ids: []string{ob.KeyPrefix + "*"}}, 1)
}

// changeChannel is the channel of one object's changes: /data/AccountChangeEvent,
// /data/Employee__ChangeEvent.
func changeChannel(ob *sobject.Object) string {
	if base, custom := strings.CutSuffix(ob.Name, "__c"); custom {
		return dataPrefix + base + "__ChangeEvent"
	}
	return dataPrefix + ob.Name + "ChangeEvent"
}

// of returns the object that a channel is about. Names are case-sensitive.
func (c *capture) of(channel string) *sobject.Object {
	for _, ob := range c.s.store.Objects() {
		if changeChannel(ob) == channel && (ob.Custom || capturable[ob.Name]) {
			return ob
		}
	}
	return nil
}

// admits returns the Bayeux error that refuses a subscription, or "".
// ("Change Data Capture Developer Guide, Required Permissions for Change Event
// Subscribers")
func (c *capture) admits(userID, channel string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if channel == allChanges {
		return "" // events he may not see are left out in silence
	}
	ob := c.of(channel)
	switch {
	case ob == nil || !c.selected[ob.Name] && !c.quiet:
		// Made up for an entity that is not selected.
		return "400::The channel you requested to subscribe to doesn't exist {" + channel + "}"
	case userID == c.s.user.ID && c.denied[ob.Name]:
		return "403::User not allowed to subscribe CDC without View All Data permissions"
	}
	return ""
}

// view leaves out of an event the fields that the subscriber may not read, and
// of the channel of all entities those of which he may not see all records.
func (c *capture) view(userID, channel string, data json.RawMessage) (json.RawMessage, bool) {
	if userID != c.s.user.ID {
		return data, true
	}
	var event struct {
		Schema  string                     `json:"schema"`
		Payload map[string]json.RawMessage `json:"payload"`
		Event   json.RawMessage            `json:"event"`
	}
	var header struct{ EntityName string }
	if json.Unmarshal(data, &event) != nil || json.Unmarshal(event.Payload["ChangeEventHeader"], &header) != nil {
		return data, true
	}
	ob := c.s.store.Object(header.EntityName)
	c.mu.Lock()
	denied := c.denied[header.EntityName]
	c.mu.Unlock()
	if ob == nil || denied {
		return nil, false
	}
	changed := false
	for _, f := range ob.Fields {
		if !c.s.hides(userID, ob, f) {
			continue
		}
		changed = true
		delete(event.Payload, f.Name)
		if f.Compound == "" {
			continue
		}
		var parts map[string]json.RawMessage
		if raw, ok := event.Payload[f.Compound]; ok && json.Unmarshal(raw, &parts) == nil {
			delete(parts, partName(f))
			event.Payload[f.Compound], _ = json.Marshal(parts)
		}
	}
	if !changed {
		return data, true
	}
	out, err := json.Marshal(event)
	return out, err == nil
}

// watch follows the transactions of the org, in commit order.
func (c *capture) watch(tx sobject.Tx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.selected) == 0 {
		return
	}
	events := c.events(tx)
	spent, overflown := 0, map[string]bool{}
	for n, e := range events {
		if spent += max(1, len(e.changed)) * len(e.ids); spent > c.limit {
			if overflown[e.object.Name] {
				continue
			}
			overflown[e.object.Name] = true
			e = &changeEvent{object: e.object, kind: "GAP_OVERFLOW", ids: []string{NoRecord}}
		}
		if c.lost[e.object.Name] > 0 {
			c.lost[e.object.Name]--
			continue
		}
		c.publish(tx, e, n+1)
	}
}

// events makes the events of a transaction: one for each record, with its
// first kind and its last values. Records of one object that changed in the same
// way share one. ("Change Data Capture Developer Guide, General Considerations",
// "ChangeEventHeader Fields")
func (c *capture) events(tx sobject.Tx) []*changeEvent {
	type key struct{ object, id string }
	net := map[key]*sobject.Change{}
	var order []*sobject.Change
	for _, ch := range tx.Changes {
		// Hard deletes have no event. What cascading deletes have is not
		// documented; they have none here.
		if !c.selected[ch.Object.Name] || ch.Cascade || ch.Kind == sobject.Purge {
			continue
		}
		k := key{ch.Object.Name, ch.After.ID}
		if first := net[k]; first != nil {
			first.After = ch.After
			if ch.Kind == sobject.Delete || first.Kind == sobject.Delete {
				first.Kind = ch.Kind
			}
			continue
		}
		net[k] = &ch
		order = append(order, &ch)
	}
	var events []*changeEvent
	shared := map[string]*changeEvent{}
	for _, ch := range order {
		if ch.Before.ID == "" && ch.After.Deleted || ch.Before.Deleted && ch.After.Deleted {
			continue // came and went
		}
		e := newChangeEvent(ch)
		if c.gaps[ch.Object.Name] {
			e = &changeEvent{object: ch.Object, kind: "GAP_" + e.kind, ids: e.ids}
		}
		if e.kind == "UPDATE" && !slices.ContainsFunc(e.changed, func(name string) bool { return !stamped[name] }) {
			continue
		}
		body, _ := json.Marshal(e.body)
		like := e.object.Name + e.kind + string(body)
		if same := shared[like]; same != nil && e.kind != "CREATE" {
			same.ids = append(same.ids, e.ids...)
			continue
		}
		shared[like] = e
		events = append(events, e)
	}
	return events
}

// publish stores an event on its own channel and on that of all entities.
func (c *capture) publish(tx sobject.Tx, e *changeEvent, sequence int) {
	origin := ""
	if api := tx.Origin.API; api == "rest" || api == "bulk" {
		origin = "com/salesforce/api/" + strings.Replace(api, "bulk", "bulkapi", 1) + "/67.0"
		if tx.Origin.Client != "" {
			origin += ";client=" + tx.Origin.Client
		}
	}
	names := slices.Clone(e.changed)
	if len(names) > 0 {
		names = append([]string{"LastModifiedDate"}, names...)
	}
	if names == nil {
		names = []string{}
	}
	payload := append(object{{"ChangeEventHeader", object{
		{"commitNumber", json.Number(fmtInt(1_082_990_428_293 + int64(tx.Seq)))},
		{"commitUser", tx.Origin.UserID},
		{"sequenceNumber", sequence},
		{"entityName", e.object.Name},
		{"changeType", e.kind},
		{"changedFields", names},
		{"changeOrigin", origin},
		{"transactionKey", fmt.Sprintf("0001ae4b-7024-a64a-87f0-%012x", tx.Seq)},
		{"commitTimestamp", json.Number(fmtInt(c.s.opt.Now().UnixMilli()))},
		{"recordIds", e.ids},
	}}}, e.body...)
	for _, channel := range []string{changeChannel(e.object), allChanges} {
		c.s.stream.Publish(channel, c.s.opt.Now(), func(replayID int64) any {
			return object{
				{"schema", "V2MGwDA2aIP0yQS98S2L6Q"},
				{"payload", payload},
				{"event", object{{"replayId", json.Number(fmtInt(replayID))}}},
			}
		})
	}
}
