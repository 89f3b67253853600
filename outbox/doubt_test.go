package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Compare implements Finder.
func (o *fakeOrg) Compare(_ context.Context, _ string, values []Successive) ([]Standing, error) {
	o.Lock()
	defer o.Unlock()
	o.looks++
	if o.blind != nil {
		return nil, o.blind
	}
	list := make([]Standing, len(values))
	for i, v := range values {
		record := o.records[v.SFID]
		if record == nil {
			continue
		}
		list[i] = Standing{First: holds(record, v.First), Now: holds(record, v.Now), Ours: !o.foreign[v.SFID], Age: o.ages[v.SFID]}
	}
	return list, nil
}

func holds(record, fields map[string]any) Answer {
	answer := Unsure
	for field, value := range fields {
		if fmt.Sprint(record[field]) != fmt.Sprint(value) {
			return No
		}
		answer = Yes
	}
	return answer
}

// Find implements Finder: a record equals an attempt if it was made with just
// these values or more.
func (o *fakeOrg) Find(_ context.Context, object, externalID string, attempts []Attempt) ([]Candidate, error) {
	o.Lock()
	defer o.Unlock()
	o.looks++
	var list []Candidate
	all := maps.Clone(o.records)
	maps.Copy(all, o.bin)
	for id, record := range all {
		if o.objects[id] != object || o.foreign[id] {
			continue
		}
		c := Candidate{SFID: id, Deleted: o.bin[id] != nil}
		for i, a := range attempts {
			equal := true
			for field, value := range a.Fields {
				equal = equal && (record[field] == value || externalID != "" && field != externalID)
			}
			if equal {
				c.Equal = append(c.Equal, i)
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// finding gives the worker the org to look things up in, and a short window.
func (b *bundle) finding(window time.Duration) func(*Config) {
	return func(c *Config) { c.Finder, c.InDoubt, c.Late = b.sf, window, window }
}

var errLost = errors.New("connection reset by peer")

// loseAnswers drops the answers to the first n creations that take effect or not.
func loseAnswers(n int64, apply bool) func(context.Context, Call) ([]Outcome, error, bool) {
	left := atomic.Int64{}
	left.Store(n)
	return func(_ context.Context, c Call) ([]Outcome, error, bool) {
		if c.Op.creates() && left.Add(-1) >= 0 {
			return nil, errLost, apply
		}
		return nil, nil, false
	}
}

// done runs the worker until nothing is left in the log.
func (b *bundle) done() {
	b.Helper()
	eventually(b, "the log is empty", func() bool {
		if _, err := b.worker.RunOnce(b.Context()); err != nil && !isFailure(err) {
			b.Fatal(err)
		}
		return b.live() == ""
	})
}

func isFailure(err error) bool { _, ok := errors.AsType[*Failure](err); return ok }

func TestDoubt(t *testing.T) {
	t.Parallel()

	for _, n := range []int{1, 2, 200, 450} {
		for _, keyed := range []bool{false, true} {
			for _, algorithm := range []string{Ordered, Merged} {
				t.Run(fmt.Sprintf("%d lost answers, keyed %t, %s (fault 53)", n, keyed, algorithm), func(t *testing.T) {
					t.Parallel()
					b := setup(t)
					b.restart(b.finding(time.Hour), withExternalID, func(c *Config) { c.Algorithm = algorithm })
					b.sf.script(loseAnswers(3, true))
					key := "NULL"
					if keyed {
						key = "'k' || n"
					}
					b.exec(fmt.Sprintf(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'a' || n / 2, %s FROM generate_series(1, %d) AS n`, key, n))
					b.exec(`UPDATE salesforce.account SET industry = 'i'`)
					b.done()
					b.want("records", fmt.Sprint(b.sf.count("Account")), fmt.Sprint(n))
					b.want("rows", b.one(`SELECT count(DISTINCT sfid) FROM salesforce.account WHERE _hc_lastop IN ('INSERTED', 'UPDATED')`), fmt.Sprint(n))
					for _, r := range b.sf.records {
						if r["Industry"] != "i" {
							t.Fatalf("record %v lacks the update", r)
						}
					}
				})
			}
		}
	}

	t.Run("a request that runs on is not sent again, nor after a restart, and found (faults 55, 71)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour))
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); UPDATE salesforce.account SET industry = 'i'`)
		b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('other')`)
		for range 5 {
			b.run()
		}
		b.restart(b.finding(time.Hour))
		for range 3 {
			if err := b.worker.Recover(b.Context()); err != nil {
				t.Fatal(err)
			}
			b.run()
		}
		b.want("log", b.list(`SELECT action || state || left(coalesce(sf_message, ''), 8) FROM salesforce._trigger_log ORDER BY id`), "INSERTPENDINGIN_DOUBT UPDATENEW")
		b.want("calls", b.sf.sent(), "insert Account 1, insert Contact 1")
		b.sf.apply(b.sf.calls[0])
		b.worker.Suspect()
		b.done()
		b.want("calls", b.sf.sent(), "insert Account 1, insert Contact 1, update Account 1")
		b.want("records", fmt.Sprint(b.sf.count("Account")), "1")
	})

	t.Run("the window outlives the process, and then what is not there is sent again, once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		const window = 700 * time.Millisecond
		b.restart(b.finding(window))
		began := time.Now()
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.run()
		b.restart(b.finding(window))
		if err := b.worker.Recover(b.Context()); err != nil {
			t.Fatal(err)
		}
		b.done()
		if took := time.Since(began); took < window {
			t.Errorf("sent again after %s", took)
		}
		b.want("calls", b.sf.sent(), "insert Account 1, insert Account 1")
		b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, sfid) FROM salesforce.account`), "INSERTED|acc000000000001AAA")
	})

	t.Run("an insert that left a record which automation has rewritten is parked", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(20 * time.Millisecond))
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			b.sf.apply(c)
			b.sf.records["acc000000000001AAA"]["Name"] = "rewritten by automation"
			return nil, errLost, false
		})
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		eventually(t, "parked", func() bool { b.run(); return b.live() == "INSERT/FAILED" })
		hinted := func() {
			t.Helper()
			b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err::json->>'code', _hc_err LIKE '%acc000000000001AAA%') FROM salesforce.account`), "FAILED|IN_DOUBT|t")
			b.want("log", b.list(`SELECT concat_ws('|', state, sf_message LIKE '%Records that may be it: acc000000000001AAA.', (length(sf_message) - length(replace(sf_message, 'IN_DOUBT', ''))) / 8) FROM salesforce._trigger_log`), "FAILED|t|1")
		}
		hinted()
		b.drain()
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW'`) // is not to send it: the message stays
		b.drain()
		hinted()
		b.want("calls", b.sf.sent(), "insert Account 1")
	})

	// Automation has rewritten the record of the other entry, so that it equals nothing,
	// and no row tells its id.
	t.Run("a record of an entry whose row is gone is no reason to park an insert", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(300 * time.Millisecond))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('other')`)
		b.done()
		b.sf.records["acc000000000001AAA"]["Name"] = "rewritten"
		b.hex(`DELETE FROM salesforce.account`)
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('lost')`)
		b.done()
		b.want("calls", b.sf.sent(), "insert Account 1, insert Account 1, insert Account 1")
	})

	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("nor is that of an upsert that has no answer yet, restarted %t", restarted), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(time.Second), withExternalID)
			var first Call
			lose := loseAnswers(1, false)
			b.sf.script(func(ctx context.Context, c Call) ([]Outcome, error, bool) {
				switch {
				case c.Op == Insert:
					return lose(ctx, c)
				case first.Records == nil:
					first = c // it runs on
					return nil, errLost, false
				}
				return []Outcome{{Failure: &Failure{Class: Transient, Code: "UNABLE_TO_LOCK_ROW", Message: "locked"}}}, nil, false
			})
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('other', 'x')`)
			eventually(t, "the upsert is repeated", func() bool { b.tryRun(); return b.sf.sent() == "upsert Account 1, upsert Account 1" })
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('lost')`)
			b.tryRun()
			b.sf.apply(first)
			b.sf.records["acc000000000001AAA"]["Name"] = "rewritten"
			if restarted {
				b.restart(b.finding(time.Second), withExternalID)
				if err := b.worker.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the insert is sent again", func() bool { b.tryRun(); return b.sf.count("Account") == 2 })
			b.want("log", b.live(), "INSERT/NEW")
		})
	}

	t.Run("a found record keeps what others have written to it (fault 53)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), withExternalID)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if c.Op != Upsert {
				return nil, nil, false
			}
			b.sf.apply(c)
			b.sf.records["acc000000000001AAA"]["Name"] = "edited"
			return nil, errLost, false
		})
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x'); UPDATE salesforce.account SET industry = 'i'`)
		b.done()
		b.want("calls", b.sf.sent(), "upsert Account 1, update Account 1")
		b.want("record", fmt.Sprint(b.sf.records["acc000000000001AAA"]), "map[External_Id__c:x Industry:i Name:edited]")
	})

	t.Run("a record that was there before gets what was lost", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), withExternalID)
		b.sf.records["001"], b.sf.objects["001"], b.sf.foreign["001"] = map[string]any{"External_Id__c": "x", "Name": "old"}, "Account", true
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
		b.done()
		b.want("record", fmt.Sprint(b.sf.records["001"]), "map[External_Id__c:x Name:a]")
		b.want("row", b.one(`SELECT sfid FROM salesforce.account`), "001")
	})

	t.Run("two upserts of one key: a duplicate is the record (fault 56)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), withExternalID)
		calls := 0
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if calls++; calls == 1 {
				return nil, errLost, false // and runs on
			}
			b.sf.apply(b.sf.calls[0])
			b.sf.records["acc000000000001AAA"]["Name"] = "edited"
			return []Outcome{{Failure: &Failure{Class: Permanent, Code: "DUPLICATE_VALUE", Message: "duplicate value found"}}}, nil, false
		})
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`)
		b.done()
		b.want("calls", b.sf.sent(), "upsert Account 1, upsert Account 1")
		b.want("archive", b.archived(), "INSERT/SUCCESS")
		b.want("record", fmt.Sprint(b.sf.records["acc000000000001AAA"]), "map[External_Id__c:x Name:edited]")
	})

	t.Run("a duplicate of something else is refused, an ambiguous key too (fault 57)", func(t *testing.T) {
		t.Parallel()
		for _, code := range []string{"DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID", "300"} {
			b := setup(t)
			b.restart(b.finding(time.Hour), withExternalID)
			b.sf.script(refuse(100, Failure{Class: Permanent, Code: code, Message: "more than one"}, any1))
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x'), ('b', 'y')`)
			b.drain()
			b.want(code, b.live(), "INSERT/FAILED INSERT/FAILED")
			b.want("row", b.one(`SELECT _hc_err::json->>'code' FROM salesforce.account WHERE name = 'a'`), code)
		}
	})

	for _, exists := range []bool{true, false} {
		t.Run(fmt.Sprintf("a row deleted while its insert is in doubt, which took effect: %t (fault 72)", exists), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(50 * time.Millisecond))
			lose := loseAnswers(1, exists)
			b.sf.script(func(ctx context.Context, c Call) ([]Outcome, error, bool) {
				if c.Op == Insert {
					b.exec(`DELETE FROM salesforce.account`)
				}
				return lose(ctx, c)
			})
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			b.done()
			b.want("records", fmt.Sprint(b.sf.count("Account")), "0")
			want := "insert Account 1"
			if exists {
				want += ", delete Account 1"
			}
			b.want("calls", b.sf.sent(), want)
		})
	}

	t.Run("records that have a row are nobody's", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(100 * time.Millisecond))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.done()
		b.sf.script(loseAnswers(1, false))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.done()
		b.want("rows", b.list(`SELECT sfid FROM salesforce.account ORDER BY id`), "acc000000000001AAA acc000000000002AAA")
	})
}

