package salesforce

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueryPages(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	// Recorded from a real org.
	o.answers(200, `{"totalSize":10000,"done":false,
 "nextRecordsUrl":"/services/data/v53.0/query/01gB000003OCxSPIA1-2000",
 "records":[{"attributes":{"type":"random__c","url":"/services/data/v53.0/sobjects/random__c/a01B0000009ZjAmIAK"},
             "RANDOM_1__c":"NLEA","RANDOM_2__c":null,"N":999999999999999999}]}`)
	p, err := c.Query(t.Context(), "SELECT Id FROM X__c WHERE T > 2011-04-26T10:00:00+00:00 AND N = 'a&b'", QueryOpts{All: true, BatchSize: 5000})
	if err != nil {
		t.Fatal(err)
	}
	o.sent(t, "GET /services/data/v66.0/queryAll?q=SELECT+Id+FROM+X__c+WHERE+T+%3E+2011-04-26T10%3A00%3A00%2B00%3A00+AND+N+%3D+%27a%26b%27")
	if r, _ := o.last(); r.Header.Get("Sforce-Query-Options") != "batchSize=2000" {
		t.Errorf("options %q", r.Header.Get("Sforce-Query-Options"))
	}
	if p.Done || p.TotalSize != 10000 || len(p.Records) != 1 || !strings.Contains(string(p.Records[0]), "999999999999999999") {
		t.Errorf("%+v", p)
	}
	o.answers(200, `{"totalSize":10000,"done":true,"records":[]}`)
	p, err = c.Next(t.Context(), p)
	if err != nil || !p.Done {
		t.Errorf("%+v, %v", p, err)
	}
	o.sent(t, "GET /services/data/v53.0/query/01gB000003OCxSPIA1-2000")
	if p, err = c.Next(t.Context(), p); p != nil || err != nil {
		t.Errorf("after the last page: %+v, %v", p, err)
	}

	o.answers(200, `{"totalSize":75,"done":true,"records":[]}`)
	if n, err := c.Count(t.Context(), "SELECT COUNT() FROM Account"); n != 75 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, body := range []string{`{}`, `{"done":true}`, `{"totalSize":1,"records":[]}`, `{"totalSize":1,"done":false,"records":[]}`, `[]`} {
		o.answers(200, body)
		_, err = c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{})
		expect(t, err, Transient, "", false)
	}
	o.answers(400, `[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]`)
	_, err = c.Next(t.Context(), &Page{Next: "/services/data/v66.0/query/x"})
	expect(t, err, Permanent, CodeLocator, false)
}

