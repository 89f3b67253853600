package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"
)

const captureInsert = `SELECT salesforce.hc_capture_insert_from_row(hstore(a), 'account') FROM salesforce.account AS a`

// A row whose insert was refused is captured anew, and then nobody knows what became of
// that: neither of its inserts is sent blindly.
func TestCapturedAnewInDoubt(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restart(b.finding(50 * time.Millisecond))
			b.sf.script(refuse(1, Failure{Class: Permanent, Code: "X", Message: "x"}, any1))
			b.exec(`INSERT INTO salesforce.account (name) VALUES ('a')`)
			b.drain()
			b.want("refused", b.live(), "INSERT/FAILED")
			b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
				b.sf.apply(c)
				b.sf.records["acc000000000001AAA"]["Name"] = "rewritten"
				return nil, errLost, false
			})
			b.exec(captureInsert)
			b.tryRun()
			if restarted {
				b.restart(b.finding(50 * time.Millisecond))
				if err := b.worker.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "it is parked", func() bool { b.tryRun(); return b.live() == "INSERT/FAILED INSERT/FAILED" })
			if _, err := Retry(t.Context(), b.pool, testSchema, nil); err != nil {
				t.Fatal(err)
			}
			b.drain()
			b.want("log", b.live(), "INSERT/FAILED INSERT/FAILED")
			b.want("calls", b.sf.sent(), "insert Account 1, insert Account 1")
			b.want("records", fmt.Sprint(b.sf.count("Account")), "1")
		})
	}
}

// Captures by hand do not tell what was there before: the same value again and again is
// no loop.
func TestCapturedIsNoPingPong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("INSERT INTO salesforce.account (name, industry) VALUES ('one', 'same')")
	b.drain()
	for n := range 20 {
		b.hex(fmt.Sprintf("UPDATE salesforce.account SET annualrevenue = %d", n))
		b.exec(`SELECT salesforce.hc_capture_update_from_row(hstore(a), 'account', '{annualrevenue,industry}') FROM salesforce.account AS a`)
		b.drain()
	}
	b.want("sent", fmt.Sprint(len(b.sf.history["acc000000000001AAA"])-1), "20")
	b.want("record", fmt.Sprint(b.sf.records["acc000000000001AAA"]), "map[AnnualRevenue:19 Industry:same Name:one]")
}

// A delete that was refused is not sent once an upsert of a newer row has met the record.
func TestRefusedDeleteIsOvertaken(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{Ordered, Merged} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			b := setup(t, withExternalID, func(c *Config) { c.Algorithm = algorithm })
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('old', 'x'), ('other', 'y')`)
			b.drain()
			b.sf.script(refuse(1, Failure{Class: Permanent, Code: "DELETE_FAILED", Message: "associated"}, any1))
			b.exec(`DELETE FROM salesforce.account`)
			b.drain()
			b.want("refused", b.live(), "DELETE/FAILED DELETE/FAILED")
			b.sf.script(nil)
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('new', 'x')`)
			b.drain()
			if _, err := Retry(t.Context(), b.pool, testSchema, nil); err != nil {
				t.Fatal(err)
			}
			b.drain()
			b.want("log", b.live(), "")
			b.want("records", fmt.Sprint(b.sf.records), "map[acc000000000001AAA:map[External_Id__c:x Name:new]]")
			b.want("archived", b.list(`SELECT state FROM salesforce._trigger_log_archive WHERE action = 'DELETE' ORDER BY id`), "IGNORED SUCCESS")
		})
	}
}
