package org_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	r := start(t)
	a := r.do("GET", "/services/data/", "", "Authorization", "")
	if a.status != 200 || !strings.Contains(a.body, `{"label":"Summer '24","url":"/services/data/v61.0","version":"61.0"}`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if got := a.header.Get("Sforce-Limit-Info"); got != "" {
		t.Errorf("the version list costs a call: %s", got)
	}
	r.do("GET", "/services/data/v20.0/", "").want(t, 410, `[{"message":"The requested API version is retired","errorCode":"GONE"}]`)
	r.do("GET", "/services/data/v99.0/", "").want(t, 404, notFound())
	r.do("GET", "/services/data/latest/", "").want(t, 404, notFound())
	r.do("GET", "/services/data/v66.0", "").want(t, 200, text(`{"identity":"%s/id/%s/%s","sobjects":"/services/data/v66.0/sobjects","query":"/services/data/v66.0/query",`+
		`"queryAll":"/services/data/v66.0/queryAll","composite":"/services/data/v66.0/composite","limits":"/services/data/v66.0/limits","jobs":"/services/data/v66.0/jobs","tooling":"/services/data/v66.0/tooling"}`, r.base, r.s.ID(), r.s.UserID()))
}

func TestConventions(t *testing.T) {
	t.Parallel()

	t.Run("HeadersOfAnAnswer", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		h := r.data("GET", "/limits", "").header
		for name, want := range map[string]string{
			"Content-Type": "application/json;charset=UTF-8", "Sforce-Limit-Info": "api-usage=1/15000", "Vary": "Accept-Encoding",
			"Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private", "X-Robots-Tag": "none",
			"Date": "Sun, 01 Mar 2026 12:00:00 GMT",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if got := r.data("GET", "/nothing", "").header; got.Get("Vary") != "" || got.Get("Sforce-Limit-Info") != "api-usage=2/15000" {
			t.Errorf("headers of an error are %v", got)
		}
	})

	t.Run("CarelessPaths", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		for _, path := range []string{"//services/data/v66.0/limits", "/services/data/v66.0//limits/", "/services//data/v66.0/limits//"} {
			if a := r.do("GET", path, ""); a.status != 200 {
				t.Errorf("%s answered %d", path, a.status)
			}
		}
	})

	t.Run("Methods", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		id := r.insert("Account", map[string]any{"Name": "A"})
		a := r.data("PUT", "/sobjects/Account/"+id, "{}")
		a.want(t, 405, `[{"message":"HTTP Method 'PUT' not allowed. Allowed are GET,HEAD,PATCH,DELETE","errorCode":"METHOD_NOT_ALLOWED"}]`)
		if got := a.header.Get("Allow"); got != "GET, HEAD, PATCH, DELETE" {
			t.Errorf("Allow is %q", got)
		}
		r.data("POST", "/limits", "").want(t, 405, `[{"message":"HTTP Method 'POST' not allowed. Allowed are GET,HEAD","errorCode":"METHOD_NOT_ALLOWED"}]`)
		r.data("POST", "/sobjects/Account/"+id+"?_HttpMethod=PATCH", `{"Name":"B"}`).want(t, 204, "")
		if rec, _ := r.s.Get("Account", id); rec.Get(r.s.Object("Account"), "Name") != "B" {
			t.Error("_HttpMethod=PATCH did not update")
		}
	})

	t.Run("LongRequests", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		a := r.query("SELECT Id FROM Account WHERE Name = '" + strings.Repeat("x", 16384) + "'")
		if a.status != 414 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("a long URI answered %d %s", a.status, a.header.Get("Content-Type"))
		}
		if a := r.data("GET", "/limits", "", "X-Long", strings.Repeat("x", 16384)); a.status != 431 {
			t.Errorf("long headers answered %d", a.status)
		}
	})

	t.Run("Compression", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		a := r.data("GET", "/sobjects", "", "Accept-Encoding", "gzip")
		if got := a.header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Content-Encoding is %q", got)
		}
		z, err := gzip.NewReader(strings.NewReader(a.body))
		r.must(err)
		plain, err := io.ReadAll(z)
		r.must(err)
		if !bytes.HasPrefix(plain, []byte(`{"encoding":"UTF-8","maxBatchSize":200,"sobjects":[`)) {
			t.Errorf("got %.80s", plain)
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err = w.Write([]byte(`{"Name":"packed"}`))
		r.must(err)
		r.must(w.Close())
		if a := r.data("POST", "/sobjects/Account", b.String(), "Content-Encoding", "gzip"); a.status != 201 {
			t.Errorf("a packed request answered %d %s", a.status, a.body)
		}
	})

	t.Run("BadJSON", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.data("POST", "/sobjects/Account", "").want(t, 400, `[{"message":"The HTTP entity body is required, but this request has no entity body.","errorCode":"JSON_PARSER_ERROR"}]`)
		r.data("POST", "/sobjects/Account", "{\n\"Name\" j").want(t, 400, `[{"message":"Unexpected character ('j' (code 106)): expected a valid value at [line:2, column:8]","errorCode":"JSON_PARSER_ERROR"}]`)
		r.data("POST", "/sobjects/Account", `{"Name":`).want(t, 400, `[{"message":"Unexpected end-of-input at [line:1, column:9]","errorCode":"JSON_PARSER_ERROR"}]`)
	})

	t.Run("DailyLimit", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(o *org.Options) { o.DailyLimit = 2 })
		r.data("GET", "/limits", "")
		if a := r.data("GET", "/limits", ""); !strings.Contains(a.body, `"DailyApiRequests":{"Max":2,"Remaining":0}`) {
			t.Errorf("limits answered %s", a.body)
		}
		a := r.data("GET", "/limits", "")
		a.want(t, 403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`)
		if got := a.header.Get("Sforce-Limit-Info"); got != "api-usage=2/2" {
			t.Errorf("Sforce-Limit-Info is %q", got)
		}
		r.s.DailyLimit(3)
		if a := r.data("GET", "/limits", ""); a.status != 200 {
			t.Errorf("after the limit was raised got %d", a.status)
		}
	})
}

func TestRecord(t *testing.T) {
	t.Parallel()
	r := start(t)
	const name = "/sobjects/Invoice__c"

	a := r.data("POST", "/sobjects/Account/", `{"Name":"  Acme ","Phone":""}`)
	id := a.id(t)
	a.want(t, 201, `{"id":"{}","success":true,"errors":[]}`, id)
	if got, want := a.header.Get("Location"), "/services/data/v66.0/sobjects/Account/"+id; got != want {
		t.Errorf("Location is %q, want %q", got, want)
	}
	r.data("GET", "/sobjects/account/"+id[:15]+"?fields=Name,Phone,CreatedDate,IsDeleted", "").want(t, 200,
		`{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/{}"},"Name":"Acme","Phone":null,"CreatedDate":"2026-03-01T12:00:00.000+0000","IsDeleted":false}`, id)
	r.data("GET", "/sobjects/Account/"+id+"?fields=Nope", "").want(t, 400,
		`[{"message":"No such column 'Nope' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.","errorCode":"INVALID_FIELD"}]`)
	r.data("PATCH", "/sobjects/Account/"+id, `{"BillingCity":"Kandy"}`).want(t, 204, "")
	if a := r.data("GET", "/sobjects/Account/"+id, ""); !strings.Contains(a.body, `"BillingAddress":{"city":"Kandy"`) && !strings.Contains(a.body, `"city":"Kandy"`) {
		t.Errorf("the compound address is missing in %s", a.body)
	}

	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"UnknownObject", "POST", "/sobjects/Nope__c", `{}`, 404, notFound()},
		{"RequiredMissing", "POST", "/sobjects/Account", `{}`, 400, `[{"message":"Required fields are missing: [Name]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Name"]}]`},
		{"UnknownField", "POST", "/sobjects/Account", `{"Name":"A","FavoritePet__c":1}`, 400, `[{"message":"No such column 'FavoritePet__c' on sobject of type Account","errorCode":"INVALID_FIELD"}]`},
		{"IDInBody", "POST", "/sobjects/Account", `{"Name":"A","Id":"` + id + `"}`, 400, `[{"message":"The Id field should not be specified in the sobject data.","errorCode":"INVALID_FIELD"}]`},
		{"UnknownExternalID", "GET", "/sobjects/Account/23foo", "", 404, `[{"message":"Provided external ID field does not exist or is not accessible: 23foo","errorCode":"NOT_FOUND"}]`},
		{"MalformedID", "PATCH", "/sobjects/Account/001000000000001AAB", `{"Name":"A"}`, 400, `[{"message":"Record ID: id value of incorrect type: 001000000000001AAB","errorCode":"MALFORMED_ID","fields":["Id"]}]`},
		{"MissingID", "GET", "/sobjects/Account/001000000000001AAA", "", 404, notFound()},
		{"UpdateOfMissing", "PATCH", "/sobjects/Account/001000000000001AAA", `{"Name":"A"}`, 404, `[{"message":"invalid cross reference id","errorCode":"INVALID_CROSS_REFERENCE_KEY","fields":[]}]`},
		{"UnknownResource", "GET", "/nope", "", 404, notFound()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r.data(c.method, c.path, c.body).want(t, c.status, c.want)
		})
	}

	t.Run("Delete", func(t *testing.T) {
		t.Parallel()
		id := r.insert("Account", map[string]any{"Name": "gone"})
		r.data("DELETE", "/sobjects/Account/"+id, "").want(t, 204, "")
		deleted := `[{"message":"entity is deleted","errorCode":"ENTITY_IS_DELETED","fields":[]}]`
		for _, method := range []string{"DELETE", "GET"} {
			r.data(method, "/sobjects/Account/"+id, "").want(t, 404, deleted)
		}
		r.data("PATCH", "/sobjects/Account/"+id, `{"Name":"x"}`).want(t, 404, deleted)
	})

	t.Run("Conditions", func(t *testing.T) {
		t.Parallel()
		id := r.insert("Account", map[string]any{"Name": "c"})
		before, at := noon.Add(-time.Second).Format(http.TimeFormat), noon.Format(http.TimeFormat)
		path := "/sobjects/Account/" + id
		r.data("GET", path, "", "If-Modified-Since", at).want(t, 304, "")
		if a := r.data("GET", path, "", "If-Modified-Since", before); a.status != 200 {
			t.Errorf("a changed record answered %d", a.status)
		}
		r.data("PATCH", path, `{"Name":"d"}`, "If-Unmodified-Since", before).want(t, 412, "")
		r.data("PATCH", path, `{"Name":"d"}`, "If-Unmodified-Since", at).want(t, 204, "")
		r.data("GET", "/sobjects/Account/describe", "", "If-Modified-Since", at).want(t, 304, "")
	})

	t.Run("ExternalID", func(t *testing.T) {
		t.Parallel()
		path := name + "/External_Id__c/a%2Fb%20c"
		r.data("GET", path, "").want(t, 404, notFound())
		a := r.data("PATCH", path, `{}`)
		id := a.id(t)
		a.want(t, 201, `{"id":"{}","success":true,"errors":[],"created":true}`, id)
		r.data("PATCH", path, `{}`).want(t, 200, `{"id":"{}","success":true,"errors":[],"created":false}`, id)
		r.do("PATCH", "/services/data/v45.0"+path, `{}`).want(t, 204, "")
		a = r.do("PATCH", "/services/data/v45.0"+name+"/External_Id__c/old", `{}`)
		a.want(t, 201, `{"id":"{}","success":true,"errors":[]}`, a.id(t))
		r.data("PATCH", path, `{"External_Id__c":"x"}`).want(t, 400, `[{"message":"The External_Id__c field should not be specified in the sobject data.","errorCode":"INVALID_FIELD"}]`)
		r.data("GET", path+"?fields=Id,External_Id__c", "").want(t, 200,
			`{"attributes":{"type":"Invoice__c","url":"/services/data/v66.0/sobjects/Invoice__c/{}"},"Id":"{}","External_Id__c":"a/b c"}`, id, id)
		r.data("PATCH", name+"/Namez/x", `{}`).want(t, 404, `[{"message":"Provided external ID field does not exist or is not accessible: Namez","errorCode":"NOT_FOUND"}]`)
		r.data("DELETE", path, "").want(t, 204, "")
		r.data("GET", path, "").want(t, 404, notFound())
		if a := r.data("PATCH", name+"/External_Id__c/none?updateOnly=true", `{}`); a.status != 404 {
			t.Errorf("updateOnly without a match answered %d %s", a.status, a.body)
		}
	})

	t.Run("UpsertByID", func(t *testing.T) {
		t.Parallel()
		a := r.data("POST", "/sobjects/Account/Id", `{"Name":"new"}`)
		a.want(t, 201, `{"id":"{}","success":true,"errors":[],"created":true}`, a.id(t))
		r.data("PATCH", "/sobjects/Account/Id/"+a.id(t), `{"Name":"again"}`).want(t, 200, `{"id":"{}","success":true,"errors":[],"created":false}`, a.id(t))
	})
}

