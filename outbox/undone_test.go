package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A request that was given up runs on for longer than newer values wait for it, and
// puts its old ones over them: they are sent again, also by another process, while
// nothing newer waits and nobody else has changed the record.
func TestUndone(t *testing.T) {
	t.Parallel()
	for _, op := range []Op{Update, Upsert} {
		for _, algorithm := range []string{Ordered, Merged} {
			for _, restarted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, %s, restarted %t", op, algorithm, restarted), func(t *testing.T) {
					t.Parallel()
					b, late := overtaken(t, op, algorithm)
					b.sf.apply(late)
					if restarted {
						b.restart(b.hasty(algorithm)...)
						if err := b.worker.Recover(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					b.want("record", b.name(), "v1")
					b.look()
					b.want("record", b.name(), "v2")
					b.want("log", b.live(), "")
					b.want("its last change", b.one(`SELECT concat_ws('|', old::hstore -> 'name', "values"::hstore -> 'name', "values"::hstore ? 'industry') FROM salesforce._trigger_log_archive ORDER BY id DESC LIMIT 1`), "v1|v2|f")
					calls := len(b.sf.calls)
					for range 5 {
						b.look()
					}
					b.want("calls after that", fmt.Sprint(len(b.sf.calls)-calls), "0")
				})
			}
		}
	}

	for name, c := range map[string]struct {
		then func(b *bundle, late Call)
		want string
	}{
		"nothing has come late": {func(*bundle, Call) {}, "v2"},
		"somebody else has changed the record": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.sf.foreign["acc000000000001AAA"] = true
		}, "v1"},
		"somebody else has given it another value": {func(b *bundle, _ Call) { b.sf.records["acc000000000001AAA"]["Name"] = "other" }, "other"},
		"the record is gone":                       {func(b *bundle, _ Call) { b.exec(`DELETE FROM salesforce.account`); b.done() }, "<nil>"},
		"the app has the row locked": {func(b *bundle, late Call) {
			b.sf.apply(late)
			tx, err := b.pool.Begin(b.Context())
			if err == nil {
				_, err = tx.Exec(b.Context(), `SELECT FROM salesforce.account FOR UPDATE`)
			}
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		}, "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, late := overtaken(t, Update, Ordered)
			c.then(b, late)
			calls := len(b.sf.calls)
			b.look()
			b.want("record", b.name(), c.want)
			b.want("calls", fmt.Sprint(len(b.sf.calls)-calls), "0")
		})
	}

	t.Run("a newer value that waits is not overwritten", func(t *testing.T) {
		t.Parallel()
		b, late := overtaken(t, Update, Ordered)
		b.sf.apply(late)
		b.exec(`UPDATE salesforce.account SET name = 'v3'`)
		b.look()
		b.want("record", b.name(), "v3")
		b.want("captured", b.one(`SELECT count(*) FROM salesforce._trigger_log_archive WHERE action = 'UPDATE'`), "3")
	})

	t.Run("looks are ever rarer, and end", func(t *testing.T) {
		t.Parallel()
		const late, window = 15 * time.Second, 13 * time.Minute
		var l relook
		start := time.Now()
		l.expect(start, late, window)
		var looks []time.Duration
		for !l.due.IsZero() {
			now := l.due
			looks = append(looks, now.Sub(start).Round(time.Second))
			if l.next(now); len(looks) > 20 {
				break
			}
		}
		if got, want := fmt.Sprint(looks), "[15s 45s 1m45s 3m45s 7m45s 13m15s]"; got != want {
			t.Errorf("looks at %s, want %s", got, want)
		}
		l.expect(start, late, window)
		l.next(l.due)
		l.expect(start.Add(20*time.Second), late, window)
		if got := l.due.Sub(start); got != 35*time.Second {
			t.Errorf("after another lost answer the next look is at %s", got)
		}
		l.expect(start.Add(30*time.Second), late, 0)
		if got := l.until.Sub(start); got != 20*time.Second+window+late {
			t.Errorf("after a delete that met nothing the last look is at %s", got)
		}
	})
}

