package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// A real fail-over: the primary dies, and a standby that has not received its last
// moments takes over, while the bridge goes on running. What was claimed then is
// looked for, what was only written by the app on the dead one is known to
// Salesforce and comes back as rows, and nothing is made twice (fault 89).
func TestFailOver(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"streaming", "polling"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			failOver(t, mode)
		})
	}
}

func failOver(t *testing.T, mode string) {
	r := newRig(t, "HC_OBJECT_ACCOUNT_MODE="+mode, "HC_OBJECT_ACCOUNT_ACCESS=read_write", // without an external id
		"HC_OBJECT_CONTACT_MODE="+mode, "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c", "HC_POLL_INTERVAL=2s")
	primary := pgtest.Private(t, pgtest.Options{})
	address, err := primary.CreateDatabase(t.Context(), "failover")
	r.Must(err)
	standby, err := primary.Standby(t.Context())
	r.Must(err)
	t.Cleanup(standby.Close)
	r.URL, r.Pool = address, pgtest.Open(t, address)
	r.Env["DATABASE_URL"] = both(t, address, standby.DatabaseURL("failover"))
	b := r.Start()
	r.Synced()
	epoch := r.SF.Fault(org.Fault{Path: `/query.*FROM.PushTopic`, Verb: org.Hold, Before: true})
	old := r.Insert("Account", map[string]any{"Name": "old"})
	r.arrived("account", 1)
	for i := range 6 { // after some calls more go side by side
		r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ($1, $1)", fmt.Sprint(i))
		r.Equal("Account", "Contact")
	}

	// The standby gets the claims, and nothing of what comes after, such as how far
	// the database has come, which Salesforce is told of.
	held := r.SF.Fault(org.Fault{Path: "/composite/sobjects", Verb: org.Hold})
	r.Exec(`DO $$ BEGIN
		INSERT INTO salesforce.contact (lastname, external_id__c) SELECT 'key ' || n, 'key ' || n FROM generate_series(1, 20) AS n;
		INSERT INTO salesforce.account (name) SELECT 'plain ' || n FROM generate_series(1, 20) AS n;
		UPDATE salesforce.account SET site = 'changed' WHERE name = 'old';
		END $$`)
	r.Eventually("claims", 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'PENDING'"); n < 41 {
			return fmt.Errorf("%d claims", n)
		}
		return nil
	})
	r.Must(standby.Has(t.Context(), primary))
	r.Must(standby.Lag(t.Context()))
	held.Release()
	epoch.Release()
	if mode == "streaming" { // else there is no topic to tell it
		r.toldEpoch(1)
	}
	theirs := r.Insert("Account", map[string]any{"Name": "theirs"})
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('forgotten', 'forgotten')")
	r.arrived("account", 22)
	r.Equal("Account", "Contact")

	r.Must(primary.Stop(pgtest.Immediate))
	r.Must(standby.Promote(t.Context()))
	r.URL = standby.DatabaseURL("failover")
	r.Pool = pgtest.Open(t, r.URL)
	if n := r.Count("SELECT count(*) FROM salesforce.account WHERE sfid = $1", theirs); n != 0 {
		t.Fatal("the standby has lost nothing, so this shows nothing")
	}
	r.Equal("Account", "Contact")
	r.once("Contact", "contact")
	if n, m := len(r.SF.Records("Account")), len(r.SF.Records("Contact")); n != 22 || m != 27 {
		t.Errorf("%d accounts and %d contacts, want 22 and 27", n, m)
	}
	if record, _ := r.SF.Get("Account", old); r.value("Account", record, "Site") != "changed" {
		t.Error("the update is gone")
	}
	r.Exec("INSERT INTO salesforce.account (name) VALUES ('after')")
	r.Equal("Account", "Contact")
	select {
	case <-b.Done:
		t.Error("the bridge has ended")
	default:
	}
}

// both names two servers, of which the one that takes writes is meant.
func both(t *testing.T, primary, standby string) string {
	t.Helper()
	first, err := url.Parse(primary)
	if err != nil {
		t.Fatal(err)
	}
	second, err := url.Parse(standby)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(primary, first.Host, first.Host+","+second.Host, 1) + "&target_session_attrs=read-write"
}