// A field that is an external id without being unique may match several rows.
func TestShortIDs(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.data("POST", "/sobjects/Account/", `{"Name":"Acme"}`).id(t)
	r.s.ShortIDs(true)
	a := r.data("GET", "/sobjects/Account/"+id[:15]+"?fields=Id,Name", "")
	if want := `"Id":"` + id[:15] + `"`; a.status != 200 || !strings.Contains(a.body, want) {
		t.Errorf("answered %d %s, want %s", a.status, a.body, want)
	}
	r.s.ShortIDs(false)
	if a = r.data("GET", "/sobjects/Account/"+id+"?fields=Id", ""); !strings.Contains(a.body, id+`"}`) {
		t.Errorf("answered %s, want the id of 18 characters again", a.body)
	}
}

func TestExternalIDChoices(t *testing.T) {
	t.Parallel()
	r := start(t)
	every := r.s.Object("Every__c")
	field := ""
	for _, f := range every.Fields {
		if f.ExternalID && !f.Unique && f.Type == "string" {
			field = f.Name
		}
	}
	if field == "" {
		every = every.With(externalID("Code__c"))
		r.s.Define(every)
		field = "Code__c"
	}
	first, second := r.insert("Every__c", map[string]any{field: "k"}), r.insert("Every__c", map[string]any{field: "k"})
	want := text(`["/services/data/v66.0/sobjects/Every__c/%s","/services/data/v66.0/sobjects/Every__c/%s"]`, first, second)
	r.data("GET", "/sobjects/Every__c/"+field+"/K", "").want(t, 300, want)
	r.data("PATCH", "/sobjects/Every__c/"+field+"/k", `{}`).want(t, 300, want)
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	r := start(t)
	type field struct {
		Name, Type string
		Length     int
	}
	var d struct {
		Name, KeyPrefix string
		Fields          []field
		URLs            map[string]string
	}
	fields := func() map[string]field {
		a := r.data("GET", "/sobjects/account/describe", "")
		d.Fields = nil
		a.decode(t, &d)
		out := map[string]field{}
		for _, f := range d.Fields {
			out[f.Name] = f
		}
		return out
	}
	before := fields()
	if d.Name != "Account" || d.KeyPrefix != "001" || before["Name"].Length == 0 || before["Id"].Type != "id" {
		t.Errorf("got %+v", d)
	}
	if got, want := d.URLs["rowTemplate"], "/services/data/v66.0/sobjects/Account/{ID}"; got != want {
		t.Errorf("rowTemplate is %q, want %q", got, want)
	}
	r.s.HideField("Account", "Phone")
	if _, shown := fields()["Phone"]; shown {
		t.Error("a hidden field is described")
	}
	a := r.query("SELECT Phone FROM Account")
	if a.status != 400 || !strings.Contains(a.body, `No such column 'Phone' on entity 'Account'`) {
		t.Errorf("a query of a hidden field answered %d %s", a.status, a.body)
	}
	r.data("POST", "/sobjects/Account", `{"Name":"x","Phone":"1"}`).want(t, 400, `[{"message":"No such column 'Phone' on sobject of type Account","errorCode":"INVALID_FIELD"}]`)
	if _, err := r.s.Insert("Account", map[string]any{"Name": "x", "Phone": "1"}); err != nil {
		t.Errorf("another user cannot write the field: %v", err)
	}
	r.s.ShowField("Account", "Phone")
	if _, shown := fields()["Phone"]; !shown {
		t.Error("a field shown again is not described")
	}
	if a := r.data("GET", "/sobjects/Account", ""); !strings.Contains(a.body, `"recentItems":[]`) {
		t.Errorf("got %s", a.body)
	}
}

