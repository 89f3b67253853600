package bridge

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"hcbridge/bayeux"
	"hcbridge/internal/cdc"
	"hcbridge/pgsink"
)

// rememberChanges is how long the watchdog remembers change events: each poll
// finds again what they announced since the last, as they do not move stamps.
const rememberChanges = 24 * time.Hour

// changeEvents is what change events can tell of an object's mapped fields.
type changeEvents struct {
	null    map[string]bool // absent from a create they are null
	follows bool            // some change with others and never by an event of their own
	masked  []string        // events may show them as nobody else does
}

// audit are the fields that Salesforce writes itself and that events hold.
var audit = []string{"Id", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"}

// add takes in a mapped field. Of one that nobody may write it cannot be known
// whether it is derived, which events do not tell of, or only hidden from this
// user's pen; an absent one is read, then. ("Change Data Capture Developer Guide,
// Change Event Fields")
func (c *changeEvents) add(f field) {
	if c.null == nil {
		c.null = map[string]bool{}
	}
	switch {
	case f.relationship != "", f.Calculated:
		c.follows = true
	case f.Type == encrypted:
		c.follows, c.masked = true, append(c.masked, f.name)
	case f.Createable, f.Updateable, f.AutoNumber, slices.Contains(audit, f.name):
		c.null[f.name] = true
	}
}

// change is what a change event says of one of its records.
type change struct {
	cdc.Event
	sfid string
}

// readChange decodes a change event and appends one for each record.
func readChange(list []event, m bayeux.Message) ([]event, error) {
	e, err := cdc.Decode(m)
	if e.All {
		list = append(list, change{Event: e})
	}
	for _, sfid := range e.SFIDs {
		list = append(list, change{Event: e, sfid: sfid})
	}
	return list, err
}

func (e change) position() (int64, time.Time) { return e.ReplayID, e.CommittedAt }
func (e change) record() string               { return e.sfid }

// decide applies a create that is a whole record as one, and an update as the
// patch that it is. What else has changed with it is read back.
//
// Change events come in the order of commits, one for each record of a
// transaction, so neither needs the rules that topics need for reversed events.
// But they tell only what changed, so one that was lost could hide behind the
// next: that is why a patch does not move the row's stamp, and the next poll has
// the record read.
func (e change) decide(in *inbound, obj *object, b *pgsink.Batch) {
	mark := func(reason string) {
		b.Marks = append(b.Marks, pgsink.Mark{Object: obj.cfg.Name, SFID: e.sfid, Reason: reason})
	}
	switch e.Type {
	case cdc.Delete:
		obj.deleted(b, e.sfid, e.CommittedAt)
		return
	case cdc.Undelete:
		mark("undeleted") // a read under way may just have found it deleted
		return
	case cdc.Unknown:
		mark("event without fields")
		return
	case cdc.Create, cdc.Update:
	}
	row, err := obj.table.DecodeEvent(e.asRecord())
	if err != nil || row.Stamp.IsZero() {
		mark("event without every field")
		return
	}
	unread := slices.Concat(e.Unread, row.Nested)
	for _, name := range obj.change.masked {
		if !slices.Contains(row.Missing, name) {
			row.Missing = append(row.Missing, name)
		}
	}
	if e.Type == cdc.Create {
		unknown := func(name string) bool { return !obj.change.null[name] || slices.Contains(unread, name) }
		if slices.ContainsFunc(row.Missing, unknown) {
			mark("create without every field")
			return
		}
		row.Missing = nil
		b.Changes = append(b.Changes, pgsink.Change{Table: obj.table, Kind: pgsink.Event, Row: row})
		return
	}
	b.Changes = append(b.Changes, pgsink.Change{Table: obj.table, Kind: pgsink.Patch, Row: row})
	in.s.echo(obj, row, b)
	switch {
	case slices.ContainsFunc(unread, func(name string) bool { return slices.Contains(obj.fields, name) }):
		mark("event without a value")
	case obj.change.follows:
		mark("fields that follow")
	case obj.bulk.Load():
		mark("changed during a load") // a poll's page of before may overwrite the patch
	}
}

// asRecord gives the event the form of a record. Its stamp is LastModifiedDate,
// which SystemModstamp, not part of events, is never earlier than. What is
// created is not deleted.
func (e change) asRecord() []byte {
	if e.ModifiedAt.IsZero() {
		return nil
	}
	fields := bytes.TrimSuffix(e.Fields, []byte("}"))
	record := make([]byte, 0, len(fields)+128)
	record = append(record, fields...)
	if len(fields) > 1 {
		record = append(record, ',')
	}
	record = append(record, `"Id":"`+e.sfid+`","SystemModstamp":"`+e.ModifiedAt.Format("2006-01-02T15:04:05.000Z")+`"`...)
	if e.Type == cdc.Create {
		record = append(record, `,"IsDeleted":false`...)
	}
	return append(record, '}')
}

// repeated is an event that comes again, or after a later one. Its patch could
// put an old value in the place of a newer one.
type repeated struct{ event }

func (e repeated) decide(_ *inbound, obj *object, b *pgsink.Batch) {
	b.Marks = append(b.Marks, pgsink.Mark{Object: obj.cfg.Name, SFID: e.record(), Reason: "event came again"})
}

// newest is the newest message of each channel in one reply.
type newest map[*channel]int64

// had notes a message and reports whether it, or a later one, has come before.
func (n *newest) had(ch *channel, id int64) bool {
	if *n == nil {
		*n = newest{}
	}
	last, ok := (*n)[ch]
	if !ok {
		last = ch.from()
	}
	(*n)[ch] = max(last, id)
	return id <= last
}

// listen subscribes to the change events of o, if that is still to be done.
// There is nothing to set up: an administrator has selected the object, or the
// subscription is refused.
func (st *stream) listen(o *object, positions map[string]pgsink.Position) {
	name := cdc.Channel(o.cfg.Name)
	ch := st.channel(name)
	if ch == nil {
		ch = &channel{name: name, obj: o, kind: changeKind, accepted: positions[name].ReplayID}
		st.add(ch, positions[name])
	}
	if !ch.want(true) {
		st.subscribe(ch)
	}
}

// noChangeEvents says why an object has no change events for us, and what to do.
func noChangeEvents(o *object, err *bayeux.Error) string {
	if err.Code == 403 && !strings.Contains(err.Text, "exist") {
		return "Salesforce refuses its change events (" + err.Text + "): grant View All Records on " + o.cfg.Name + " to the user; it is polled"
	}
	return "Salesforce has no change events of it (" + err.Text + "): select it in Setup → Change Data Capture; it is polled"
}
