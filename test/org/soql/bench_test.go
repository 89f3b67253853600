package soql

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"hcbridge/test/org/sobject"
)

// million is an org with 1,000,000 accounts, 10,000 to a second.
var million = sync.OnceValue(func() *sobject.Org {
	now := t0
	org := sobject.NewOrg(sobject.NewMemory(), func() time.Time { return now })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	for n := 0; n < 1_000_000; {
		ops := make([]sobject.Op, 200)
		for i := range ops {
			s := strconv.Itoa(n)
			ops[i] = sobject.Op{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{
				"Name": "Account " + s, "External_Id__c": "K" + s, "Industry": "Energy", "Phone": "+49 731 " + s,
				"AnnualRevenue": n, "BillingCity": "Ulm", "NumberOfEmployees": 5,
			}}
			n++
		}
		for _, r := range org.Commit(sobject.Origin{}, true, ops) {
			if r.Err != nil {
				panic(r.Err)
			}
		}
		if n%10_000 == 0 {
			now = now.Add(time.Second)
		}
	}
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	fmt.Printf("1,000,000 accounts: %.1f s, %d bytes each\n", took.Seconds(), (after.HeapAlloc-before.HeapAlloc)/1_000_000)
	return org
})

func BenchmarkMillion(b *testing.B) {
	org := million()
	late := t0.Add(73 * time.Second).Format(time.RFC3339)
	some := sobject.MintID("001", 47_806_021_353+735_000)
	for name, text := range map[string]string{
		"keyset":   fmt.Sprintf("SELECT Id, Name, Phone, SystemModstamp FROM Account WHERE (SystemModstamp > %s OR (SystemModstamp = %s AND Id > '%s')) ORDER BY SystemModstamp, Id LIMIT 2000", late, late, some),
		"tail":     "SELECT Id FROM Account WHERE SystemModstamp > 2024-05-01T12:01:38Z",
		"id":       fmt.Sprintf("SELECT Id FROM Account WHERE Id = '%s'", some),
		"external": "SELECT Id FROM Account WHERE External_Id__c = 'k735000'",
		"idpage":   fmt.Sprintf("SELECT Id FROM Account WHERE Id > '%s' ORDER BY Id LIMIT 2000", some),
		"count":    "SELECT COUNT() FROM Account",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				q, err := Parse(text)
				if err != nil {
					b.Fatal(err)
				}
				rows, total, err := Run(org.Store(), q, Opts{})
				if err != nil || total == 0 {
					b.Fatal(total, err)
				}
				for _, r := range rows {
					r.JSON("/services/data/v66.0")
				}
			}
		})
	}
}