// A process that ends anywhere between the claim and the result, for each kind of
// write, also in a full call (fault 54).
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"insert", "upsert", "update", "delete", "update in a full call", "delete in a full call"} {
		for _, point := range []string{"claimed", "request written", "response read", "result committed"} {
			t.Run(op+"/"+point, func(t *testing.T) {
				t.Parallel()
				op, full := strings.CutSuffix(op, " in a full call")
				b := setup(t)
				b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('there', '001')`)
				b.sf.records["001"], b.sf.objects["001"], b.sf.foreign["001"] = map[string]any{"Name": "there"}, "Account", true
				pool, err := pgxpool.New(b.Context(), b.pool.Config().ConnString())
				if err != nil {
					t.Fatal(err)
				}
				doomed := *b
				doomed.pool = pool
				doomed.restart(b.finding(200*time.Millisecond), withExternalID, func(c *Config) {
					if full {
						c.BatchSize = 1
					}
					c.Settle = func(context.Context, pgx.Tx, []Settled) error {
						if point == "response read" {
							return errors.New("the process ends here")
						}
						return nil
					}
				})
				b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
					switch point {
					case "claimed":
						pool.Close()
						return nil, errLost, false
					case "request written":
						pool.Close()
						return nil, errLost, true
					}
					return nil, nil, false
				})
				b.exec(map[string]string{
					"insert": `INSERT INTO salesforce.account (name) VALUES ('a')`,
					"upsert": `INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x')`,
					"update": `UPDATE salesforce.account SET name = 'a'`,
					"delete": `DELETE FROM salesforce.account`,
				}[op])
				_, _ = doomed.worker.RunOnce(b.Context())
				pool.Close()
				if point != "result committed" {
					b.want("left", b.list(`SELECT state FROM salesforce._trigger_log`), map[bool]string{true: "NEW", false: "PENDING"}[full])
					b.want("attempts", b.one(`SELECT count(*) FROM salesforce._trigger_log_attempt JOIN salesforce._trigger_log AS l ON l.id = ANY (entries)`), map[bool]string{true: "1", false: "0"}[full])
				}
				b.sf.script(nil)
				b.exec(`UPDATE salesforce.account SET industry = 'later'`)
				b.restart(b.finding(200*time.Millisecond), withExternalID)
				if err := b.worker.Recover(b.Context()); err != nil {
					t.Fatal(err)
				}
				b.done()
				want := map[string]string{"insert": "2", "upsert": "2", "update": "1", "delete": "0"}[op]
				b.want("records", fmt.Sprint(b.sf.count("Account")), want)
				b.want("rows", b.one(`SELECT count(DISTINCT sfid) FROM salesforce.account`), want)
				for id, r := range b.sf.records {
					if r["Industry"] != "later" || r["Name"] != "a" && id != "001" {
						t.Errorf("record %v", r)
					}
				}
			})
		}
	}
}

