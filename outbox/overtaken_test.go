package outbox

import (
	"context"
	"fmt"
	"testing"
)

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
