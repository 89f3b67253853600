package outbox

import (
	"context"
	"fmt"
	"testing"
)

// Who looks at the log while a single change is on its way sees it PENDING, as with
// Heroku Connect. A full call of a backlog is noted by one row, and its entries are
// written only when they are answered.
func TestWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rows     int
		log      string
		attempts string
	}{
		{1, "PENDING 1", ""}, {manyRecords - 1, "PENDING 199", ""}, {manyRecords, "NEW 200", "200"},
	} {
		for _, change := range []string{"UPDATE salesforce.account SET industry = 'i'", "DELETE FROM salesforce.account"} {
			t.Run(fmt.Sprintf("%.6s of %d", change, c.rows), func(t *testing.T) {
				t.Parallel()
				b := setup(t, merged)
				b.accounts(c.rows)
				calls := 0
				b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
					calls++
					b.want("log", b.one(`SELECT string_agg(state || ' ' || n, ', ') FROM (SELECT state, count(*) AS n FROM salesforce._trigger_log GROUP BY state) AS l`), c.log)
					b.want("attempts", b.list(`SELECT cardinality(entries) FROM salesforce._trigger_log_attempt`), c.attempts)
					return nil, nil, false
				})
				b.exec(change)
				b.run()
				b.want("calls", fmt.Sprint(calls), "1")
				b.want("log", b.live(), "")
				b.want("attempts", b.list(`SELECT cardinality(entries) FROM salesforce._trigger_log_attempt`), "")
			})
		}
	}
}
