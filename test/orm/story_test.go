package orm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hcbridge/test/org/sobject"
	"hcbridge/test/rig"
)

// story is what one app goes through. Its records are told from those of the
// other apps by their keys.
type story struct {
	*rig.Rig
	*app
	program program
}

// row is a contact as an app sees it.
type row struct {
	Found    bool   `json:"found"`
	ID       id     `json:"id"`
	SFID     string `json:"sfid"`
	LastName string `json:"lastname"`
	Email    string `json:"email"`
	Title    string `json:"title"`
	Account  string `json:"account"` // external id of the account that it belongs to, joined by Salesforce id
	LastOp   string `json:"lastop"`
	Err      *struct {
		Code    string    `json:"code"`
		Message string    `json:"message"`
		Fields  []string  `json:"fields"`
		At      time.Time `json:"at"`
	} `json:"err"`
}

// id is a row's own number. Node's driver gives a bigint as text, others a number.
type id string

func (i *id) UnmarshalJSON(text []byte) error {
	*i = id(strings.Trim(string(text), `"`))
	return nil
}

type arg = map[string]any

func (s *story) tell() {
	s.T.Helper()
	s.reads()
	s.inserts()
	s.updates()
	s.saysNothingNew()
	s.savesWhatItHeld()
	s.isRefused()
	s.makesFamilies()
	s.isSerializable()
	s.writesTypes()
	s.deletes()
}

// key is an external id of this app.
func (s *story) key(name string) string { return s.program.name + "-" + name }

// see reads a contact afresh.
func (s *story) see(key string) row {
	s.T.Helper()
	var got row
	s.do("see", arg{"key": key}, &got)
	return got
}

// becomes waits until the app sees what it should.
func (s *story) becomes(what, key string, is func(row) bool) row {
	s.T.Helper()
	var got row
	s.Eventually(what, 15*time.Second, func() error {
		if got = s.see(key); !is(got) {
			return fmt.Errorf("the app sees %+v", got)
		}
		return nil
	})
	return got
}

// synced waits until the last change has come back from Salesforce.
func (s *story) synced(key string) row {
	s.T.Helper()
	return s.becomes(key+" synced", key, func(r row) bool { return r.LastOp == "SYNCED" && r.SFID != "" && r.Err == nil })
}

// record is the only one in Salesforce with a key.
func (s *story) record(object, key string) sobject.Record {
	s.T.Helper()
	var found []sobject.Record
	for _, record := range s.SF.Records(object) {
		if s.value(object, record, "External_Id__c") == key {
			found = append(found, record)
		}
	}
	if len(found) != 1 {
		s.T.Fatalf("%d records of %s have the key %s", len(found), object, key)
	}
	return found[0]
}

func (s *story) value(object string, record sobject.Record, field string) string {
	v := record.Get(s.SF.Object(object), field)
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}

// holds checks what Salesforce has.
func (s *story) holds(object, key string, want map[string]string) sobject.Record {
	s.T.Helper()
	record := s.record(object, key)
	for field, value := range want {
		if got := s.value(object, record, field); got != value {
			s.T.Errorf("%s of %s is %q in Salesforce, want %q", field, key, got, value)
		}
	}
	return record
}

// fields lists the fields of each change of a record that was sent, oldest
// first, without external id and attributes.
func (s *story) fields(key, sfid string) (sent []string) {
	s.T.Helper()
	for _, request := range s.SF.Requests() {
		var body struct {
			Records []map[string]json.RawMessage `json:"records"`
		}
		if !strings.Contains(request.Path, "/composite") || json.Unmarshal(request.Body, &body) != nil {
			continue
		}
		for _, record := range body.Records {
			ids := string(record["id"]) + string(record["Id"]) + string(record["External_Id__c"])
			if !strings.Contains(ids, `"`+sfid+`"`) && !strings.Contains(ids, `"`+key+`"`) {
				continue
			}
			for _, name := range []string{"id", "Id", "attributes", "External_Id__c"} {
				delete(record, name)
			}
			sent = append(sent, strings.Join(slices.Sorted(maps.Keys(record)), " "))
		}
	}
	return sent
}

