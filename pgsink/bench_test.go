package pgsink

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// BenchmarkApply is the performance report's shape: half of the records are
// new, half change their row.
func BenchmarkApply(b *testing.B) {
	for _, access := range []string{"read_only", "read_write"} {
		for _, size := range []int{1, 200, 2000} {
			b.Run(fmt.Sprintf("%s/%d", access, size), func(b *testing.B) {
				spec := account()
				spec.ReadWrite = access == "read_write"
				for i := range 12 {
					spec.Fields = append(spec.Fields, Field{Name: fmt.Sprintf("Text%d__c", i), Type: "string", Length: 255})
				}
				s := setup(b, spec)
				next := 0
				rows := 0
				var batch Batch
				for b.Loop() {
					b.StopTimer()
					batch.Changes = batch.Changes[:0]
					for i := range size {
						n := next + i - size/2
						batch.Changes = append(batch.Changes, s.change(Event, max(n, 0), at(0).Add(time.Duration(next)*time.Second),
							"Name", fmt.Sprintf("name %d", next), "Amount__c", 12.5, "Text1__c", "some text", "Text2__c", "more text"))
					}
					next += max(size/2, 1)
					batch.Positions = []Position{{Channel: "c", ReplayID: int64(next)}}
					b.StartTimer()
					if _, err := s.sink.Apply(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					rows += size
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	s := setup(b, account())
	rows := 0
	for b.Loop() {
		s.exec(`TRUNCATE salesforce.account`)
		n, err := s.loadPage(&generator{n: 50_000}, LoadPosition{})
		if err != nil {
			b.Fatal(err)
		}
		rows += int(n)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkDecode(b *testing.B) {
	table, err := NewTable(account())
	if err != nil {
		b.Fatal(err)
	}
	record := []byte(`{"Id":"001000000000002AAA","Name":"Acme","Ext__c":"E1","Amount__c":12.50,"SystemModstamp":"2020-08-06T06:22:19.000Z","IsDeleted":false}`)
	for b.Loop() {
		if _, err := table.Decode(record); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChunks decodes and encodes alone, of records of twenty fields.
func BenchmarkChunks(b *testing.B) {
	spec := account()
	types := []string{"string", "string", "string", "string", "string", "string", "string", "string", "email", "phone", "picklist", "double", "date", "datetime", "boolean"}
	var header, record strings.Builder
	header.WriteString(loadHeader[:len(loadHeader)-1])
	for i, typ := range types {
		name := fmt.Sprintf("Field%d__c", i)
		spec.Fields = append(spec.Fields, Field{Name: name, Type: typ, Length: 80})
		fmt.Fprintf(&header, ",%q", name)
		value := map[string]string{"double": "37.7749", "date": "1980-02-29", "datetime": "2024-05-01T10:11:12.000Z", "boolean": "true"}[typ]
		fmt.Fprintf(&record, `,"%s"`, cmp.Or(value, "Some text of usual size"[:4*(i%5)]))
	}
	table := mustTable(b, spec)
	var page strings.Builder
	page.WriteString(header.String() + "\n")
	for i := range 20_000 {
		text := line(i, "a name of ordinary length", at(i%60))
		page.WriteString(text[:len(text)-1] + record.String() + "\n")
	}
	b.SetBytes(int64(page.Len()))
	rows, chunk := int64(0), &Chunk{}
	for b.Loop() {
		chunks, err := table.Chunks(strings.NewReader(page.String()), 0)
		for err == nil {
			err = chunks.Next(chunk)
			rows += chunk.Rows
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