// A request that was given up runs on for longer than a delete waits for it, and makes
// the record again: it is deleted once more, with the row that it may have come in as,
// also by another process and where the delete came late itself, unless somebody else
// has made it or somebody uses it.
func TestMadeAgain(t *testing.T) {
	t.Parallel()
	const first, again = "acc000000000001AAA", "acc000000000002AAA"
	comesIn := func(b *bundle) {
		b.hex(`INSERT INTO salesforce.account (name, external_id__c, sfid) VALUES ('v1', 'x', '` + again + `')`)
	}
	for _, algorithm := range []string{Ordered, Merged} {
		for _, restarted := range []bool{false, true} {
			for _, came := range []bool{false, true} {
				for _, waited := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, restarted %t, has come in %t, somebody was faster and the delete waited %t", algorithm, restarted, came, waited), func(t *testing.T) {
						t.Parallel()
						b, late := overtaken(t, Upsert, algorithm)
						b.exec(`DELETE FROM salesforce.account`)
						if waited {
							b.sf.drop(first)
							b.sf.apply(late)
							b.worker.relook = relook{}
							b.exec(`UPDATE salesforce._trigger_log_archive SET created_at = created_at - interval '1 day', processed_at = processed_at - interval '1 day'`)
						}
						b.done()
						if !waited {
							b.sf.apply(late)
						}
						if came {
							comesIn(b)
						}
						if restarted {
							b.restart(b.hasty(algorithm)...)
							if err := b.worker.Recover(t.Context()); err != nil {
								t.Fatal(err)
							}
						}
						b.want("records", fmt.Sprint(b.sf.count("Account")), "1")
						b.look()
						b.want("records", fmt.Sprint(b.sf.count("Account")), "0")
						b.want("rows", b.one(`SELECT count(*) FROM salesforce.account`), "0")
						b.want("log", b.live(), "")
						b.want("deleted", b.list(`SELECT sfid || '/' || state FROM salesforce._trigger_log_archive WHERE action = 'DELETE' ORDER BY id`), first+"/SUCCESS "+again+"/SUCCESS")
						calls := len(b.sf.calls)
						for range 5 {
							if !b.worker.relook.due.IsZero() {
								b.look()
							}
						}
						b.want("calls after that", fmt.Sprint(len(b.sf.calls)-calls), "0")
					})
				}
			}
		}
	}

	t.Run("answered when nothing waits for the request before any more", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.hasty(Ordered)...)
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v1', 'x')`)
		b.done()
		b.exec(`DELETE FROM salesforce.account`)
		b.done()
		b.sf.apply(b.sf.calls[0])
		b.look()
		b.want("records", fmt.Sprint(b.sf.count("Account")), "0")
	})

	locked := func(b *bundle) func() {
		tx, err := b.pool.Begin(b.Context())
		if err == nil {
			_, err = tx.Exec(b.Context(), `SELECT FROM salesforce.account FOR UPDATE`)
		}
		if err != nil {
			b.Fatal(err)
		}
		end := func() { _ = tx.Rollback(context.Background()) }
		b.Cleanup(end)
		return end
	}
	for name, c := range map[string]struct {
		then func(b *bundle, late Call)
		want string // records and rows
	}{
		"nothing has come late": {func(*bundle, Call) {}, " | "},
		"somebody else has made it": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.sf.foreign[again] = true
			comesIn(b)
		}, again + ":x | " + again + ":x"},
		"somebody has deleted it again": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.sf.drop(again)
		}, " | "},
		"somebody has taken the deletion back": {func(b *bundle, _ Call) {
			b.sf.records[first] = map[string]any{"External_Id__c": "x"}
			b.hex(`INSERT INTO salesforce.account (external_id__c, sfid) VALUES ('x', '` + first + `')`)
		}, first + ":x | " + first + ":x"},
		"the app has made it, too": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v3', 'x')`)
			b.done()
		}, again + ":x | " + again + ":x"},
		"the app makes it, too": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v3', 'x')`)
		}, again + ":x | " + again + ":x"},
		"the app makes it, in other letters": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.hex(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v3', 'X')`)
		}, again + ":x | :X"},
		"the app makes it, and has renamed it": {func(b *bundle, late Call) {
			b.sf.apply(late)
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v3', 'x'); UPDATE salesforce.account SET external_id__c = 'y'`)
		}, again + ":y | " + again + ":y"},
		"the app has changed it": {func(b *bundle, late Call) {
			b.sf.apply(late)
			comesIn(b)
			b.exec(`UPDATE salesforce.account SET name = 'v3'`)
			b.done()
		}, again + ":x | " + again + ":x"},
		"the app changes it": {func(b *bundle, late Call) {
			b.sf.apply(late)
			comesIn(b)
			b.exec(`UPDATE salesforce.account SET name = 'v3'`)
		}, again + ":x | " + again + ":x"},
		"the app has it locked": {func(b *bundle, late Call) {
			b.sf.apply(late)
			comesIn(b)
			locked(b)
		}, again + ":x | " + again + ":x"},
		"the app had it locked": {func(b *bundle, late Call) {
			b.sf.apply(late)
			comesIn(b)
			end := locked(b)
			b.look()
			end()
		}, " | "},
		"its row cannot be deleted": {func(b *bundle, late Call) {
			b.sf.apply(late)
			comesIn(b)
			b.exec(`CREATE TABLE salesforce.child (sfid varchar(18) REFERENCES salesforce.account (sfid)); INSERT INTO salesforce.child VALUES ('` + again + `')`)
		}, again + ":x | " + again + ":x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, late := overtaken(t, Upsert, Ordered)
			b.exec(`DELETE FROM salesforce.account`)
			b.done()
			c.then(b, late)
			looks := b.sf.looks
			b.look()
			if looks++; b.sf.looks != looks {
				t.Errorf("%d looks too many", b.sf.looks-looks)
			}
			var records []string
			for id, r := range b.sf.records {
				records = append(records, fmt.Sprint(id, ":", r["External_Id__c"]))
			}
			b.want("records and rows", strings.Join(records, " ")+" | "+b.list(`SELECT concat(sfid, ':', external_id__c) FROM salesforce.account`), c.want)
			b.want("log", b.live(), "")
		})
	}
}

