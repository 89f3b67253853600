package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// golden are bodies as the documentation and public recordings have them. What is
// too long or invalid is refused for good (faults 63 and 64), what is locked or in
// maintenance is not, whatever the status (faults 65 and 67).
func TestErrorsByCode(t *testing.T) {
	t.Parallel()
	for _, g := range []struct {
		status int
		body   string
		class  Class
		code   string
		fields int
	}{
		{400, `[{"message":"Required fields are missing: [Website__c]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Website__c"]}]`, Permanent, "REQUIRED_FIELD_MISSING", 1},
		{400, `[{"message":"No such column 'FavoritePet__c' on sobject of type Account","errorCode":"INVALID_FIELD"}]`, Permanent, "INVALID_FIELD", 0},
		{400, `[{"message":"Account Name: data value too large: xyz (max length=255)","errorCode":"STRING_TOO_LONG","fields":["Name"]}]`, Permanent, "STRING_TOO_LONG", 1},
		{400, `[{"message":"Amount: value outside of valid range on numeric field: 1.0E18","errorCode":"NUMBER_OUTSIDE_VALID_RANGE","fields":["Amount"]}]`, Permanent, "NUMBER_OUTSIDE_VALID_RANGE", 1},
		{400, `[{"message":"Email: invalid email address: nobody","errorCode":"INVALID_EMAIL_ADDRESS","fields":["Email"]}]`, Permanent, "INVALID_EMAIL_ADDRESS", 1},
		{400, `[{"message":"Tell the city","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","fields":["City__c"]}]`, Permanent, "FIELD_CUSTOM_VALIDATION_EXCEPTION", 1},
		{400, `[{"message":"Rating: bad value for restricted picklist field: Terrible","errorCode":"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST","fields":["Rating__c"]}]`, Permanent, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", 1},
		{404, `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`, Permanent, "NOT_FOUND", 0},
		{404, goneBody, Transient, "URL_NOT_RESET", 0},
		{404, `[{"message":"entity is deleted","errorCode":"ENTITY_IS_DELETED","fields":[]}]`, Conflict, "ENTITY_IS_DELETED", 0},
		{404, `[{"message":"invalid cross reference id","errorCode":"INVALID_CROSS_REFERENCE_KEY","fields":[]}]`, Permanent, "INVALID_CROSS_REFERENCE_KEY", 0},
		{400, `[{"message":"duplicate value found: AffirmId__c duplicates value on record with id: 0018M000003uKqq","errorCode":"DUPLICATE_VALUE","fields":[]}]`, Conflict, "DUPLICATE_VALUE", 0},
		{300, `["/services/data/v23.0/sobjects/Whizbang/foo","/services/data/v23.0/sobjects/Whizbang/bar"]`, Conflict, "DUPLICATE_EXTERNAL_ID", 0},
		{412, `[{"message":"x","errorCode":"PRECONDITION_FAILED"}]`, Conflict, "PRECONDITION_FAILED", 0},
		{400, `[{"message":"unable to obtain exclusive access to this record or 1 records: 0035cFAKESFIDAAI","errorCode":"UNABLE_TO_LOCK_ROW","fields":[]}]`, Transient, "UNABLE_TO_LOCK_ROW", 0},
		{500, `[{"message":"unable to obtain exclusive access to this record","errorCode":"UNABLE_TO_LOCK_ROW"}]`, Transient, "UNABLE_TO_LOCK_ROW", 0},
		{400, `[{"message":"MyTrigger: execution of BeforeUpdate\n\ncaused by: System.DmlException: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access","errorCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","fields":[]}]`, Transient, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", 0},
		{400, `[{"message":"entity type cannot be updated: VS Setting","errorCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","fields":[]}]`, Permanent, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", 0},
		{400, `[{"message":"UNABLE_TO_LOCK_ROW is not a city","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION"}]`, Permanent, "FIELD_CUSTOM_VALIDATION_EXCEPTION", 0},
		{400, `[{"message":"the entity is locked for editing","errorCode":"ENTITY_IS_LOCKED"}]`, Transient, "ENTITY_IS_LOCKED", 0},
		{403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`, Limit, "REQUEST_LIMIT_EXCEEDED", 0},
		{403, `[{"message":"storage limit exceeded","errorCode":"STORAGE_LIMIT_EXCEEDED","fields":[]}]`, Limit, "STORAGE_LIMIT_EXCEEDED", 0},
		{503, `[{"message":"server too busy","errorCode":"SERVER_UNAVAILABLE"}]`, Transient, "SERVER_UNAVAILABLE", 0},
		{500, `[{"message":"server too busy","errorCode":"SERVER_UNAVAILABLE"}]`, Transient, "SERVER_UNAVAILABLE", 0},
		{503, `[{"message":"","errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}]`, Transient, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", 0},
		{400, `[{"message":"","errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}]`, Transient, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", 0},
		{400, `[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]`, Transient, "QUERY_TIMEOUT", 0},
		{400, `[{"message":"x","errorCode":"REQUEST_RUNNING_TOO_LONG"}]`, Transient, "REQUEST_RUNNING_TOO_LONG", 0},
		{500, `[{"message":"An unexpected error occurred. Please include this ErrorId if you contact support: 123456-7890 (-123456789)","errorCode":"UNKNOWN_EXCEPTION"}]`, Transient, "UNKNOWN_EXCEPTION", 0},
		{400, `[{"message":"Use one of these records?","errorCode":"DUPLICATES_DETECTED","fields":[],"duplicateResult":{"allowSave":false}}]`, Permanent, "DUPLICATES_DETECTED", 0},
		{400, `{"message":"a single object","errorCode":"INVALID_FIELD"}`, Permanent, "INVALID_FIELD", 0},
		{400, `[{"message":"Cannot deserialize instance of datetime from VALUE_STRING value x at [line:1, column:179]","errorCode":"JSON_PARSER_ERROR"}]`, Permanent, "JSON_PARSER_ERROR", 0},
	} {
		o := newOrg(t)
		o.answers(g.status, g.body)
		err := o.client().Update(t.Context(), "Account", "001M000000qfPySIAU", map[string]any{"Name": "x"})
		e := asError(t, err)
		if e.Class != g.class || e.Code != g.code || e.Status != g.status || len(e.Fields) != g.fields {
			t.Errorf("%d %s:\n got %s %q %v", g.status, g.body, e.Class, e.Code, e.Fields)
		}
		var wire []wireError
		if json.Unmarshal([]byte(g.body), &wire) == nil && e.Message != wire[0].Message {
			t.Errorf("%s: message %q", g.code, e.Message)
		}
	}
}

func TestConcurrencyLimitIsBrief(t *testing.T) {
	t.Parallel()
	for message, brief := range map[string]bool{
		"TotalRequests Limit exceeded.":                                false,
		"ConcurrentRequests (Concurrent API Requests) Limit exceeded.": true,
		"ConcurrentPerOrgLongTxn Limit exceeded":                       true,
	} {
		class, got := classify(403, CodeRequestLimit, message)
		if class != Limit || got != brief {
			t.Errorf("%s: %s, brief %t", message, class, got)
		}
	}
}

// What the API refuses was not done. An internal error proves nothing, nor does what
// something in front of it reports.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	// An answer with one of these comes of Salesforce itself, when it is through.
	ended := map[string]bool{"UNKNOWN_EXCEPTION": true, "SERVER_UNAVAILABLE": true, "REQUEST_RUNNING_TOO_LONG": true, "QUERY_TIMEOUT": true}
	for _, g := range []struct {
		status int
		ct     string
		body   string
		class  Class
		doubt  bool
	}{
		{502, "text/html", "<html>Bad Gateway</html>", Transient, true},
		{503, "text/html", "<html>down for maintenance</html>", Transient, true},
		{200, "text/html", "<html>down for maintenance</html>", Transient, true},
		{404, "text/html", "<html>", Transient, false},
		{405, "text/html", "<html>", Transient, false},
		{301, "text/html", "<html>", Transient, false},
		{302, "text/html", "<html>", Transient, false},
		{303, "", "", Transient, false},
		{420, "text/html", "<html>", Transient, false},
		{403, "text/html", "<html>", Transient, true},
		{504, "application/json", `{"message":"upstream timed out"}`, Transient, true},
		{500, "application/json", `[{"message":"x","errorCode":"SOMETHING_NEW"}]`, Transient, true},
		{500, "application/json", `[{"message":"x","errorCode":"UNABLE_TO_LOCK_ROW"}]`, Transient, false},
		{503, "application/json", `[{"message":"x","errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}]`, Transient, false},
		{500, "application/json", `[{"message":"x","errorCode":"UNKNOWN_EXCEPTION"}]`, Transient, true},
		{503, "application/json", `[{"message":"x","errorCode":"SERVER_UNAVAILABLE"}]`, Transient, true},
		{400, "application/json", `[{"message":"x","errorCode":"REQUEST_RUNNING_TOO_LONG"}]`, Transient, true},
		{500, "application/json", `[{"message":"x","errorCode":"QUERY_TIMEOUT"}]`, Transient, true},
		{400, "application/json", `[{"message":"x","errorCode":"QUERY_TIMEOUT"}]`, Transient, false},
		{500, "application/json", `[{"message":"x","errorCode":"REQUIRED_FIELD_MISSING"}]`, Transient, true},
		{400, "application/json", `[{"message":"x","errorCode":"SOMETHING_NEW"}]`, Permanent, false},
		{200, "application/json", ``, Transient, true},
		{200, "application/json", `{"id":"a00B000000FSkcv`, Transient, true},
		{200, "application/json", `null`, Transient, true},
		{200, "application/json", `[]`, Transient, true},
		{201, "application/json", `{"success":true,"errors":[]}`, Transient, true},
		{201, "application/json", `{"id":"a00B000000FSkcvIAD","errors":[]}`, Transient, true},
		{201, "application/json", `{"id":"a00B000000FSkcvIAD","success":true,"errors":[]}{}`, Transient, true},
		{202, "text/plain", `{"id":"a00B000000FSkcvIAD","success":true,"errors":[]}`, Transient, true},
		{204, "", ``, Transient, true},
		{429, "text/html", "<html>", Limit, false},
		{414, "text/html", "<html>", Permanent, false},
		{431, "text/html", "<html>", Permanent, false},
		{413, "text/html", "<html>", Permanent, false},
		{401, "text/html", "<html>", Auth, false},
	} {
		t.Run(fmt.Sprintf("%d %s", g.status, g.body), func(t *testing.T) {
			t.Parallel()
			o := newOrg(t)
			o.raw(g.status, g.ct, g.body)
			c := o.client()
			_, err := c.Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.longAgo()
			_, err = c.Create(t.Context(), "Account", map[string]any{"Name": "x"})
			e := asError(t, err)
			if e.Class != g.class || e.InDoubt != g.doubt {
				t.Errorf("got %s in doubt %t: %v", e.Class, e.InDoubt, err)
			}
			if _, ours := ended[e.Code]; e.Ended != (ours && e.InDoubt) {
				t.Errorf("ended %t: %v", e.Ended, err)
			}
			if strings.Contains(err.Error(), "maintenance") || strings.Contains(err.Error(), "a00B") {
				t.Errorf("the error repeats the body: %v", err)
			}
			c.longAgo()
			_, err = c.Limits(t.Context())
			if err != nil && asError(t, err).InDoubt {
				t.Errorf("a read is in doubt: %v", err)
			}
		})
	}
}

func TestErrorTellsNoValues(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.answers(400, `[{"message":"Account Name: data value too large: Jane Doe's secret (max length=255)","errorCode":"STRING_TOO_LONG","fields":["Name"]}]`)
	c := o.client()
	err := c.Update(t.Context(), "Account", "001M000000qfPySIAU", map[string]any{"Name": "Jane Doe's secret"})
	if got, want := err.Error(), "update Account: 400 STRING_TOO_LONG [Name]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.Contains(asError(t, err).Message, "Jane Doe") {
		t.Error("the message is lost for those who may see it")
	}

	o.answers(400, `[{"message":"\nSELECT Bacon__c FROM Account WHERE Name = 'Jane Doe'\n       ^\nERROR at Row:1:Column:8\nNo such column 'Bacon__c' on entity 'Account'.","errorCode":"INVALID_FIELD"}]`)
	_, err = c.Query(t.Context(), "SELECT Bacon__c FROM Account WHERE Name = 'Jane Doe'", QueryOpts{})
	if got, want := err.Error(), "query: 400 INVALID_FIELD ERROR at Row:1:Column:8 No such column 'Bacon__c' on entity 'Account'."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClassOf(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("apply 3 changes: %w", &Error{Op: "x", Class: Limit, Code: CodeRequestLimit, Err: context.Canceled})
	if ClassOf(wrapped) != Limit || CodeOf(wrapped) != CodeRequestLimit || !errors.Is(wrapped, context.Canceled) {
		t.Errorf("wrapped: %s %s", ClassOf(wrapped), CodeOf(wrapped))
	}
	if ClassOf(nil) != 0 || ClassOf(errors.New("x")) != Transient || CodeOf(errors.New("x")) != "" {
		t.Error("other errors")
	}
}

func FuzzParseErrors(f *testing.F) {
	for _, s := range []string{
		`[{"message":"x","errorCode":"INVALID_FIELD","fields":["A"]}]`, `{"error":"invalid_grant","error_description":"y"}`,
		`["/services/data/v23.0/sobjects/Whizbang/foo"]`, `[]`, `null`, `[null]`, `{}`, `[{"statusCode":"MALFORMED_ID","fields":null}]`,
		`[{"errorCode":7}]`, `[[[[[[`, "[{\"message\":\"\x1b[31m\\u0000\",\"errorCode\":\"\\n\"}]",
	} {
		f.Add(400, []byte(s))
		f.Add(300, []byte(s))
	}
	c, err := New(Config{Auth: AuthRefreshToken, ClientID: "x", RefreshToken: "5Aep861CANARY"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := request{op: "update Account", write: true}
		e := c.failed(r, status, body)
		text := e.Error()
		if e.Class < Transient || e.Class > Permanent {
			t.Fatalf("class %d", e.Class)
		}
		if strings.ContainsAny(text, "\n\r\x1b\x00") || strings.Contains(text, "CANARY") || len(text) > 1000 {
			t.Fatalf("unfit for a log: %q", text)
		}
		if doubt, _ := fate(status, e.Code); !e.InDoubt && doubt && !untouched(status) {
			t.Fatalf("%d %q is not known to have failed and not in doubt", status, body)
		}
		_ = tooDeep(body)
	})
}
