package org_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
)

func TestPushTopicRules(t *testing.T) {
	t.Parallel()
	r := start(t)
	column := " If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
	for _, c := range []struct{ name, query, more, code, message, fields string }{
		{"Semi", "SELECT Id, Name FROM Account WHERE Id IN (SELECT AccountId FROM Contact)", "", "INVALID_FIELD", "semi/anti join sub-selects are not supported", "Query"},
		{"Aggregate", "SELECT COUNT(Id) FROM Account", "", "INVALID_FIELD", "Aggregate queries are not supported", "Query"},
		{"Count", "SELECT COUNT() FROM Account", "", "INVALID_FIELD", "Aggregate queries are not supported", "Query"},
		{"Limit", "SELECT Id, Name FROM Account LIMIT 1", "", "INVALID_FIELD", "'LIMIT' is not allowed", "Query"},
		{"Parent", "SELECT Id, Account.Name FROM Contact", "", "INVALID_FIELD", "relationships are not supported", "Query"},
		{"Children", "SELECT Id, (SELECT Id FROM Contacts) FROM Account", "", "INVALID_FIELD", "relationships are not supported", "Query"},
		{"OrderBy", "SELECT Id, Name FROM Account ORDER BY Name", "", "INVALID_FIELD", "'ORDER BY' clause is not allowed", "Query"},
		{"Not", "SELECT Id, Name FROM Account WHERE NOT Name = 'a'", "", "INVALID_FIELD", "'NOT' is not supported", "Query"},
		{"Offset", "SELECT Id, Name FROM Account OFFSET 1", "", "INVALID_FIELD", "'OFFSET' clause is not allowed", "Query"},
		{"NoID", "SELECT Name FROM Account", "", "INVALID_FIELD", "The query must select the Id field", "Query"},
		{"Column", "SELECT Id, StateCode FROM Lead", "", "INVALID_FIELD", "No such column 'StateCode' on entity 'Lead'." + column, "Query"},
		{"Object", "SELECT Id, Name FROM User", "", "INVALID_FIELD", "entity User is not supported in a PushTopic query", "Query"},
		{"Referenced", "SELECT Id FROM Account", "", "INVALID_FIELD", "NotifyForFields Referenced needs a field other than Id in SELECT or WHERE", "Query"},
		{"Select", "SELECT Id FROM Account WHERE Name != null", `,"NotifyForFields":"Select"`, "INVALID_FIELD", "NotifyForFields Select needs a field other than Id in SELECT", "Query"},
		{"Where", "SELECT Id, Name FROM Account", `,"NotifyForFields":"Where"`, "INVALID_FIELD", "NotifyForFields Where needs a field other than Id in WHERE", "Query"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r.data("POST", "/sobjects/PushTopic", text(`{"Name":"%s","Query":"%s","ApiVersion":66.0%s}`, c.name, c.query, c.more)).want(t, 400,
				text(`[{"message":"%s","errorCode":"%s","fields":["%s"]}]`, c.message, c.code, c.fields))
		})
	}

	t.Run("Name", func(t *testing.T) {
		t.Parallel()
		r.data("POST", "/sobjects/PushTopic", `{"Name":"MyLeadPushTopics80xlatestubi9","Query":"SELECT Id, Name FROM Lead","ApiVersion":66.0}`).want(t, 400,
			`[{"message":"Topic Name: data value too large: MyLeadPushTopics80xlatestubi9 (max length=25)","errorCode":"STRING_TOO_LONG","fields":["Name"]}]`)
		first := r.topic("Twice", "SELECT Id, Name FROM Lead;", "")
		r.data("POST", "/sobjects/PushTopic", `{"Name":"Twice","Query":"SELECT Id, Name FROM Lead","ApiVersion":66.0}`).want(t, 400,
			text(`[{"message":"duplicate value found: Name duplicates value on record with id: %s","errorCode":"DUPLICATE_VALUE","fields":[]}]`, first[:15]))
	})

	t.Run("Query", func(t *testing.T) {
		t.Parallel()
		long := "SELECT Id, Name FROM Lead WHERE Name != '" + strings.Repeat("x", 1300) + "'"
		if a := r.data("POST", "/sobjects/PushTopic", text(`{"Name":"Long","Query":"%s","ApiVersion":66.0}`, long)); a.status != 400 || !strings.Contains(a.body, "STRING_TOO_LONG") {
			t.Errorf("a query over 1,300 answered %d %s", a.status, a.body)
		}
		r.topic("Operators", "SELECT Id, OwnerId FROM Lead WHERE Name NOT IN ('a') AND Company != 'b'", "")
	})

	t.Run("Defaults", func(t *testing.T) {
		t.Parallel()
		id := r.topic("Defaults", "SELECT Id, Name FROM Lead", "")
		fields := "IsActive,NotifyForFields,NotifyForOperations,NotifyForOperationCreate,NotifyForOperationUndelete"
		r.data("GET", "/sobjects/PushTopic/"+id+"?fields="+fields, "").want(t, 200,
			text(`{"attributes":{"type":"PushTopic","url":"/services/data/v66.0/sobjects/PushTopic/%s"},"IsActive":true,"NotifyForFields":"Referenced","NotifyForOperations":"All","NotifyForOperationCreate":true,"NotifyForOperationUndelete":true}`, id))
		r.data("PATCH", "/sobjects/PushTopic/"+id, `{"Query":"SELECT Id FROM Lead"}`).want(t, 400,
			`[{"message":"NotifyForFields Referenced needs a field other than Id in SELECT or WHERE","errorCode":"INVALID_FIELD","fields":["Query"]}]`)
	})

	t.Run("Limit", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(o *org.Options) { o.TopicLimit = 1 })
		const full = `[{"message":"The maximum number of active PushTopics has been reached","errorCode":"LIMIT_EXCEEDED","fields":[]}]`
		first := r.topic("One", "SELECT Id, Name FROM Lead", "")
		r.data("POST", "/sobjects/PushTopic", `{"Name":"Two","Query":"SELECT Id, Name FROM Lead","ApiVersion":66.0}`).want(t, 400, full)
		second := r.topic("Two", "SELECT Id, Name FROM Lead", `,"IsActive":false`)
		r.data("PATCH", "/sobjects/PushTopic/"+second, `{"IsActive":true}`).want(t, 400, full)
		r.data("PATCH", "/sobjects/PushTopic/"+first, `{"Description":"still active"}`).want(t, 204, "")
		r.data("PATCH", "/sobjects/PushTopic/"+first, `{"IsActive":false}`).want(t, 204, "")
		r.data("PATCH", "/sobjects/PushTopic/"+second, `{"IsActive":true}`).want(t, 204, "")
	})

	t.Run("NoPermission", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Before", "SELECT Id, Name FROM Lead", "")
		r.s.DenyPushTopics(true)
		r.data("POST", "/sobjects/PushTopic", `{}`).want(t, 404, notFound())
		r.data("GET", "/sobjects/PushTopic/describe", "").want(t, 404, notFound())
		if a := r.query("SELECT Id FROM PushTopic"); a.status != 400 || !strings.Contains(a.body, "INVALID_TYPE") {
			t.Errorf("a query answered %d %s", a.status, a.body)
		}
		if a := r.data("GET", "/sobjects", ""); strings.Contains(a.body, `"PushTopic"`) {
			t.Error("the global describe shows PushTopic")
		}
		if m := r.handshake().subscribe("/topic/Before"); m.Error != "403::Subscriber does not have access to the entity in this topic" {
			t.Errorf("subscribe answered %+v", m)
		}
		r.s.DenyPushTopics(false)
		r.topic("After", "SELECT Id, Name FROM Lead", "")
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()

	t.Run("Payload", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Acc", "SELECT Id, Name, Phone, CreatedDate, BillingAddress, BillingCity FROM Account", `,"NotifyForFields":"All"`)
		id := r.insert("Account", map[string]any{"Name": "Ä<b>", "BillingCity": "Kandy"})
		r.must(r.s.Update("Account", id, map[string]any{"Website": "x.example"}))
		r.must(r.s.Delete("Account", id))
		r.must(r.s.Undelete("Account", id))
		st := r.handshake()
		if m := st.subscribe("/topic/Acc"); !m.Successful {
			t.Fatalf("subscribe: %+v", m)
		}
		got := st.read(4)
		image := regexp.MustCompile(`"BillingAddress":\{[^}]*\}`)
		address := image.FindString(got[0])
		for _, part := range []string{`"BillingCity":"Kandy"`, `"BillingStreet":null`, `"BillingPostalCode":null`} {
			if !strings.Contains(address, part) {
				t.Errorf("%s lacks %s", address, part)
			}
		}
		for i := range got {
			got[i] = strings.ReplaceAll(strings.ReplaceAll(image.ReplaceAllString(got[i], `"BillingAddress":{}`), `\u003c`, "<"), `\u003e`, ">")
		}
		full := text(`{"Id":"%s","Name":"Ä<b>","Phone":null,"CreatedDate":"2026-03-01T12:00:00.000Z","BillingAddress":{},"BillingCity":"Kandy"}`, id)
		equal(t, got, []string{"created " + full, "updated " + full, text(`deleted {"Id":"%s"}`, id), "undeleted " + full})
	})

	// Dates are datetimes in events, and days everywhere else.
	t.Run("Date", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Con", "SELECT Id, Birthdate FROM Contact", `,"NotifyForFields":"All"`)
		id := r.insert("Contact", map[string]any{"LastName": "A", "Birthdate": "1980-02-29"})
		other := r.insert("Contact", map[string]any{"LastName": "B"})
		st := r.handshake()
		st.subscribe("/topic/Con")
		equal(t, st.read(2), []string{text(`created {"Id":"%s","Birthdate":"1980-02-29T00:00:00.000Z"}`, id), text(`created {"Id":"%s","Birthdate":null}`, other)})
		r.data("GET", "/sobjects/Contact/"+id+"?fields=Birthdate", "").want(t, 200,
			text(`{"attributes":{"type":"Contact","url":"/services/data/v66.0/sobjects/Contact/%s"},"Birthdate":"1980-02-29"}`, id))
	})

	t.Run("Event", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Acc", "SELECT Id, Name FROM Account", "")
		r.clock.advance(533 * time.Millisecond)
		id := r.insert("Account", map[string]any{"Name": "A"})
		st := r.handshake()
		st.subscribe("/topic/Acc")
		for len(st.events) == 0 {
			st.connect()
		}
		if got, want := string(st.events[0].Data), text(`{"event":{"createdDate":"2026-03-01T12:00:00.533Z","replayId":1,"type":"created"},"sobject":{"Id":"%s","Name":"A"}}`, id); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("TruthTable", func(t *testing.T) {
		t.Parallel()
		// The topic selects Name and filters on Industry. Each change is made by
		// itself; n says it notifies.
		changes := []struct {
			name   string
			fields map[string]any
		}{
			{"selected", map[string]any{"Name": "B"}},
			{"filtered", map[string]any{"Industry": "Energy"}},
			{"another", map[string]any{"Phone": "1"}},
			{"nothing", map[string]any{"Name": "B"}},
			{"leaves", map[string]any{"Industry": "Education", "Name": "C"}},
			{"outside", map[string]any{"Name": "D"}},
			{"enters", map[string]any{"Industry": "Energy"}},
		}
		for mode, want := range map[string]string{
			"All":        "selected filtered another enters",
			"Referenced": "selected filtered enters",
			"Select":     "selected",
			"Where":      "filtered enters",
		} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				r := start(t)
				// What the system stamps is selected and changes every time.
				r.topic("T", "SELECT Id, Name, SystemModstamp, LastModifiedById FROM Account WHERE Industry IN ('Energy','Biotechnology')", text(`,"NotifyForFields":"%s"`, mode))
				r.insert("Account", map[string]any{"Name": "A", "Industry": "Education"}) // does not match
				id := r.insert("Account", map[string]any{"Name": "A", "Industry": "Biotechnology"})
				if n := r.s.Stream().Stored("/topic/T"); n != 1 {
					t.Fatalf("creates stored %d events, want 1", n)
				}
				var fired []string
				for _, c := range changes {
					before := r.s.Stream().Stored("/topic/T")
					r.clock.advance(time.Second)
					r.must(r.s.As(text("%s@hc.example", c.name)).Update("Account", id, c.fields))
					if r.s.Stream().Stored("/topic/T") > before {
						fired = append(fired, c.name)
					}
				}
				if got := strings.Join(fired, " "); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	})

	t.Run("Operations", func(t *testing.T) {
		t.Parallel()
		for flag, want := range map[string]int{"Create": 3, "Update": 3, "Delete": 3, "Undelete": 3} {
			r := start(t)
			r.topic("T", "SELECT Id, Name FROM Account", text(`,"NotifyForOperation%s":false`, flag))
			id := r.insert("Account", map[string]any{"Name": "A"})
			r.must(r.s.Update("Account", id, map[string]any{"Name": "B"}))
			r.must(r.s.Delete("Account", id))
			r.must(r.s.Undelete("Account", id))
			if got := r.s.Stream().Stored("/topic/T"); got != want {
				t.Errorf("without %s got %d events, want %d", flag, got, want)
			}
		}
	})

	t.Run("Silence", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		inactive := r.topic("Line", "SELECT Id, Name FROM Line__c", "")
		r.topic("Invoice", "SELECT Id, Name FROM Invoice__c", "")
		r.topic("Con", "SELECT Id, FirstName, LastName FROM Contact", "")
		stored := r.s.Stream().Stored
		// A bulk load.
		if _, err := r.s.AsBulk(org.DefaultOther).Insert("Invoice__c", map[string]any{}); err != nil {
			t.Fatal(err)
		}
		if n := stored("/topic/Invoice"); n != 0 {
			t.Errorf("a bulk insert notified %d times", n)
		}
		// A cascade.
		invoice := r.insert("Invoice__c", map[string]any{})
		r.insert("Line__c", map[string]any{masterOf(r): invoice})
		r.must(r.s.Delete("Invoice__c", invoice))
		if i, l := stored("/topic/Invoice"), stored("/topic/Line"); i != 2 || l != 1 {
			t.Errorf("create and cascading delete stored %d and %d events, want 2 and 1", i, l)
		}
		// The parts of a name, selected without the name.
		contact := r.insert("Contact", map[string]any{"FirstName": "A", "LastName": "B"})
		r.must(r.s.Update("Contact", contact, map[string]any{"FirstName": "C"}))
		if n := stored("/topic/Con"); n != 1 {
			t.Errorf("a part of the name notified: %d events, want 1", n)
		}
		// An inactive topic.
		r.data("PATCH", "/sobjects/PushTopic/"+inactive, `{"IsActive":false}`).want(t, 204, "")
		r.insert("Line__c", map[string]any{masterOf(r): r.insert("Invoice__c", map[string]any{})})
		if n := stored("/topic/Line"); n != 1 {
			t.Errorf("an inactive topic notified: %d events, want 1", n)
		}
	})

	t.Run("FieldSecurity", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Acc", "SELECT Id, Name, Phone FROM Account WHERE Industry != null", "")
		id := r.insert("Account", map[string]any{"Name": "A", "Phone": "1", "Industry": "Energy"})
		r.s.HideField("Account", "Phone")
		st := r.handshake()
		st.subscribe("/topic/Acc")
		equal(t, st.read(1), []string{text(`created {"Id":"%s","Name":"A"}`, id)})
		r.s.HideField("Account", "Industry")
		if m := r.handshake().subscribe("/topic/Acc"); m.Error != "403::Subscriber does not have access to all fields referenced in the where clause of the PushTopic" {
			t.Errorf("subscribe answered %+v", m)
		}
	})

	t.Run("Channels", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		id := r.topic("Acc", "SELECT Id, Industry FROM Account", "")
		r.insert("Account", map[string]any{"Name": "A", "Industry": "Energy"})
		st := r.handshake()
		for channel, want := range map[string]string{
			"/topic/acc":        "400::The channel you requested to subscribe to doesn't exist {/topic/acc}",
			"/topic/Acc?City=1": "400::Query fields {City} do not exist on the topic entity",
		} {
			if m := st.subscribe(channel); m.Successful || m.Error != want {
				t.Errorf("%s answered %+v", channel, m)
			}
		}
		if m := st.subscribe("/topic/Acc?Industry='Energy'"); !m.Successful {
			t.Errorf("a filter answered %+v", m)
		}
		st.read(1)
		r.data("DELETE", "/sobjects/PushTopic/"+id, "").want(t, 204, "")
		if m := st.subscribe("/topic/Acc"); m.Successful {
			t.Error("a deleted topic can be subscribed to")
		}
		r.topic("Acc", "SELECT Id, Industry FROM Account", "")
		r.insert("Account", map[string]any{"Name": "B", "Industry": "Energy"})
		if got := r.s.Stream().LastReplayID("/topic/Acc"); got != 1 {
			t.Errorf("a topic made again goes on at replay id %d, want 1", got)
		}
	})
}

