package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

func calls(n, batch int) func(*Config) {
	return func(c *Config) { c.Calls, c.BatchSize = n, batch }
}

// accounts makes n records that are in both places.
func (b *bundle) accounts(n int) {
	b.Helper()
	b.hex(fmt.Sprintf(`INSERT INTO salesforce.account (name, external_id__c, sfid) SELECT 'a' || n, 'x' || n, 'acc' || lpad(n::text, 12, '0') || 'AAA' FROM generate_series(1, %d) AS n`, n))
	b.sf.next = n
	for i := range n {
		b.sf.records[fmt.Sprintf("acc%012dAAA", i+1)] = map[string]any{"Name": fmt.Sprint("a", i+1), "External_Id__c": fmt.Sprint("x", i+1)}
		b.sf.objects[fmt.Sprintf("acc%012dAAA", i+1)] = "Account"
	}
}

// Unrelated records do not wait for each other: one call is settled while another,
// that left before it, is still on its way.
func TestCallsSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t, calls(5, 1))
	b.accounts(3)
	b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
		if c.Records[0].SFID == "acc000000000001AAA" {
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
				var n int
				err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS' AND record_id <> 1`).Scan(&n)
				if err != nil || n == 2 {
					return nil, err, false
				}
				if time.Now().After(deadline) {
					return nil, errors.New("nothing is settled meanwhile"), false
				}
			}
		}
		return nil, nil, false
	})
	b.exec(`UPDATE salesforce.account SET industry = 'i'`)
	b.run()
	b.want("log", b.live(), "")
}

// The caller is asked about one call's answer at a time, and that is all that another's
// waits for: both are written to their rows side by side.
func TestAnswersSideBySide(t *testing.T) {
	t.Parallel()
	var b *bundle
	var within, longest, calledFor, written atomic.Int32
	b = setup(t, calls(2, 1), func(c *Config) {
		c.Settle = func(context.Context, pgx.Tx, []Settled) error {
			longest.Store(max(longest.Load(), within.Add(1)))
			defer within.Add(-1)
			calledFor.Add(1)
			return nil
		}
		// Here a call holds its rows. To look whether they are locked would be to lock them.
		c.Spent = func(*pgx.Batch) {
			written.Add(1)
			eventually(t, "both calls hold their rows", func() bool { return written.Load() == 2 })
		}
	})
	b.accounts(2)
	b.exec(`UPDATE salesforce.account SET industry = 'i'`)
	b.run()
	b.want("log", b.live(), "")
	if calledFor.Load() != 2 || longest.Load() != 1 {
		t.Errorf("called %d times, up to %d at a time", calledFor.Load(), longest.Load())
	}
}

