package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// errEnded is Salesforce's own answer that says nothing about what it has done.
var errEnded = &Failure{Class: Transient, InDoubt: true, Ended: true, Code: "UNKNOWN_EXCEPTION", Message: "An unexpected error occurred"}

// An internal error of Salesforce proves no rollback: what it was the answer to is
// looked for, at once, since it does not run any more.
func TestInternalErrors(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		for _, done := range []bool{true, false} {
			t.Run(fmt.Sprintf("keyed %t, took effect %t", keyed, done), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.restart(b.finding(time.Hour), withExternalID)
				calls := 0
				b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
					if calls++; calls == 1 {
						return nil, errEnded, done
					}
					return nil, nil, false
				})
				key := "NULL"
				if keyed {
					key = "'x'"
				}
				b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', ` + key + `)`)
				began := time.Now()
				b.done()
				if took := time.Since(began); took > time.Minute {
					t.Errorf("took %s", took)
				}
				b.want("records", fmt.Sprint(b.sf.count("Account")), "1")
				if want := map[bool]int{true: 1, false: 2}[done]; calls != want {
					t.Errorf("%d calls, want %d", calls, want)
				}
				b.exec(`UPDATE salesforce.account SET name = 'b'`) // nothing runs on that it would have to wait for
				b.done()
			})
		}
	}

	t.Run("each counts as an attempt, so a poisonous record ends up in a call of its own", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour))
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			for _, r := range c.Records {
				if r.Fields["Name"] == "poison" {
					return nil, errEnded, false
				}
			}
			return nil, nil, false
		})
		b.exec(`INSERT INTO salesforce.account (name) SELECT 'a' || n FROM generate_series(1, 20) n; INSERT INTO salesforce.account (name) VALUES ('poison')`)
		eventually(t, "the others are sent", func() bool { _, _ = b.worker.RunOnce(t.Context()); return b.sf.count("Account") == 20 })
	})
}

