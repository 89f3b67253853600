package bulk

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/test/org/sobject"
)

func (b *bench) query(soql string, more string) string {
	b.Helper()
	spec, _ := json.Marshal(soql)
	j := b.json("POST", "query", `{"operation":"query","query":`+string(spec)+more+`}`, 200)
	if j["state"] != "UploadComplete" {
		b.Fatalf("new job %v", j)
	}
	path := "query/" + j["id"].(string)
	if j := b.ended(path); j["state"] != "JobComplete" || j["jobType"] != "V2Query" {
		b.Fatalf("job %v", j)
	}
	return path
}

func TestQuery(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{})
	ids := b.insert("Account", map[string]any{"Name": `A "1"`}, map[string]any{"Name": "B\nb"}, map[string]any{"Name": "C"})
	con := b.insert("Contact", map[string]any{"LastName": "X", "AccountId": ids[1]}, map[string]any{"LastName": "Y"})
	b.org.Commit(sobject.Origin{}, true, []sobject.Op{{Kind: sobject.Delete, Object: "Account", ID: ids[2]}})

	path := b.query("SELECT Id, name, Industry FROM Account", "")
	w := b.do("GET", path+"/results", "")
	want := fmt.Sprintf("\"Id\",\"Name\",\"Industry\"\n\"%s\",\"A \"\"1\"\"\",\"\"\n\"%s\",\"B\nb\",\"\"\n", ids[0], ids[1])
	if w.Body.String() != want || w.Header().Get("Sforce-Locator") != "null" || w.Header().Get("Sforce-NumberOfRecords") != "2" {
		t.Errorf("results %v %q", w.Header(), w.Body)
	}
	path = b.query("SELECT LastName, Account.Name FROM Contact ORDER BY LastName DESC LIMIT 5", `,"lineEnding":"CRLF","columnDelimiter":"TAB"`)
	if got := b.do("GET", path+"/results", "").Body.String(); got != "\"LastName\"\t\"Account.Name\"\r\n\"Y\"\t\"\"\r\n\"X\"\t\"B\nb\"\r\n" {
		t.Errorf("parents %q", got)
	}
	path = b.query("SELECT Id FROM Contact WHERE Account.Name = 'b\nb'", "")
	if got := b.rows(path + "/results"); len(got) != 1 || got[0]["Id"] != con[0] {
		t.Errorf("where on a parent %v", got)
	}
	j := b.json("POST", "query", `{"operation":"queryAll","query":"SELECT Id, IsDeleted, SystemModstamp FROM Account WHERE IsDeleted = true"}`, 200)
	b.ended("query/" + j["id"].(string))
	got := b.rows("query/" + j["id"].(string) + "/results")
	if len(got) != 1 || got[0]["IsDeleted"] != "true" || !strings.HasSuffix(got[0]["SystemModstamp"], ".000Z") {
		t.Errorf("queryAll %v", got)
	}
	b.json("GET", "/services/data/v65.0/jobs/"+path+"/results", "", 409)
	if list := b.json("GET", "query", "", 200); len(list["records"].([]any)) != 4 || list["done"] != true {
		t.Errorf("list %v", list)
	}
	for soql, code := range map[string]string{
		"SELECT COUNT() FROM Account": "API_ERROR", "SELECT Id FROM Account OFFSET 2": "API_ERROR",
		"SELECT Nope FROM Account": "INVALID_FIELD", "SELEKT Id FROM Account": "MALFORMED_QUERY", "SELECT Id FROM Nope": "INVALID_TYPE",
		"SELECT BillingAddress FROM Account": "API_ERROR",
	} {
		if e := b.json("POST", "query", `{"operation":"query","query":"`+soql+`"}`, 400); e["errorCode"] != code {
			t.Errorf("%s: %v", soql, e)
		}
	}
	if w := b.do("DELETE", path, ""); w.Code != http.StatusNoContent {
		t.Errorf("delete: HTTP %d", w.Code)
	}
	b.json("GET", path+"/results", "", 404)
	b.server.FailQuery("InternalServerError : retries", 1)
	j = b.json("POST", "query", `{"operation":"query","query":"SELECT Id FROM Account"}`, 200)
	if j := b.ended("query/" + j["id"].(string)); j["state"] != "Failed" {
		t.Errorf("fault %v", j)
	}
}

func TestResultPages(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{PageSize: 30, MemoryLimit: 1000})
	var all []map[string]any
	for i := range 100 {
		all = append(all, map[string]any{"Name": fmt.Sprintf("%03d\n\"x\"", i)})
	}
	ids := b.insert("Account", all...)
	path := b.query("SELECT Id, Name FROM Account", "")
	var got []string
	for locator, n := "", 0; locator != "null"; n++ {
		w := b.do("GET", path+"/results?maxRecords=30&locator="+locator, "")
		locator = w.Header().Get("Sforce-Locator")
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows[1:] {
			got = append(got, r[0])
		}
		if n == 0 && locator != "MzA" {
			t.Errorf("locator %q", locator)
		}
	}
	if !reflect.DeepEqual(got, ids) {
		t.Errorf("%d rows over the pages, want %d", len(got), len(ids))
	}
	first := b.json("GET", path+"/resultPages?maxRecords=15", "", 200)
	pages := first["resultPages"].([]any)
	if len(pages) != 5 || first["done"] != false {
		t.Fatalf("pages %v", first)
	}
	if w := b.do("GET", pages[4].(map[string]any)["resultUrl"].(string), ""); w.Header().Get("Sforce-NumberOfRecords") != "15" {
		t.Errorf("fifth page %v", w.Header())
	}
	last := b.json("GET", first["nextRecordsUrl"].(string), "", 200)
	if len(last["resultPages"].([]any)) != 2 || last["done"] != true || last["nextRecordsUrl"] != nil {
		t.Errorf("last pages %v", last)
	}
	b.json("GET", "/services/data/v57.0/jobs/"+path+"/resultPages", "", 404)
	for _, bad := range []string{"?locator=zzz!", "?maxRecords=0", "?locator=OTk5"} {
		b.json("GET", path+"/results"+bad, "", 400)
	}
}

func TestStatesTakeTime(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	var once sync.Once
	b := setUp(t, Config{QueryDelay: func(state string) time.Duration {
		if state == "InProgress" {
			once.Do(func() { close(gate) })
			return time.Hour
		}
		return time.Millisecond
	}})
	j := b.json("POST", "query", `{"operation":"query","query":"SELECT Id FROM Account"}`, 200)
	path := "query/" + j["id"].(string)
	<-gate
	if j := b.json("GET", path, "", 200); j["state"] != "InProgress" {
		t.Errorf("job %v", j)
	}
	if e := b.json("GET", path+"/results", "", 400); e["errorCode"] != "INVALIDJOBSTATE" {
		t.Errorf("early results %v", e)
	}
	if e := b.json("DELETE", path, "", 400); e["errorCode"] != "INVALIDJOBSTATE" {
		t.Errorf("early delete %v", e)
	}
	if j := b.json("PATCH", path, `{"state":"Aborted"}`, 200); j["state"] != "Aborted" {
		t.Errorf("aborted %v", j)
	}
	b.json("PATCH", path, `{"state":"Aborted"}`, 400)
	if got := b.server.Jobs(); len(got) != 1 || got[0].State != "Aborted" {
		t.Errorf("jobs %v", got)
	}
}