// What depends on a call waits for it, and for no other run.
func TestCallsInLevels(t *testing.T) {
	t.Parallel()
	b := setup(t, withExternalID, calls(5, 4))
	b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) SELECT 'c', 'n' || n FROM generate_series(1, 4) AS n;
		INSERT INTO salesforce.account (name, external_id__c) SELECT 'a', 'n' || n FROM generate_series(1, 4) AS n`)
	b.run()
	b.want("calls", b.sf.sent(), "upsert Account 4, insert Contact 4")
	b.want("log", b.live(), "")
}

// However calls end, RunOnce takes down all that it began.
func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	t.Run("an outage", func(t *testing.T) {
		t.Parallel()
		b := setup(t, calls(3, 1))
		b.accounts(8)
		b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
			return nil, &Failure{Class: Transient, Code: "SERVER_UNAVAILABLE"}, false
		})
		b.exec(`UPDATE salesforce.account SET industry = 'i'`)
		if _, err := b.worker.RunOnce(t.Context()); err == nil {
			t.Error("no error")
		}
		b.want("waiting", strings.TrimSpace(strings.ReplaceAll(b.live(), "UPDATE/NEW", "")), "")
		if n := len(b.sf.calls); n > 4 {
			t.Errorf("%d calls into an outage", n)
		}
	})
	t.Run("a limit while another call is on its way", func(t *testing.T) {
		t.Parallel()
		b := setup(t, calls(2, 1))
		b.accounts(40)
		var once sync.Once
		refused := make(chan struct{})
		b.sf.script(func(_ context.Context, c Call) (_ []Outcome, err error, _ bool) {
			if c.Records[0].SFID == "acc000000000001AAA" {
				<-refused
				return nil, nil, false
			}
			once.Do(func() {
				close(refused)
				err = &Failure{Class: Limit, Code: "REQUEST_LIMIT_EXCEEDED"}
			})
			return nil, err, false
		})
		b.exec(`UPDATE salesforce.account SET industry = 'i'`)
		n, err := b.worker.RunOnce(t.Context())
		if f, ok := errors.AsType[*Failure](err); !ok || f.Class != Limit {
			t.Errorf("%v", err)
		}
		// The first call may land before the refusal does, and another may follow it then.
		waiting := strings.Fields(b.live())
		if n == 0 || n+len(waiting) != 40 || len(waiting) < 20 || strings.Join(waiting, " ") != strings.TrimSpace(strings.Repeat(" UPDATE/NEW", len(waiting))) {
			t.Errorf("%d settled, then %v", n, waiting)
		}
	})
	t.Run("a panic", func(t *testing.T) {
		t.Parallel()
		b := setup(t, calls(3, 1))
		b.accounts(4)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if c.Records[0].SFID == "acc000000000002AAA" {
				panic("at the disco")
			}
			return nil, nil, false
		})
		b.exec(`UPDATE salesforce.account SET industry = 'i'`)
		defer func() { b.want("panic", fmt.Sprint(recover()), "at the disco") }()
		b.run()
	})
}

// A call that is not answered holds up its own records, and what depends on them, and
// nothing else; a restart of the process loses none of it.
func TestUnansweredCallHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]int{"OfABacklog": 2, "OfFew": 200} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			var told []string
			b := setup(t, withExternalID, calls(3, batch), func(c *Config) {
				c.Patience, c.Log = 20*time.Millisecond, zerolog.New(&text).Level(zerolog.InfoLevel)
				c.Unanswered = func(object string, calls int) { told = append(told, fmt.Sprint(object, calls)) }
			})
			b.accounts(4)
			answer := make(chan struct{})
			b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
				if c.Object == "Account" && c.Records[0].SFID == "acc000000000001AAA" && c.Records[0].Fields["Industry"] == "held" {
					<-answer
				}
				return nil, nil, false
			})
			b.exec(`UPDATE salesforce.account SET industry = 'held' WHERE id <= 2`)
			b.run()
			b.exec(`UPDATE salesforce.account SET industry = 'later' WHERE id = 1`)
			b.exec(`UPDATE salesforce.account SET industry = 'free' WHERE id >= 3`)
			b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('free')`)
			eventually(t, "the others are sent", func() bool { b.run(); return b.archived() == "UPDATE/SUCCESS UPDATE/SUCCESS INSERT/SUCCESS" })
			b.want("waits", b.live(), "UPDATE/PENDING UPDATE/PENDING UPDATE/NEW")
			b.worker.aside[0].begun = time.Now().Add(-slowFrom)
			b.run()
			b.run()
			if n := strings.Count(text.String(), `"event":"call_slow"`); n != 1 {
				t.Errorf("the log tells of it %d times:\n%s", n, text.String())
			}
			close(answer)
			b.worker.bringDown(t.Context())
			b.drain()
			b.want("told", fmt.Sprint(told), "[Account1 Account0]")
			b.want("log", b.live(), "")
			b.want("last", fmt.Sprint(b.sf.history["acc000000000001AAA"]), "[update map[Industry:held] update map[Industry:later]]")
		})
	}
}