// A request whose answer was lost may run on, and put its old values over newer
// ones. So what comes after it for the same fields waits until it cannot (faults
// 55, 70), also after a restart, before its repetition and after; and only that.
func TestLateRequests(t *testing.T) {
	t.Parallel()
	const window = time.Hour
	for _, op := range []Op{Update, Upsert} {
		for _, algorithm := range []string{Ordered, Merged} {
			for _, restart := range []string{"never", "before it is repeated", "after", "after, and the row was locked"} {
				t.Run(fmt.Sprintf("%v, %s, restarted %s", op, algorithm, restart), func(t *testing.T) {
					t.Parallel()
					b := setup(t)
					options := []func(*Config){b.finding(window), withExternalID, func(c *Config) { c.Algorithm = algorithm }}
					again := func() {
						b.restart(options...)
						if err := b.worker.Recover(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					b.restart(options...)
					began := time.Now()
					if op == Update {
						b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v0', 'x')`)
						b.done()
					}
					var lost Call
					b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
						if lost.Records == nil {
							lost = c
							return nil, errLost, false // and runs on
						}
						return nil, nil, false
					})
					if op == Update {
						b.exec(`UPDATE salesforce.account SET name = 'v1'`)
					} else {
						b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v1', 'x')`)
					}
					b.tryRun()
					if restart == "before it is repeated" {
						again()
					}
					b.exec(`UPDATE salesforce.account SET name = 'v2'`)
					locked := func() {}
					if restart == "after, and the row was locked" {
						tx, err := b.pool.Begin(t.Context())
						if err == nil {
							_, err = tx.Exec(t.Context(), `SELECT FROM salesforce.account FOR UPDATE`)
						}
						if err != nil {
							t.Fatal(err)
						}
						locked = func() { _ = tx.Rollback(t.Context()) }
						defer locked()
					}
					record := func() map[string]any { return b.sf.records["acc000000000001AAA"] }
					eventually(t, "it is repeated", func() bool { b.tryRun(); return record()["Name"] == "v1" })
					if strings.HasPrefix(restart, "after") {
						again()
					}
					locked()
					for range 3 {
						b.tryRun()
					}
					b.want("v2 waits", fmt.Sprint(record()["Name"]), "v1")
					b.sf.apply(lost)
					if len(b.worker.lates) != 1 {
						t.Fatalf("%d requests may come late", len(b.worker.lates))
					}
					for _, l := range b.worker.lates {
						if early, late := began.Add(window), time.Now().Add(window); l.until.Before(early) || l.until.After(late) {
							t.Errorf("it waits until %s, want %s to %s", l.until, early, late)
						}
						l.until = time.Now()
					}
					b.done()
					b.want("record", fmt.Sprint(record()["Name"]), "v2")
					b.want("values", strings.Join(slices.Compact(b.sf.values("acc000000000001AAA", "Name")), " "), map[Op]string{Update: "v0 v1 v2", Upsert: "v1 v2"}[op])
				})
			}
		}
	}

	t.Run("other fields and other records do not wait, nor what follows an answer", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`)
		b.done()
		calls := 0
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if calls++; calls == 1 {
				return nil, errLost, true
			}
			return nil, nil, false
		})
		b.exec(`UPDATE salesforce.account SET name = 'a1' WHERE name = 'a'`)
		b.tryRun()
		b.exec(`UPDATE salesforce.account SET industry = 'i'; UPDATE salesforce.account SET name = 'b1' WHERE name = 'b'`)
		b.done()
		b.want("a", fmt.Sprint(b.sf.records["acc000000000001AAA"]), "map[Industry:i Name:a1]")
		b.want("b", fmt.Sprint(b.sf.records["acc000000000002AAA"]), "map[Industry:i Name:b1]")
	})

	t.Run("what an upsert left empty does not wait for it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), withExternalID)
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
		b.tryRun()
		b.exec(`UPDATE salesforce.account SET industry = 'i'`)
		b.done()
		b.want("record", fmt.Sprint(b.sf.records["acc000000000001AAA"]), "map[External_Id__c:x Industry:i Name:a]")
	})

	for _, names := range [][2]string{{"accountid = 'acc000000000001AAA'", "account__external_id__c = 'y'"}, {"account__external_id__c = 'x'", "accountid = 'acc000000000002AAA'"}} {
		t.Run("one parent by two columns is one field: "+names[0], func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(time.Hour), withExternalID)
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('x', 'x')`)
			b.done()
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('y', 'y'); INSERT INTO salesforce.contact (lastname) VALUES ('c')`)
			b.done()
			lost := false
			b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
				if !lost {
					lost = true
					return nil, errLost, false
				}
				return nil, nil, false
			})
			b.exec(`UPDATE salesforce.contact SET ` + names[0])
			b.tryRun()
			b.exec(`UPDATE salesforce.contact SET ` + names[1] + `; UPDATE salesforce.contact SET lastname = 'd'`)
			for range 5 {
				b.tryRun()
			}
			record := b.sf.records["con000000000003AAA"]
			b.want("parent", fmt.Sprint(record["AccountId"]), "acc000000000001AAA")
			for _, l := range b.worker.lates {
				l.until = time.Now()
			}
			b.done()
			b.want("parent", fmt.Sprint(record["AccountId"], record["LastName"]), "acc000000000002AAAd")
		})
	}

	t.Run("a delete waits for an upsert that would make the record again, not for an update", func(t *testing.T) {
		t.Parallel()
		for _, op := range []Op{Update, Upsert} {
			b := setup(t)
			b.restart(b.finding(time.Hour), withExternalID)
			lost := false
			b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
				if c.Op == op && !lost {
					lost = true
					return nil, errLost, false
				}
				return nil, nil, false
			})
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
			eventually(t, "it is there", func() bool { b.tryRun(); return b.live() == "" })
			if op == Update {
				b.exec(`UPDATE salesforce.account SET name = 'b'`)
				b.tryRun()
			}
			b.exec(`DELETE FROM salesforce.account`)
			for range 5 {
				b.tryRun()
			}
			b.want(op.String(), b.live(), map[Op]string{Update: "", Upsert: "DELETE/NEW"}[op])
		}
	})

	t.Run("those that wait do not keep others from being found", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), func(c *Config) { c.Window = 20 })
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b'), ('c')`)
		b.done()
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if c.Op == Update && len(c.Records) == 3 && c.Records[0].Fields["Name"] == "lost" {
				b.sf.script(nil)
				return nil, errLost, false
			}
			return nil, nil, false
		})
		b.exec(`UPDATE salesforce.account SET name = 'lost'`)
		b.tryRun()
		for n := range 30 {
			b.exec(fmt.Sprintf(`UPDATE salesforce.account SET name = 'n%d'`, n))
		}
		b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('other')`)
		eventually(t, "the other is sent", func() bool { b.tryRun(); return b.sf.count("Contact") == 1 })
	})
}

// An upsert took effect, its answer was lost, and somebody deleted the record: it is
// not made again. One that the row before it had does not count.
func TestDeletedWhileInDoubt(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %t", crash), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(time.Hour), withExternalID)
			lose := loseAnswers(1, false)
			b.sf.script(func(ctx context.Context, c Call) ([]Outcome, error, bool) {
				b.sf.apply(c)
				b.sf.drop("acc000000000001AAA")
				return lose(ctx, c)
			})
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
			b.tryRun()
			b.sf.script(nil)
			if crash {
				b.restart(b.finding(time.Hour), withExternalID)
				if err := b.worker.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.done()
			b.want("calls", b.sf.sent(), "upsert Account 1")
			b.want("row", b.one(`SELECT sfid FROM salesforce.account`), "acc000000000001AAA")
		})
	}

	t.Run("the record of a row before", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), withExternalID)
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
		b.done()
		b.sf.drop("acc000000000001AAA")
		b.hex(`DELETE FROM salesforce.account`) // as what comes in does
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
		b.done()
		b.want("row", b.one(`SELECT sfid FROM salesforce.account`), "acc000000000002AAA")
	})
}

// tryRun runs the worker once, whatever Salesforce says.
func (b *bundle) tryRun() {
	b.Helper()
	if _, err := b.worker.RunOnce(b.Context()); err != nil && !isFailure(err) {
		b.Fatal(err)
	}
}

// values lists what a record's field was set to, one after the other.
func (o *fakeOrg) values(id, field string) (list []string) {
	o.Lock()
	defer o.Unlock()
	for _, what := range o.history[id] {
		if _, value, ok := strings.Cut(what, field+":"); ok {
			list = append(list, strings.Trim(strings.Fields(value)[0], "]"))
		}
	}
	return list
}

// drop deletes a record as somebody else.
func (o *fakeOrg) drop(id string) {
	o.Lock()
	defer o.Unlock()
	o.bin[id] = o.records[id]
	delete(o.records, id)
}
