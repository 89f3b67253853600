package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A call that is refused as a whole for what one of its records holds is divided until
// that one is alone: the others are in nobody's way. One that is refused for what is
// true of all is not.
func TestCallRefusedForOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, log string
		most      int // calls
	}{
		{"", "UPDATE/FAILED", 25},
		{"JSON_PARSER_ERROR", "UPDATE/FAILED", 25},
		{"INVALID_TYPE", strings.TrimSpace(strings.Repeat("UPDATE/FAILED ", 60)), 1},
	} {
		t.Run("code "+c.code, func(t *testing.T) {
			t.Parallel()
			b := setup(t, calls(1, 200))
			b.accounts(60)
			b.sf.script(func(_ context.Context, call Call) ([]Outcome, error, bool) {
				if slices.ContainsFunc(call.Records, func(r Record) bool { return r.SFID == "acc000000000031AAA" }) {
					return nil, &Failure{Class: Permanent, Code: c.code, Message: "no"}, false
				}
				return nil, nil, false
			})
			b.exec(`UPDATE salesforce.account SET industry = 'i'`)
			b.drain()
			b.want("log", b.live(), c.log)
			b.want("rows", b.list(`SELECT external_id__c FROM salesforce.account WHERE _hc_lastop = 'FAILED' AND external_id__c = 'x31'`), "x31")
			if n := len(b.sf.calls); n > c.most {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// Records for which the org has no room come back together and in full calls: no
// smaller one makes room.
func TestCallsWhileStorageIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t, calls(1, 200))
	b.sf.script(func(_ context.Context, call Call) ([]Outcome, error, bool) {
		outcomes := make([]Outcome, len(call.Records))
		for i := range outcomes {
			outcomes[i].Failure = &Failure{Code: CodeFull, Message: "storage limit exceeded"}
		}
		return outcomes, nil, false
	})
	b.exec(`INSERT INTO salesforce.account (name) SELECT n::text FROM generate_series(1, 60) AS n`)
	for range 4 {
		b.run()
		moments := map[int64]bool{}
		for k, r := range b.worker.retries {
			moments[r.due.UnixNano()] = true
			r.due = time.Now()
			b.worker.retries[k] = r
		}
		if len(moments) > 2 { // 2 around the end of one
			t.Errorf("they come back at %d moments", len(moments))
		}
	}
	b.want("calls", b.sf.sent(), strings.TrimSuffix(strings.Repeat("insert Account 60, ", 4), ", "))
}

// While a job makes records of a table, nothing that may have made one is looked for,
// and nobody asks all the time whether it may be; updates are looked at.
func TestDoubtBesideJob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, log, calls string }{
		{"an insert", `INSERT INTO salesforce.account (name) VALUES ('new')`, "INSERT/PENDING", "insert Account 1"},
		{"an update", `UPDATE salesforce.account SET industry = 'i'`, "", "update Account 1, update Account 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(time.Hour))
			b.accounts(1)
			first := true
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
				if first {
					first = false
					return nil, errLost, false
				}
				return nil, nil, false
			})
			b.exec(c.sql)
			b.run()
			b.worker.jobs["750"] = &job{id: "750", table: "account", items: []*item{{op: Upsert, table: b.worker.tables["account"], key: key{"account", 99}}}, due: time.Now().Add(time.Hour)}
			for range 5 {
				for _, d := range b.worker.doubts {
					d.due = time.Now().Add(-time.Millisecond)
				}
				b.run()
				if wait, some := b.worker.doubtsDue(time.Now()); some && wait < 500*time.Millisecond {
					t.Errorf("the next look is in %s", wait)
				}
				time.Sleep(2 * time.Millisecond) // longer than the tests' back-off
			}
			b.want("log", b.live(), c.log)
			b.want("calls", b.sf.sent(), c.calls)
		})
	}
}

// Of updates in a full call only the attempt says when they were sent. What is in doubt
// keeps that time, so that a change of somebody else right after it is not taken for
// one of before.
func TestWhenAnAttemptWasSent(t *testing.T) {
	t.Parallel()
	for _, locked := range []bool{false, true} {
		t.Run(fmt.Sprintf("rows are locked: %t", locked), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(time.Hour), calls(1, 2))
			b.accounts(2)
			var at string
			unlock := func() {}
			b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
				if at = b.one(`clock_timestamp()`); locked {
					tx, err := b.pool.Begin(b.Context())
					if err == nil {
						_, err = tx.Exec(b.Context(), `SELECT FROM salesforce.account FOR UPDATE`)
						unlock = func() { _ = tx.Rollback(b.Context()) }
					}
					return nil, err, false
				}
				return nil, errLost, false
			})
			b.exec(`UPDATE salesforce.account SET industry = 'i'`)
			b.run()
			b.want("log", b.list(`SELECT state || ' ' || (processed_at <= $1::text::timestamptz) FROM salesforce._trigger_log`, at), "PENDING true PENDING true")
			unlock()
		})
	}
}