func TestReplication(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	from := time.Date(2013, 5, 5, 2, 0, 0, 0, time.FixedZone("", 7200))
	to := from.Add(72 * time.Hour)
	o.answers(200, `{"deletedRecords":[{"id":"a00D0000008pQRAIA2","deletedDate":"2013-05-07T22:07:19.000+0000"}],
 "earliestDateAvailable":"2013-05-03T15:57:00.000+0000","latestDateCovered":"2013-05-08T21:20:00.000+0000"}`)
	d, err := c.Deleted(t.Context(), "Merchandise__c", from, to)
	if err != nil {
		t.Fatal(err)
	}
	o.sent(t, "GET /services/data/v66.0/sobjects/Merchandise__c/deleted/?end=2013-05-08T00%3A00%3A00%2B00%3A00&start=2013-05-05T00%3A00%3A00%2B00%3A00")
	if len(d.Records) != 1 || d.Records[0].ID != "a00D0000008pQRAIA2" || !d.Records[0].Deleted.Equal(time.Date(2013, 5, 7, 22, 7, 19, 0, time.UTC)) ||
		!d.Covered.Equal(time.Date(2013, 5, 8, 21, 20, 0, 0, time.UTC)) || !d.Earliest.Equal(time.Date(2013, 5, 3, 15, 57, 0, 0, time.UTC)) {
		t.Errorf("%+v", d)
	}
	o.answers(200, `{"ids":["a00D0000008pQR5IAM"],"latestDateCovered":"2013-05-08T21:20:00.000Z"}`)
	u, err := c.Updated(t.Context(), "Merchandise__c", from, to)
	if err != nil || len(u.IDs) != 1 || u.Covered.Hour() != 21 {
		t.Errorf("%+v, %v", u, err)
	}
	o.answers(200, `{"ids":["a00D0000008pQR5"],"deletedRecords":[{"id":"a00D0000008pQRA","deletedDate":"2013-05-07T22:07:19.000+0000"}],"latestDateCovered":"2013-05-08T21:20:00.000Z"}`)
	if u, err = c.Updated(t.Context(), "Merchandise__c", from, to); err != nil || len(u.IDs) != 1 || u.IDs[0] != "a00D0000008pQR5IAM" {
		t.Errorf("%+v, %v, want an id of 18 characters", u, err)
	}
	if d, err = c.Deleted(t.Context(), "Merchandise__c", from, to); err != nil || len(d.Records) != 1 || d.Records[0].ID != "a00D0000008pQRAIA2" {
		t.Errorf("%+v, %v, want an id of 18 characters", d, err)
	}
	for _, body := range []string{`{}`, `{"ids":["x"],"deletedRecords":[{"id":"x"}],"latestDateCovered":"2013-05-08T21:20:00.000Z"}`, `{"ids":[],"deletedRecords":[]}`, `{"ids":[],"deletedRecords":[],"latestDateCovered":"yesterday"}`} {
		o.answers(200, body)
		_, err = c.Updated(t.Context(), "Merchandise__c", from, to)
		expect(t, err, Transient, "", false)
		_, err = c.Deleted(t.Context(), "Merchandise__c", from, to)
		expect(t, err, Transient, "", false)
	}
	o.answers(400, `[{"errorCode":"INVALID_REPLICATION_DATE","message":"startDate before org replication enabled date"}]`)
	_, err = c.Deleted(t.Context(), "Merchandise__c", from, to)
	expect(t, err, Permanent, CodeReplicationDate, false)
}

func TestDescribeAndOrg(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	o.answers(200, `{"encoding":"UTF-8","maxBatchSize":200,"sobjects":[{"name":"Account","label":"Account","labelPlural":"Accounts","keyPrefix":"001","queryable":true,"replicateable":true}]}`)
	if all, err := c.DescribeGlobal(t.Context()); err != nil || len(all) != 1 || all[0].KeyPrefix != "001" || !all[0].Queryable {
		t.Errorf("%+v, %v", all, err)
	}
	o.answers(200, `{"name":"Account","keyPrefix":"001","createable":true,"fields":[
 {"name":"Id","type":"id","length":18,"byteLength":18,"soapType":"tns:ID","idLookup":true,"createable":false,"updateable":false,"nillable":false,"unique":false,"defaultedOnCreate":true,"externalId":false,"filterable":true},
 {"name":"OwnerId","type":"reference","referenceTo":["Group","User"],"relationshipName":"Owner","picklistValues":[]},
 {"name":"BillingCity","type":"string","compoundFieldName":"BillingAddress","relationshipName":null,"digits":0}],
 "childRelationships":[{"cascadeDelete":true,"childSObject":"Contact","field":"AccountId","relationshipName":"Contacts"}]}`)
	d, err := c.Describe(t.Context(), "Account")
	if err != nil || len(d.Fields) != 3 || d.Field("Id").Length != 18 || d.Field("OwnerId").ReferenceTo[1] != "User" ||
		d.Field("BillingCity").CompoundFieldName != "BillingAddress" || d.Field("id") != d.Field("Id") || d.Field("Ident") != nil || !d.ChildRelationships[0].CascadeDelete {
		t.Errorf("%+v, %v", d, err)
	}
	o.sent(t, "GET /services/data/v66.0/sobjects/Account/describe")

	o.answers(200, `{"DailyApiRequests":{"Max":15000,"Remaining":14998,"My App":{"Max":0,"Remaining":0}},"DailyDurableStreamingApiEvents":{"Max":10000,"Remaining":10000}}`)
	if l, err := c.Limits(t.Context()); err != nil || l["DailyApiRequests"] != (Allowance{15000, 14998}) {
		t.Errorf("%+v, %v", l, err)
	}
	o.answers(200, `[{"label":"Summer '24","url":"/services/data/v61.0","version":"61.0"}]`)
	before := c.Usage().Calls
	if v, err := c.Versions(t.Context()); err != nil || len(v) != 1 || v[0].Version != "61.0" {
		t.Errorf("%+v, %v", v, err)
	}
	if r, _ := o.last(); r.Header.Get("Authorization") != "" || c.Usage().Calls != before {
		t.Error("versions sent a token or cost a call")
	}
	for _, body := range []string{`{}`, `[]`} {
		o.answers(200, body)
		for name, call := range map[string]func() error{
			"objects":  func() error { _, err := c.DescribeGlobal(t.Context()); return err },
			"object":   func() error { _, err := c.Describe(t.Context(), "Account"); return err },
			"limits":   func() error { _, err := c.Limits(t.Context()); return err },
			"versions": func() error { _, err := c.Versions(t.Context()); return err },
		} {
			if ClassOf(call()) != Transient {
				t.Errorf("%s: %s was believed", name, body)
			}
		}
	}
}

