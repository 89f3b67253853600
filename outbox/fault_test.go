package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// What goes wrong with some records of a call is the business of those records
// only: each answer belongs to the record at its index, and nothing that was
// written is sent again.
func TestSomeRecordsOfACallFail(t *testing.T) {
	t.Parallel()
	const rows = 60

	for name, f := range map[string]Failure{
		"partial success at random (fault 59)": {Class: Transient, Code: "UNKNOWN_EXCEPTION", Message: "an unexpected error occurred"},
		// That records of one parent are never sent in parallel, which would only
		// make more locks fail, holds because one call is in the air at a time.
		"rows that are locked at random (fault 65)": {Class: Transient, Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			random := rand.New(rand.NewPCG(1, 59))
			var flying, failed atomic.Int32
			b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
				if flying.Add(1) > 1 {
					t.Error("two calls at once")
				}
				defer flying.Add(-1)
				outcomes := make([]Outcome, len(c.Records))
				for i, r := range c.Records {
					if random.Float64() < 0.3 {
						failed.Add(1)
						outcomes[i] = Outcome{Failure: &f}
						continue
					}
					outcomes[i] = b.sf.apply(Call{Object: c.Object, Op: c.Op, Records: []Record{r}})[0]
				}
				return outcomes, nil, false
			})
			b.exec(fmt.Sprintf(`INSERT INTO salesforce.account (name) SELECT 'a' || n FROM generate_series(1, %d) n`, rows))
			eventually(t, "all are sent", func() bool { b.run(); return b.live() == "" })

			if failed.Load() == 0 {
				t.Fatal("nothing failed")
			}
			b.want("records", fmt.Sprint(b.sf.count("Account")), fmt.Sprint(rows))
			for id, r := range b.sf.records {
				b.want("row of "+id, b.one(`SELECT name FROM salesforce.account WHERE sfid = $1`, id), fmt.Sprint(r["Name"]))
			}
			b.want("left over", b.one(`SELECT count(*) FROM salesforce.account WHERE sfid IS NULL OR _hc_err IS NOT NULL`), "0")
		})
	}

	// Answers that are fewer than records belong to nobody: nothing is counted as
	// done, and no insert is repeated blindly.
	t.Run("too few answers (fault 59)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) { return b.sf.apply(c)[1:], nil, false })
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b'), ('c')`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED INSERT/FAILED INSERT/FAILED")
		b.want("codes", b.list(`SELECT DISTINCT _hc_err::json->>'code' FROM salesforce.account`), CodeInDoubt)
		b.want("calls", b.sf.sent(), "insert Account 3")
	})
}

