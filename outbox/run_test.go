package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/pgtest"
)

func TestRecover(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{Ordered, Merged} {
		for name, crash := range map[string]struct {
			apply bool
			plain string // what becomes of a plain insert
		}{
			"after the claim": {apply: false},
			"after the send":  {apply: true},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				t.Parallel()
				algorithm := func(c *Config) { c.Algorithm = mode }
				b := setup(t, withExternalID, algorithm)
				b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('u', '001'), ('d', '002')`)
				b.sf.records["001"], b.sf.records["002"] = map[string]any{}, map[string]any{}
				b.exec(`INSERT INTO salesforce.account (name) VALUES ('plain'); UPDATE salesforce.account SET industry = 'later' WHERE name = 'plain'`)
				b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('key', 'x'); UPDATE salesforce.account SET name = 'u2' WHERE name = 'u'; DELETE FROM salesforce.account WHERE name = 'd'`)

				// The process dies in each of the calls: what it claimed stays so.
				entries, err := b.worker.load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range b.worker.planner.plan(entries).calls {
					if c.items[0].blocked() {
						continue
					}
					var records []Record
					for _, i := range c.items {
						fields, _ := i.request(c)
						records = append(records, Record{SFID: i.sfid, Fields: fields})
					}
					if _, _, err := b.worker.claim(t.Context(), c, &settlement{}, c.items, records); err != nil {
						t.Fatal(err)
					}
					if crash.apply {
						b.sf.apply(Call{Object: c.table.Object, Op: c.op, ExternalID: "External_Id__c", Records: records})
					}
				}
				b.restart(withExternalID, algorithm)
				if err := b.worker.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.drain()
				b.want("log", b.live(), "INSERT/FAILED UPDATE/NEW")
				b.want("archive", b.archived(), "INSERT/SUCCESS UPDATE/SUCCESS DELETE/SUCCESS")
				b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err::json->>'code') FROM salesforce.account WHERE name = 'plain'`), "FAILED|IN_DOUBT")
				want := map[bool]string{false: "1", true: "2"}[crash.apply]
				b.want("records", fmt.Sprint(b.sf.count("Account")), want)
			})
		}
	}
}

// Sixteen writers of few rows, commits in random order: every record gets its
// changes once and in the order of their commits.
func TestOrderUnderConcurrentWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hex(`INSERT INTO salesforce.account (name, numberofemployees, sfid) SELECT 'a' || n, 0, '00' || n FROM generate_series(1, 8) AS n`)
	for n := range 8 {
		b.sf.records[fmt.Sprintf("00%d", n+1)] = map[string]any{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	pool := pgtest.Open(t, b.pool.Config().ConnString())
	var writers, worker sync.WaitGroup
	for w := range 16 {
		writers.Go(func() {
			for n := range 25 {
				_, err := pool.Exec(ctx, `BEGIN; UPDATE salesforce.account SET numberofemployees = numberofemployees + 1 WHERE id = `+fmt.Sprint(1+(w*7+n*3)%8)+`;
					SELECT pg_sleep(random() * 0.004); `+map[bool]string{true: "ROLLBACK", false: "COMMIT"}[n%10 == 9], pgx.QueryExecModeSimpleProtocol)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	worker.Go(func() { _ = b.worker.Run(ctx) })
	writers.Wait()
	eventually(t, "all sent", func() bool { return b.one(`SELECT count(*) FROM salesforce._trigger_log`) == "0" })
	cancel()
	worker.Wait()
	total := 0
	for id, list := range b.sf.history {
		for n, what := range list {
			if want := fmt.Sprintf("update map[NumberOfEmployees:%d]", n+1); what != want {
				t.Fatalf("%s: change %d is %s", id, n+1, what)
			}
		}
		total += len(list)
	}
	if want := 16 * 23; total != want {
		t.Errorf("%d changes sent, want %d", total, want)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()

	t.Run("a stop lets the call in hand finish", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		inCall, release := make(chan struct{}), make(chan struct{})
		b.sf.script(func(ctx context.Context, c Call) ([]Outcome, error, bool) {
			if c.Object == "Account" {
				close(inCall)
				<-release
				if ctx.Err() != nil {
					t.Error("the call was cut off")
				}
			}
			return nil, nil, false
		})
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); INSERT INTO salesforce.contact (lastname) VALUES ('b')`)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.worker.Run(ctx) }()
		<-inCall
		cancel()
		close(release)
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		b.want("row", b.one(`SELECT sfid FROM salesforce.account`), "acc000000000001AAA")
		b.want("log", b.live(), "INSERT/NEW")
	})

	t.Run("a call that does not end is cut after the grace and is in doubt", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(c *Config) { c.StopGrace = 20 * time.Millisecond })
		inCall := make(chan struct{})
		b.sf.script(func(ctx context.Context, _ Call) ([]Outcome, error, bool) {
			close(inCall)
			<-ctx.Done()
			return nil, context.Cause(ctx), false
		})
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.worker.Run(ctx) }()
		<-inCall
		cancel()
		<-done
		b.want("log", b.list(`SELECT state || left(sf_message, 8) FROM salesforce._trigger_log`), "FAILEDIN_DOUBT")
	})

	t.Run("what commits just after a wake-up is found without another", func(t *testing.T) {
		t.Parallel()
		wake := make(chan struct{})
		b := setup(t, func(c *Config) { c.Wake, c.IdlePoll = wake, time.Hour })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.worker.Run(ctx) }()
		tx, err := b.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `INSERT INTO salesforce.account (name) VALUES ('a')`); err != nil {
			t.Fatal(err)
		}
		wake <- struct{}{}
		b.exec(`SELECT pg_sleep(0.01)`) // the worker looks now, and sees nothing
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "sent", func() bool { return b.sf.count("Account") == 1 })
		cancel()
		<-done
	})

	t.Run("commit to call takes milliseconds when idle, and a lost wake-up a poll", func(t *testing.T) {
		t.Parallel()
		wake := make(chan struct{}, 1)
		b := setup(t, func(c *Config) { c.Wake, c.IdlePoll, c.Late = wake, 300*time.Millisecond, time.Hour })
		called := make(chan time.Time, 1)
		b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) { called <- time.Now(); return nil, nil, false })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.worker.Run(ctx) }()
		var took []time.Duration
		for range 20 {
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			committed := time.Now()
			wake <- struct{}{}
			took = append(took, max(0, (<-called).Sub(committed)))
		}
		t.Logf("commit to call: %v", took)
		time.Sleep(300 * time.Millisecond) // the last wake-up is followed by looks for so long
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('nobody says so')`)
		select {
		case <-called:
		case <-time.After(20 * time.Second):
			t.Error("not found by a poll")
		}
		cancel()
		<-done
	})
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sf.script(refuse(2, Failure{Class: Permanent, Code: "X", Message: "no good"}, any1))
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); INSERT INTO salesforce.contact (lastname) VALUES ('b')`)
	b.drain()
	b.exec(`INSERT INTO salesforce.account (name) VALUES ('c')`)
	counts, err := Counts(t.Context(), b.pool, testSchema)
	if err != nil || counts["account"].Pending != 1 || counts["account"].Failed != 1 || counts["contact"].Failed != 1 || counts["contact"].Pending != 0 || counts["account"].Oldest.IsZero() || !counts["contact"].Oldest.IsZero() {
		t.Errorf("counts: %+v, %v", counts, err)
	}
	errs, err := Errors(t.Context(), b.pool, testSchema, 0)
	if err != nil || len(errs) != 2 || errs[0].Table != "contact" || errs[0].Message != "no good" || errs[0].Action != "INSERT" || errs[0].At.IsZero() {
		t.Errorf("errors: %+v, %v", errs, err)
	}
	if n, err := Ignore(t.Context(), b.pool, testSchema, []int64{errs[0].ID}); n != 1 || err != nil {
		t.Errorf("ignore: %d, %v", n, err)
	}
	if n, err := Retry(t.Context(), b.pool, testSchema, nil); n != 1 || err != nil {
		t.Errorf("retry: %d, %v", n, err)
	}
	b.drain()
	b.want("archive", b.archived(), "INSERT/SUCCESS INSERT/IGNORED INSERT/SUCCESS")
	b.exec(`UPDATE salesforce._trigger_log_archive SET state = 'FAILED' WHERE state = 'IGNORED'`)
	if n, err := Retry(t.Context(), b.pool, testSchema, []int64{errs[0].ID}); n != 1 || err != nil {
		t.Errorf("retry of an archived one: %d, %v", n, err)
	}
	b.drain()
	b.drain()
	b.want("archive", b.archived(), "INSERT/SUCCESS INSERT/REQUEUED INSERT/SUCCESS INSERT/SUCCESS")
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := New(nil, Config{Algorithm: "fast", Tables: []Table{{Name: "t", ExternalID: "X__c"}}})
	for _, want := range []string{"schema is empty", "sender is nil", `algorithm "fast"`, "external id X__c is not mapped"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	for n := 1; n < 200; n++ {
		if d := backoff(n); d < 375*time.Millisecond || d > time.Minute {
			t.Errorf("backoff(%d) = %s", n, d)
		}
	}
	f := &Failure{Code: "X", Message: `a "b"`}
	if !json.Valid([]byte(f.column(time.Now()))) {
		t.Error(f.column(time.Now()))
	}
}
