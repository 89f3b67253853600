package org_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
)

// accounts yields n accounts.
func accounts(n int) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for i := range n {
			if !yield(map[string]any{"Name": fmt.Sprintf("A%05d", i)}) {
				return
			}
		}
	}
}

type page struct {
	TotalSize      int
	Done           bool
	NextRecordsURL string
	Records        []struct{ ID, Name string }
}

func TestQuery(t *testing.T) {
	t.Parallel()

	t.Run("Shape", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		account := r.insert("Account", map[string]any{"Name": "Acme"})
		with, without := r.insert("Contact", map[string]any{"LastName": "W", "AccountId": account}), r.insert("Contact", map[string]any{"LastName": "X"})
		r.query("SELECT Id, Email, Account.Name, CreatedDate FROM Contact ORDER BY LastName").want(t, 200,
			`{"totalSize":2,"done":true,"records":[`+
				`{"attributes":{"type":"Contact","url":"/services/data/v66.0/sobjects/Contact/{}"},"Id":"{}","Email":null,"Account":{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/{}"},"Name":"Acme"},"CreatedDate":"2026-03-01T12:00:00.000+0000"},`+
				`{"attributes":{"type":"Contact","url":"/services/data/v66.0/sobjects/Contact/{}"},"Id":"{}","Email":null,"Account":null,"CreatedDate":"2026-03-01T12:00:00.000+0000"}]}`,
			with, with, account, without, without)
		r.query("SELECT COUNT() FROM Contact").want(t, 200, `{"totalSize":2,"done":true,"records":[]}`)
		r.query("SELECT Id FROM Lead").want(t, 200, `{"totalSize":0,"done":true,"records":[]}`)
		r.must(r.s.Delete("Contact", with))
		r.query("SELECT COUNT() FROM Contact").want(t, 200, `{"totalSize":1,"done":true,"records":[]}`)
		r.data("GET", "/queryAll?q="+url.QueryEscape("SELECT COUNT() FROM Contact"), "").want(t, 200, `{"totalSize":2,"done":true,"records":[]}`)
	})

	t.Run("Errors", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.query("SELECT Bacon__c FROM Account LIMIT 2").want(t, 400,
			`[{"message":"\nSELECT Bacon__c FROM Account LIMIT 2\n       ^\nERROR at Row:1:Column:8\nNo such column 'Bacon__c' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.","errorCode":"INVALID_FIELD"}]`)
		r.query("SELEKT Id FROM Account").want(t, 400, `[{"message":"unexpected token: SELEKT","errorCode":"MALFORMED_QUERY"}]`)
		if a := r.query("SELECT Id FROM Nope"); a.status != 400 || !strings.Contains(a.body, `"errorCode":"INVALID_TYPE"`) {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if a := r.data("GET", "/query", ""); a.status != 400 || !strings.Contains(a.body, "MALFORMED_QUERY") {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})

	t.Run("Pages", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		_, err := r.s.InsertMany("Account", accounts(4500))
		r.must(err)
		// walk follows a query to its end and returns the size of each page.
		walk := func(a reply) (sizes []int, names map[string]bool) {
			names = map[string]bool{}
			for {
				var p page
				a.decode(t, &p)
				sizes = append(sizes, len(p.Records))
				for _, rec := range p.Records {
					names[rec.Name] = true
				}
				if p.TotalSize != 4500 {
					t.Fatalf("totalSize is %d", p.TotalSize)
				}
				if p.Done != (p.NextRecordsURL == "") {
					t.Fatalf("done is %t beside nextRecordsUrl %q", p.Done, p.NextRecordsURL)
				}
				if p.Done {
					return sizes, names
				}
				if !strings.HasPrefix(p.NextRecordsURL, "/services/data/v66.0/query/01g") {
					t.Fatalf("nextRecordsUrl is %q", p.NextRecordsURL)
				}
				a = r.do("GET", p.NextRecordsURL, "")
			}
		}
		sizes, names := walk(r.query("SELECT Id, Name FROM Account"))
		if fmt.Sprint(sizes) != "[2000 2000 500]" || len(names) != 4500 {
			t.Errorf("got pages %v with %d names", sizes, len(names))
		}
		if sizes, _ = walk(r.query("SELECT Id, Name FROM Account", "Sforce-Query-Options", "batchSize=900")); fmt.Sprint(sizes) != "[900 900 900 900 900]" {
			t.Errorf("with batchSize=900 got pages %v", sizes)
		}
		if sizes, _ = walk(r.query("SELECT Id, Name FROM Account", "Sforce-Query-Options", "batchSize=1")); sizes[0] != 200 {
			t.Errorf("with batchSize=1 got pages %v", sizes)
		}
	})

	t.Run("ALocatorIsASnapshot", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(o *org.Options) { o.PageSize = 2 })
		for _, n := range []string{"a", "b", "c"} {
			r.insert("Account", map[string]any{"Name": n})
		}
		var p page
		r.query("SELECT Id, Name FROM Account ORDER BY Name").decode(t, &p)
		next := p.NextRecordsURL
		if !strings.HasSuffix(next, "-2") {
			t.Fatalf("nextRecordsUrl is %q", next)
		}
		r.insert("Account", map[string]any{"Name": "bb"})
		var last page
		r.do("GET", strings.Replace(next, "/query/", "/queryAll/", 1), "").decode(t, &last)
		if len(last.Records) != 1 || last.Records[0].Name != "c" || !last.Done {
			t.Errorf("the second page is %+v", last)
		}
		invalid := `[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]`
		r.do("GET", next+"99", "").want(t, 400, invalid)
		r.clock.advance(48 * time.Hour)
		r.login()
		r.do("GET", next, "").want(t, 400, invalid)
		r.query("SELECT Id, Name FROM Account ORDER BY Name").decode(t, &p)
		r.s.ExpireLocators()
		r.do("GET", p.NextRecordsURL, "").want(t, 400, invalid)
	})

	t.Run("Columns", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.data("GET", "/query?columns=true&q="+url.QueryEscape("SELECT Id, Name FROM Account"), "").want(t, 200, `{"columnMetadata":[`+
			`{"aggregate":false,"apexType":"Id","booleanType":false,"columnName":"Id","custom":false,"displayName":"Id","foreignKeyName":null,"insertable":false,"joinColumns":[],"numberType":false,"textType":false,"updatable":false},`+
			`{"aggregate":false,"apexType":"String","booleanType":false,"columnName":"Name","custom":false,"displayName":"Name","foreignKeyName":null,"insertable":true,"joinColumns":[],"numberType":false,"textType":true,"updatable":true}`+
			`],"entityName":"Account","groupBy":false,"idSelected":true,"keyPrefix":"001"}`)
	})

	t.Run("Tooling", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		a := r.data("GET", "/tooling/query?q="+url.QueryEscape("SELECT Id FROM SandboxProcess"), "")
		if a.status != 400 || !strings.Contains(a.body, `"errorCode":"INVALID_TYPE"`) {
			t.Errorf("got %d %s", a.status, a.body)
		}
		r.data("GET", "/tooling", "").want(t, 404, notFound())
	})
}