func TestCollections(t *testing.T) {
	t.Parallel()
	const path = "/composite/sobjects"
	r := start(t)
	row := func(kind, fields string) string { return text(`{"attributes":{"type":"%s"},%s}`, kind, fields) }
	body := func(allOrNone bool, rows ...string) string {
		return text(`{"allOrNone":%t,"records":[%s]}`, allOrNone, strings.Join(rows, ","))
	}
	missing := `{"success":false,"errors":[{"statusCode":"REQUIRED_FIELD_MISSING","message":"Required fields are missing: [Name]","fields":["Name"]}]}`
	rolled := `"success":false,"errors":[{"statusCode":"ALL_OR_NONE_OPERATION_ROLLED_BACK","message":"Record rolled back because not all records were valid and the request was using AllOrNone header","fields":[]}]`
	type item struct{ ID string }
	ids := func(t *testing.T, a reply) []string {
		t.Helper()
		var items []item
		a.decode(t, &items)
		var out []string
		for _, i := range items {
			out = append(out, i.ID)
		}
		return out
	}

	t.Run("Create", func(t *testing.T) {
		t.Parallel()
		a := r.data("POST", path+"/", body(false, row("Account", `"Name":"A"`), row("Account", `"Phone":"1"`), row("Invoice__c", `"External_Id__c":"c1"`)))
		got := ids(t, a)
		a.want(t, 200, `[{"id":"{}","success":true,"errors":[]},`+missing+`,{"id":"{}","success":true,"errors":[]}]`, got[0], got[2])
		before := len(r.s.Records("Lead"))
		r.data("POST", path, body(true, row("Lead", `"LastName":"A","Company":"A"`), row("Account", `"Phone":"1"`))).want(t, 200, `[{`+rolled+`},`+missing+`]`)
		if after := len(r.s.Records("Lead")); after != before {
			t.Errorf("all or none left %d records", after-before)
		}
		if a := r.data("POST", path, body(false, row("Nope", `"Name":"A"`))); a.status != 200 || !strings.Contains(a.body, `"statusCode":"INVALID_TYPE"`) {
			t.Errorf("an unknown type answered %d %s", a.status, a.body)
		}
	})

	t.Run("UpdateAndDelete", func(t *testing.T) {
		t.Parallel()
		one, two := r.insert("Account", map[string]any{"Name": "1"}), r.insert("Account", map[string]any{"Name": "2"})
		bad := "001RM000003oLrB000"
		malformed := text(`{"success":false,"errors":[{"statusCode":"MALFORMED_ID","message":"malformed id %s","fields":[]}]}`, bad)
		r.data("PATCH", path, body(false, row("Account", `"id":"`+one+`","Name":"3"`), row("Account", `"id":"`+two+`","Name":null`))).want(t, 200,
			`[{"id":"{}","success":true,"errors":[]},{"id":"{}",`+missing[1:]+`]`, one, two)
		r.data("PATCH", path, body(true, row("Account", `"id":"`+one+`","Name":"4"`), row("Account", `"id":"`+two+`","Name":null`))).want(t, 200,
			`[{"id":"{}",`+rolled+`},{"id":"{}",`+missing[1:]+`]`, one, two)
		r.data("DELETE", path+"?ids="+one+","+bad+"&allOrNone=false", "").want(t, 200, `[{"id":"{}","success":true,"errors":[]},`+malformed+`]`, one)
		r.data("DELETE", path+"?ids="+two+","+bad+"&allOrNone=true", "").want(t, 200, `[{"id":"{}",`+rolled+`},`+malformed+`]`, two)
	})

	t.Run("Upsert", func(t *testing.T) {
		t.Parallel()
		a := r.data("PATCH", path+"/Invoice__c/External_Id__c", body(false, row("Invoice__c", `"External_Id__c":"u1"`), row("Invoice__c", `"External_Id__c":"u2"`)))
		got := ids(t, a)
		a.want(t, 200, `[{"id":"{}","success":true,"errors":[],"created":true},{"id":"{}","success":true,"errors":[],"created":true}]`, got...)
		r.data("PATCH", path+"/Invoice__c/External_Id__c", body(false, row("Invoice__c", `"External_Id__c":"u1"`))).want(t, 200,
			`[{"id":"{}","success":true,"errors":[],"created":false}]`, got[0])
		if a := r.data("PATCH", path+"/Invoice__c/External_Id__c", body(false, row("Invoice__c", `"External_Id__c":"u3"`), row("Invoice__c", `"External_Id__c":"U3"`))); strings.Count(a.body, "Duplicate external id specified") != 2 {
			t.Errorf("a repeated key answered %s", a.body)
		}
		r.data("PATCH", path+"/Invoice__c/Nope__c", body(false)).want(t, 404, `[{"message":"Provided external ID field does not exist or is not accessible: Nope__c","errorCode":"NOT_FOUND"}]`)
	})

	t.Run("Read", func(t *testing.T) {
		t.Parallel()
		one, two := r.insert("Account", map[string]any{"Name": "r1"}), r.insert("Account", map[string]any{"Name": "r2"})
		r.must(r.s.Delete("Account", two))
		want := text(`[{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/%[1]s"},"Id":"%[1]s","Name":"r1"},null,null]`, one)
		r.data("GET", path+"/Account?ids="+one+","+two+",001000000000001AAA&fields=id,name", "").want(t, 200, want)
		r.data("POST", path+"/Account", text(`{"ids":["%s","%s","001000000000001AAA"],"fields":["Id","Name"]}`, one, two)).want(t, 200, want)
		if a := r.data("POST", path+"/Account", text(`{"ids":["%s"],"fields":["Id","Nope"]}`, one)); a.status != 400 || !strings.Contains(a.body, "INVALID_FIELD") {
			t.Errorf("a bad field answered %d %s", a.status, a.body)
		}
	})

	t.Run("Bounds", func(t *testing.T) {
		t.Parallel()
		rows := make([]string, 201)
		for i := range rows {
			rows[i] = row("Account", `"Name":"many"`)
		}
		if a := r.data("POST", path, body(false, rows...)); a.status != 400 {
			t.Errorf("201 records answered %d", a.status)
		}
		mixed := make([]string, 0, 22)
		for range 11 {
			mixed = append(mixed, row("Account", `"Name":"m"`), row("Lead", `"LastName":"m","Company":"m"`))
		}
		if a := r.data("POST", path, body(false, mixed...)); a.status != 400 || !strings.Contains(a.body, "more than 10 chunks") {
			t.Errorf("22 runs of types answered %d %s", a.status, a.body)
		}
		manyIDs := strings.Repeat(`"001000000000001AAA",`, 2001)
		if a := r.data("POST", path+"/Account", `{"ids":[`+manyIDs[:len(manyIDs)-1]+`],"fields":["Id"]}`); a.status != 400 {
			t.Errorf("2,001 ids answered %d", a.status)
		}
	})
}
