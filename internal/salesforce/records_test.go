package salesforce

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
)

const (
	id1 = "001RM000003oLrfYAE"
	id2 = "001RM000003oLrBYAU"
)

// sent compares the newest request with one line of method, URI and body.
func (o *fakeOrg) sent(t *testing.T, want string) {
	t.Helper()
	r, body := o.last()
	got := strings.TrimSpace(r.Method + " " + r.RequestURI + " " + body)
	if got != want {
		t.Errorf("sent\n  %s\nwant\n  %s", got, want)
	}
}

func TestSingleRecords(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	o.answers(201, `{"id":"a00B000000FSkcvIAD","success":true,"errors":[]}`)
	id, err := c.Create(t.Context(), "PushTopic", map[string]any{"Name": "hc_Account", "ApiVersion": json.Number("66.0"), "Query": nil})
	if err != nil || id != "a00B000000FSkcvIAD" {
		t.Errorf("%q, %v", id, err)
	}
	o.sent(t, `POST /services/data/v66.0/sobjects/PushTopic/ {"ApiVersion":66.0,"Name":"hc_Account","Query":null}`)

	o.raw(204, "", "")
	if err = c.Update(t.Context(), "Account", id1, map[string]any{"Name": "A"}); err != nil {
		t.Error(err)
	}
	o.sent(t, `PATCH /services/data/v66.0/sobjects/Account/`+id1+` {"Name":"A"}`)
	if err = c.Delete(t.Context(), "Account", id1); err != nil {
		t.Error(err)
	}
	o.sent(t, `DELETE /services/data/v66.0/sobjects/Account/`+id1)

	// A 200 with nothing in it proves nothing.
	o.raw(200, "application/json", "")
	expect(t, c.Update(t.Context(), "Account", id1, nil), Transient, "", true)
	expect(t, c.Delete(t.Context(), "Account", id1), Transient, "", true)
	o.answers(200, `{"id":"`+id1+`","success":true,"errors":[],"created":false}`)
	if err = c.Update(t.Context(), "Account", id1, nil); err != nil {
		t.Error(err)
	}

	o.answers(200, `{"attributes":{"type":"Account"},"Id":"`+id1+`","AnnualRevenue":123456789012345678}`)
	raw, err := c.Get(t.Context(), "Account", id1, "Id", "AnnualRevenue")
	if err != nil || !strings.Contains(string(raw), "123456789012345678") {
		t.Errorf("%s, %v", raw, err)
	}
	o.sent(t, `GET /services/data/v66.0/sobjects/Account/`+id1+`?fields=Id%2CAnnualRevenue`)
}

func TestNothingUnsafeIsSent(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	ctx := t.Context()
	many := make([]map[string]any, MaxRecords+1)
	calls := map[string]func() error{
		"object path":  func() error { _, err := c.Describe(ctx, "../limits"); return err },
		"empty object": func() error { _, err := c.Create(ctx, "", nil); return err },
		"object space": func() error { _, err := c.Create(ctx, "Account x", nil); return err },
		"id path":      func() error { return c.Delete(ctx, "Account", "../../x") },
		"empty id":     func() error { return c.Delete(ctx, "Account", "") },
		"id of 16":     func() error { return c.Update(ctx, "Account", "001RM000003oLrfY", nil) },
		"NaN":          func() error { _, err := c.Create(ctx, "Account", map[string]any{"X": math.NaN()}); return err },
		"too many":     func() error { _, err := c.InsertAll(ctx, "Account", many); return err },
		"no id":        func() error { _, err := c.UpdateAll(ctx, "Account", many[:1]); return err },
		"no key": func() error {
			_, err := c.UpsertAll(ctx, "Account", "Key__c", []map[string]any{{"Key__c": ""}})
			return err
		},
		"key path":    func() error { _, err := c.UpsertAll(ctx, "Account", "a/b", nil); return err },
		"delete ids":  func() error { _, err := c.DeleteAll(ctx, []string{"x,y"}); return err },
		"many ids":    func() error { _, err := c.Retrieve(ctx, "Account", make([]string, MaxRetrieve+1), nil); return err },
		"retrieve id": func() error { _, err := c.Retrieve(ctx, "Account", []string{""}, nil); return err },
		"job":         func() error { _, err := c.QueryJob(ctx, "../x"); return err },
		"results":     func() error { _, err := c.QueryResults(ctx, "", "", 0); return err },
		"get":         func() error { _, err := c.Get(ctx, "Account", "x?y"); return err },
	}
	for name, call := range calls {
		e := asError(t, call())
		if e.Class != Permanent || e.InDoubt {
			t.Errorf("%s: %s in doubt %t", name, e.Class, e.InDoubt)
		}
	}
	if n := o.apiCalls(); n != 0 {
		t.Errorf("%d requests left", n)
	}
	for name, call := range map[string]func() error{
		"insert":   func() error { _, err := c.InsertAll(ctx, "Account", nil); return err },
		"delete":   func() error { _, err := c.DeleteAll(ctx, nil); return err },
		"retrieve": func() error { _, err := c.Retrieve(ctx, "Account", nil, nil); return err },
	} {
		if err := call(); err != nil || o.apiCalls() != 0 {
			t.Errorf("%s of nothing: %v, %d requests", name, err, o.apiCalls())
		}
	}
}

