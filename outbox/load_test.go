package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// What a glance at a short log tells is what looking for records and reading what
// they did tells: logs of few random entries, some of which belong to no record.
func TestGlance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	short := 0
	for range 60 {
		b.exec(`TRUNCATE salesforce._trigger_log`)
		waiting := 0
		for range random.IntN(2 * glanceMost) {
			state, record := pick("NEW", "NEW", "NEW", "PENDING", "FAILED", "IGNORE"), fmt.Sprint(1+random.IntN(6))
			if random.IntN(20) == 0 {
				record = "NULL"
			}
			if state == "NEW" {
				waiting++
			}
			b.exec(fmt.Sprintf(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, "values", sf_message)
				VALUES ('%s', '%s', %s, %s, %s, '"name"=>"before"', '"name"=>"%d"', %s)`, state, pick("INSERT", "UPDATE", "DELETE"),
				pick("'account'", "'contact'", "'user'", "'unknown'", "NULL"), record, pick("NULL", "'001000000000001AAA'"), random.IntN(100), pick("NULL", "'m'")))
		}
		tell := func(glance bool) string {
			b.worker.short = glance
			log := backlog{open: map[key][]*entry{}}
			if full, err := b.worker.loadEntries(t.Context(), &log); err != nil || full {
				t.Fatalf("full %t, %v", full, err)
			}
			if b.worker.short != (waiting < glanceMost) && glance {
				t.Errorf("of %d entries the log is short: %t", waiting, b.worker.short)
			}
			var lines []string
			say := func(e *entry) {
				lines = append(lines, fmt.Sprint(e.key, e.id, e.state, e.action, e.sfid, e.message, text(e.values), text(e.old)))
			}
			for _, e := range log.entries {
				say(e)
			}
			read := map[key]bool{} // what is open for others is not asked by either
			for _, e := range log.entries {
				if !read[e.key] {
					read[e.key] = true
					for _, open := range log.open[e.key] {
						say(open)
					}
				}
			}
			return strings.Join(lines, "\n")
		}
		if waiting < glanceMost {
			short++
		}
		b.want("a glance", tell(true), tell(false))
	}
	if short < 20 {
		t.Errorf("only %d logs were short", short)
	}
}

func text(values map[string]*string) string {
	var pairs []string
	for k, v := range values {
		if v == nil {
			pairs = append(pairs, k)
			continue
		}
		pairs = append(pairs, k+"="+*v)
	}
	slices.Sort(pairs)
	return fmt.Sprint(pairs)
}

// A change that comes alone is asked for once, and claimed, before it is sent.
func TestFewQuestions(t *testing.T) {
	t.Parallel()
	b := setup(t, merged)
	b.accounts(3)
	b.exec("UPDATE salesforce.account SET industry = 'first' WHERE id = 1")
	b.run()
	b.exec("UPDATE salesforce.account SET industry = 'second' WHERE id = 2")
	c := &counting{Pool: b.worker.pool}
	b.worker.pool = c
	before := int64(0)
	b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
		before = c.queries.Load() + c.batches.Load()
		return nil, nil, false
	})
	b.run()
	b.want("questions before the request", fmt.Sprint(before), "2")
}

// A plan is bounded by what it holds in memory, too: of records with long texts fewer
// go at once, all of them in the end, and one that is larger than the bound alone. What
// does not go is not looked at.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	const records, size = 120, 400_000
	b := setup(t, merged, func(c *Config) { c.Window, c.Bulk = 50, &fakeJobs{} })
	c := &counting{Pool: b.worker.pool}
	b.worker.pool = c
	b.accounts(records)
	long := func(n int) string { return fmt.Sprintf(`'"industry"=>"' || repeat('x', %d) || '"'`, n) }
	b.exec(fmt.Sprintf(`INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid, old, "values")
		SELECT 'NEW', 'UPDATE', 'account', n, 'acc' || lpad(n::text, 12, '0') || 'AAA', %s, '"industry"=>"' || n || '"' FROM generate_series(1, %d) AS n`, long(size), records))
	b.exec(fmt.Sprintf(`UPDATE salesforce._trigger_log SET old = %s WHERE record_id = 1`, long(2*planBytes)))
	sent := 0
	for runs := 1; sent < records; runs++ {
		before := c.queries.Load()
		log, err := b.worker.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if looks := c.queries.Load() - before; looks != 1 && len(log.entries) < 50 && sent+len(log.entries) < records {
			t.Errorf("run %d: %d looks at the log", runs, looks)
		}
		n, bytes := len(log.entries), 0
		for _, e := range log.entries {
			for _, v := range e.old {
				bytes += len(*v)
			}
		}
		if n == 0 || n > 1 && bytes > planBytes+size {
			t.Fatalf("run %d: a plan of %d entries with %d bytes", runs, n, bytes)
		}
		b.run()
		sent += n
	}
	b.want("left", b.live(), "")
}
