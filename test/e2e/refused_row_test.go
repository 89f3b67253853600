package e2e

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// A refused update is told at its row for as long as nobody has done anything
// about it, although the row shows what Salesforce has whenever the record is read:
// right after the refusal, as the row was written to just before, and days later,
// as somebody edits it there. It ends with a value that Salesforce takes, with a
// retry, and when it is dismissed.
func TestRefusalStays(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"streaming", "polling"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c", "HC_WRITE_ALGORITHM=merged",
				"HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,Industry,External_Id__c", "HC_OBJECT_ACCOUNT_MODE="+mode, "HC_POLL_INTERVAL=1s")
			var allowed atomic.Bool
			r.SF.Trigger(func(d *sobject.Draft) error {
				if d.Get("Phone") == "none" && !allowed.Load() {
					return sobject.ErrValidation("Who is it?", "Phone")
				}
				return nil
			})
			r.Start()
			r.Synced()
			keys := []string{"mended", "retried", "dismissed"}
			r.Exec(`INSERT INTO salesforce.account (name, phone, external_id__c) SELECT k, '1', k FROM unnest($1::text[]) AS k`, keys)
			shown := `concat_ws('|', phone, industry, _hc_lastop, _hc_err::json->>'message')`
			all := func(row string) map[string]string {
				return map[string]string{"mended": row, "retried": row, "dismissed": row}
			}
			r.rowsAre("account", shown, all("1|SYNCED"))
			readBack := func() {
				t.Helper()
				r.Eventually("nothing to read back", 60*time.Second, func() error {
					if n := r.Count("SELECT count(*) FROM hcbridge.mark"); n > 0 {
						return fmt.Errorf("%d marks", n)
					}
					return nil
				})
			}
			readBack()

			// The first change of each is taken, and read back after the second.
			reads := r.SF.Fault(org.Fault{Method: "POST", Path: "/composite/sobjects/Account", Verb: org.Hold, Before: true})
			r.Exec(`UPDATE salesforce.account SET industry = 'Energy'`)
			r.Eventually("the first change", 10*time.Second, func() error {
				if n := r.Count("SELECT count(*) FROM salesforce._trigger_log"); n > 0 {
					return fmt.Errorf("%d entries", n)
				}
				return nil
			})
			r.Exec(`UPDATE salesforce.account SET phone = 'none'`)
			r.rowsAre("account", `_hc_lastop`, all("FAILED"))
			reads.Release()
			r.SF.ClearFaults()
			readBack()
			r.rowsAre("account", shown, all("1|Energy|FAILED|Who is it?"))

			for _, record := range r.SF.Records("Account") {
				r.Must(r.SF.Update("Account", record.ID, map[string]any{"Industry": "Media"}))
			}
			r.rowsAre("account", shown, all("1|Media|FAILED|Who is it?"))
			r.Exec(`UPDATE salesforce.account SET phone = '2' WHERE name = 'mended'`)
			if code, out, stderr := r.Command("ignore", fmt.Sprint(r.entry("dismissed"))); code != 0 || out != "1 dismissed\n" {
				t.Errorf("ignore: %d, %s%s", code, out, stderr)
			}
			allowed.Store(true)
			if code, out, stderr := r.Command("retry", fmt.Sprint(r.entry("retried"))); code != 0 || out != "1 requeued\n" {
				t.Errorf("retry: %d, %s%s", code, out, stderr)
			}
			r.rowsAre("account", shown, map[string]string{"mended": "2|Media|SYNCED", "retried": "none|Media|SYNCED", "dismissed": "1|Media|SYNCED"})
			for _, record := range r.SF.Records("Account") {
				r.Must(r.SF.Update("Account", record.ID, map[string]any{"Industry": "Retail"}))
			}
			r.rowsAre("account", shown, map[string]string{"mended": "2|Retail|SYNCED", "retried": "none|Retail|SYNCED", "dismissed": "1|Retail|SYNCED"})
			r.Equal("Account")
		})
	}
}

// A row whose refused change is dismissed shows what Salesforce has, although nothing
// changes there. One that is not in Salesforce stays refused.
func TestDismissedShowsSalesforce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,External_Id__c", "HC_OBJECT_ACCOUNT_MODE=polling", "HC_POLL_INTERVAL=1s")
	for _, key := range []string{"one", "two"} {
		r.Insert("Account", map[string]any{"Name": key, "Phone": "1", "External_Id__c": key})
	}
	r.SF.Trigger(func(d *sobject.Draft) error {
		if d.Get("Phone") == "none" {
			return sobject.ErrValidation("Who is it?", "Phone")
		}
		return nil
	})
	r.Start()
	r.Synced()
	r.arrived("account", 2)
	shown := `concat_ws('|', phone, _hc_lastop, _hc_err::json->>'message')`
	refused := map[string]string{"one": "none|FAILED|Who is it?", "two": "none|FAILED|Who is it?", "new": "none|FAILED|Who is it?"}
	r.Exec(`UPDATE salesforce.account SET phone = 'none'; INSERT INTO salesforce.account (name, phone, external_id__c) VALUES ('new', 'none', 'new')`)
	r.rowsAre("account", shown, refused)
	if code, out, stderr := r.Command("ignore", fmt.Sprint(r.entry("one")), fmt.Sprint(r.entry("new"))); code != 0 || out != "2 dismissed\n" {
		t.Errorf("ignore: %d, %s%s", code, out, stderr)
	}
	refused["one"] = "1|SYNCED"
	r.rowsAre("account", shown, refused)
	r.Exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED' WHERE id = $1`, r.entry("two"))
	refused["two"] = "1|SYNCED"
	r.rowsAre("account", shown, refused)
}

// Two fields that must be set together, saved one after the other, are refused each by
// itself and get through together, where each change is sent by itself.
func TestRefusedTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,Industry,External_Id__c", "HC_WRITE_ALGORITHM=ordered")
	r.SF.Trigger(func(d *sobject.Draft) error {
		if (d.Get("Phone") == nil) != (d.Get("Industry") == nil) {
			return sobject.ErrValidation("Set both", "Phone", "Industry")
		}
		return nil
	})
	r.Start()
	r.Synced()
	r.Exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('a', 'a')`)
	shown := `concat_ws('|', phone, industry, _hc_lastop, _hc_err::json->>'message')`
	r.rowsAre("account", shown, map[string]string{"a": "SYNCED"})
	r.Exec(`UPDATE salesforce.account SET phone = '1'`)
	r.rowsAre("account", "_hc_lastop", map[string]string{"a": "FAILED"})
	r.Exec(`UPDATE salesforce.account SET industry = 'Energy'`)
	r.rowsAre("account", shown, map[string]string{"a": "1|Energy|SYNCED"})
	r.Equal("Account")
}

// entry is the failed entry of the row with an external id.
func (r *rig) entry(key string) int {
	r.T.Helper()
	return r.Count(`SELECT l.id FROM salesforce._trigger_log AS l JOIN salesforce.account AS a ON a.id = l.record_id
		WHERE l.state = 'FAILED' AND a.external_id__c = $1`, key)
}