// reads checks the types of what came from Salesforce, and that the app looks
// for names where it says.
func (s *story) reads() {
	s.T.Helper()
	var settings struct {
		Path string `json:"search_path"`
	}
	s.do("settings", nil, &settings)
	if settings.Path != s.program.path {
		s.T.Errorf("search_path is %s, want %s", settings.Path, s.program.path)
	}
	var got map[string][2]string
	s.do("types", arg{"key": s.program.name}, &got)
	want := map[string]string{
		"decimal": "123456789012.34", "date": "2026-02-28", "datetime": "2026-03-08T07:30:00Z", "time": "13:45:00",
		"bool": "true", "int": "42", "enum": "Green", "text": "žluťoučký 🐎",
	}
	for name, value := range want {
		if expected := [2]string{s.program.types[name], value}; got[name] != expected {
			s.T.Errorf("%s is a %q, want a %q", name, got[name], expected)
		}
	}

	account := s.Insert("Account", arg{"Name": "Of Salesforce", "External_Id__c": s.key("account")})
	contact := s.Insert("Contact", arg{"LastName": "Of Salesforce", "External_Id__c": s.key("reads"), "AccountId": account})
	s.becomes("contact of Salesforce", s.key("reads"), func(r row) bool {
		return r.SFID == contact && r.LastName == "Of Salesforce" && r.Account == s.key("account") && r.LastOp == "SYNCED"
	})
	s.Must(s.SF.Update("Contact", contact, arg{"LastName": "Renamed"}))
	s.becomes("renamed contact", s.key("reads"), func(r row) bool { return r.LastName == "Renamed" })
	s.Must(s.SF.Delete("Contact", contact))
	s.becomes("deleted contact", s.key("reads"), func(r row) bool { return !r.Found })
}

func (s *story) inserts() {
	s.T.Helper()
	number := 1_000_000 + slices.IndexFunc(programs, func(p program) bool { return p.name == s.program.name })
	for name, number := range map[string]any{"plain": nil, "numbered": number} {
		key := s.key(name)
		var made row
		s.do("create", arg{"key": key, "id": number, "lastname": "Nový", "email": name + "@example.com"}, &made)
		if made.ID == "" || made.SFID != "" || number != nil && string(made.ID) != fmt.Sprint(number) {
			s.T.Errorf("%s is %+v when it is created, want id %v", key, made, number)
		}
		if got := s.synced(key); got.ID != made.ID {
			s.T.Errorf("%s has id %s, was made with %s", key, got.ID, made.ID)
		}
		record := s.holds("Contact", key, map[string]string{"LastName": "Nový", "Email": name + "@example.com"})
		if n := s.SF.Writes(record.ID); n != 1 {
			s.T.Errorf("%s was written %d times", key, n)
		}
	}
	key := s.key("returning")
	var made row
	s.do("create_returning", arg{"key": key, "lastname": "Returned"}, &made)
	if s.program.tells && (made.ID == "" || made.LastOp != "PENDING") {
		s.T.Errorf("%s is %+v by RETURNING", key, made)
	}
	s.synced(key)
	s.holds("Contact", key, map[string]string{"LastName": "Returned"})
}

// updates checks that only what was changed is sent, also where the app saves all
// columns.
func (s *story) updates() {
	s.T.Helper()
	key := s.key("plain")
	s.do("set", arg{"key": key, "field": "email", "value": "set@example.com"}, nil)
	s.synced(key)
	record := s.holds("Contact", key, map[string]string{"LastName": "Nový", "Email": "set@example.com"})
	if sent := s.fields(key, record.ID); len(sent) != 2 || sent[1] != "Email" {
		s.T.Errorf("%s was sent with %q, want its email the second time", key, sent)
	}
	if n := s.SF.Writes(record.ID); n != 2 {
		s.T.Errorf("%s was written %d times", key, n)
	}
}

// saysNothingNew saves what has not changed.
func (s *story) saysNothingNew() {
	s.T.Helper()
	key := s.key("plain")
	writes := s.SF.Writes(s.record("Contact", key).ID)
	for range 20 {
		s.do("touch", arg{"key": key}, nil)
	}
	s.synced(key)
	if n := s.SF.Writes(s.record("Contact", key).ID); n != writes {
		s.T.Errorf("%s was written %d times for nothing", key, n-writes)
	}
}

// savesWhatItHeld saves the object as it was before Salesforce knew it: without
// Salesforce id, if the mapper saves all columns.
func (s *story) savesWhatItHeld() {
	s.T.Helper()
	key := s.key("numbered")
	before := s.see(key)
	s.do("resave", arg{"key": key, "field": "email", "value": "held@example.com"}, nil)
	after := s.synced(key)
	if after.SFID != before.SFID || after.ID != before.ID || after.Email != "held@example.com" {
		s.T.Errorf("%s became %+v, was %+v", key, after, before)
	}
	s.holds("Contact", key, map[string]string{"Email": "held@example.com"})
	// And of nothing new.
	s.do("resave", arg{"key": key, "field": "email", "value": "held@example.com"}, nil)
	if again := s.synced(key); again != after {
		s.T.Errorf("%s became %+v, was %+v", key, again, after)
	}
}

