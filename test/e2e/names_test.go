package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
)

// Where nothing can be mapped the bridge says so and waits for somebody to mend it.
func TestNothingCanBeMapped(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_FIELDS=LastName,Favourite__c")
	b := r.Start()
	r.Eventually("status", 20*time.Second, func() error {
		select {
		case <-b.Done:
			t.Fatal("the bridge has ended")
		default:
		}
		if st, ok := r.Status(); !ok || len(st.Objects) != 1 || st.Objects[0].State != status.MappingError || !strings.Contains(st.Objects[0].Message, "Favourite__c") {
			return fmt.Errorf("status is %+v", st.Objects)
		}
		return nil
	})
}

// Objects, fields and relationships go by the names that Salesforce gives them, however they
// are written in the settings.
func TestNamesAsSalesforceHasThem(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=contact", "HC_OBJECT_CONTACT_FIELDS=LASTNAME,account__R.external_ID__c", "HC_OBJECT_CONTACT_INDEXES=lastName",
		"HC_OBJECT_CONTACT_EXTERNAL_ID=EXTERNAL_id__c", "HC_OBJECT_CONTACT_ACCESS=read_write")
	parent := r.Insert("Account", map[string]any{"Name": "parent", "External_Id__c": "p1"})
	r.Insert("Contact", map[string]any{"LastName": "child", "AccountId": parent})
	r.Start()
	r.Synced()
	r.Eventually("the row", 20*time.Second, func() error {
		if r.Count("SELECT count(*) FROM salesforce.contact WHERE account__external_id__c = 'p1'") != 1 {
			return errors.New("is not there")
		}
		return nil
	})
	r.Eventually("status", 20*time.Second, func() error {
		st, _ := r.Status()
		if len(st.Objects) != 1 || st.Objects[0].Object != "Contact" || st.Objects[0].State != status.DataSynced || st.Objects[0].Mode == "" || st.Objects[0].Access == "" {
			return fmt.Errorf("objects are %+v", st.Objects)
		}
		return nil
	})
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c, account__external_id__c) VALUES ('ours', 'c1', 'p1')")
	r.Eventually("the record", 20*time.Second, func() error {
		if r.Count("SELECT count(*) FROM salesforce.contact WHERE external_id__c = 'c1' AND sfid IS NOT NULL AND _hc_lastop = 'SYNCED'") != 1 {
			return errors.New("is not there")
		}
		return nil
	})
	r.Equal("Contact")
	code, out, _ := r.Command("status")
	if code != 0 || !strings.Contains(out, "LAST POLL") || !strings.Contains(out, "s ago") {
		t.Errorf("status ends with %d:\n%s", code, out)
	}
}

// What an app writes to tables that are read only is captured as such and goes to the
// archive, also where nothing at all is sent.
func TestReadOnlyLogStaysShort(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name")
	r.Insert("Account", map[string]any{"Name": "theirs"})
	r.Start()
	r.Equal("Account")
	r.Exec("UPDATE salesforce.account SET name = 'ours'")
	r.Eventually("the archive", 20*time.Second, func() error {
		if n, m := r.Count("SELECT count(*) FROM salesforce._trigger_log"), r.Count("SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'READONLY'"); n != 0 || m != 1 {
			return fmt.Errorf("%d entries in the log, %d in the archive", n, m)
		}
		return nil
	})
}