// Records of one table whose calls are all slow leave a place to those of the others,
// however many wait; and when no call at all is answered, the rest goes on and tells of it.
func TestSlowTableLeavesAPlace(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	b := setup(t, calls(3, 1), func(c *Config) {
		c.Patience, c.Window, c.Log = 20*time.Millisecond, 10, zerolog.New(&text).Level(zerolog.InfoLevel)
	})
	b.accounts(100)
	answer := make(chan struct{})
	slow := map[string]bool{"Account": true}
	b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
		b.sf.Lock()
		wait := slow[c.Object]
		b.sf.Unlock()
		if wait {
			<-answer
		}
		return nil, nil, false
	})
	b.exec(`UPDATE salesforce.account SET industry = 'slow'`)
	contact := func(name string) {
		b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ($1)`, name)
		for range 20 {
			b.run()
		}
	}
	contact("first")
	eventually(t, "another table is sent, and two are set aside", func() bool { b.run(); return b.archived() == "INSERT/SUCCESS" && len(b.worker.aside) == 2 })

	b.sf.Lock()
	slow["Contact"] = true
	b.sf.Unlock()
	contact("second")
	b.want("set aside", fmt.Sprint(len(b.worker.aside)), "3")
	for _, f := range b.worker.aside {
		f.begun = time.Now().Add(-slowFrom)
	}
	b.run()
	if n := strings.Count(text.String(), `"event":"call_slow"`); n != 3 {
		t.Errorf("the log tells of 3 calls %d times:\n%s", n, text.String())
	}
	close(answer)
	b.worker.bringDown(t.Context())
	eventually(t, "all is sent", func() bool { b.run(); return b.live() == "" })
	b.want("twice", fmt.Sprint(len(b.sf.history["acc000000000001AAA"])), "1")
}

// Run waits for the calls that it has set aside, for as long as the grace of a stop.
func TestStopWithAnUnansweredCall(t *testing.T) {
	t.Parallel()
	b := setup(t, calls(3, 200), func(c *Config) { c.Patience, c.StopGrace = time.Millisecond, 50*time.Millisecond })
	b.accounts(1)
	sent := make(chan struct{})
	b.sf.script(func(ctx context.Context, _ Call) ([]Outcome, error, bool) {
		close(sent)
		<-ctx.Done()
		return nil, &Failure{Class: Transient, InDoubt: true}, false
	})
	b.exec(`UPDATE salesforce.account SET industry = 'i'`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-sent
		for len(b.list(`SELECT 1 FROM salesforce._trigger_log WHERE state = 'PENDING'`)) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := b.worker.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(b.worker.aside) != 0 {
		t.Error("a call is left")
	}
	b.want("log", b.live(), "UPDATE/NEW")
}

// Random transactions over parents and children, with calls and records that fail
// for a while, answers that are lost, and, every other time, calls that are set aside
// as they are not answered: no record is in two calls at a time, no
// child goes before its parent, changes of a record keep their order, and at the
// end both sides are equal.
func TestCallsAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			atRandom(t, rand.New(rand.NewPCG(seed, 7)), seed%2 == 0)
		})
	}
}

func atRandom(t *testing.T, rng *rand.Rand, impatient bool) {
	t.Helper()
	fates := rand.New(rand.NewPCG(rng.Uint64(), 7)) // under mu
	patience, longest, wasAside := time.Minute, time.Millisecond, false
	if impatient {
		patience, longest = 2*time.Millisecond, 30*time.Millisecond
	}
	algorithm := []string{Ordered, Merged}[rng.IntN(2)]
	b := setup(t, withExternalID, calls(5, 1+rng.IntN(3)), func(c *Config) { c.Algorithm, c.Late, c.Patience = algorithm, 1, patience })
	b.accounts(6)
	var mu sync.Mutex
	flying, most := map[string]bool{}, 0
	total := 0
	b.sf.script(func(_ context.Context, c Call) (outcomes []Outcome, err error, apply bool) {
		mu.Lock()
		defer mu.Unlock()
		total++
		names := make([]string, len(c.Records))
		for i, r := range c.Records {
			names[i] = r.SFID + fmt.Sprint(r.Fields["External_Id__c"], r.Fields["LastName"])
			if r.SFID != "" {
				names[i] = r.SFID
			}
			if flying[names[i]] {
				t.Errorf("%s is in two calls", names[i])
			}
			flying[names[i]] = true
		}
		most = max(most, total)
		fate, takes := fates.IntN(12), time.Millisecond // so that calls overlap
		if fates.IntN(3) == 0 {
			takes = longest
		}
		mu.Unlock()
		time.Sleep(takes)
		mu.Lock()
		total--
		for _, name := range names {
			delete(flying, name)
		}
		switch {
		case fate == 0:
			return nil, &Failure{Class: Transient, Code: "SERVER_UNAVAILABLE"}, false
		case fate == 1 && c.Op != Insert: // an insert would be parked
			return nil, errors.New("connection reset"), true
		case fate == 2:
			outcomes = make([]Outcome, len(c.Records))
			for i := range outcomes {
				outcomes[i].Failure = &Failure{Class: Transient, Code: codeLocked}
			}
			return outcomes, nil, false
		}
		return nil, nil, false
	})
	value, contacts := 0, 0
	for range 12 {
		var tx strings.Builder
		for range 1 + rng.IntN(5) {
			value++
			switch account := 1 + rng.IntN(6); rng.IntN(4) {
			case 0:
				contacts++
				fmt.Fprintf(&tx, `INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('c%d', 'new%d');
					INSERT INTO salesforce.account (name, external_id__c) VALUES ('p%[2]d', 'new%[2]d');`, contacts, value)
			case 1:
				fmt.Fprintf(&tx, `INSERT INTO salesforce.account (name, external_id__c, parentid) VALUES ('k%d', 'kid%d', 'acc%012dAAA');`, value, value, account)
			default:
				fmt.Fprintf(&tx, `UPDATE salesforce.account SET numberofemployees = %d WHERE id = %d;`, value, account)
			}
		}
		b.exec(tx.String())
		_, _ = b.worker.RunOnce(t.Context())
		wasAside = wasAside || len(b.worker.aside) > 0
	}
	if wasAside != impatient {
		t.Errorf("calls were set aside: %v", wasAside)
	}
	defer b.worker.bringDown(t.Context())
	for range 600 {
		_, _ = b.worker.RunOnce(t.Context())
		if b.one(`SELECT count(*) FROM salesforce._trigger_log`) == "0" {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	b.want("log", b.live(), "")
	b.want("refused", b.one(`SELECT count(*) FROM salesforce.account WHERE _hc_err IS NOT NULL`)+b.one(`SELECT count(*) FROM salesforce.contact WHERE _hc_err IS NOT NULL OR sfid IS NULL`), "00")
	b.want("accounts", fmt.Sprint(b.sf.count("Account")), b.one(`SELECT count(*) FROM salesforce.account`))
	b.want("contacts", fmt.Sprint(b.sf.count("Contact")), fmt.Sprint(contacts))
	for id, list := range b.sf.history {
		if !strings.HasPrefix(id, "acc0000000000") || b.sf.records[id] == nil {
			continue
		}
		last := 0
		for _, what := range list {
			n := last
			_, _ = fmt.Sscanf(what, "update map[NumberOfEmployees:%d]", &n)
			if n < last {
				t.Errorf("%s: %d after %d", id, n, last)
			}
			last = n
		}
	}
	for n := range 6 {
		id := fmt.Sprintf("acc%012dAAA", n+1)
		now := b.one(fmt.Sprintf(`SELECT numberofemployees FROM salesforce.account WHERE sfid = '%s'`, id))
		if got := fmt.Sprint(b.sf.records[id]["NumberOfEmployees"]); now != "NULL" && got != now {
			t.Errorf("%s: %s in Salesforce, %s here", id, got, now)
		}
	}
	if most < 2 {
		t.Error("calls never overlapped")
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	p := newPace(5)
	good, bad := &flight{ready: []*item{{}}}, &flight{ready: []*item{{}}, whole: &Failure{Class: Transient}}
	slowly := &flight{ready: []*item{{}}, took: time.Minute}
	locked := &flight{ready: []*item{{}}, results: settlement{results: []*result{{}, {failure: &Failure{Class: Transient, Code: codeLocked}}}}}
	for n, step := range []struct {
		f    *flight
		want int
	}{
		{good, 2},
		{slowly, 2},
		{good, 3},
		{good, 3},
		{good, 3},
		{good, 4},
		{good, 4},
		{good, 4},
		{good, 4},
		{good, 5},
		{good, 5},
		{bad, 2},
		{&flight{ready: bad.ready, whole: bad.whole, took: time.Hour}, 2}, // it began before the cut
		{locked, 1},
		{bad, 1},
		{good, 2},
	} {
		if p.note(step.f); p.now != step.want {
			t.Errorf("step %d: %d calls, want %d", n, p.now, step.want)
		}
	}
	if p := newPace(1); p.now != 1 {
		t.Error("more calls than wanted")
	}
}

// Salesforce locks the parent of a record that is written: children of one are in
// the same call as far as they fit, and otherwise in the order of the log.
func TestPlanGathersChildren(t *testing.T) {
	t.Parallel()
	p := testPlanner(true, testTables())
	p.batch = 2
	b := logOf(t,
		"UPDATE contact/1 c1 : lastname=>a | accountid=>p1", "UPDATE contact/2 c2 : lastname=>a | accountid=>p2", "UPDATE contact/3 c3 : lastname=>a",
		"UPDATE contact/4 c4 : lastname=>a,accountid=>p1 | accountid=>p9", "UPDATE contact/5 c5 : lastname=>a | accountid=>p2")
	if got, want := show(p.plan(b)), "update contact 1 4; update contact 2 5; update contact 3"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A run that sent less than a full call is followed by a pause, so that the next
// has more; one that found nothing, or a backlog, is not.
func TestGathering(t *testing.T) {
	t.Parallel()
	b := setup(t, calls(1, 2))
	b.accounts(2)
	r := runner{Worker: b.worker, timer: time.NewTimer(time.Hour)}
	defer r.timer.Stop()
	for _, step := range []struct {
		rows int
		held bool
	}{{1, true}, {0, false}, {2, false}} {
		b.exec(fmt.Sprintf(`UPDATE salesforce.account SET industry = clock_timestamp() WHERE id <= %d`, step.rows))
		if r.step(t.Context()); r.held != step.held {
			t.Errorf("after %d rows: held %v", step.rows, r.held)
		}
	}
}