// An update that is refused for a while is not overtaken by newer ones of its
// record, which it would undo when it is sent again: whenever Salesforce takes it,
// the record goes through the values in the order of their commits (fault 70).
func TestNoUpdateOvertakes(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{Ordered, Merged} {
		for _, whole := range []bool{false, true} { // it is the call that fails, or one record of it
			t.Run(fmt.Sprintf("%s/whole calls %t", algorithm, whole), func(t *testing.T) {
				t.Parallel()
				b := setup(t, func(c *Config) { c.Algorithm = algorithm })
				b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('hot', '001'), ('other', '002')`)
				b.sf.records["001"], b.sf.records["002"] = map[string]any{}, map[string]any{}
				var refusals atomic.Int32
				refusals.Store(4)
				b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
					outcomes := make([]Outcome, len(c.Records))
					for i, r := range c.Records {
						if r.SFID == "001" && refusals.Add(-1) >= 0 {
							f := &Failure{Class: Transient, Code: "UNKNOWN_EXCEPTION", Message: "500"}
							if whole {
								return nil, f, false
							}
							outcomes[i] = Outcome{Failure: f}
							continue
						}
						outcomes[i] = b.sf.apply(Call{Object: c.Object, Op: c.Op, Records: []Record{r}})[0]
					}
					return outcomes, nil, false
				})
				for n := range 6 {
					b.exec(fmt.Sprintf(`UPDATE salesforce.account SET numberofemployees = %d`, n))
					_, _ = b.worker.RunOnce(t.Context()) // calls that fail in a row look like an outage
				}
				b.done()
				for id, history := range b.sf.history {
					for i := 1; i < len(history); i++ {
						if history[i-1] >= history[i] {
							t.Errorf("%s was written %v", id, history)
						}
					}
				}
				b.want("the last one stands", fmt.Sprintf("%v %v", b.sf.records["001"]["NumberOfEmployees"], b.sf.records["002"]["NumberOfEmployees"]), "5 5")
			})
		}
	}
}

// A record that always fails holds up nobody else (fault 75).
func TestARecordThatFailsAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('poison', '001'), ('other', '002')`)
	b.sf.records["001"], b.sf.records["002"] = map[string]any{}, map[string]any{}
	var healed atomic.Bool
	b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
		outcomes := make([]Outcome, len(c.Records))
		for i, r := range c.Records {
			if r.SFID == "001" && !healed.Load() {
				outcomes[i] = Outcome{Failure: &Failure{Class: Transient, Code: "UNKNOWN_EXCEPTION", Message: "500"}}
				continue
			}
			outcomes[i] = b.sf.apply(Call{Object: c.Object, Op: c.Op, Records: []Record{r}})[0]
		}
		return outcomes, nil, false
	})
	for n := range 6 {
		b.exec(fmt.Sprintf(`UPDATE salesforce.account SET industry = 'i%d'`, n))
		b.run()
		b.want("the other goes on", fmt.Sprint(b.sf.records["002"]["Industry"]), fmt.Sprintf("i%d", n))
		time.Sleep(2 * time.Millisecond) // longer than the tests' back-off
	}
	healed.Store(true)
	eventually(t, "all are sent", func() bool { b.run(); return b.live() == "" })
	b.want("the last one stands", fmt.Sprint(b.sf.records["001"]["Industry"]), "i5")
}

// Where Salesforce does nothing else meanwhile, internal errors may be an outage, which
// makes no record a refused one; nor does the end of the attempts if the last was done.
func TestInternalErrorsOfAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		others   bool // are done
		applied  bool // and so is the last attempt
		find     bool
		log, row string
	}{
		{"nothing else is done", false, false, false, "UPDATE/NEW", "PENDING"},
		{"others are", true, false, false, "UPDATE/FAILED", "FAILED"},
		{"others are, and the last attempt", true, true, true, "", "UPDATED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if c.find {
				b.restart(b.finding(time.Hour))
			}
			b.accounts(1)
			attempts := 0
			b.sf.script(func(_ context.Context, call Call) ([]Outcome, error, bool) {
				if call.Object != "Account" {
					return nil, nil, false
				}
				attempts++
				return nil, errEnded, attempts == internalMost && c.applied
			})
			b.exec(`UPDATE salesforce.account SET industry = 'i'`)
			eventually(t, "the attempts are made", func() bool {
				if c.others && attempts == 3 {
					b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('c')`)
				}
				_, _ = b.worker.RunOnce(t.Context())
				return attempts >= internalMost
			})
			b.drain()
			b.want("log", b.live(), c.log)
			b.want("row", b.one(`SELECT _hc_lastop FROM salesforce.account`), c.row)
		})
	}
}

// However many records break every call they are in, a change of another goes at once:
// before them, and though they fail one after the other (fault 75).
func TestManyPoisonRecords(t *testing.T) {
	t.Parallel()
	const poison = 12
	b := setup(t)
	b.accounts(poison + 1)
	b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
		for _, r := range c.Records {
			if r.Fields["Industry"] == "poison" {
				return nil, errEnded, false
			}
		}
		return nil, nil, false
	})
	b.exec(fmt.Sprintf(`UPDATE salesforce.account SET industry = 'poison' WHERE id <= %d`, poison))
	eventually(t, "each of them goes alone", func() bool {
		_, _ = b.worker.RunOnce(t.Context()) // two in a row look like an outage
		alone := 0
		for _, r := range b.worker.retries {
			if r.attempts >= UntilAlone {
				alone++
			}
		}
		return alone == poison
	})
	before := len(b.sf.calls)
	b.exec(`UPDATE salesforce.account SET industry = 'healthy' WHERE id > 12`)
	time.Sleep(2 * time.Millisecond) // longer than the tests' back-off
	b.run()
	b.want("the first call", fmt.Sprint(b.sf.calls[before].Records[0].Fields["Industry"]), "healthy")
	if after := len(b.sf.calls) - before; after < 2 {
		t.Errorf("%d calls, so the test does not show what follows", after)
	}
	b.exec(`UPDATE salesforce.account SET industry = 'again' WHERE id > 12`)
	b.run()
	b.want("the next change", fmt.Sprint(b.sf.records[fmt.Sprintf("acc%012dAAA", poison+1)]["Industry"]), "again")
}
