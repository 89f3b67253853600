package bulk

import (
	"encoding/csv"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hcbridge/test/org/sobject"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an org with a Bulk API and the one who calls it.
type bench struct {
	*testing.T
	org    *sobject.Org
	server *Server
	txs    []sobject.Tx
}

func setUp(t *testing.T, cfg Config) *bench {
	t.Helper()
	b := &bench{T: t, org: sobject.NewOrg(sobject.NewMemory(), nil)}
	b.org.Watch(func(tx sobject.Tx) { b.txs = append(b.txs, tx) })
	cfg.Org = b.org
	b.server = New(cfg)
	t.Cleanup(b.server.Close)
	return b
}

const jobs = "/services/data/v66.0/jobs/"

func (b *bench) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	b.Helper()
	if !strings.HasPrefix(path, "/") {
		path = jobs + path
	}
	r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	return w
}

func (b *bench) json(method, path, body string, status int, header ...string) map[string]any {
	b.Helper()
	w := b.do(method, path, body, header...)
	var out any
	if w.Code != status || json.Unmarshal(w.Body.Bytes(), &out) != nil {
		b.Fatalf("%s %s: HTTP %d %s", method, path, w.Code, w.Body)
	}
	if list, ok := out.([]any); ok {
		out = list[0]
	}
	return out.(map[string]any)
}

// ended waits until a job has ended and returns it.
func (b *bench) ended(path string) map[string]any {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		j := b.json("GET", path, "", 200)
		switch j["state"] {
		case "JobComplete", "Failed", "Aborted":
			return j
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatalf("%s did not end", path)
	return nil
}

// rows reads a result file by its column names.
func (b *bench) rows(path string) []map[string]string {
	b.Helper()
	w := b.do("GET", path, "")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		b.Fatalf("GET %s: HTTP %d %s", path, w.Code, w.Body)
	}
	all, err := csv.NewReader(w.Body).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	var out []map[string]string
	for _, line := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = line[i]
		}
		out = append(out, row)
	}
	return out
}

func (b *bench) get(object, id, field string) any {
	r, ok := b.org.Store().Get(object, id)
	if !ok || r.Deleted {
		return "(gone)"
	}
	return r.Get(b.org.Store().Object(object), field)
}

func (b *bench) insert(object string, fields ...map[string]any) []string {
	b.Helper()
	var ops []sobject.Op
	for _, f := range fields {
		ops = append(ops, sobject.Op{Kind: sobject.Insert, Object: object, Fields: f})
	}
	var ids []string
	for _, r := range b.org.Commit(sobject.Origin{API: "ui"}, true, ops) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}
