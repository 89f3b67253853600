package e2e

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// column returns an expression for each row, by external id.
func (r *rig) column(table, expression string) map[string]string {
	r.T.Helper()
	rows, err := r.Pool.Query(r.T.Context(), "SELECT external_id__c, coalesce("+expression+", '<null>') FROM salesforce."+table)
	r.Must(err)
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var key, value string
		r.Must(rows.Scan(&key, &value))
		out[key] = value
	}
	r.Must(rows.Err())
	return out
}

// rowsAre waits until the rows have these values, by external id.
func (r *rig) rowsAre(table, expression string, want map[string]string) {
	r.T.Helper()
	r.Promised(expression, 40*time.Second, func() error {
		if got := r.column(table, expression); !maps.Equal(got, want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

// Salesforce stores something else than it was sent: it trims text and has no empty
// one (fault 62), rounds, its triggers rewrite (fault 61), and they run again where
// another record of the call is refused, so that not even the number of their runs
// is foreseen (fault 60). Each row takes what was stored from what is read back, as
// here neither events nor polls tell it; nothing is sent a second time for it, and
// nobody is told of a conflict.
func TestSalesforceStoresSomethingElse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Site,Phone,Description,AnnualRevenue,External_Id__c", "HC_OBJECT_ACCOUNT_MODE=polling", "HC_POLL_INTERVAL=24h")
	runs := map[string]int{}
	r.SF.Org().RunAgain(true)
	r.SF.Trigger(func(d *sobject.Draft) error {
		if d.Object.Name != "Account" || d.Tx.Origin.API != "rest" {
			return nil
		}
		name, _ := d.Get("Name").(string)
		if name == "BAD" || name == "bad" {
			return errors.New("no bad names")
		}
		key, _ := d.Get("External_Id__c").(string)
		runs[key]++
		if err := d.Set("Phone", fmt.Sprintf("run %d", runs[key])); err != nil {
			return err
		}
		return d.Set("Name", strings.ToUpper(name))
	})
	r.Start()
	r.Synced()

	r.Exec(`INSERT INTO salesforce.account (external_id__c, name, site, description, annualrevenue) VALUES
		('plain', 'plain', 'a', 'b', 1.5), ('spaced', '  spaced ', E'\t inner  space\n', E'one\r\ntwo\n', 1.005), ('empty', 'empty', '', '   ', NULL), ('bad', 'bad', 'x', 'x', 1)`)
	shown := `concat_ws('|', name, coalesce(site, '-'), coalesce(description, '-'), coalesce(annualrevenue::text, '-'), phone)`
	r.rowsAre("account", shown, map[string]string{
		"plain": "PLAIN|a|b|1|run 2", "spaced": "SPACED|inner  space|one\r\ntwo|1|run 2", "empty": "EMPTY|-|-|-|run 2", "bad": "bad|x|x|1",
	})
	// An app that writes such values again and again changes something each time.
	for range 3 {
		r.Exec(`UPDATE salesforce.account SET name = lower(name), site = '  ' || coalesce(site, '') || E'\n', description = coalesce(description, ''), annualrevenue = 1.005 WHERE external_id__c <> 'bad'`)
		r.rowsAre("account", `concat_ws('|', name, site, annualrevenue)`, map[string]string{
			"plain": "PLAIN|a|1", "spaced": "SPACED|inner  space|1", "empty": "EMPTY|1", "bad": "bad|x|1",
		})
	}
	r.Eventually("synced", 10*time.Second, func() error {
		if n := r.Count(`SELECT count(*) FROM salesforce.account WHERE _hc_lastop <> 'SYNCED' AND external_id__c <> 'bad'`) + r.Count(`SELECT count(*) FROM hcbridge.mark`); n != 0 {
			return fmt.Errorf("%d rows and marks are not", n)
		}
		return nil
	})
	calls := without(r.SF.Calls())
	time.Sleep(2 * time.Second) // for what must not happen
	if again := without(r.SF.Calls()); !maps.Equal(calls, again) {
		t.Errorf("API calls went from %v to %v while nothing changed", calls, again)
	}
	for _, record := range r.SF.Records("Account") {
		if n := r.SF.Writes(record.ID); n != 4 {
			t.Errorf("%v was written %d times for 4 changes", r.value("Account", record, "Name"), n)
		}
	}
	if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log_archive`); n != 3*4 {
		t.Errorf("%d changes were captured of 12", n)
	}
	if n := r.Count(`SELECT count(*) FROM hcbridge.conflict`); n != 0 {
		t.Errorf("%d conflicts of nobody", n)
	}
	if diff := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state <> 'FAILED'`); diff != 0 {
		t.Errorf("%d entries are left", diff)
	}
}

// A boolean that is NULL, as a column that an app clears or never sets is, is false in
// Salesforce, which has no other: the call goes through, and the row says so then.
func TestBooleansWithoutValue(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Every__c", "HC_OBJECT_EVERY__C_ACCESS=read_write", "HC_OBJECT_EVERY__C_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_EVERY__C_FIELDS=Name,Check__c,External_Id__c", "HC_OBJECT_EVERY__C_MODE=polling", "HC_POLL_INTERVAL=24h")
	other, err := r.SF.Insert("Every__c", map[string]any{"Name": "known", "Check__c": true, "External_Id__c": "known"})
	r.Must(err)
	r.Start()
	r.Synced()
	r.Exec(`INSERT INTO salesforce.every__c (external_id__c, name, check__c) VALUES ('set', 'set', true), ('unset', 'unset', NULL)`)
	r.rowsAre("every__c", `check__c || _hc_lastop`, map[string]string{"known": "trueSYNCED", "set": "trueSYNCED", "unset": "falseSYNCED"})
	calls := r.SF.Calls()["collections_update"]
	r.Exec(`UPDATE salesforce.every__c SET check__c = NULL`)
	r.rowsAre("every__c", `check__c || _hc_lastop`, map[string]string{"known": "falseSYNCED", "set": "falseSYNCED", "unset": "falseSYNCED"})
	if n := r.SF.Calls()["collections_update"] - calls; n != 1 || r.SF.Writes(other) != 2 {
		t.Errorf("%d calls, and %d writes of one record", n, r.SF.Writes(other))
	}
	r.Equal("Every__c")
}

// What Salesforce never takes, whatever the reason, is FAILED at its first attempt,
// says at its row which field and why, is not cut to fit, holds up none of those it
// was sent with, and is not tried again until its row is changed or a person wants it
// (faults 63 and 64).
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Every__c", "HC_OBJECT_EVERY__C_ACCESS=read_write", "HC_OBJECT_EVERY__C_EXTERNAL_ID=External_Id__c", "HC_WRITE_ALGORITHM=merged",
		"HC_OBJECT_EVERY__C_FIELDS=Name,Text__c,Pick__c,Double__c,Int__c,Email__c,External_Id__c", "HC_OBJECT_EVERY__C_MODE=polling", "HC_POLL_INTERVAL=24h")
	rules := true
	r.SF.Trigger(func(d *sobject.Draft) error {
		switch d.Get("Name") {
		case "rule":
			if rules {
				return sobject.ErrValidation("Text must tell the city", "Text__c")
			}
		case "duplicate":
			return &sobject.Error{Status: 400, Code: "DUPLICATES_DETECTED", Message: "Use one of these records?", Fields: []string{}}
		case "required":
			if d.Get("Text__c") == nil {
				return &sobject.Error{Status: 400, Code: "REQUIRED_FIELD_MISSING", Message: "Required fields are missing: [Text__c]", Fields: []string{"Text__c"}}
			}
		}
		return nil
	})
	r.Start()
	r.Synced()
	// The column was made for longer text than is allowed now.
	r.Must(r.SF.ChangeField("Every__c", "Text__c", func(f *sobject.Field) { f.Length = 20 }))
	upserts := r.SF.Fault(org.Fault{Method: "PATCH", Path: "/composite/sobjects", Verb: org.Slow, Delay: time.Millisecond}) // counts them

	r.Exec(`INSERT INTO salesforce.every__c (external_id__c, name, text__c, pick__c, double__c, int__c, email__c) VALUES
		('good 1', 'n', 'a', 'Red', 1, 1, NULL),
		('long', 'n', repeat('x', 21), NULL, NULL, NULL, NULL),
		('picked', 'n', 'a', 'Mauve', NULL, NULL, NULL),
		('range', 'n', 'a', NULL, 1e15, NULL, NULL),
		('email', 'n', 'a', NULL, NULL, NULL, 'nobody'),
		('rule', 'rule', 'a', NULL, NULL, NULL, NULL),
		('duplicate', 'duplicate', 'a', NULL, NULL, NULL, NULL),
		('required', 'required', NULL, NULL, NULL, NULL, NULL),
		('good 2', 'n', 'a', 'Green', 1, 1, 'a@example.com')`)
	refused := map[string]string{
		"long": "FAILED|STRING_TOO_LONG|Text__c|t", "picked": "FAILED|INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST|Pick__c|t", "range": "FAILED|NUMBER_OUTSIDE_VALID_RANGE|Double__c|t",
		"email": "FAILED|INVALID_EMAIL_ADDRESS|Email__c|t", "rule": "FAILED|FIELD_CUSTOM_VALIDATION_EXCEPTION|Text__c|t", "duplicate": "FAILED|DUPLICATES_DETECTED|-|t",
		"required": "FAILED|REQUIRED_FIELD_MISSING|Text__c|t", "good 1": "SYNCED", "good 2": "SYNCED",
	}
	shown := `concat_ws('|', _hc_lastop, _hc_err::json->>'code', CASE WHEN _hc_err IS NOT NULL THEN coalesce(_hc_err::json->'fields'->>0, '-') END, (_hc_err::json->>'message') <> '')`
	r.rowsAre("every__c", shown, refused)
	if text := r.column("every__c", "_hc_err::json->>'message'")["long"]; !strings.Contains(text, "max length=20") {
		t.Errorf("the limit is not in %q", text)
	}
	before := upserts.Hits()
	r.Exec(`INSERT INTO salesforce.every__c (external_id__c, name, text__c) VALUES ('later', 'n', 'a')`)
	refused["later"] = "SYNCED"
	r.rowsAre("every__c", shown, refused)
	time.Sleep(2 * time.Second) // for what must not happen
	if n := upserts.Hits() - before; n != 1 {
		t.Errorf("%d calls for one more record", n)
	}
	if n := r.SF.Writes("no record"); n != 0 || len(r.SF.Records("Every__c")) != 3 {
		t.Errorf("%d records of 3", len(r.SF.Records("Every__c")))
	}
	if entries := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'`); entries != 7 {
		t.Errorf("%d failed entries of 7", entries)
	}

	// The rows are put right, and the rule is dropped, of which no row tells.
	rules = false
	r.Exec(`UPDATE salesforce.every__c SET text__c = 'fits', pick__c = CASE pick__c WHEN 'Mauve' THEN 'Blue' ELSE pick__c END, double__c = 1, email__c = NULL,
		name = CASE name WHEN 'duplicate' THEN 'unique' ELSE name END WHERE external_id__c IN ('long', 'picked', 'range', 'email', 'duplicate', 'required')`)
	for key := range refused {
		refused[key] = "SYNCED"
	}
	refused["rule"] = "FAILED|FIELD_CUSTOM_VALIDATION_EXCEPTION|Text__c|t"
	r.rowsAre("every__c", shown, refused)
	r.ran("", "retry", "--all")
	refused["rule"] = "SYNCED"
	r.rowsAre("every__c", shown, refused)
	if n := len(r.SF.Records("Every__c")); n != 10 {
		t.Errorf("%d records of 10", n)
	}
}
