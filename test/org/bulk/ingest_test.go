package bulk

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ingest runs a whole job and returns it and its address.
func (b *bench) ingest(spec, data string) (map[string]any, string) {
	b.Helper()
	j := b.json("POST", "ingest", spec, 200, "Content-Type", "application/json", "Sforce-Call-Options", "client=robot, batch=1")
	if j["state"] != "Open" || j["jobType"] != "V2Ingest" || j["apiVersion"] != 66.0 {
		b.Fatalf("new job %v", j)
	}
	if w := b.do("PUT", "/"+j["contentUrl"].(string), data, "Content-Type", "text/csv"); w.Code != http.StatusCreated || w.Body.Len() != 0 {
		b.Fatalf("upload: HTTP %d %s", w.Code, w.Body)
	}
	path := "ingest/" + j["id"].(string)
	b.json("PATCH", path, `{"state":"UploadComplete"}`, 200)
	return b.ended(path), path
}

func TestInsert(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{NoShuffle: true})
	j, path := b.ingest(`{"object":"account","operation":"insert"}`, "Name,Industry\n\"A \"\"1\"\"\nB\",Energy\n,Energy\nC,\n")
	if j["state"] != "JobComplete" || j["numberRecordsProcessed"] != 3.0 || j["numberRecordsFailed"] != 1.0 || j["object"] != "Account" {
		t.Errorf("job %v", j)
	}
	good := b.rows(path + "/successfulResults/")
	if len(good) != 2 || good[0]["sf__Created"] != "true" || good[0]["Name"] != "A \"1\"\nB" || b.get("Account", good[0]["sf__Id"], "Name") != "A \"1\"\nB" {
		t.Errorf("successful rows %v", good)
	}
	bad := b.rows(path + "/failedResults")
	want := []map[string]string{{"sf__Id": "", "sf__Error": "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "Name": "", "Industry": "Energy"}}
	if !reflect.DeepEqual(bad, want) {
		t.Errorf("failed rows %v", bad)
	}
	if rest := b.do("GET", path+"/unprocessedrecords", "").Body.String(); rest != "\"Name\",\"Industry\"\n" {
		t.Errorf("unprocessed %q", rest)
	}
	if len(b.txs) != 1 || b.txs[0].Origin.API != "bulk" || b.txs[0].Origin.Client != "robot" {
		t.Errorf("transactions %+v", b.txs)
	}
}

func TestUpdateUpsertDelete(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{NoShuffle: true})
	_, path := b.ingest(`{"object":"Account","operation":"insert"}`, "Name,Industry\nA,Energy\nB,Energy\n")
	made := b.rows(path + "/successfulResults")
	a, c := made[0]["sf__Id"], made[1]["sf__Id"]

	j, _ := b.ingest(`{"object":"Account","operation":"update"}`, "Id,Name,Industry\n"+a+",,#N/A\n"+c+",B2,\n,nobody,\n")
	if j["numberRecordsFailed"] != 1.0 {
		t.Fatalf("update %v", j)
	}
	if b.get("Account", a, "Name") != "A" || b.get("Account", a, "Industry") != nil || b.get("Account", c, "Name") != "B2" || b.get("Account", c, "Industry") != "Energy" {
		t.Error("empty means unchanged and #N/A means null")
	}

	spec := `{"object":"Invoice__c","operation":"upsert","externalIdFieldName":"external_id__c","lineEnding":"CRLF","columnDelimiter":"SEMICOLON"}`
	j, path = b.ingest(spec, "External_Id__c;Account__c\r\nx1;"+a+"\r\nx2;"+c+"\r\n")
	if j["externalIdFieldName"] != "External_Id__c" || j["numberRecordsFailed"] != 0.0 {
		t.Fatalf("upsert %v %s", j, b.do("GET", path+"/failedResults", "").Body)
	}
	_, path = b.ingest(`{"object":"Invoice__c","operation":"upsert","externalIdFieldName":"External_Id__c"}`, "External_Id__c,Account__c\nx1,#N/A\nx3,\n")
	good := b.rows(path + "/successfulResults")
	if len(good) != 2 || good[0]["sf__Created"] != "false" || good[1]["sf__Created"] != "true" || b.get("Invoice__c", good[0]["sf__Id"], "Account__c") != nil {
		t.Errorf("upsert again %v", good)
	}
	_, path = b.ingest(`{"object":"Line__c","operation":"insert"}`, "Invoice__r.External_Id__c\nx2\nnone\n")
	good = b.rows(path + "/successfulResults")
	if bad := b.rows(path + "/failedResults"); len(good) != 1 || len(bad) != 1 || !strings.Contains(bad[0]["sf__Error"], "Foreign key external ID: none not found") {
		t.Errorf("parent by external id: %v %v", good, bad)
	}

	j, path = b.ingest(`{"object":"Account","operation":"delete"}`, "Id\n"+a+"\n001000000000000AAA\n")
	if j["numberRecordsFailed"] != 1.0 || b.get("Account", a, "Name") != "(gone)" {
		t.Errorf("delete %v", b.rows(path+"/failedResults"))
	}
	b.ingest(`{"object":"Account","operation":"hardDelete"}`, "Id\n"+c+"\n")
	if _, ok := b.org.Store().Get("Account", c); ok {
		t.Error("a hard delete leaves the record in the recycle bin")
	}
}

