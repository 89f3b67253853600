package org_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// captured is what a test looks at in a change event.
type captured struct {
	kind, body, changed string
	ids                 []string
	replay              int64
	header              map[string]any
}

// changes reads the next n change events.
func (st *stream) changes(n int) []captured {
	st.t.Helper()
	for range 5 {
		if len(st.events) >= n {
			break
		}
		st.connect()
	}
	if len(st.events) < n {
		st.t.Fatalf("got %d events, want %d", len(st.events), n)
	}
	var out []captured
	for _, m := range st.events[:n] {
		var d struct {
			Payload map[string]json.RawMessage
			Event   struct{ ReplayID int64 }
		}
		c := captured{}
		if err := json.Unmarshal(m.Data, &d); err != nil {
			st.t.Fatal(err)
		}
		var h struct {
			ChangeType               string
			RecordIDs, ChangedFields []string
		}
		raw := d.Payload["ChangeEventHeader"]
		if json.Unmarshal(raw, &h) != nil || json.Unmarshal(raw, &c.header) != nil {
			st.t.Fatalf("header %s", raw)
		}
		delete(d.Payload, "ChangeEventHeader")
		body, _ := json.Marshal(d.Payload)
		c.kind, c.ids, c.replay, c.body, c.changed = h.ChangeType, h.RecordIDs, d.Event.ReplayID, string(body), strings.Join(h.ChangedFields, " ")
		out = append(out, c)
	}
	st.events = st.events[n:]
	return out
}

func kinds(list []captured) string {
	var names []string
	for _, c := range list {
		names = append(names, c.kind)
	}
	return strings.Join(names, " ")
}

// capturing starts an org that captures changes of objects.
func capturing(t *testing.T, objects ...string) *rig {
	t.Helper()
	r := start(t, func(o *org.Options) { o.Objects = append(sobject.Standard(), sobject.Asset()) })
	r.must(r.s.Select(objects...))
	return r
}

