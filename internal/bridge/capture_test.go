package bridge

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
)

const changed = "001000000000001AAA"

// changeMessage is a change event of an account.
func changeMessage(typ, body string) bayeux.Message {
	if body != "" {
		body = "," + body
	}
	return bayeux.Message{Channel: "/data/AccountChangeEvent", ReplayID: 7, Data: json.RawMessage(
		`{"payload":{"ChangeEventHeader":{"changeType":"` + typ + `","commitTimestamp":1767355200500,"recordIds":["` + changed + `"]}` + body + `},"event":{"replayId":7}}`)}
}

// Which change events are applied as what, and which are read back.
func TestDecideChange(t *testing.T) {
	t.Parallel()
	const stamp = `"LastModifiedDate":"2026-01-02T12:00:00.000Z"`
	account := describes{"Account": testOrg()["Account"]}
	account["Account"].Fields = account["Account"].Fields[:6] // without the encrypted field
	derived := testOrg()["Account"]
	derived.Fields = append(derived.Fields[:6], salesforce.Field{Name: "PhotoUrl", Type: "url"})
	formula := testOrg()["Account"]
	formula.Fields = append(formula.Fields[:6], salesforce.Field{Name: "Sum__c", Type: "double", Calculated: true})
	person := testOrg()["Account"]
	person.Fields = append(person.Fields[:6:6], salesforce.Field{Name: "FirstName", Type: "string", Length: 40, Createable: true})
	person.Fields[3].Createable, person.Fields[3].Updateable = false, false

	for name, c := range map[string]struct {
		org    describes
		typ    string
		body   string
		kind   pgsink.Kind // 0 for none
		marked bool
		values map[string]string // "" is null, - is missing
	}{
		"Create":               {account, "CREATE", stamp + `,"Name":"A"`, pgsink.Event, false, map[string]string{"Name": "A", "BillingCity": "", "IsDeleted": "false"}},
		"CreateWithAddress":    {account, "CREATE", stamp + `,"BillingAddress":{"City":"Ulm"}`, pgsink.Event, false, map[string]string{"Name": "", "BillingCity": "Ulm"}},
		"CreateWithoutDerived": {describes{"Account": derived}, "CREATE", stamp + `,"Name":"A"`, 0, true, nil},
		"CreateWithDerived":    {describes{"Account": derived}, "CREATE", stamp + `,"Name":"A","PhotoUrl":"x"`, pgsink.Event, false, map[string]string{"PhotoUrl": "x"}},
		"CreateWithoutFormula": {describes{"Account": formula}, "CREATE", stamp + `,"Name":"A"`, 0, true, nil},
		"CreateMasked":         {testOrg(), "CREATE", stamp + `,"Name":"A","Secret__c":"s"`, 0, true, nil},
		"CreateOfPerson":       {describes{"Account": person}, "CREATE", stamp + `,"Name":{"FirstName":"A"}`, 0, true, nil},
		"CreateWithoutStamp":   {account, "CREATE", `"Name":"A"`, 0, true, nil},
		"Update":               {account, "UPDATE", stamp + `,"Name":null`, pgsink.Patch, false, map[string]string{"Name": "", "BillingCity": "-", "IsDeleted": "-"}},
		"UpdateOfAddress":      {account, "UPDATE", stamp + `,"BillingAddress":{"City":null}`, pgsink.Patch, false, map[string]string{"Name": "-", "BillingCity": ""}},
		"UpdateOfDifference":   {account, "UPDATE", stamp + `,"Name":{"diff":"x"},"BillingAddress":{"City":"Ulm"}`, pgsink.Patch, true, map[string]string{"Name": "-", "BillingCity": "Ulm"}},
		"UpdateBesideDerived":  {describes{"Account": derived}, "UPDATE", stamp + `,"Name":"B"`, pgsink.Patch, false, map[string]string{"Name": "B", "PhotoUrl": "-"}},
		"UpdateBesideFormula":  {describes{"Account": formula}, "UPDATE", stamp + `,"Name":"B"`, pgsink.Patch, true, map[string]string{"Name": "B"}},
		"UpdateMasked":         {testOrg(), "UPDATE", stamp + `,"Secret__c":"s"`, pgsink.Patch, true, map[string]string{"Secret__c": "-"}},
		"UpdateOfPerson":       {describes{"Account": person}, "UPDATE", stamp + `,"Name":{"FirstName":"B"}`, pgsink.Patch, true, map[string]string{"Name": "-", "FirstName": "B"}},
		"UpdateWithoutStamp":   {account, "UPDATE", `"Name":"A"`, 0, true, nil},
		"UpdateNested":         {account, "UPDATE", stamp + `,"Name":"B","BillingCity":{"x":1}`, pgsink.Patch, true, map[string]string{"Name": "B", "BillingCity": "-"}},
		"CreateNested":         {account, "CREATE", stamp + `,"Name":"A","BillingCity":["x"]`, 0, true, nil},
		"Delete":               {account, "DELETE", "", pgsink.Delete, false, nil},
		"Undelete":             {account, "UNDELETE", stamp + `,"Name":"A"`, 0, true, nil},
		"Gap":                  {account, "GAP_DELETE", "", 0, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := mapObject(t.Context(), c.org, config.Object{Name: "Account"}, "salesforce", false, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := newObject(m)
			o.loaded.Store(true)
			events, err := readChange(nil, changeMessage(c.typ, c.body))
			if err != nil || len(events) != 1 || events[0].record() != changed {
				t.Fatalf("%v, %v", events, err)
			}
			var b pgsink.Batch
			events[0].decide(newInbound(&session{}), o, &b)
			if marked := len(b.Marks) == 1 && b.Marks[0].SFID == changed; marked != c.marked || len(b.Marks) > 1 {
				t.Errorf("marks %v", b.Marks)
			}
			if c.kind == 0 {
				if len(b.Changes) != 0 {
					t.Errorf("changes %v", b.Changes)
				}
				return
			}
			if len(b.Changes) != 1 || b.Changes[0].Kind != c.kind {
				t.Fatalf("changes %v, want one of kind %v", b.Changes, c.kind)
			}
			row := b.Changes[0].Row
			if c.kind == pgsink.Delete {
				row.Values = make([]*string, len(o.table.Columns))
			}
			if c.kind != pgsink.Delete && !row.Stamp.Equal(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)) {
				t.Errorf("stamp %s", row.Stamp)
			}
			for i, col := range o.table.Columns {
				want, ok := c.values[col.Field]
				got := "-"
				if !strings.Contains(strings.Join(row.Missing, " "), col.Field) {
					if got = ""; row.Values[i] != nil {
						got = *row.Values[i]
					}
				}
				if ok && got != want {
					t.Errorf("%s is %q, want %q", col.Field, got, want)
				}
			}
			b = pgsink.Batch{}
			repeated{events[0]}.decide(newInbound(&session{}), o, &b)
			if len(b.Changes) != 0 || len(b.Marks) != 1 {
				t.Errorf("come again: changes %v, marks %v", b.Changes, b.Marks)
			}
		})
	}

	// The job of a poll may have read the record before the change.
	t.Run("UpdateDuringAPollByBulk", func(t *testing.T) {
		t.Parallel()
		m, err := mapObject(t.Context(), account, config.Object{Name: "Account"}, "salesforce", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := newObject(m)
		o.bulk.Store(true)
		events, err := readChange(nil, changeMessage("UPDATE", stamp+`,"Name":"B"`))
		if err != nil {
			t.Fatal(err)
		}
		var b pgsink.Batch
		events[0].decide(newInbound(&session{}), o, &b)
		if len(b.Changes) != 1 || b.Changes[0].Kind != pgsink.Patch || len(b.Marks) != 1 || b.Marks[0].SFID != changed {
			t.Errorf("changes %v, marks %v", b.Changes, b.Marks)
		}
	})

	t.Run("AllRecords", func(t *testing.T) {
		t.Parallel()
		events, err := readChange(nil, changeMessage("GAP_OVERFLOW", ""))
		if err != nil || len(events) != 1 || events[0].record() != "" {
			t.Errorf("%v, %v", events, err)
		}
	})
}