func TestIngestFails(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{})
	for _, c := range []struct{ ending, data, want string }{
		{"LF", "Name\r\nA\r\n", "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"},
		{"CRLF", "Name\nA\n", "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is CRLF"},
		{"LF", "Nonsense\nA\n", "InvalidBatch : Field name not found : Nonsense"},
		{"LF", "Name,Industry\nA\n", "InvalidBatch : "},
		{"LF", "Name, \"Industry\"\nA,B\n", "InvalidBatch : "},
		{"LF", "", "InvalidBatch : "},
	} {
		j, _ := b.ingest(`{"object":"Account","operation":"insert","lineEnding":"`+c.ending+`"}`, c.data)
		if text, _ := j["errorMessage"].(string); j["state"] != "Failed" || !strings.HasPrefix(text, c.want) {
			t.Errorf("%q: %v", c.data, j)
		}
	}
	if b.org.Store().Len("Account") != 0 {
		t.Error("a failed job has written")
	}
	b.server.FailIngest("ExceededQuota : x", 1)
	if j, _ := b.ingest(`{"object":"Account","operation":"insert"}`, "Name\nA\n"); j["errorMessage"] != "ExceededQuota : x" {
		t.Errorf("fault %v", j)
	}
	b.server.StopAfter(250, 1)
	j, path := b.ingest(`{"object":"Account","operation":"insert"}`, "Name\n"+strings.Repeat("A\n", 300))
	if j["state"] != "Failed" || j["numberRecordsProcessed"] != 250.0 || len(b.rows(path+"/unprocessedrecords")) != 50 || b.org.Store().Len("Account") != 250 {
		t.Errorf("stopped %v", j)
	}
	if len(b.txs) != 2 || len(b.txs[0].Changes) != 200 {
		t.Errorf("%d transactions", len(b.txs))
	}
}

