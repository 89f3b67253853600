package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// fakeJobs is a Bulk over a fakeOrg: a job runs when it is let.
type fakeJobs struct {
	sf      *fakeOrg
	calls   map[string]Call
	opened  int
	running bool // jobs do not end
	upTo    int  // records that a job does; the rest is not processed
	broken  error
	taken   string        // external id that a job refuses once as a duplicate
	limit   *Failure      // with which a job refuses all records
	oldest  time.Duration // age of what was looked for
	mute    error         // jobs do their work, and their results cannot be read
}

func (j *fakeJobs) Start(_ context.Context, c Call, opened func(string) error) error {
	if j.broken != nil {
		return j.broken
	}
	j.opened++
	id := fmt.Sprintf("750%015d", j.opened)
	j.calls[id] = c
	return opened(id)
}

func (j *fakeJobs) Result(_ context.Context, id string, _ *Table) (map[string]Outcome, bool, error) {
	if j.running {
		return nil, false, nil
	}
	c := j.calls[id]
	c.Records = c.Records[:min(len(c.Records), j.upTo)]
	outcomes := map[string]Outcome{}
	for i, o := range j.sf.apply(c) {
		key := c.Records[i].SFID
		if c.Op == Upsert {
			key = fmt.Sprint(c.Records[i].Fields[c.ExternalID])
		}
		if key == j.taken {
			o = Outcome{Failure: &Failure{Class: Permanent, Code: codeDuplicate, Message: "duplicate value found"}}
		}
		if j.limit != nil {
			o = Outcome{Failure: j.limit}
		}
		outcomes[key] = o
	}
	if j.mute != nil {
		return nil, false, j.mute
	}
	return outcomes, true, nil
}

func setupJobs(t *testing.T, change ...func(*Config)) (*bundle, *fakeJobs) {
	b := setup(t)
	j := &fakeJobs{sf: b.sf, calls: map[string]Call{}, upTo: bulkMost}
	b.restart(append(change, withExternalID, func(c *Config) { c.Bulk = j })...)
	return b, j
}

func (b *bundle) hurryJobs() {
	for _, j := range b.worker.jobs {
		j.due = time.Time{}
	}
}

const load = `INSERT INTO salesforce.account (name, external_id__c) SELECT 'a' || n, 'x' || n FROM generate_series(1, 2500) AS n`

