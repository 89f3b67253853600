package poll

import (
	"encoding/json"
	"strings"
	"testing"

	"hcbridge/test/org/soql"
)

// FuzzStamps reads what a window brings, as JSON and as CSV: only ids come out.
func FuzzStamps(f *testing.F) {
	f.Add([]byte(`{"Id":"001000000000001AAA","SystemModstamp":"2026-01-02T12:00:00.000+0000","IsDeleted":false}`))
	f.Add([]byte(`{"Id":"' OR Name != '","SystemModstamp":null}`))
	f.Add([]byte("\"Id\",\"SystemModstamp\",\"IsDeleted\"\n\"001000000000001AAA\",\"2026-01-02T12:00:00.000Z\",\"false\"\n"))
	f.Add([]byte("Id,SystemModstamp\n\"x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		check := func(list []stamp) {
			for _, s := range list {
				if !isID(s.ID) {
					t.Errorf("%q is an id", s.ID)
				}
			}
		}
		if list, err := parseStamps("Account", []json.RawMessage{text}); err == nil {
			check(list)
		}
		_ = eachStamp(strings.NewReader(string(text)), func(list []stamp) error { check(list); return nil })
		foreign(text, "005000000000001AAA")
	})
}

// FuzzIDs puts any texts where a query lists ids. A parser of SOQL must find one
// condition there and nothing else.
func FuzzIDs(f *testing.F) {
	f.Add("001000000000001AAA", "001000000000002AAA")
	f.Add("') OR (Name != '", `\') LIMIT 1`)
	f.Add("001000000000001'A", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		list := inList([]string{a, b})
		if list == "" {
			if isID(a) || isID(b) {
				t.Errorf("%q, %q are left out", a, b)
			}
			return
		}
		query := "SELECT Id FROM Account WHERE Id IN (" + list + ")"
		q, err := soql.Parse(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if strings.Count(list, "'") != 2*(1+strings.Count(list, ",")) || q.Where == nil || len(q.OrderBy) > 0 {
			t.Errorf("%s is read as %+v", query, q)
		}
	})
}