func TestChangeEvents(t *testing.T) {
	t.Parallel()

	t.Run("Payload", func(t *testing.T) {
		t.Parallel()
		r := capturing(t, "Contact")
		person := r.s.As("p@hc.example")
		id, err := person.Insert("Contact", map[string]any{"LastName": "Lovelace", "FirstName": "Ada", "MailingCity": "London", "MailingStreet": "St"})
		r.must(err)
		r.clock.advance(time.Second)
		r.must(person.Update("Contact", id, map[string]any{"FirstName": "Augusta", "MailingCity": nil, "Phone": "1"}))
		r.must(person.Delete("Contact", id))
		r.must(person.Undelete("Contact", id))
		r.must(person.Delete("Contact", id))
		r.must(person.Purge("Contact", id)) // no event
		st := r.handshake()
		if m := st.subscribe("/data/ContactChangeEvent"); !m.Successful {
			t.Fatalf("subscribe: %+v", m)
		}
		got := st.changes(5)
		if k := kinds(got); k != "CREATE UPDATE DELETE UNDELETE DELETE" {
			t.Fatal(k)
		}
		for _, want := range []string{
			`"Name":{"LastName":"Lovelace","FirstName":"Ada"}`, `"MailingAddress":{"City":"London","Street":"St"}`,
			`"DoNotCall":false`, `"LastModifiedDate":"2026-03-01T12:00:00.000Z"`,
		} {
			if !strings.Contains(got[0].body, want) {
				t.Errorf("CREATE lacks %s: %s", want, got[0].body)
			}
		}
		for _, not := range []string{"null", "SystemModstamp", "IsDeleted", `"Id"`} {
			if strings.Contains(got[0].body, not) {
				t.Errorf("CREATE has %s: %s", not, got[0].body)
			}
		}
		if want := `{"LastModifiedDate":"2026-03-01T12:00:01.000Z","MailingAddress":{"City":null},"Name":{"FirstName":"Augusta"},"Phone":"1"}`; got[1].body != want {
			t.Errorf("UPDATE is  %s\nwant %s", got[1].body, want)
		}
		if want := "LastModifiedDate Name.FirstName MailingAddress.City Phone"; got[1].changed != want {
			t.Errorf("changed fields %q, want %q", got[1].changed, want)
		}
		if got[2].body != "{}" || !strings.Contains(got[3].body, `"Phone":"1"`) {
			t.Errorf("DELETE %s, UNDELETE %s", got[2].body, got[3].body)
		}
		if got[0].ids[0] != id || got[0].replay < 1_000_000 || got[1].replay <= got[0].replay {
			t.Errorf("ids %v, positions %d and %d", got[0].ids, got[0].replay, got[1].replay)
		}
		if h := got[0].header; h["entityName"] != "Contact" || h["commitTimestamp"] != float64(noon.UnixMilli()) || h["sequenceNumber"] != 1.0 || h["transactionKey"] == got[1].header["transactionKey"] {
			t.Errorf("header %v", h)
		}
	})

	t.Run("Transaction", func(t *testing.T) {
		t.Parallel()
		r := capturing(t, "Account")
		a, b := r.insert("Account", map[string]any{"Name": "A"}), r.insert("Account", map[string]any{"Name": "B"})
		r.clock.advance(time.Second)
		commit := func(ops ...sobject.Op) {
			for _, res := range r.s.Org().Commit(sobject.Origin{API: "apex"}, true, ops) {
				if res.Err != nil {
					t.Fatal(res.Err)
				}
			}
		}
		update := func(id string, fields map[string]any) sobject.Op {
			return sobject.Op{Kind: sobject.Update, Object: "Account", ID: id, Fields: fields}
		}
		// The same change of two records shares an event; other changes do not.
		commit(update(a, map[string]any{"Site": "X"}), update(b, map[string]any{"Site": "X"}))
		commit(update(a, map[string]any{"Site": "Y"}), update(b, map[string]any{"Site": "Z"}))
		r.must(r.s.Update("Account", a, map[string]any{"Site": "Y"})) // changes nothing
		st := r.handshake()
		st.subscribe("/data/AccountChangeEvent")
		got := st.changes(5)[2:]
		if len(got[0].ids) != 2 || len(got[1].ids) != 1 || len(got[2].ids) != 1 {
			t.Fatalf("records %v, %v, %v", got[0].ids, got[1].ids, got[2].ids)
		}
		if got[1].header["transactionKey"] != got[2].header["transactionKey"] || got[2].header["sequenceNumber"] != 2.0 {
			t.Errorf("headers %v and %v", got[1].header, got[2].header)
		}
		if len(st.events) > 0 {
			t.Errorf("an update that changes nothing has an event")
		}
	})

	t.Run("FormulasAndBulk", func(t *testing.T) {
		t.Parallel()
		r := capturing(t, "Line__c", "Invoice__c")
		inv := r.insert("Invoice__c", map[string]any{"Name": "I"})
		if _, err := r.s.AsBulk("loader@hc.example").Insert("Line__c", map[string]any{"Invoice__c": inv, "Quantity__c": 2}); err != nil {
			t.Fatal(err)
		}
		st := r.handshake()
		st.subscribe("/data/Line__ChangeEvent")
		got := st.changes(1)[0]
		if strings.Contains(got.body, "Label__c") || !strings.Contains(got.body, `"Quantity__c":2.0`) || got.header["changeOrigin"] != "com/salesforce/api/bulkapi/67.0" {
			t.Errorf("%s %v", got.body, got.header)
		}
	})

	t.Run("Geolocation", func(t *testing.T) {
		t.Parallel()
		r := capturing(t, "Every__c")
		id := r.insert("Every__c", map[string]any{"Loc__Latitude__s": 1.5, "Loc__Longitude__s": 2.5})
		r.must(r.s.Update("Every__c", id, map[string]any{"Loc__Latitude__s": 3.5}))
		st := r.handshake()
		st.subscribe("/data/Every__ChangeEvent")
		if got := st.changes(2)[1].body; !strings.Contains(got, `"Loc__c":{"Latitude":3.5,"Longitude":2.5}`) {
			t.Errorf("all parts come with one: %s", got)
		}
	})

	t.Run("Difference", func(t *testing.T) {
		t.Parallel()
		r := capturing(t, "Account")
		lines := strings.Split(strings.Repeat("0123456789\n", 200), "\n")
		id := r.insert("Account", map[string]any{"Name": "A", "Description": strings.Join(lines, "\n")})
		lines[7] = "other"
		r.must(r.s.Update("Account", id, map[string]any{"Description": strings.Join(lines, "\n")}))
		r.must(r.s.Update("Account", id, map[string]any{"Description": strings.Repeat("x", 2000)}))
		st := r.handshake()
		st.subscribe("/data/AccountChangeEvent")
		got := st.changes(3)[1:]
		if !strings.Contains(got[0].body, `"Description":{"diff":"--- \n+++ `) || strings.Contains(got[1].body, "diff") {
			t.Errorf("small change %s\nlarge change %s", got[0].body, got[1].body)
		}
	})

	t.Run("Gaps", func(t *testing.T) {
		t.Parallel()
		r := capturing(t, "Account")
		r.s.GapEvents("Account", true)
		id := r.insert("Account", map[string]any{"Name": "A"})
		r.must(r.s.Update("Account", id, map[string]any{"Name": "B"}))
		r.must(r.s.Delete("Account", id))
		r.must(r.s.Undelete("Account", id))
		r.s.GapEvents("Account", false)
		r.s.Convert("Account")
		r.s.LoseChanges("Account", 1)
		r.insert("Account", map[string]any{"Name": "Lost"})
		r.s.OverflowAbove(1)
		r.s.Org().Commit(sobject.Origin{}, true, []sobject.Op{
			{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{"Name": "1"}},
			{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{"Name": "2"}},
			{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{"Name": "3"}},
		})
		st := r.handshake()
		st.subscribe("/data/AccountChangeEvent")
		got := st.changes(7)
		if k := kinds(got); k != "GAP_CREATE GAP_UPDATE GAP_DELETE GAP_UNDELETE GAP_UPDATE CREATE GAP_OVERFLOW" {
			t.Fatal(k)
		}
		if got[1].body != "{}" || got[1].ids[0] != id || got[4].ids[0] != "001*" || got[6].ids[0] != org.NoRecord {
			t.Errorf("%v", got)
		}
	})
}

