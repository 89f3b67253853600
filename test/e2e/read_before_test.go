package e2e

import (
	"errors"
	"testing"
	"time"

	"hcbridge/test/org"
)

// A record is being read when the app changes it. The change is accepted before what
// was read arrives, and is not turned back by it, not even for a moment.
func TestReadOfBeforeAChange(t *testing.T) {
	t.Parallel()
	r := newRig(t, readWrite...)
	id := r.Insert("Account", map[string]any{"Name": "old", "External_Id__c": "x"})
	r.Start()
	r.Synced()
	r.Equal("Account")
	r.Exec(`CREATE TABLE public.seen (name text);
		CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.name); RETURN NULL; END $$;
		CREATE TRIGGER zz_see AFTER UPDATE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION public.see()`)
	read := r.SF.Fault(org.Fault{Method: "POST", Path: "/composite/sobjects/Account", Verb: org.Hold, Times: 1})
	r.Exec(`INSERT INTO hcbridge.mark (schema, object, sfid, reason) VALUES ('salesforce', 'Account', $1, 'test')`, id)
	r.Must(read.Wait(t.Context(), 1))
	r.Exec(`UPDATE salesforce.account SET name = 'new'`)
	done := func() error {
		if r.Count(`SELECT count(*) FROM salesforce._trigger_log_archive WHERE state = 'SUCCESS'`) == 0 {
			return errors.New("the change is not accepted")
		}
		return nil
	}
	r.Eventually("the change is accepted", 20*time.Second, done)
	read.Release()
	r.Eventually("it is read", 20*time.Second, func() error {
		if r.Count(`SELECT count(*) FROM hcbridge.mark`) > 0 {
			return errors.New("a mark is left")
		}
		return nil
	})
	r.Equal("Account")
	if n := r.Count(`SELECT count(*) FROM public.seen WHERE name = 'old'`); n != 0 {
		t.Errorf("the row went back to what it was %d times", n)
	}
}
