package bulk

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"hcbridge/test/org/sobject"
)

// drain is a client that reads a page and keeps only its size.
type drain struct {
	header http.Header
	lines  int
}

func (d *drain) Header() http.Header { return d.header }
func (d *drain) WriteHeader(int)     {}
func (d *drain) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' {
			d.lines++
		}
	}
	return len(p), nil
}

// A large result lives in a file: serving it takes no more memory than the
// places of its rows.
func TestLargeResultNeedsNoMemory(t *testing.T) {
	const rows, limit = 30_000, 3 << 20
	b := setUp(t, Config{})
	for from := 0; from < rows; from += 10_000 {
		ops := make([]sobject.Op, 10_000)
		for i := range ops {
			ops[i] = sobject.Op{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{
				"Name": fmt.Sprint(from + i), "Description": "a text that makes rows long, so that a result in memory would be seen: 0123456789012345678901234567890123456789",
			}}
		}
		b.org.Commit(sobject.Origin{}, true, ops)
		b.txs = nil
	}
	used := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := used()
	path := b.query("SELECT Id, Name, Description, CreatedDate, SystemModstamp FROM Account", "")
	got, locator := 0, ""
	for locator != "null" {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, jobs+path+"/results?locator="+locator, nil)
		d := &drain{header: http.Header{}}
		b.server.ServeHTTP(d, r)
		locator = d.header.Get("Sforce-Locator")
		got += d.lines - 1
	}
	if got != rows {
		t.Errorf("%d rows, want %d", got, rows)
	}
	if grown := used() - before; grown > limit {
		t.Errorf("%d bytes kept for a result, want at most %d", grown, limit)
	}
	runtime.KeepAlive(b)
}

func BenchmarkQuery(b *testing.B) {
	org := sobject.NewOrg(sobject.NewMemory(), nil)
	ops := make([]sobject.Op, 10_000)
	for i := range ops {
		ops[i] = sobject.Op{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{"Name": fmt.Sprint(i)}}
	}
	org.Commit(sobject.Origin{}, true, ops)
	s := New(Config{Org: org})
	defer s.Close()
	j := &job{Job: Job{Operation: "query", Query: "SELECT Id, Name, CreatedDate, SystemModstamp FROM Account"}, version: "66.0", delimiter: "COMMA", ending: "LF"}
	for b.Loop() {
		q, err := s.parse(j)
		if err != nil {
			b.Fatal(err)
		}
		j.result = newSpool(1 << 20)
		if err := s.run(context.Background(), j, q); err != nil {
			b.Fatal(err)
		}
		n := 0
		for in := bufio.NewScanner(j.result.page(0, j.result.rows())); in.Scan(); n++ {
		}
		if n != 10_001 {
			b.Fatalf("%d lines", n)
		}
		j.result.discard()
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "rows/s")
}