func TestChangeSubscriptions(t *testing.T) {
	t.Parallel()
	r := capturing(t, "Account", "Asset")
	id := r.insert("Account", map[string]any{"Name": "A", "Phone": "1"})
	const missing = "400::The channel you requested to subscribe to doesn't exist {"
	st := r.handshake()
	for channel, want := range map[string]string{
		"/data/AccountChangeEvent": "", "/data/AssetChangeEvent": "", "/data/ChangeEvents": "",
		"/data/accountChangeEvent": missing + "/data/accountChangeEvent}",
		"/data/ContactChangeEvent": missing + "/data/ContactChangeEvent}",
	} {
		if m := st.subscribe(channel); m.Error != want {
			t.Errorf("%s: %q, want %q", channel, m.Error, want)
		}
	}
	r.s.DenyCapture("Account", true)
	if m := r.handshake().subscribe("/data/AccountChangeEvent"); m.Error != "403::User not allowed to subscribe CDC without View All Data permissions" {
		t.Errorf("without permission: %+v", m)
	}
	r.s.DenyCapture("Account", false)
	if err := r.s.Select("Account", "Contact", "Lead", "Case", "Task", "User"); err == nil {
		t.Error("six entities were selected")
	}
	if err := r.s.Select("PushTopic"); err == nil {
		t.Error("PushTopic was selected")
	}
	r.s.QuietCapture(true)
	if m := r.handshake().subscribe("/data/ContactChangeEvent"); !m.Successful {
		t.Errorf("quiet: %+v", m)
	}

	r.s.HideField("Account", "Phone")
	st = r.handshake()
	st.subscribe("/data/AccountChangeEvent")
	first := st.changes(1)[0]
	if strings.Contains(first.body, "Phone") || first.ids[0] != id {
		t.Errorf("a hidden field shows: %s", first.body)
	}

	// Events can be had again for three days.
	from := func(id int64) message {
		st := r.handshake()
		return st.post(text(`{"channel":"/meta/subscribe","clientId":"%s","subscription":"/data/AccountChangeEvent","ext":{"replay":{"/data/AccountChangeEvent":%d}},"id":"3"}`, st.clientID, id))
	}
	r.clock.advance(71 * time.Hour)
	r.login()
	if m := from(first.replay); !m.Successful {
		t.Errorf("after 71 h: %+v", m)
	}
	r.clock.advance(2 * time.Hour)
	r.login()
	if m := from(first.replay); !strings.HasPrefix(m.Error, "400::The replayId {") {
		t.Errorf("after 73 h: %+v", m)
	}
}
