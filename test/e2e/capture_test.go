package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Whatever stops capture is noticed within a minute: what was dropped or
// replaced is made again, what was disabled is reported until it is enabled
// (fault 97).
func TestCaptureIsWatched(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name", "HC_HTTP_ADDR="+freeAddr(t))
	r.Start()
	r.Synced()
	noticed := func(what string) {
		t.Helper()
		r.Until(what, time.Minute, func() error {
			if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, what) {
				return fmt.Errorf("%d %s", code, body)
			}
			return nil
		})
	}
	ready := func() {
		t.Helper()
		r.Until("ready", time.Minute, func() error {
			if code, body := r.get("/readyz"); code != http.StatusOK {
				return fmt.Errorf("%d %s", code, body)
			}
			return nil
		})
	}
	repaired := func(sql string, want int) {
		t.Helper()
		r.Until("repaired", time.Minute, func() error {
			if n := r.Count(sql); n != want {
				return fmt.Errorf("%d, want %d", n, want)
			}
			return nil
		})
	}
	r.Exec(`ALTER TABLE salesforce.account DISABLE TRIGGER hc_account_logtrigger`)
	noticed("hc_account_logtrigger of account is disabled")
	r.Exec(`ALTER TABLE salesforce.account ENABLE REPLICA TRIGGER hc_account_logtrigger`)
	noticed("left to replication")
	r.Exec(`ALTER TABLE salesforce.account ENABLE TRIGGER hc_account_logtrigger`)
	ready()

	triggers := `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'salesforce.account'::regclass AND NOT tgisinternal`
	r.Exec(`DROP TRIGGER hc_account_logtrigger ON salesforce.account; DROP TRIGGER hc_account_truncate_trigger ON salesforce.account; DROP FUNCTION salesforce.hc_account_status() CASCADE`)
	r.Exec(`CREATE OR REPLACE FUNCTION salesforce.hc_account_logger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`)
	repaired(triggers, 5)
	repaired(`SELECT count(*) FROM pg_proc WHERE proname = 'hc_account_logger' AND prosecdef`, 1)
	ready()
	r.Exec(`INSERT INTO salesforce.account (name) VALUES ('one more')`)
	r.Equal("Account")
}
