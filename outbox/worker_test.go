package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var any1 = func(Call, Record) bool { return true }

func named(name string) func(Call, Record) bool {
	return func(_ Call, r Record) bool { return r.Fields["Name"] == name }
}

func TestWorker(t *testing.T) {
	t.Parallel()

	t.Run("a row's life", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		row := func() string {
			return b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err, sfid) FROM salesforce.account`)
		}
		b.exec(`INSERT INTO salesforce.account (name, annualrevenue, active__c) VALUES ('a', 1e20, true)`)
		b.want("captured", row(), "PENDING")
		b.run()
		b.want("inserted", row(), "INSERTED|acc000000000001AAA")
		b.exec(`UPDATE salesforce.account SET name = NULL`)
		b.run()
		b.want("updated", row(), "UPDATED|acc000000000001AAA")
		b.exec(`DELETE FROM salesforce.account`)
		b.run()
		b.want("calls", b.sf.sent(), "insert Account 1, update Account 1, delete Account 1")
		b.want("history", fmt.Sprint(b.sf.history["acc000000000001AAA"]), "[insert map[Active__c:true AnnualRevenue:100000000000000000000 Name:a] update map[Name:<nil>] delete map[]]")
		b.want("log", b.live(), "")
		b.want("archive", b.archived(), "INSERT/SUCCESS UPDATE/SUCCESS DELETE/SUCCESS")
		b.want("archived facts", b.list(`SELECT DISTINCT concat(processed_at IS NOT NULL, processed_tx > 0, sfid) FROM salesforce._trigger_log_archive`), "ttacc000000000001AAA")
	})

	t.Run("a failure is in log and row, and the documented recipes retry it (fault 64)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "REQUIRED_FIELD_MISSING", Message: "Required fields are missing: [LastName]", Fields: []string{"LastName"}}, any1))
		b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('a')`)
		b.drain()
		b.want("log", b.list(`SELECT state || sf_message FROM salesforce._trigger_log`), "FAILEDRequired fields are missing: [LastName]")
		b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err::json->>'code', _hc_err::json->>'message', _hc_err::json->'fields'->>0, (_hc_err::json->>'at')::timestamptz > now() - interval '1 minute') FROM salesforce.contact`),
			"FAILED|REQUIRED_FIELD_MISSING|Required fields are missing: [LastName]|LastName|t")
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`)
		b.drain()
		b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err, sfid) FROM salesforce.contact`), "INSERTED|con000000000001AAA")
		b.exec(`UPDATE salesforce._trigger_log_archive SET state = 'REQUEUE'`)
		b.drain()
		b.drain()
		b.want("archive", b.archived(), "INSERT/REQUEUED INSERT/SUCCESS")
		b.want("calls", b.sf.sent(), "insert Contact 1, insert Contact 1, update Contact 1")
		b.want("no twin", fmt.Sprint(b.sf.count("Contact")), "1")
	})

	t.Run("a dismissed failure goes to the archive", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "X", Message: "x"}, any1))
		b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('a')`)
		b.drain()
		b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED' WHERE state = 'FAILED'`)
		b.drain()
		b.want("archive", b.archived()+b.live(), "INSERT/IGNORED")
	})

	t.Run("ordered: a failed insert holds up its record only, captured anew it goes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "X", Message: "x"}, named("a")))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.drain()
		b.exec(`UPDATE salesforce.account SET name = 'b'; INSERT INTO salesforce.account (name) VALUES ('c')`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED UPDATE/NEW")
		b.one(`SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account WHERE name = 'b'`)
		b.drain()
		b.want("archive", b.archived(), "INSERT/MERGED UPDATE/MERGED INSERT/SUCCESS INSERT/SUCCESS")
		b.want("calls", b.sf.sent(), "insert Account 1, insert Account 1, insert Account 1")
		b.want("rows", b.list(`SELECT name || _hc_lastop FROM salesforce.account ORDER BY id`), "bINSERTED cINSERTED")
	})

	t.Run("merged: an update sends a failed insert again", func(t *testing.T) {
		t.Parallel()
		b := setup(t, merged)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "X", Message: "x"}, any1))
		b.exec(`INSERT INTO salesforce.account (industry) VALUES ('i')`)
		b.drain()
		b.exec(`UPDATE salesforce.account SET name = 'b'; UPDATE salesforce.account SET name = 'c'`)
		b.drain()
		b.want("archive", b.archived(), "INSERT/SUCCESS UPDATE/MERGED UPDATE/MERGED")
		b.want("record", fmt.Sprint(b.sf.records["acc000000000001AAA"]), "map[Industry:i Name:c]")
		b.want("merged into", b.list(`SELECT sf_result::text FROM salesforce._trigger_log_archive WHERE state = 'MERGED'`), "1 1")
	})

	t.Run("parents and children of one transaction", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withExternalID)
		b.exec(`BEGIN; INSERT INTO salesforce.contact (lastname, account__external_id__c) SELECT 'c' || n, 'x' || n FROM generate_series(1, 3) AS n;
			INSERT INTO salesforce.account (name, external_id__c) SELECT 'a' || n, 'x' || n FROM generate_series(1, 3) AS n; COMMIT`)
		b.run()
		b.want("calls", b.sf.sent(), "upsert Account 3, insert Contact 3")
		b.want("log", b.live(), "")
	})

	t.Run("children of a refused parent wait and go with it (fault 74)", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withExternalID)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "X", Message: "x"}, named("a")))
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'x'); INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('c', 'x'), ('d', NULL)`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED INSERT/NEW")
		const why = `SELECT sf_message FROM salesforce._trigger_log WHERE state = 'NEW'`
		b.want("why", b.list(why), `PARENT_REFUSED: waits for the record with account.external_id__c "x", whose insert was refused, see entry 1`)
		b.exec(`UPDATE salesforce._trigger_log SET updated_at = 'epoch'`)
		b.restart(withExternalID)
		b.drain()
		b.want("said once", b.list(`SELECT count(*)::text FROM salesforce._trigger_log WHERE updated_at > 'epoch'`), "0")
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`)
		b.drain()
		b.want("log", b.live(), "")
		b.want("why, once it has gone", b.list(`SELECT coalesce(sf_message, '-') FROM salesforce._trigger_log_archive WHERE table_name = 'contact'`), "- -")
	})

	// Salesforce answers it with an internal error again and again, while it takes others:
	// that does not end by itself, so the record is refused after some attempts.
	t.Run("a poison record breaks only itself, and is refused in the end (fault 75)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			for _, r := range c.Records {
				if r.Fields["Name"] == "poison" {
					return nil, &Failure{Class: Transient, Code: "UNKNOWN_EXCEPTION", Message: "An unexpected error occurred"}, false
				}
			}
			return nil, nil, false
		})
		b.exec(`INSERT INTO salesforce.account (name) SELECT CASE n WHEN 77 THEN 'poison' ELSE 'a' || n END FROM generate_series(1, 150) AS n`)
		attempts := func(name string) (n int) {
			for _, c := range b.sf.calls {
				if slices.ContainsFunc(c.Records, func(r Record) bool { return r.Fields["Name"] == name }) {
					n++
				}
			}
			return n
		}
		const left = `SELECT state || (values::hstore->'name') || ' ' || coalesce(sf_message, '') FROM salesforce._trigger_log`
		for range internalMost + 10 {
			_, err := b.worker.RunOnce(t.Context()) // two refused calls in a row look like an outage
			if _, ok := errors.AsType[*Failure](err); err != nil && !ok {
				t.Fatal(err)
			}
			if attempts("poison") == internalMost-1 {
				b.want("before the last attempt", b.list(left), "NEWpoison An unexpected error occurred")
			}
			time.Sleep(2 * time.Millisecond)
		}
		b.want("left", b.list(left), "FAILEDpoison An unexpected error occurred")
		b.want("attempts", fmt.Sprint(attempts("poison")), fmt.Sprint(internalMost))
		b.want("row", b.one(`SELECT _hc_lastop || (_hc_err::json->>'code') FROM salesforce.account WHERE name = 'poison'`), "FAILEDUNKNOWN_EXCEPTION")
		b.want("records", fmt.Sprint(b.sf.count("Account")), "149")
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW'`)
		b.run()
		b.want("it is tried again when a person asks", fmt.Sprint(attempts("poison")), fmt.Sprint(internalMost+1))
	})

	t.Run("a transient failure backs off and holds up only its record", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(c *Config) {
			c.Backoff = func(n int) time.Duration { return time.Duration(n) * 2 * time.Second }
		})
		b.sf.script(refuse(1, Failure{Class: Transient, Code: "UNABLE_TO_LOCK_ROW", Message: "locked"}, named("a")))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); UPDATE salesforce.account SET industry = 'i'`)
		b.run()
		b.want("log", b.list(`SELECT action || state || coalesce(sf_message, '') FROM salesforce._trigger_log ORDER BY id`), "INSERTNEWlocked UPDATENEW")
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('b')`)
		b.run()
		b.want("calls", b.sf.sent(), "insert Account 1, insert Account 1")
		eventually(t, "sent again", func() bool { b.run(); return b.live() == "" })
		b.want("calls", b.sf.sent(), "insert Account 1, insert Account 1, insert Account 1, update Account 1")
	})

	t.Run("an upsert that met another is repeated once", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withExternalID)
		b.sf.script(refuse(2, Failure{Class: Permanent, Code: "DUPLICATE_VALUE", Message: "duplicate value found"}, any1))
		b.exec(`INSERT INTO salesforce.account (external_id__c) VALUES ('x')`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED")
		b.want("calls", b.sf.sent(), "upsert Account 1, upsert Account 1")
	})

	t.Run("a limit stops everything and counts no attempt (fault 66)", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		limit := &Failure{Class: Limit, Code: "REQUEST_LIMIT_EXCEEDED", Message: "TotalRequests Limit exceeded."}
		b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) { return nil, limit, false })
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); INSERT INTO salesforce.contact (lastname) VALUES ('a')`)
		_, err := b.worker.RunOnce(t.Context())
		if f, ok := errors.AsType[*Failure](err); !ok || f.Class != Limit {
			t.Fatalf("got %v", err)
		}
		b.want("calls", b.sf.sent(), "insert Account 1")
		b.want("log", b.live(), "INSERT/NEW INSERT/NEW")
		if len(b.worker.retries) != 0 {
			t.Errorf("attempts counted: %v", b.worker.retries)
		}
		b.sf.script(nil)
		b.run()
		b.want("log", b.live(), "")
	})

	t.Run("an insert in doubt is parked, everything else repeated", func(t *testing.T) {
		t.Parallel()
		for name, answer := range map[string]func(Call) ([]Outcome, error){
			"no answer":       func(Call) ([]Outcome, error) { return nil, errors.New("connection reset by peer") },
			"too few answers": func(Call) ([]Outcome, error) { return []Outcome{}, nil },
			"no id": func(c Call) ([]Outcome, error) {
				if c.Op == Update || c.Op == Delete {
					return nil, errors.New("eof")
				}
				return make([]Outcome, len(c.Records)), nil
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setup(t, withExternalID)
				b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('u', '001'), ('d', '002')`)
				b.sf.records["001"], b.sf.records["002"] = map[string]any{}, map[string]any{}
				once := map[Op]bool{}
				b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
					if once[c.Op] {
						return nil, nil, false
					}
					once[c.Op] = true
					outcomes, err := answer(c)
					return outcomes, err, true
				})
				b.exec(`INSERT INTO salesforce.account (name) VALUES ('plain'); UPDATE salesforce.account SET industry = 'later' WHERE name = 'plain'`)
				b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('key', 'x'); UPDATE salesforce.account SET name = 'u2' WHERE name = 'u'; DELETE FROM salesforce.account WHERE name = 'd'`)
				for range 10 {
					_, _ = b.worker.RunOnce(t.Context())
					time.Sleep(2 * time.Millisecond)
				}
				b.want("log", b.live(), "INSERT/FAILED UPDATE/NEW")
				b.want("archive", b.archived(), "INSERT/SUCCESS UPDATE/SUCCESS DELETE/SUCCESS")
				b.want("row", b.one(`SELECT concat_ws('|', _hc_lastop, _hc_err::json->>'code') FROM salesforce.account WHERE name = 'plain'`), "FAILED|IN_DOUBT")
				b.want("no twin", fmt.Sprint(b.sf.count("Account")), "2")
				// neither the recipe nor retry --all repeats it, only its id does
				b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`)
				b.drain()
				b.want("log", b.live(), "INSERT/FAILED UPDATE/NEW")
				if n, err := Retry(t.Context(), b.pool, testSchema, nil); n != 0 || err != nil {
					t.Errorf("retry of all: %d, %v", n, err)
				}
				errs, err := Errors(t.Context(), b.pool, testSchema, 0)
				if err != nil || len(errs) != 1 || !errs[0].InDoubt {
					t.Fatalf("errors: %+v, %v", errs, err)
				}
				if n, err := Retry(t.Context(), b.pool, testSchema, []int64{errs[0].ID}); n != 1 || err != nil {
					t.Errorf("retry: %d, %v", n, err)
				}
				b.drain()
				b.want("log", b.live(), "")
			})
		}
	})

	t.Run("a row deleted while its insert travels is deleted in Salesforce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if c.Op == Insert {
				b.exec(`DELETE FROM salesforce.account`)
			}
			return nil, nil, false
		})
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.drain()
		b.want("archive", b.archived(), "INSERT/SUCCESS DELETE/SUCCESS")
		b.want("records", fmt.Sprint(b.sf.count("Account")), "0")
	})

	t.Run("insert and delete before anything was sent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); UPDATE salesforce.account SET name = 'b'; DELETE FROM salesforce.account`)
		b.drain()
		b.want("calls", b.sf.sent(), "")
		b.want("archive", b.archived(), "INSERT/IGNORE UPDATE/IGNORE DELETE/IGNORE")
	})

	t.Run("the delete of a refused insert dismisses it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "X", Message: "x"}, any1))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.drain()
		b.exec(`UPDATE salesforce.account SET name = 'b'; DELETE FROM salesforce.account`)
		b.drain()
		b.want("archive", b.archived()+b.live(), "INSERT/IGNORED UPDATE/IGNORED DELETE/IGNORE")
	})

	t.Run("a delete of what is gone is done, an update of it a failure", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('a', '001'), ('b', '002')`)
		b.exec(`DELETE FROM salesforce.account WHERE name = 'a'; UPDATE salesforce.account SET name = 'c'`)
		b.drain()
		b.want("log", b.live(), "UPDATE/FAILED")
		b.want("archive", b.archived(), "DELETE/SUCCESS")
		b.want("message", b.list(`SELECT sf_message FROM salesforce._trigger_log_archive`), "no record to delete that the user can see: ENTITY_IS_DELETED: entity is deleted")
	})

	t.Run("a change of nothing that may be written is IGNORED and reported", func(t *testing.T) {
		t.Parallel()
		var got []Settled
		b := setup(t, func(c *Config) {
			c.Settle = func(_ context.Context, _ pgx.Tx, list []Settled) error { got = append(got, list...); return nil }
		})
		b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('a', '001')`)
		b.exec(`UPDATE salesforce.account SET score__c = 1`)
		b.run()
		b.want("archive", b.archived(), "UPDATE/IGNORED")
		b.want("settled", fmt.Sprint(got), "[{account 1 001 update false false true <nil> false}]")
	})

	t.Run("what changes nothing in Salesforce is told apart", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			what, sql string
			merged    bool
			want      bool
		}{
			{"a new value", `UPDATE salesforce.account SET name = 'b'`, false, true},
			{"no value", `UPDATE salesforce.account SET name = NULL`, false, true},
			{"spaces", `UPDATE salesforce.account SET name = ' a '`, false, false},
			{"an empty text for none", `UPDATE salesforce.account SET industry = ''`, false, false},
			{"false for none", `UPDATE salesforce.account SET active__c = false`, false, false},
			{"a field that is not sent", `UPDATE salesforce.account SET score__c = 1`, false, false},
			{"there and back", `UPDATE salesforce.account SET name = 'b'; UPDATE salesforce.account SET name = 'a'`, true, false},
			{"there and on", `UPDATE salesforce.account SET name = 'b'; UPDATE salesforce.account SET name = 'c'`, true, true},
			{"by hand", `SELECT salesforce.hc_capture_update_from_row(hstore(account), 'account', '{name}') FROM salesforce.account`, false, false},
			{"a new record", `INSERT INTO salesforce.account (name) VALUES ('b')`, false, true},
			{"a deleted one", `DELETE FROM salesforce.account`, false, true},
			{"deleted before", `UPDATE salesforce.account SET sfid = '001000000000001AAA'; DELETE FROM salesforce.account`, false, false},
		} {
			var got []Settled
			b := setup(t, func(cfg *Config) {
				cfg.Settle = func(_ context.Context, _ pgx.Tx, list []Settled) error { got = append(got, list...); return nil }
				if c.merged {
					cfg.Algorithm = Merged
				}
			})
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			b.drain()
			got = nil
			b.exec("BEGIN; " + c.sql + "; COMMIT")
			b.drain()
			if len(got) == 0 || !got[0].OK || got[0].Changed != c.want {
				t.Errorf("%s: %+v, want changed %t", c.what, got, c.want)
			}
		}
	})

	t.Run("Settle is part of the transaction", func(t *testing.T) {
		t.Parallel()
		broken := true
		b := setup(t, func(c *Config) {
			c.Settle = func(ctx context.Context, tx pgx.Tx, list []Settled) error {
				if broken {
					return errors.New("no")
				}
				_, err := tx.Exec(ctx, `CREATE TABLE public.told AS SELECT $1::text AS sfid`, list[0].SFID)
				return err
			}
		})
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		if _, err := b.worker.RunOnce(t.Context()); err == nil {
			t.Fatal("no error")
		}
		b.want("log", b.live(), "INSERT/PENDING")
		b.want("row", b.one(`SELECT sfid FROM salesforce.account`), "NULL")
		broken = false
		b.run()
		b.want("told", b.one(`SELECT sfid FROM public.told`), "acc000000000001AAA")
		b.want("calls", b.sf.sent(), "insert Account 1")
		b.want("log", b.live(), "")
	})

	t.Run("an app that holds a row locked holds up only that", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`)
		tx, err := b.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		if _, err := tx.Exec(t.Context(), `UPDATE salesforce.account SET industry = 'i' WHERE name = 'a'`); err != nil {
			t.Fatal(err)
		}
		b.run()
		b.want("log", b.list(`SELECT state || coalesce(sfid, '') FROM salesforce._trigger_log`), "PENDINGacc000000000001AAA")
		b.want("row", b.one(`SELECT sfid FROM salesforce.account WHERE name = 'b'`), "acc000000000002AAA")
		b.restart() // even a crash leaves no doubt
		if err := b.worker.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.drain()
		b.want("archive", b.archived(), "INSERT/SUCCESS INSERT/SUCCESS UPDATE/SUCCESS")
		b.want("calls", b.sf.sent(), "insert Account 2, update Account 1")
	})

	t.Run("a row that refuses the answer does not undo the others", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'bad' AND NEW.sfid IS NOT NULL THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
			CREATE TRIGGER no BEFORE UPDATE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION public.no();
			INSERT INTO salesforce.account (name) VALUES ('good'), ('bad')`)
		b.drain()
		b.want("rows", b.list(`SELECT concat_ws('|', name, sfid, _hc_lastop, _hc_err::json->>'code') FROM salesforce.account ORDER BY id`), "good|acc000000000001AAA|INSERTED bad|FAILED|DUPLICATE_SFID")
		b.want("archive", b.archived(), "INSERT/SUCCESS INSERT/SUCCESS")
		b.want("calls", b.sf.sent(), "insert Account 2")
	})

	t.Run("entries that a user dismisses in time are not sent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('a'); INSERT INTO salesforce.contact (lastname) VALUES ('b')`)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			if c.Object == "Account" {
				b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED' WHERE table_name = 'contact'`)
			}
			return nil, nil, false
		})
		b.drain()
		b.want("calls", b.sf.sent(), "insert Account 1")
		b.want("archive", b.archived(), "INSERT/SUCCESS INSERT/IGNORED")
	})

	t.Run("no echo: what the bridge writes is not captured", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.account (name) SELECT 'a' || n FROM generate_series(1, 450) AS n`)
		b.drain()
		b.want("log", b.live(), "")
		b.want("archived", b.one(`SELECT count(*) || min(state) || max(state) FROM salesforce._trigger_log_archive`), "450SUCCESSSUCCESS")
		b.want("calls", b.sf.sent(), "insert Account 200, insert Account 200, insert Account 50")
		b.want("session", b.one(`SELECT current_setting('xmlbinary')`), "base64")
	})

	t.Run("the archive is purged", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce._trigger_log_archive (id, created_at, state) VALUES (1, now() - interval '32 days', 'SUCCESS'), (2, now() - interval '30 days', 'SUCCESS')`)
		b.run()
		b.want("archive", b.list(`SELECT id::text FROM salesforce._trigger_log_archive`), "2")
	})
}