// Before anything comes after a start, the last event is that of before.
func TestLastEventOfBefore(t *testing.T) {
	t.Parallel()
	s := &session{Bridge: New(&config.Config{}, "test", zerolog.Nop())}
	st := &stream{s: s, channels: map[string]*channel{}}
	before := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	last := func(object string) *time.Time {
		for _, o := range s.board.Snapshot().Objects {
			if o.Object == object {
				return o.LastEventAt
			}
		}
		return nil
	}
	add := func(object string, at time.Time) {
		ch := &channel{name: "/topic/hc_" + object, obj: newObject(&mapping{cfg: config.Object{Name: object}})}
		st.add(ch, pgsink.Position{Channel: ch.name, ReplayID: 5, EventAt: at})
	}
	add("Account", before)
	add("Contact", time.Time{})
	if at := last("Account"); at == nil || !at.Equal(before) || last("Contact") != nil {
		t.Errorf("last events %v and %v", at, last("Contact"))
	}
	now := before.Add(time.Hour)
	s.board.Object("Account", func(o *status.Object) { o.LastEventAt = &now })
	add("Account", before) // in the next session
	if at := last("Account"); at == nil || !at.Equal(now) {
		t.Errorf("last event %v, want the newest", at)
	}
}

// A message of several records stays in one delivery, and what comes again is
// known, within a reply and across.
func TestHandleChanges(t *testing.T) {
	t.Parallel()
	s := &session{Bridge: New(&config.Config{}, "test", zerolog.Nop())}
	s.in = newInbound(s)
	ch := &channel{name: "/data/AccountChangeEvent", obj: newObject(&mapping{cfg: config.Object{Name: "Account"}}), kind: changeKind, accepted: 5}
	s.stream = &stream{s: s, dog: newWatchdog(), channels: map[string]*channel{ch.name: ch}}
	many := `"` + changed + strings.Repeat(`","`+changed, maxBatch) + `"`
	message := func(id int64, ids string) bayeux.Message {
		m := changeMessage("DELETE", "")
		m.ReplayID, m.Data = id, json.RawMessage(strings.Replace(string(m.Data), `"`+changed+`"`, ids, 1))
		return m
	}
	one := `"` + changed + `"`
	if err := s.in.handle(t.Context(), []bayeux.Message{message(6, one), message(6, one), message(9, many), message(8, one)}); err != nil {
		t.Fatal(err)
	}
	if err := s.in.handle(t.Context(), []bayeux.Message{message(9, one), message(10, one)}); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	var again []bool
	for range 3 {
		batch := <-s.in.queue
		sizes = append(sizes, len(batch))
		for i, d := range batch {
			if _, is := d.event.(repeated); len(batch) < 100 || i < 3 {
				again = append(again, is)
			}
		}
	}
	if sizes[0] != maxBatch+3 || sizes[1] != 1 || sizes[2] != 2 || ch.from() != 10 {
		t.Errorf("deliveries of %v, position %d", sizes, ch.from())
	}
	for i, want := range []bool{false, true, false, true, true, false} {
		if again[i] != want {
			t.Errorf("come again: %v", again)
			break
		}
	}
}

// Polls find again what events announced, for they leave the stamps alone: that
// is no sign of a deaf stream, and a change that no event announced is.
func TestWatchdogRemembersChanges(t *testing.T) {
	t.Parallel()
	w := newWatched(false)
	w.remember("Account", rememberChanges)
	w.pass(time.Minute, true, nil)
	w.event("Account", "a", w.now, w.now)
	stamp := w.now
	w.pass(time.Hour, true, nil)
	w.found("Account", "a", stamp, w.now)
	w.pass(time.Minute, true, nil)
	if len(w.again) != 0 {
		t.Error("an announced change counts as missed")
	}
	w.found("Account", "a", stamp.Add(30*time.Minute), w.now)
	w.pass(time.Minute, true, nil)
	if len(w.again) != 1 {
		t.Error("a missed change of a record that had an event before does not count")
	}
}