const jobBody = `{"id":"750R0000000zlh9IAA","operation":"query","object":"Account","createdById":"005R0000000GiwjIAC",
 "createdDate":"2018-12-10T17:50:19.000+0000","systemModstamp":"2018-12-10T17:50:19.000+0000",
 "state":"UploadComplete","concurrencyMode":"Parallel","contentType":"CSV","apiVersion":46.0,
 "lineEnding":"LF","columnDelimiter":"COMMA"}`

func TestBulkQuery(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	const job = "750R0000000zlh9IAA"
	o.answers(200, jobBody)
	j, err := c.CreateQueryJob(t.Context(), "SELECT Id FROM Account", true)
	if err != nil || j.ID != job || j.Final() || j.APIVersion != "46.0" || j.Created.Year() != 2018 {
		t.Errorf("%+v, %v", j, err)
	}
	o.sent(t, `POST /services/data/v66.0/jobs/query {"columnDelimiter":"COMMA","contentType":"CSV","lineEnding":"LF","operation":"queryAll","query":"SELECT Id FROM Account"}`)
	o.answers(200, strings.Replace(jobBody, `"UploadComplete"`, `"JobComplete","numberRecordsProcessed":1234567`, 1))
	if j, err = c.QueryJob(t.Context(), job); err != nil || !j.Final() || j.Records != 1234567 {
		t.Errorf("%+v, %v", j, err)
	}
	o.answers(200, strings.Replace(jobBody, "UploadComplete", "Aborted", 1))
	if j, err = c.AbortQueryJob(t.Context(), job); err != nil || !j.Final() {
		t.Errorf("%+v, %v", j, err)
	}
	o.sent(t, `PATCH /services/data/v66.0/jobs/query/`+job+` {"state":"Aborted"}`)
	o.raw(204, "", "")
	if err = c.DeleteQueryJob(t.Context(), job); err != nil {
		t.Error(err)
	}
	o.answers(404, `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`)
	if err = c.DeleteQueryJob(t.Context(), job); err != nil {
		t.Errorf("a job that is gone: %v", err)
	}
	_, err = c.QueryJob(t.Context(), job)
	expect(t, err, Permanent, CodeNotFound, false)
	o.answers(200, `{}`)
	_, err = c.QueryJob(t.Context(), job)
	expect(t, err, Transient, "", false)
}

func csvReply(w http.ResponseWriter, locator, count, body string) {
	w.Header().Set("Content-Type", "text/csv; charset=UTF-8")
	if locator != "" {
		w.Header().Set("Sforce-Locator", locator)
	}
	if count != "" {
		w.Header().Set("Sforce-NumberOfRecords", count)
	}
	_, _ = io.WriteString(w, body)
}