// What was repeated is an update, which makes nothing: nobody looks.
func TestUpdateMakesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.restart(b.hasty(Ordered)...)
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
	b.done()
	lose := true
	b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
		if lose {
			lose = false
			return nil, errLost, false
		}
		return nil, nil, false
	})
	b.worker.cfg.Late = time.Hour
	b.exec(`UPDATE salesforce.account SET external_id__c = 'x'`)
	b.done()
	b.want("repeated", b.one(`SELECT count(*) FROM salesforce._trigger_log_archive WHERE sf_message LIKE 'IN_DOUBT%'`), "1")
	b.exec(`DELETE FROM salesforce.account`)
	b.done()
	looks := b.sf.looks
	b.look()
	b.want("looks", fmt.Sprint(b.sf.looks-looks), "0")
}

// hasty is a worker for which what was lost cannot come late.
func (b *bundle) hasty(algorithm string) []func(*Config) {
	return []func(*Config){b.finding(time.Hour), withExternalID, func(c *Config) { c.Late, c.Algorithm = time.Nanosecond, algorithm }}
}

// overtaken is a record of which v1 was sent, not answered and repeated, and then
// v2. The first request is returned: it may come late.
func overtaken(t *testing.T, op Op, algorithm string) (*bundle, Call) {
	t.Helper()
	b := setup(t)
	b.restart(b.hasty(algorithm)...)
	if op == Update {
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('v0', 'x')`)
		b.done()
	}
	var lost Call
	b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
		if lost.Records == nil {
			lost = c
			return nil, errLost, false
		}
		return nil, nil, false
	})
	// It was lost some time ago, and what it is repeated as is marked so.
	b.worker.cfg.Late = time.Hour
	switch {
	case op == Update:
		b.exec(`UPDATE salesforce.account SET name = 'v1', industry = 'i'`)
	case algorithm == Merged: // both go as one
		b.exec(`INSERT INTO salesforce.account (name, external_id__c, industry) VALUES ('v0', 'w', 'i'); UPDATE salesforce.account SET name = 'v1', external_id__c = 'x'`)
	default:
		b.exec(`INSERT INTO salesforce.account (name, external_id__c, industry) VALUES ('v1', 'x', 'i')`)
	}
	b.done()
	b.worker.cfg.Late = time.Nanosecond
	for _, l := range b.worker.lates {
		l.until = time.Now()
	}
	b.exec(`UPDATE salesforce.account SET name = 'v2'`)
	b.done()
	b.want("record", b.name(), "v2")
	return b, lost
}

func (b *bundle) name() string { return fmt.Sprint(b.sf.records["acc000000000001AAA"]["Name"]) }

// look has the worker look again now, and send what it finds.
func (b *bundle) look() {
	b.Helper()
	if b.worker.relook.due.IsZero() {
		b.Fatal("it does not look again")
	}
	b.worker.relook.due = time.Now()
	for range 3 {
		b.tryRun()
	}
}