// isRefused has Salesforce refuse an insert and an update, and saves the row again.
func (s *story) isRefused() {
	s.T.Helper()
	key := s.key("refused")
	failed := func(message, field string) {
		s.T.Helper()
		got := s.becomes("refusal", key, func(r row) bool { return r.LastOp == "FAILED" })
		if got.Err == nil || got.Err.Code != "FIELD_CUSTOM_VALIDATION_EXCEPTION" || got.Err.Message != message ||
			!slices.Equal(got.Err.Fields, []string{field}) || time.Since(got.Err.At).Abs() > time.Minute {
			s.T.Errorf("the app reads %+v of the refusal", got.Err)
		}
	}
	s.do("create", arg{"key": key, "lastname": "Nobody"}, nil)
	failed("Who is it?", "LastName")
	s.do("set", arg{"key": key, "field": "lastname", "value": "Somebody"}, nil)
	s.synced(key)
	s.holds("Contact", key, map[string]string{"LastName": "Somebody"})

	s.do("set", arg{"key": key, "field": "email", "value": "spam@example.com"}, nil)
	failed(`No "spam", please`, "Email")
	s.holds("Contact", key, map[string]string{"LastName": "Somebody", "Email": ""})
	s.do("set", arg{"key": key, "field": "email", "value": "ham@example.com"}, nil)
	s.synced(key)
	s.holds("Contact", key, map[string]string{"LastName": "Somebody", "Email": "ham@example.com"})
}

// makesFamilies makes a parent and its child in one transaction, and once takes
// it back.
func (s *story) makesFamilies() {
	s.T.Helper()
	s.do("family", arg{"parent": s.key("ghost parent"), "child": s.key("ghost child"), "fail": true}, nil)
	s.do("family", arg{"parent": s.key("parent"), "child": s.key("child")}, nil)
	child := s.becomes("child", s.key("child"), func(r row) bool { return r.LastOp == "SYNCED" && r.Account == s.key("parent") })
	parent := s.record("Account", s.key("parent"))
	if got := s.holds("Contact", s.key("child"), map[string]string{"AccountId": parent.ID}); got.ID != child.SFID {
		s.T.Errorf("the child has %s, its record is %s", child.SFID, got.ID)
	}
	if s.see(s.key("ghost child")).Found {
		s.T.Error("the app sees what was rolled back")
	}
	if n := s.Count(`SELECT count(*) FROM (SELECT "values" FROM salesforce._trigger_log UNION ALL SELECT "values" FROM salesforce._trigger_log_archive) AS l
		WHERE strpos("values", $1) > 0`, s.key("ghost")); n != 0 {
		s.T.Errorf("%d changes were captured of what was rolled back", n)
	}
	for _, object := range []string{"Account", "Contact"} {
		for _, record := range s.SF.Records(object) {
			if strings.HasPrefix(s.value(object, record, "External_Id__c"), s.key("ghost")) {
				s.T.Errorf("%s %s was rolled back", object, record.ID)
			}
		}
	}
}

// isSerializable writes by several connections at once at the strictest level,
// while the bridge writes to the same rows.
func (s *story) isSerializable() {
	s.T.Helper()
	var keys []string
	for i := range 4 {
		keys = append(keys, s.key(fmt.Sprintf("serial-%d", i)))
		s.do("create", arg{"key": keys[i], "lastname": "Serial"}, nil)
	}
	values := []string{"one", "two", "three"}
	var said struct {
		Retries int `json:"retries"`
	}
	s.do("serial", arg{"keys": keys, "values": values}, &said)
	s.T.Logf("%d transactions at SERIALIZABLE were repeated %d times", len(keys)*len(values), said.Retries)
	for _, key := range keys {
		s.becomes(key, key, func(r row) bool { return r.Title == "three" && r.LastOp == "SYNCED" })
		s.holds("Contact", key, map[string]string{"Title": "three"})
	}
}

func (s *story) writesTypes() {
	s.T.Helper()
	s.do("retype", arg{"key": s.program.name}, nil)
	want := map[string]string{
		"Currency__c": "0.1", "Date__c": "2024-02-29", "Datetime__c": "2026-11-01T05:30:00Z", "Time__c": "13:45:00.000Z",
		"Check__c": "false", "Int__c": "-7", "Pick__c": "Blue", "Text__c": `zwölf \ "Boxkämpfer" => '🥊'`,
	}
	s.Eventually("values in Salesforce", 15*time.Second, func() error {
		record, wrong := s.record("Every__c", s.program.name), []string{}
		for field, value := range want {
			if got := s.value("Every__c", record, field); got != value {
				wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", field, got, value))
			}
		}
		if len(wrong) > 0 {
			return errors.New(strings.Join(wrong, "\n"))
		}
		return nil
	})
}

func (s *story) deletes() {
	s.T.Helper()
	key := s.key("plain")
	id := s.record("Contact", key).ID
	s.do("delete", arg{"key": key}, nil)
	s.Eventually("deletion", 15*time.Second, func() error {
		for _, record := range s.SF.Records("Contact") {
			if record.ID == id {
				return errors.New("the record is there")
			}
		}
		return nil
	})
	if s.see(key).Found {
		s.T.Error("the deleted row is there")
	}
}
