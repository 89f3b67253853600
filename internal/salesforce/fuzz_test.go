package salesforce

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzHeaders reads the headers that steer polling and writing.
func FuzzHeaders(f *testing.F) {
	f.Add("api-usage=25/5000; per-app-api-usage=17/250(appName=sample)", "Tue, 15 Nov 1994 08:12:31 GMT", "text/csv; charset=UTF-8")
	f.Add("api-usage=-1/0;api-usage=99999999999999999999/1,api-usage=3/9", "Tuesday, 15-Nov-94 08:12:31 GMT", "application/json;x=\"")
	f.Add("api-usage=", "Tue Nov 15 08:12:31 1994", "")
	f.Fuzz(func(t *testing.T, info, date, kind string) {
		h := http.Header{"Sforce-Limit-Info": {info}, "Date": {date}, "Content-Type": {kind}}
		var c Client
		c.usage.note(h)
		if u := c.Usage(); u.Used < 0 || u.Limit < 0 {
			t.Errorf("%q is %+v", info, u)
		}
		c.clock.note(h)
		if c.clock.newest.Load() == nil && time.Since(c.ServerTime()).Abs() > time.Minute {
			t.Errorf("%q is %s", date, c.ServerTime())
		}
		if why := notJSON(h, []byte("{}")); strings.ContainsAny(why, "\r\n\x1b<") {
			t.Errorf("%q is repeated as %q", kind, why)
		}
	})
}

// FuzzTime reads datetimes; what is read is written and read again as the same.
func FuzzTime(f *testing.F) {
	for _, s := range []string{`"2011-07-07T00:37:00.000+0000"`, `"2011-07-07T00:37:00Z"`, `null`, `"4000-12-31T23:59:59.999-1200"`, `""`, `7`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Time
		if json.Unmarshal(b, &a) != nil || a.IsZero() {
			return
		}
		var again Time
		text := a.Format(`"2006-01-02T15:04:05.999999999Z07:00"`)
		if err := json.Unmarshal([]byte(text), &again); a.Year() > 0 && a.Year() < 10000 && (err != nil || !again.Equal(a.Time)) {
			t.Errorf("%s is %s and then %s (%v)", b, text, again, err)
		}
	})
}

// FuzzGrant reads the answer to a login: whatever it is, no token goes to a host
// that is not to be trusted, and none is of a form that could break a header.
func FuzzGrant(f *testing.F) {
	f.Add(200, []byte(`{"access_token":"00D!x","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00Dx0000000BV7zEAG/005x00000012Q9PAAU"}`))
	f.Add(200, []byte(`{"access_token":"x\r\nHost: evil","instance_url":"https://acme.my.salesforce.com"}`))
	f.Add(200, []byte(`{"access_token":"x","instance_url":"https://acme.my.salesforce.com@evil.tld"}`))
	f.Add(400, []byte(`{"error":"invalid_grant","error_description":"x"}`))
	f.Add(200, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := newClient(&testing.T{}, "https://login.salesforce.com")
		g, failure := c.judgeGrant(request{op: "login"}, &http.Response{StatusCode: status, Header: http.Header{}}, body)
		if failure != nil {
			return
		}
		s, failure := c.adopt(g)
		if failure != nil {
			return
		}
		if strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || s.Token == "" {
			t.Errorf("token %q", s.Token)
		}
		if rest, ok := strings.CutPrefix(s.InstanceURL, "https://"); !ok || strings.ContainsAny(rest, "/@:?#\\% ") || !strings.Contains(rest, ".") {
			t.Errorf("instance %q", s.InstanceURL)
		}
	})
}

// FuzzLink takes a link to the next page: only a path below the API's is asked for.
func FuzzLink(f *testing.F) {
	for _, s := range []string{"/services/data/v66.0/query/01gB000003OCxSPIA1-2000", "https://evil.tld/services/data/v66.0/query/x", "//evil.tld/services/data/v66.0/../x", "/services/data/v66.0/%2e%2e/x", "\\\\evil", ""} {
		f.Add(s)
	}
	c := newClient(&testing.T{}, "https://login.salesforce.com")
	f.Fuzz(func(t *testing.T, link string) {
		path, ok := c.linkPath(link)
		if ok && (!strings.HasPrefix(path, "/services/data/") || strings.Contains(path, "..") || strings.ContainsAny(path, " \r\n@\\?#")) {
			t.Errorf("%q is asked for as %q", link, path)
		}
	})
}

// FuzzRowError reads what Bulk says of a row.
func FuzzRowError(f *testing.F) {
	for _, s := range []string{"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "X", "::", "DUPLICATE_VALUE:a:b,c --"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := rowError(text)
		if len(w.StatusCode)+len(w.Message) > len(text) {
			t.Errorf("%q is %+v", text, w)
		}
		for _, field := range w.Fields {
			if field == "" || strings.Contains(field, ",") {
				t.Errorf("%q blames %q", text, field)
			}
		}
	})
}

// FuzzDescribe reads the description of an object as an answer, and an identity URL.
func FuzzDescribe(f *testing.F) {
	f.Add([]byte(`{"name":"Account","fields":[{"name":"Id","type":"id","length":18,"referenceTo":["User"],"picklistValues":[{"value":"x"}]}],"childRelationships":[{"field":"AccountId","childSObject":"Contact"}]}`))
	f.Add([]byte(`{"name":"x\"; DROP TABLE t; --","fields":[{"name":"\u0000","length":-1,"precision":1e9}]}`))
	f.Add([]byte(`{"fields":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := newClient(&testing.T{}, "https://login.salesforce.com")
		if notJSON(http.Header{}, body) != "" {
			return
		}
		var d Describe
		if c.decode(&answer{body: body}, &d) == nil {
			d.Field("Id")
		}
		if org, user := identity(string(body)); org != "" && (len(org) != 18 || len(user) != 18) {
			t.Errorf("%q is org %q, user %q", body, org, user)
		}
	})
}