// match finds as many pairs as there are, of attempts and candidates that equal
// each other.
func TestMatch(t *testing.T) {
	t.Parallel()
	most := func(attempts int, candidates []Candidate) int {
		best := 0
		var try func(c, used, n int)
		try = func(c, used, n int) {
			if best = max(best, n); c == len(candidates) {
				return
			}
			try(c+1, used, n)
			for _, a := range candidates[c].Equal {
				if used&(1<<a) == 0 {
					try(c+1, used|1<<a, n+1)
				}
			}
		}
		try(0, 0, 0)
		return best
	}
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		attempts := make([]Attempt, rng.IntN(6))
		for i := range attempts {
			attempts[i].Fields = map[string]any{}
			for f := range rng.IntN(3) {
				attempts[i].Fields[fmt.Sprint(f)] = 0
			}
		}
		candidates := make([]Candidate, rng.IntN(6))
		for c := range candidates {
			for a := range attempts {
				if rng.IntN(3) == 0 {
					candidates[c].Equal = append(candidates[c].Equal, a)
				}
			}
		}
		pairs, taken := 0, map[int]bool{}
		for a, c := range match(attempts, candidates) {
			if c < 0 {
				continue
			}
			pairs++
			equal := false
			for _, x := range candidates[c].Equal {
				equal = equal || x == a
			}
			if taken[c] || !equal {
				t.Fatalf("seed %d: attempt %d got candidate %d wrongly", seed, a, c)
			}
			taken[c] = true
		}
		if want := most(len(attempts), candidates); pairs != want {
			t.Fatalf("seed %d: %d pairs, want %d", seed, pairs, want)
		}
	}
	got := match([]Attempt{{Fields: map[string]any{"a": 1}}, {Fields: map[string]any{"a": 1, "b": 2}}}, []Candidate{{Equal: []int{0, 1}}})
	if fmt.Sprint(got) != "[-1 0]" {
		t.Errorf("got %v: who sent more chooses first", got)
	}
}