func TestReplication(t *testing.T) {
	t.Parallel()
	r := start(t)
	kept := r.insert("Account", map[string]any{"Name": "kept"})
	gone := r.insert("Account", map[string]any{"Name": "gone"})
	r.clock.advance(3 * time.Minute)
	r.must(r.s.Delete("Account", gone))
	r.clock.advance(5*time.Minute + 20*time.Second) // 12:08:20
	ask := func(what string, from, to time.Duration) reply {
		t.Helper()
		stamp := func(d time.Duration) string { return url.QueryEscape(noon.Add(d).Format("2006-01-02T15:04:05+00:00")) }
		return r.data("GET", "/sobjects/Account/"+what+"/?start="+stamp(from)+"&end="+stamp(to), "")
	}

	ask("deleted", 30*time.Second, 5*time.Minute).want(t, 200,
		`{"deletedRecords":[{"id":"{}","deletedDate":"2026-03-01T12:03:00.000+0000"}],"earliestDateAvailable":"2026-02-14T12:08:00.000+0000","latestDateCovered":"2026-03-01T12:05:00.000+0000"}`, gone)
	// Both ends are cut to the minute and inclusive.
	ask("deleted", 3*time.Minute+59*time.Second, 5*time.Minute).want(t, 200,
		`{"deletedRecords":[{"id":"{}","deletedDate":"2026-03-01T12:03:00.000+0000"}],"earliestDateAvailable":"2026-02-14T12:08:00.000+0000","latestDateCovered":"2026-03-01T12:05:00.000+0000"}`, gone)
	ask("updated", 30*time.Second, time.Hour).want(t, 200, `{"ids":["{}"],"latestDateCovered":"2026-03-01T12:08:00.000+0000"}`, kept)
	r.s.ReplicationLag(7 * time.Minute)
	ask("deleted", 0, time.Hour).want(t, 200,
		`{"deletedRecords":[],"earliestDateAvailable":"2026-02-14T12:08:00.000+0000","latestDateCovered":"2026-03-01T12:01:00.000+0000"}`)
	r.s.ReplicationLag(0)

	day := 24 * time.Hour
	for _, c := range []struct {
		name, what string
		from, to   time.Duration
		want       string
	}{
		{"OneMinute", "deleted", 0, time.Minute, "startDate and endDate must be more than one minute apart"},
		{"Backwards", "updated", time.Minute, 0, "startDate must be before endDate"},
		{"DeletedTooOld", "deleted", -16 * day, 0, "startDate before org replication enabled date"},
		{"UpdatedTooOld", "updated", -31 * day, 0, "startDate cannot be more than 30 days ago"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ask(c.what, c.from, c.to).want(t, 400, text(`[{"message":"%s","errorCode":"INVALID_REPLICATION_DATE"}]`, c.want))
		})
	}
	if a := ask("updated", -16*day, 0); a.status != 200 {
		t.Errorf("16 days of updates answered %d %s", a.status, a.body)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.insert("Account", map[string]any{"Name": "A"})
	r.data("GET", "/limits/recordCount?sObjects=Account,Contact,Nope", "").want(t, 200, `{"sObjects":[{"count":1,"name":"Account"},{"count":0,"name":"Contact"}]}`)
	var limits map[string]struct{ Max, Remaining json.Number }
	r.data("GET", "/limits/", "").decode(t, &limits)
	for _, name := range []string{"DailyApiRequests", "DailyDurableStreamingApiEvents", "DurableStreamingApiConcurrentClients", "DailyBulkV2QueryJobs"} {
		if limits[name].Max == "" {
			t.Errorf("no %s in %v", name, limits)
		}
	}
	if got := limits["DailyApiRequests"]; got.Max != "15000" || got.Remaining != "14998" {
		t.Errorf("DailyApiRequests is %+v", got)
	}
}