func TestBulkResults(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	c := o.client()
	const job = "750R0000000zlh9IAA"
	page := "\"Id\",\"Name\"\n" + strings.Repeat("\"001RM000003oLrfYAE\",\"a \"\"quoted\"\"\nline\"\n", 20000)
	o.api = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/csv" {
			t.Errorf("Accept %q", r.Header.Get("Accept"))
		}
		if r.URL.Query().Get("locator") == "" {
			csvReply(w, "MTAwMDA", "20000", page)
			return
		}
		csvReply(w, "null", "0", "\"Id\",\"Name\"\n")
	}
	res, err := c.QueryResults(t.Context(), job, "", 50000)
	if err != nil || res.Locator != "MTAwMDA" || res.Count != 20000 {
		t.Fatalf("%+v, %v", res, err)
	}
	o.sent(t, "GET /services/data/v66.0/jobs/query/"+job+"/results?maxRecords=50000")
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != page {
		t.Errorf("%d bytes of %d, %v", len(body), len(page), err)
	}
	if err = res.Body.Close(); err != nil {
		t.Error(err)
	}
	res, err = c.QueryResults(t.Context(), job, "MTAwMDA", 0)
	if err != nil || res.Locator != "" || res.Count != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	o.sent(t, "GET /services/data/v66.0/jobs/query/"+job+"/results?locator=MTAwMDA")
	_ = res.Body.Close()

	for name, api := range map[string]http.HandlerFunc{
		"html": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		},
		"html as csv": func(w http.ResponseWriter, _ *http.Request) { csvReply(w, "null", "1", "<html>") },
		"json":        func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "{}") },
		"no headers":  func(w http.ResponseWriter, _ *http.Request) { csvReply(w, "", "", "\"Id\"\n") },
		"empty":       func(w http.ResponseWriter, _ *http.Request) { csvReply(w, "null", "7", "") },
		"nothing":     func(w http.ResponseWriter, _ *http.Request) { csvReply(w, "null", "", "") },
		"204":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"cut head":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		o.mu.Lock()
		o.api = api
		o.mu.Unlock()
		_, err = c.QueryResults(t.Context(), job, "", 0)
		if ClassOf(err) != Transient {
			t.Errorf("%s was taken for a result: %v", name, err)
		}
	}

	// A page that ends too early must not look like a short one.
	o.mu.Lock()
	o.api = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		csvReply(w, "null", "20000", page[:100000])
	}
	o.mu.Unlock()
	res, err = c.QueryResults(t.Context(), job, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(res.Body)
	expect(t, err, Transient, "", false)
	_ = res.Body.Close()

	o.answers(409, `[{"errorCode":"INVALIDJOBSTATE","message":"wrong version"}]`)
	_, err = c.QueryResults(t.Context(), job, "", 0)
	expect(t, err, Permanent, "INVALIDJOBSTATE", false)
}

// slowBody yields a byte after every pause and ends with the request.
type slowBody struct {
	ctx    interface{ Done() <-chan struct{} }
	pauses []time.Duration
}

func (s *slowBody) Read(p []byte) (int, error) {
	if len(s.pauses) == 0 {
		return 0, io.EOF
	}
	pause := s.pauses[0]
	s.pauses = s.pauses[1:]
	select {
	case <-time.After(pause):
		p[0] = 'x'
		return 1, nil
	case <-s.ctx.Done():
		return 0, errors.New("connection closed")
	}
}

func (s *slowBody) Close() error { return nil }

func TestBulkIdleDeadline(t *testing.T) {
	t.Parallel()
	const step = 50 * time.Second
	for _, g := range []struct {
		pauses []time.Duration
		bytes  int
		class  Class
	}{
		{[]time.Duration{step, step, step, step, step, step, step, step}, 8, 0},
		{[]time.Duration{step, step, 2 * step, step}, 2, Transient},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
				cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					w := inMemory(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == tokenPath {
							writeGrant(w, "http://127.0.0.1:9", canaryToken)
							return
						}
						csvReply(w, "null", "8", "")
					})
					resp, err := w.Transport.RoundTrip(r)
					if err == nil && r.URL.Path != tokenPath {
						resp.Body = &slowBody{r.Context(), g.pauses}
					}
					return resp, err
				})}
			})
			res, err := c.QueryResults(t.Context(), "750R0000000zlh9IAA", "", 0)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute) // a slow consumer is not a slow server
			var got int
			for buf := make([]byte, 1); err == nil; {
				var n int
				n, err = res.Body.Read(buf)
				got += n
				time.Sleep(time.Minute)
			}
			if errors.Is(err, io.EOF) && g.class == 0 {
				err = nil
			}
			if got != g.bytes || ClassOf(err) != g.class {
				t.Errorf("%d bytes, want %d; %v", got, g.bytes, err)
			}
			if err != nil && !strings.Contains(err.Error(), "no answer in 1m0s") {
				t.Errorf("got %v", err)
			}
			if err := res.Body.Close(); err != nil {
				t.Error(fmt.Errorf("close: %w", err))
			}
		})
	}
}
