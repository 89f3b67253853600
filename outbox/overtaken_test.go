package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

const paired = "acc000000000001AAA"

// paired gives the org one account, and rules over two fields: industry and founded__c must be
// both set or both empty, and no name may be "poison".
func (b *bundle) paired() {
	b.Helper()
	b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('n0', '` + paired + `')`)
	b.sf.records[paired], b.sf.objects[paired] = map[string]any{"Name": "n0"}, "Account"
	b.sf.script(func(_ context.Context, call Call) ([]Outcome, error, bool) {
		after := map[string]any{}
		for _, part := range []map[string]any{b.sf.records[paired], call.Records[0].Fields} {
			for field, v := range part {
				after[field] = v
			}
		}
		switch {
		case (after["Industry"] == nil) != (after["Founded__c"] == nil):
			return []Outcome{{SFID: paired, Failure: &Failure{Class: Permanent, Code: "RULE", Message: "set both"}}}, nil, false
		case after["Name"] == "poison":
			return []Outcome{{SFID: paired, Failure: &Failure{Class: Permanent, Code: "RULE", Message: "poison"}}}, nil, false
		}
		return nil, nil, false
	})
}

// Two refused changes of a row that are good together get through, in whatever way they
// are sent again, and what is refused for good does not hold up others.
func TestRefusedUpdatesGoTogether(t *testing.T) {
	t.Parallel()
	const (
		one   = `UPDATE salesforce.account SET industry = 'i1'`
		other = `UPDATE salesforce.account SET founded__c = '2020-01-01'`
		name  = `UPDATE salesforce.account SET name = 'n1'`
		bad   = `UPDATE salesforce.account SET name = 'poison'`
		retry = `UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`
		both  = "map[Founded__c:2020-01-01 Industry:i1 Name:n0]"
	)
	for _, c := range []struct {
		name    string
		saves   []string
		calls   int
		record  string
		refused string
		archive string
	}{
		{"with the second save", []string{one, other}, 3, both, "", "UPDATE/MERGED UPDATE/SUCCESS"},
		{"in one run", []string{one + ";" + other}, 3, both, "", "UPDATE/MERGED UPDATE/SUCCESS"},
		{"the newer value of the first", []string{one, `UPDATE salesforce.account SET industry = 'i2'`, other}, 4, "map[Founded__c:2020-01-01 Industry:i2 Name:n0]", "", "UPDATE/MERGED UPDATE/MERGED UPDATE/SUCCESS"},
		{"not with what writes all of it", []string{one, `UPDATE salesforce.account SET industry = 'i2'`}, 2, "map[Name:n0]", "i1 i2", ""},
		{"when they are sent by hand", []string{one, `UPDATE salesforce._trigger_log SET state = 'FAILED' WHERE state = 'NEW'; ` + other + `; UPDATE salesforce._trigger_log SET state = 'FAILED'`, retry}, 4, both, "", "UPDATE/MERGED UPDATE/SUCCESS"},
		{"after another was accepted", []string{one, other + `; UPDATE salesforce._trigger_log SET state = 'FAILED'`, name}, 5, "map[Founded__c:2020-01-01 Industry:i1 Name:n1]", "", "UPDATE/MERGED UPDATE/SUCCESS UPDATE/SUCCESS"},
		{"not with one that is bad for good", []string{bad, one, other}, 5, "map[Name:n0]", "2020-01-01 i1 poison", ""},
		{"once that is written over", []string{bad, one, other, name}, 9, "map[Founded__c:2020-01-01 Industry:i1 Name:n1]", "", "UPDATE/MERGED UPDATE/MERGED UPDATE/SUCCESS UPDATE/SUCCESS"},
		{"a good one beside a bad one", []string{bad, `UPDATE salesforce.account SET active__c = true`}, 3, "map[Active__c:true Name:n0]", "poison", "UPDATE/SUCCESS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.paired()
			for _, sql := range c.saves {
				b.exec(sql)
				b.drain()
			}
			b.want("record", fmt.Sprint(b.sf.records[paired]), c.record)
			b.want("refused", b.list(`SELECT v FROM salesforce._trigger_log, svals("values"::hstore) AS v WHERE state = 'FAILED' ORDER BY v`), c.refused)
			b.want("log", b.one(`SELECT count(*) FROM salesforce._trigger_log WHERE state <> 'FAILED'`), "0")
			b.want("archive", b.archived(), c.archive)
			if got := len(b.sf.calls); got != c.calls {
				t.Errorf("%d calls, want %d", got, c.calls)
			}
			if got := b.one(`SELECT _hc_lastop FROM salesforce.account`); (got == "FAILED") != (c.refused != "") {
				t.Errorf("the row says %s", got)
			}
		})
	}
}

// What was refused in the same run as a newer change was accepted does not put back what
// that one wrote.
func TestRefusedUpdateIsOvertakenAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paired()
	b.exec(`UPDATE salesforce.account SET name = 'n1', industry = 'i1'`)
	b.exec(`UPDATE salesforce.account SET name = 'n2'`)
	b.drain()
	b.sf.script(nil) // the rule is gone
	b.exec(`UPDATE salesforce.account SET active__c = true`)
	b.drain()
	b.want("record", fmt.Sprint(b.sf.records[paired]), "map[Active__c:true Industry:i1 Name:n2]")
	for _, done := range b.sf.history[paired][1:] {
		if strings.Contains(done, "n1") {
			t.Errorf("%s, after n2 was there", done)
		}
	}
}

// That a change goes once more outlives the process, and a crash on the way of that request
// loses nothing of it, whether it took effect or not.
func TestTogetherAfterACrash(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{true, false} {
		t.Run(fmt.Sprintf("applied %t", applied), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.paired()
			b.exec(`UPDATE salesforce.account SET industry = 'i1'`)
			b.drain()
			b.exec(`UPDATE salesforce.account SET founded__c = '2020-01-01'`)
			b.run()
			b.want("log", b.live(), "UPDATE/FAILED UPDATE/NEW")
			b.restart()
			rules, calls := b.sf.hook, len(b.sf.calls)
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
				b.want("log at the request", b.live(), "UPDATE/PENDING UPDATE/PENDING")
				return nil, &Failure{Class: Transient, InDoubt: true, Message: "connection reset"}, applied
			})
			b.run()
			b.want("request", fmt.Sprint(b.sf.calls[calls:]), "[{Account update  [{acc000000000001AAA map[Founded__c:2020-01-01 Industry:i1]}]}]")
			b.sf.script(rules)
			b.exec(`UPDATE salesforce._trigger_log SET state = 'PENDING'`)
			b.restart()
			if err := b.worker.Recover(b.Context()); err != nil {
				t.Fatal(err)
			}
			b.drain()
			b.want("record", fmt.Sprint(b.sf.records[paired]), "map[Founded__c:2020-01-01 Industry:i1 Name:n0]")
			b.want("log", b.live(), "")
		})
	}
}

// A refused update is sent again when its row changes, but does not put back what newer
// ones have written since. Of what they have written none of, nothing is lost.
func TestRefusedUpdateIsOvertaken(t *testing.T) {
	t.Parallel()
	const id = "acc000000000001AAA"
	for _, c := range []struct {
		name, newer string
		still       string // the industry that is refused again
		failed      string // what is left of it then
		record      string
		archive     string // before it is sent once more by hand
	}{
		{"in all columns", `UPDATE salesforce.account SET name = 'n2', industry = 'i2'`, "i1", "", "map[Industry:i2 Name:n2]", "UPDATE/MERGED UPDATE/SUCCESS"},
		{"in one column", `UPDATE salesforce.account SET name = 'n2'`, "i1", `"industry"=>"i1" FAILED`, "map[Industry:i1 Name:n2]", "UPDATE/SUCCESS"},
		{
			"by two", `UPDATE salesforce.account SET name = 'n2'; UPDATE salesforce.account SET industry = 'i2'`,
			"i1", "", "map[Industry:i2 Name:n2]", "UPDATE/MERGED UPDATE/SUCCESS UPDATE/SUCCESS",
		},
		{"in none", `UPDATE salesforce.account SET active__c = true`, "i1", `"industry"=>"i1", "name"=>"n1" FAILED`, "map[Active__c:true Industry:i1 Name:n1]", "UPDATE/SUCCESS"},
		{"that mends it", `UPDATE salesforce.account SET industry = 'i2'`, "i1", "", "map[Industry:i2 Name:n1]", "UPDATE/SUCCESS UPDATE/SUCCESS"},
		{"after the rule has gone", `UPDATE salesforce.account SET active__c = true`, "", "", "map[Active__c:true Industry:i1 Name:n1]", "UPDATE/SUCCESS UPDATE/SUCCESS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.hex(`INSERT INTO salesforce.account (name, industry, sfid) VALUES ('n0', 'i0', '` + id + `')`)
			b.sf.records[id], b.sf.objects[id] = map[string]any{"Name": "n0", "Industry": "i0"}, "Account"
			calls := 0
			refuse := func(industry string) {
				b.sf.script(func(_ context.Context, call Call) ([]Outcome, error, bool) {
					calls++
					if industry != "" && call.Records[0].Fields["Industry"] == industry {
						return []Outcome{{SFID: id, Failure: &Failure{Class: Permanent, Code: "NO"}}}, nil, false
					}
					return nil, nil, false
				})
			}
			refuse("i1")
			b.exec(`UPDATE salesforce.account SET name = 'n1', industry = 'i1'`)
			b.run()
			refuse(c.still)
			b.exec(c.newer)
			b.drain()
			b.want("archive", b.archived(), c.archive)
			b.want("refused", b.list(`SELECT (SELECT string_agg(p, ', ' ORDER BY p) FROM unnest(string_to_array("values", ', ')) AS p) || ' ' || state FROM salesforce._trigger_log`), c.failed)
			if most := 4; calls > most {
				t.Errorf("%d calls, want %d at most: once more for each change", calls, most)
			}
			refuse("")
			b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`)
			b.drain()
			b.want("log", b.live(), "")
			b.want("record", fmt.Sprint(b.sf.records[id]), c.record)
		})
	}
}