func TestRetrieve(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	o.answers(200, `[{"attributes":{"type":"Account"},"Id":"`+id1+`","N":0.1000000000000000055},null]`)
	got, err := c.Retrieve(t.Context(), "Account", []string{id1, id2}, []string{"Id", "N"})
	if err != nil || len(got) != 2 || got[1] != nil || !strings.Contains(string(got[0]), "0.1000000000000000055") {
		t.Errorf("%s, %v", got, err)
	}
	o.sent(t, `POST /services/data/v66.0/composite/sobjects/Account {"fields":["Id","N"],"ids":["`+id1+`","`+id2+`"]}`)
	for _, body := range []string{`[]`, `[null]`, `[null,null,null]`, `{}`, `null`, `[1,2]`} {
		o.answers(200, body)
		_, err = c.Retrieve(t.Context(), "Account", []string{id1, id2}, []string{"Id"})
		expect(t, err, Transient, "", false)
	}
}

func TestCollections(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	records := []map[string]any{{"id": id1, "Name": "A"}, {"id": id2, "Name": nil}}

	// The documentation's sample.
	o.answers(200, `[{"id":"001RM000003oLrfYAE","success":true,"errors":[]},
 {"success":false,"errors":[{"statusCode":"MALFORMED_ID","message":"malformed id 001RM000003oLrB000","fields":[]}]}]`)
	got, err := c.UpdateAll(t.Context(), "Account", records)
	if err != nil {
		t.Fatal(err)
	}
	o.sent(t, `PATCH /services/data/v66.0/composite/sobjects {"allOrNone":false,"records":[`+
		`{"Name":"A","attributes":{"type":"Account"},"id":"`+id1+`"},{"Name":null,"attributes":{"type":"Account"},"id":"`+id2+`"}]}`)
	if len(records[0]) != 2 {
		t.Error("the caller's record was changed")
	}
	if !got[0].Success || got[0].ID != id1 || got[0].Created || got[1].Success || len(got[1].Errors) != 1 {
		t.Fatalf("%+v", got)
	}
	expect(t, got[1].Errors[0], Permanent, "MALFORMED_ID", false)
	if got[1].Errors[0].Message != "malformed id 001RM000003oLrB000" {
		t.Errorf("message %q", got[1].Errors[0].Message)
	}

	got, err = c.InsertAll(t.Context(), "Account", []map[string]any{{"Name": "A"}, {"Name": "B"}})
	if err != nil || !got[0].Created || got[1].Created {
		t.Errorf("%+v, %v", got, err)
	}
	o.sent(t, `POST /services/data/v66.0/composite/sobjects {"allOrNone":false,"records":[`+
		`{"Name":"A","attributes":{"type":"Account"}},{"Name":"B","attributes":{"type":"Account"}}]}`)

	o.answers(200, `[{"id":"001RM000003oLrfYAE","success":true,"errors":[],"created":true},{"id":"001RM000003oLrBYAU","success":true,"errors":[],"created":false}]`)
	got, err = c.UpsertAll(t.Context(), "Account", "Key__c", []map[string]any{{"Key__c": "1"}, {"Key__c": json.Number("2")}})
	if err != nil || !got[0].Created || got[1].Created || !got[1].Success {
		t.Errorf("%+v, %v", got, err)
	}
	o.sent(t, `PATCH /services/data/v66.0/composite/sobjects/Account/Key__c {"allOrNone":false,"records":[`+
		`{"Key__c":"1","attributes":{"type":"Account"}},{"Key__c":2,"attributes":{"type":"Account"}}]}`)

	got, err = c.DeleteAll(t.Context(), []string{id1, id2})
	if err != nil || len(got) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	o.sent(t, `DELETE /services/data/v66.0/composite/sobjects?ids=`+id1+`,`+id2+`&allOrNone=false`)
}

