package salesforce

import (
	"io"
	"net/http"
	"testing"
)

// The results of a job are asked for by the documented paths, which end in a slash,
// the failed ones only if there are any.
func TestIngestResults(t *testing.T) {
	t.Parallel()
	const job = "/services/data/v66.0/jobs/ingest/7506g000001AbcdAAC"
	o := newOrg(t)
	o.api = func(w http.ResponseWriter, r *http.Request) {
		body := map[string]string{
			job + "/successfulResults/": "\"sf__Id\",\"sf__Created\",\"Key__c\"\n\"" + id1 + "\",\"true\",\"a\"\n",
			job + "/failedResults/":     "\"sf__Id\",\"sf__Error\",\"Key__c\"\n\"\",\"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --\",\"b\"\n",
		}[r.URL.Path]
		if body == "" {
			reply(w, 404, `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`)
			return
		}
		w.Header().Set("Content-Type", "text/csv")
		_, _ = io.WriteString(w, body)
	}
	c := o.client()
	for failed := range int64(2) {
		got := map[string]SaveResult{}
		j := Job{ID: "7506g000001AbcdAAC", Records: 1 + failed, RecordsFailed: failed}
		if err := c.IngestResults(t.Context(), j, []string{"Id", "", "key__c"}, func(key string, r SaveResult) { got[key] = r }); err != nil {
			t.Fatal(err)
		}
		if a := got["a"]; !a.Success || !a.Created || a.ID != id1 || len(got) != int(1+failed) {
			t.Errorf("%+v", got)
		}
		if b := got["b"]; failed > 0 && (b.Success || b.Errors[0].Code != "REQUIRED_FIELD_MISSING" || len(b.Errors[0].Fields) != 1) {
			t.Errorf("%+v", b)
		}
	}
}
