package outbox

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/test/bench/cputime"
)

// A million entries, three hundred thousand of them of one record at the head
// of the log (fault 79): planning costs no more than over a short log, what
// stands behind the hot record is sent at once, and memory does not grow.
//
// Figures are asserted with HCBRIDGE_BENCH; the small run sees that it works.
func TestClaimScale(t *testing.T) {
	for _, algorithm := range []string{Ordered, Merged} {
		t.Run(algorithm, func(t *testing.T) {
			hot, rest, runs := 10_000, 3_000, 10
			full := os.Getenv("HCBRIDGE_BENCH") != ""
			if full {
				hot, rest, runs = 300_000, 700_000, 200
			}
			b := setup(t, func(c *Config) { c.Algorithm = algorithm })
			b.hex(`INSERT INTO salesforce.account (id, name, sfid) SELECT n, 'n', 'acc' || lpad(n::text, 12, '0') || 'AAA' FROM generate_series(1, 1) AS n`)
			b.exec(`INSERT INTO salesforce._trigger_log (txid, state, action, table_name, record_id, sfid, old, "values")
				SELECT 1, 'NEW', 'UPDATE', 'account', CASE WHEN n <= $1 THEN 1 ELSE n END, 'acc' || lpad((CASE WHEN n <= $1 THEN 1 ELSE n END)::text, 12, '0') || 'AAA',
					'"name"=>"before","industry"=>"i","annualrevenue"=>"1"', '"name"=>"after ' || n || '"'
				FROM generate_series(1, $1::int + $2::int) AS n`, hot, rest)
			var took []time.Duration
			behind := 0
			spent, err := cputime.Spent(t.Context(), b.pool)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range runs {
				began := time.Now()
				log, err := b.worker.load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				p := b.worker.planner.plan(log)
				took = append(took, time.Since(began))
				for _, c := range p.calls {
					for _, item := range c.items {
						if item.key.id > int64(hot) {
							behind++
						}
					}
				}
				if i == 0 {
					runtime.GC()
					runtime.ReadMemStats(&before)
				}
			}
			now, err := cputime.Spent(t.Context(), b.pool)
			if err != nil {
				t.Fatal(err)
			}
			used := now.Sub(spent)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if behind == 0 {
				t.Error("nothing behind the hot record was planned")
			}
			first := took[:3:3]
			first = slices.Clone(first)
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			t.Logf("first %v, claim: p50 %v p99 %v max %v, processor time %v of the server and %v of ours, heap %+d kB",
				first, took[len(took)/2], p99, took[len(took)-1], used.Postgres/time.Duration(runs), used.Self/time.Duration(runs), (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
			if full && p99 > 50*time.Millisecond {
				t.Errorf("p99 %v", p99)
			}
		})
	}
}

// A record whose lower entries commit late is found in the stretch behind
// which planning already stands, and its changes keep their order.
func TestLateCommitBehindTheScan(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Window = 50 })
	b.hex(`INSERT INTO salesforce.account (id, name, sfid) SELECT n, 'n', 'acc' || lpad(n::text, 12, '0') || 'AAA' FROM generate_series(1, 4) AS n`)
	add := func(from, to, record int) {
		b.exec(`INSERT INTO salesforce._trigger_log (id, state, action, table_name, record_id, sfid, old, "values")
			SELECT n, 'NEW', 'UPDATE', 'account', $3, 'acc' || lpad(($3)::text, 12, '0') || 'AAA', '"name"=>"x"', '"name"=>"v' || n || '"' FROM generate_series($1::bigint, $2::bigint) AS n`, from, to, record)
	}
	planned := func() string {
		log, err := b.worker.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var seen strings.Builder
		for _, c := range b.worker.planner.plan(log).calls {
			for _, i := range c.items {
				if i.key.id != 1 {
					fmt.Fprintf(&seen, "%d:%d ", i.key.id, i.carrier.id)
				}
			}
		}
		return seen.String()
	}
	add(1, 400, 1)
	add(600, 1200, 1)
	add(1300, 1300, 2)
	for range 8 {
		planned()
	}
	b.want("behind the hot record", planned(), "2:1300 ")
	add(500, 500, 3) // the transactions drew these ids long ago
	add(501, 501, 4)
	add(1301, 1301, 3)
	b.want("in order, the late one first", strings.ReplaceAll(planned(), "4:501 ", ""), "3:500 2:1300 3:1301 ")
	found := false
	for range 1200/50 + 1 {
		found = found || strings.Contains(planned(), "4:501 ")
	}
	if !found {
		t.Error("an entry that was committed late was not found in one round through the stretch")
	}
}