func TestCollectionResultsThatProveNothing(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	two := []map[string]any{{"Name": "A"}, {"Name": "B"}}
	const good = `{"id":"001RM000003oLrfYAE","success":true,"errors":[]}`
	for _, body := range []string{`[]`, `[` + good + `]`, `[` + good + `,` + good + `,` + good + `]`, `{}`, `null`, `[` + good + `,7]`} {
		o.answers(200, body)
		_, err := c.InsertAll(t.Context(), "Account", two)
		expect(t, err, Transient, "", true)
	}
	for _, second := range []string{
		`{"success":true,"errors":[]}`,
		`{"id":"","success":true,"errors":[]}`,
		`{"id":"001RM000003oLrBYAU","errors":[]}`,
		`{"success":false,"errors":[]}`,
		`{"id":"001RM000003oLrBYAU","success":true,"errors":[{"statusCode":"X","message":"y"}]}`,
		`null`,
	} {
		o.answers(200, `[`+good+`,`+second+`]`)
		got, err := c.InsertAll(t.Context(), "Account", two)
		if err != nil || !got[0].Success || got[1].Success || len(got[1].Errors) == 0 {
			t.Fatalf("%s: %+v, %v", second, got, err)
		}
		expect(t, got[1].Errors[0], Transient, "", true)
	}

	// One record's failure says nothing about the call.
	o.answers(200, `[`+good+`,{"success":false,"errors":[{"statusCode":"UNABLE_TO_LOCK_ROW","message":"x","fields":[]},{"statusCode":"INVALID_FIELD","message":"y"}]}]`)
	got, err := c.InsertAll(t.Context(), "Account", two)
	if err != nil || len(got[1].Errors) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	expect(t, got[1].Errors[0], Transient, "UNABLE_TO_LOCK_ROW", false)
	if text := got[1].Errors[0].Error(); text != "insert Account: UNABLE_TO_LOCK_ROW" {
		t.Errorf("%q", text)
	}
}

func TestTwoHundredRecordsStayInOrder(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.api = func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Records []map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		out := make([]string, len(in.Records))
		for i, rec := range in.Records {
			out[i] = fmt.Sprintf(`{"id":"001%012s","success":true,"errors":[]}`, rec["Name"])
		}
		reply(w, 200, "["+strings.ReplaceAll(strings.Join(out, ","), "001 ", "0010")+"]")
	}
	records := make([]map[string]any, maxCollection)
	for i := range records {
		records[i] = map[string]any{"Name": fmt.Sprintf("%012d", i)}
	}
	got, err := o.client().InsertAll(t.Context(), "Account", records)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got {
		if want := ID18(fmt.Sprintf("001%012d", i)); s.ID != want {
			t.Fatalf("record %d got id %s, want %s", i, s.ID, want)
		}
	}
}