// masterOf returns the name of the master-detail field of Line__c.
func masterOf(r *rig) string {
	for _, f := range r.s.Object("Line__c").Fields {
		if f.CascadeDelete {
			return f.Name
		}
	}
	r.t.Fatal("Line__c has no master")
	return ""
}

func TestStreamControls(t *testing.T) {
	t.Parallel()

	t.Run("Forget", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		st := r.handshake()
		if n := r.s.StreamClients(); n != 1 {
			t.Errorf("%d clients, want 1", n)
		}
		r.s.Forget()
		if m := st.connect(); m.Error != "403::Unknown client" {
			t.Errorf("got %+v", m)
		}
	})

	t.Run("RevokeTokensWakesThePoll", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(o *org.Options) { o.PollTimeout = 15 * time.Second })
		st := r.handshake()
		got := make(chan message, 1)
		go func() { got <- st.connect() }()
		for r.s.Stream().Parked() == 0 {
			time.Sleep(time.Millisecond)
		}
		r.s.RevokeTokens()
		if m := <-got; m.Error != "401::Authentication invalid" {
			t.Errorf("got %+v", m)
		}
	})

	t.Run("MutedEventsCanBeReplayed", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(o *org.Options) { o.PollTimeout = 50 * time.Millisecond })
		r.topic("Acc", "SELECT Id, Name FROM Account", "")
		st := r.handshake()
		st.subscribe("/topic/Acc")
		r.s.Mute(true)
		r.insert("Account", map[string]any{"Name": "A"})
		r.s.Mute(false)
		st.connect()
		if len(st.events) != 0 {
			t.Errorf("a muted event arrived: %s", st.events[0].Data)
		}
		again := r.handshake()
		again.subscribe("/topic/Acc")
		if got := again.read(1); !strings.HasPrefix(got[0], "created") {
			t.Errorf("got %v", got)
		}
	})

	t.Run("ExpireReplay", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.topic("Acc", "SELECT Id, Name FROM Account", "")
		r.insert("Account", map[string]any{"Name": "A"})
		r.insert("Account", map[string]any{"Name": "B"})
		r.s.ExpireReplay()
		st := r.handshake()
		m := st.post(text(`{"channel":"/meta/subscribe","clientId":"%s","subscription":"/topic/Acc","ext":{"replay":{"/topic/Acc":1}},"id":"3"}`, st.clientID))
		want, err := json.Marshal("400::The replayId {1} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.")
		r.must(err)
		if got, _ := json.Marshal(m.Error); string(got) != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