func TestIngestRefusals(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{HardDelete: func(string) bool { return false }, IngestDelay: func(state string) time.Duration {
		if state == "InProgress" {
			return time.Hour
		}
		return 0
	}})
	for body, code := range map[string]string{
		`{"object":"Nope","operation":"insert"}`:                                 "INVALIDJOB",
		`{"object":"Account","operation":"merge"}`:                               "INVALIDJOB",
		`{"object":"Account","operation":"upsert"}`:                              "INVALIDJOB",
		`{"object":"Account","operation":"hardDelete"}`:                          "FEATURENOTENABLED",
		`{"object":"Account","operation":"insert","columnDelimiter":"DOT"}`:      "INVALIDJOB",
		`{"object":"Account","operation":"upsert","externalIdFieldName":"Name"}`: "INVALIDJOB",
		`nonsense`: "JSON_PARSER_ERROR",
	} {
		if e := b.json("POST", "ingest", body, 400); e["errorCode"] != code {
			t.Errorf("%s: %v", body, e)
		}
	}
	j := b.json("POST", "ingest", `{"object":"Account","operation":"insert"}`, 200)
	path := "ingest/" + j["id"].(string)
	if w := b.do("PUT", path+"/batches", "Name\nA\n", "Content-Type", "application/json"); w.Code != 415 {
		t.Errorf("upload as JSON: HTTP %d", w.Code)
	}
	b.do("PUT", path+"/batches", "Name\nA\n", "Content-Type", "text/csv")
	if e := b.json("PUT", path+"/batches", "Name\nB\n", 400, "Content-Type", "text/csv"); !strings.Contains(e["message"].(string), "only do 'PUT' once") {
		t.Errorf("second upload: %v", e)
	}
	b.json("GET", path+"/successfulResults", "", 400)
	b.json("PATCH", path, `{"state":"UploadComplete"}`, 200)
	b.json("PATCH", path, `{"state":"UploadComplete"}`, 400)
	b.json("PATCH", path, `{"state":"Aborted"}`, 200)
	if w := b.do("DELETE", path, ""); w.Code != http.StatusNoContent {
		t.Errorf("delete: HTTP %d", w.Code)
	}
	if e := b.json("GET", path, "", 404); e["errorCode"] != "NOT_FOUND" || e["message"] != "The requested resource does not exist" {
		t.Errorf("deleted job: %v", e)
	}
	for _, other := range []string{"ingest/" + j["id"].(string) + "/results", "query/x/batches", "what", "ingest/a/b/c", "/services/data/66.0/jobs/query"} {
		b.json("GET", other, "", 404)
	}
	b.json("DELETE", "query", "", 405)
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	b := setUp(t, Config{})
	body := "--BOUNDARY\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n" +
		`{"object":"Contact","operation":"insert","lineEnding":"LF"}` +
		"\r\n--BOUNDARY\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name=\"content\"; filename=\"content\"\r\n\r\n" +
		"LastName\nSmith\nJones\n\r\n--BOUNDARY--\r\n"
	j := b.json("POST", "ingest", body, 200, "Content-Type", "multipart/form-data; boundary=BOUNDARY")
	if j["state"] != "UploadComplete" {
		t.Errorf("new job %v", j)
	}
	if j := b.ended("ingest/" + j["id"].(string)); j["numberRecordsProcessed"] != 2.0 || j["state"] != "JobComplete" {
		t.Errorf("job %v", j)
	}
}

// What writer writes, a CSV reader reads back, and endsWith agrees.
func TestWriter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ending := rapid.SampledFrom([]string{"LF", "CRLF"}).Draw(t, "ending")
		delimiter := rapid.SampledFrom([]rune{',', ';', '\t', '|', '^', '`'}).Draw(t, "delimiter")
		value := rapid.StringMatching("[a\",;\t\n ^|`é]*")
		rows := rapid.SliceOfN(rapid.SliceOfN(value, 3, 3), 1, 5).Draw(t, "rows")
		var out bytes.Buffer
		w := &writer{to: &out, delimiter: delimiter, ending: ending}
		for _, row := range rows {
			for _, v := range row {
				w.value(v)
			}
			w.end()
		}
		got, err := parseCSV(out.Bytes(), delimiter, ending)
		if err != nil {
			t.Fatalf("%q: %v", out.String(), err)
		}
		if all := append([][]string{got.header}, got.rows...); !reflect.DeepEqual(all, rows) {
			t.Fatalf("wrote %q, read %q", rows, all)
		}
	})
}

func FuzzParseCSV(f *testing.F) {
	f.Add([]byte("Id,Name\n1,\"a\"\"b\"\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, crlf bool) {
		ending := "LF"
		if crlf {
			ending = "CRLF"
		}
		got, err := parseCSV(data, ',', ending)
		if err != nil {
			return
		}
		for _, row := range got.rows {
			if len(row) != len(got.header) {
				t.Errorf("row %q under %q", row, got.header)
			}
		}
	})
}