func TestJobs(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{Ordered, Merged} {
		t.Run("a load is one job, which a new process takes over: "+algorithm, func(t *testing.T) {
			t.Parallel()
			byJob := 0
			use := func(c *Config) {
				c.Algorithm = algorithm
				c.Settle = func(_ context.Context, _ pgx.Tx, done []Settled) error {
					for _, d := range done {
						if d.Job {
							byJob++
						}
					}
					return nil
				}
			}
			b, j := setupJobs(t, use)
			b.exec(load)
			b.run()
			b.want("states", b.list(`SELECT DISTINCT state || left(sf_message, 8) FROM salesforce._trigger_log`), "PENDINGBULK 750")
			b.restart(use, withExternalID, func(c *Config) { c.Bulk = j })
			if err := b.worker.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.run()
			b.want("calls beside the job", b.sf.sent(), "")
			b.hurryJobs()
			b.drain()
			b.want("log", b.live(), "")
			b.want("rows", b.list(`SELECT DISTINCT _hc_lastop || (sfid IS NOT NULL) FROM salesforce.account`), "INSERTEDtrue")
			b.want("jobs and records", fmt.Sprint(j.opened, b.sf.count("Account")), "1 2500")
			b.want("told as done by a job", fmt.Sprint(byJob), "2500")
		})
	}

	t.Run("what depends on a job waits for it, the rest goes", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		j.running = true
		b.exec(load)
		b.run()
		b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', 'x7'); INSERT INTO salesforce.contact (lastname) VALUES ('free');
			UPDATE salesforce.account SET name = 'later' WHERE external_id__c = 'x7'`)
		b.drain()
		b.want("calls", b.sf.sent(), "insert Contact 1")
		j.running = false
		b.hurryJobs()
		b.drain()
		b.want("log", b.live(), "")
		b.want("order", b.list(`SELECT name || sfid FROM salesforce.account WHERE external_id__c = 'x7'`), "later"+b.sf.find("Account", "Name", "later"))
	})

	t.Run("a former parent is deleted when the job that takes it out is over", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		j.running = true
		former := "001000000000001AAA"
		b.hex(`INSERT INTO salesforce.account (sfid, name) VALUES ('` + former + `', 'former');
			INSERT INTO salesforce.contact (sfid, lastname, accountid) SELECT '003' || lpad(n::text, 12, '0') || 'AAA', 'n' || n, '` + former + `' FROM generate_series(1, 2500) AS n`)
		b.sf.records[former] = map[string]any{}
		for n := range 2500 {
			b.sf.records[fmt.Sprintf("003%012dAAA", n+1)] = map[string]any{}
		}
		b.exec(`UPDATE salesforce.contact SET accountid = NULL`)
		b.run()
		b.exec(`DELETE FROM salesforce.account WHERE name = 'former'`)
		b.drain()
		b.want("calls beside the job", b.sf.sent(), "")
		j.running = false
		b.hurryJobs()
		b.drain()
		b.want("log", b.live(), "")
		b.want("calls", b.sf.sent(), "delete Account 1")
		b.want("jobs", fmt.Sprint(j.opened), "1")
	})

	t.Run("records that a job left out go by calls", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		j.upTo = 2000
		b.exec(load)
		b.run()
		b.hurryJobs()
		b.drain()
		b.want("log", b.live(), "")
		b.want("calls", b.sf.sent(), "upsert Account 200, upsert Account 200, upsert Account 100")
		b.want("jobs", fmt.Sprint(j.opened), "1")
	})

	t.Run("what a limit kept a job from doing goes by calls, which wait", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		j.limit = &Failure{Class: Limit, Code: "REQUEST_LIMIT_EXCEEDED", Message: "no more"}
		b.exec(load)
		b.run()
		b.hurryJobs()
		b.sf.hook = func(context.Context, Call) ([]Outcome, error, bool) { return nil, j.limit, false }
		if _, err := b.worker.RunOnce(t.Context()); !errors.Is(err, j.limit) {
			t.Errorf("the run goes on: %v", err)
		}
		b.want("jobs and states", fmt.Sprint(j.opened, b.list(`SELECT DISTINCT state FROM salesforce._trigger_log`)), "1NEW")
	})

	t.Run("without jobs all goes by calls", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		j.broken = errors.New("no jobs today")
		b.exec(load)
		b.drain()
		b.want("log", b.live(), "")
		b.want("records", fmt.Sprint(b.sf.count("Account")), "2500")
	})

	t.Run("a row that is deleted while a job's answer waits for it is deleted in Salesforce, also after a restart", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		b.exec(load)
		b.run()
		tx, err := b.pool.Begin(t.Context())
		if err == nil {
			defer func() { _ = tx.Rollback(t.Context()) }()
			_, err = tx.Exec(t.Context(), `DELETE FROM salesforce.account WHERE external_id__c = 'x7'`)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.hurryJobs()
		b.run()
		b.want("waits", b.list(`SELECT state || (sfid IS NOT NULL) FROM salesforce._trigger_log`), "PENDINGtrue")
		b.restart(withExternalID, func(c *Config) { c.Bulk = j })
		if err := b.worker.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.hurryJobs()
		b.drain()
		b.want("log", b.live(), "")
		b.want("records", fmt.Sprint(b.sf.count("Account")), "2499")
	})

	t.Run("what a job says is taken is looked up as of the job's time", func(t *testing.T) {
		t.Parallel()
		b, j := setupJobs(t)
		j.taken = "x7"
		b.worker.cfg.Finder = j
		b.exec(load)
		b.run()
		b.hurryJobs()
		b.drain()
		if j.oldest <= 0 || j.oldest > time.Minute {
			t.Errorf("looked for what was made in the last %s", j.oldest)
		}
	})
}

// A job whose results can never be read does not hold its records up for ever: what
// it has made is found, and what it has not done is done by calls.
func TestJobWithoutResults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		problem *Failure
		after   time.Duration
		up      int
		calls   string
	}{
		{"over", &Failure{Class: Permanent, Ended: true, Code: "NOT_ACCEPTABLE", Message: "no CSV"}, unreadFor, 2500, ""},
		{"over, and not all done", &Failure{Class: Transient, Ended: true, Message: "500"}, unreadFor, 2490, "upsert Account 10"},
		{"nobody knows", &Failure{Class: Transient, Message: "500"}, openFor, 2500, ""},
		{"out of calls", &Failure{Class: Limit, Message: "no more"}, 2 * openFor, 2500, ""}, // it is asked again when there are calls again
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, j := setupJobs(t, func(cfg *Config) { cfg.BatchSize = 200 * 8 })
			b.worker.cfg.Finder = b.sf
			j.mute, j.upTo = c.problem, c.up
			b.exec(load)
			b.run()
			since := func(age time.Duration) {
				for _, j := range b.worker.jobs {
					if !j.mute.IsZero() {
						j.mute = time.Now().Add(-age)
					}
				}
				b.hurryJobs()
				b.drain()
			}
			since(0)
			since(c.after - time.Minute)
			b.want("states", b.list(`SELECT DISTINCT state || left(sf_message, 8) FROM salesforce._trigger_log`), "PENDINGBULK 750")
			if c.problem.Class == Limit {
				j.mute = nil
			}
			since(c.after)
			eventually(t, "the log is empty", func() bool { b.drain(); return b.live() == "" })
			b.want("calls", b.sf.sent(), c.calls)
			b.want("jobs and records", fmt.Sprint(j.opened, b.sf.count("Account")), "1 2500")
			b.want("rows", b.list(`SELECT DISTINCT _hc_lastop || (sfid IS NOT NULL) FROM salesforce.account`), "INSERTEDtrue")
		})
	}
}

// Find implements Finder and finds nothing.
func (j *fakeJobs) Find(_ context.Context, _, _ string, attempts []Attempt) ([]Candidate, error) {
	for _, a := range attempts {
		j.oldest = max(j.oldest, a.Age)
	}
	return nil, nil
}

// Compare implements Finder and can tell nothing.
func (j *fakeJobs) Compare(_ context.Context, _ string, values []Successive) ([]Standing, error) {
	return make([]Standing, len(values)), nil
}

// Of the values of what is under way those are kept by which others wait for it, and no
// others: the external id, whatever its case in the settings, fields by which parents are
// named, parents, and of the old ones what is taken out.
func TestLighten(t *testing.T) {
	t.Parallel()
	table := &testTables()[0]
	table.ExternalID = "EXTERNAL_ID__C"
	row := func(n string) map[string]*string {
		values := map[string]*string{}
		for _, c := range []string{"name", "industry", "external_id__c", "parentid", "seen__c"} {
			v := c + n
			values[c] = &v
		}
		return values
	}
	for _, c := range []struct {
		op          Op
		changed     []string
		values, old string
	}{
		{Update, []string{"name"}, "[]", "[external_id__c=external_id__c1]"},
		{Update, []string{"name", "parentid"}, "[parentid=parentid2]", "[external_id__c=external_id__c1 parentid=parentid1]"},
		{Update, []string{"seen__c", "external_id__c"}, "[external_id__c=external_id__c2 seen__c=seen__c2]", "[external_id__c=external_id__c1 seen__c=seen__c1]"},
		{Update, []string{"name", "no parentid"}, "[parentid]", "[external_id__c=external_id__c1 parentid=parentid1]"},
		{Delete, nil, "[]", "[external_id__c=external_id__c1 parentid=parentid1 seen__c=seen__c1]"},
	} {
		i := &item{table: table, op: c.op, entries: []*entry{{}}, values: map[string]*string{}, old: row("1")}
		for _, column := range c.changed {
			column, empty := strings.CutPrefix(column, "no ")
			if i.values[column] = row("2")[column]; empty {
				i.values[column] = nil
			}
		}
		(&job{items: []*item{i}}).lighten(map[string]bool{"seen__c": true}, nil)
		if got, old := text(i.values), text(i.old); got != c.values || old != c.old {
			t.Errorf("of a %s of %v: %s and before %s, want %s and %s", c.op, c.changed, got, old, c.values, c.old)
		}
	}
}
