package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// failed checks that `hcbridge errors` and status know exactly these reads.
func (r *rig) failed(object string, want ...string) {
	r.T.Helper()
	slices.Sort(want)
	r.Eventually("failed reads", 20*time.Second, func() error {
		code, out, _ := r.Command("errors", "--json")
		if code != 0 {
			return fmt.Errorf("errors ended with %d", code)
		}
		var got []string
		for line := range strings.Lines(out) {
			if _, id, found := strings.Cut(line, `"sfid": "`); found {
				got = append(got, id[:18])
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("errors lists %q, want %q", got, want)
		}
		st, _ := r.Status()
		for _, o := range st.Objects {
			if o.Object == object && o.FailedReads != int64(len(want)) {
				return fmt.Errorf("status counts %d failed reads, want %d", o.FailedReads, len(want))
			}
		}
		return nil
	})
}

// arrived waits until a table has this many rows.
func (r *rig) arrived(table string, want int) {
	r.T.Helper()
	r.Eventually(fmt.Sprintf("%d rows of %s", want, table), 30*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce." + table); n != want {
			return fmt.Errorf("%d rows, read errors: %s", n, r.readErrors())
		}
		return nil
	})
}

// One record in a page of 2,000 that Postgres cannot store is found, said, and
// in nobody's way; mended in Salesforce, it arrives (faults 45 and 46). What is
// no Unicode is replaced, in the same way whatever the record comes by.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name     string
		n        int
		before   bool
		settings string
	}{
		{name: "Event", n: 500, settings: "HC_OBJECT_EVERY__C_MODE=streaming"},
		{name: "Poll", n: 2000, settings: "HC_OBJECT_EVERY__C_MODE=polling"},
		{name: "LoadREST", n: 2000, before: true, settings: "HC_OBJECT_EVERY__C_MODE=polling"},
		{name: "LoadBulk", n: 2500, before: true, settings: "HC_OBJECT_EVERY__C_MODE=polling"},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "HC_OBJECTS=Every__c", "HC_OBJECT_EVERY__C_FIELDS=External_Id__c,Text__c,Double__c", "HC_POLL_INTERVAL=1s", way.settings)
			if !way.before {
				r.Start()
				r.Synced()
			}
			ids, err := r.SF.InsertMany("Every__c", func(yield func(map[string]any) bool) {
				for i := range way.n {
					value := fmt.Sprintf("fine %d", i)
					switch i {
					case way.n / 3:
						value = "my secret \x00 is here"
					case way.n / 2:
						value = "half \xed\xa0\xbd a \xed\xb0\x80\xed\xb0\x80pair"
					}
					if !yield(map[string]any{"External_Id__c": fmt.Sprintf("e-%d", i), "Text__c": value}) {
						return
					}
				}
			})
			r.Must(err)
			if way.before {
				r.Start()
				r.Synced()
			}
			r.arrived("every__c", way.n-1)
			if n := r.Count("SELECT count(*) FROM salesforce.every__c WHERE text__c = $1 AND sfid = $2", "half \ufffd a \ufffd\ufffdpair", ids[way.n/2]); n != 1 {
				t.Error("half a surrogate pair is not U+FFFD")
			}
			poison := ids[way.n/3]
			r.failed("Every__c", poison)
			if n := r.Count("SELECT count(*) FROM hcbridge.read_error WHERE code = '22021' AND message <> '' AND message NOT LIKE '%secret%'"); n != 1 {
				t.Errorf("the reason is wrong, or tells the value: %s", r.readErrors())
			}
			r.Insert("Every__c", map[string]any{"Text__c": "after"})
			r.arrived("every__c", way.n)
			r.Must(r.SF.Update("Every__c", poison, map[string]any{"Text__c": "mended"}))
			r.arrived("every__c", way.n+1)
			r.failed("Every__c")
		})
	}
}

// What the app's own constraint and trigger refuse waits, is shown, and is
// tried again: by itself, when asked, and when the record changes. The others
// go on meanwhile (fault 48).
func TestRefusedByTheApp(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account")
	r.Start()
	r.Synced()
	r.Exec(`ALTER TABLE salesforce.account ADD CONSTRAINT no_checked CHECK (name NOT LIKE 'Checked%');
		CREATE SEQUENCE salesforce.drawn;
		CREATE FUNCTION salesforce.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.name = 'Raised' THEN RAISE EXCEPTION 'no % here', NEW.name; END IF;
			IF NEW.name = 'Broken' THEN PERFORM currval('salesforce.drawn'); END IF; -- not yet defined in this session: class 55
			IF NEW.name = 'Strange' THEN RAISE EXCEPTION 'strange' USING ERRCODE = 'XX123'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON salesforce.account FOR EACH ROW EXECUTE FUNCTION salesforce.refuse()`)
	ids := map[string]string{}
	for i, name := range []string{"Checked 1", "Raised", "Broken", "Strange", "Checked 2"} {
		ids[name] = r.Insert("Account", map[string]any{"Name": name})
		for j := range 10 {
			r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Fine %d %d", i, j)})
		}
	}
	r.arrived("account", 50)
	r.failed("Account", ids["Checked 1"], ids["Checked 2"], ids["Raised"], ids["Broken"], ids["Strange"])

	r.Must(r.SF.Update("Account", ids["Checked 1"], map[string]any{"Name": "Unchecked"}))
	r.arrived("account", 51)
	r.failed("Account", ids["Checked 2"], ids["Raised"], ids["Broken"], ids["Strange"])

	if code, out, stderr := r.Command("ignore", ids["Strange"]); code != 0 || out != "1 dismissed\n" {
		t.Errorf("ignore: %d, %s%s", code, out, stderr)
	}
	r.failed("Account", ids["Checked 2"], ids["Raised"], ids["Broken"])
	if code, out, stderr := r.Command("retry", "--all"); code != 0 || out != "3 requeued\n" {
		t.Errorf("retry: %d, %s%s", code, out, stderr)
	}
	r.refused(2, ids["Checked 2"], ids["Raised"], ids["Broken"])
	if code, out, stderr := r.Command("retry", ids["Raised"], ids["Broken"][:15]); code != 0 || out != "2 requeued\n" {
		t.Errorf("retry: %d, %s%s", code, out, stderr)
	}
	r.refused(3, ids["Raised"], ids["Broken"])
	// The one that was dismissed stays so, however often it is refused.
	r.passes(ids["Strange"])
	if n := r.Count("SELECT count(*) FROM hcbridge.read_error WHERE sfid = $1", ids["Strange"]); n != 1 {
		t.Error("what was dismissed is no longer known")
	}
	r.failed("Account", ids["Checked 2"], ids["Raised"], ids["Broken"])

	// Each comes when what refuses it is gone, and not before.
	r.Exec(`CREATE OR REPLACE FUNCTION salesforce.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.name = 'Strange' THEN RAISE EXCEPTION 'strange' USING ERRCODE = 'XX123'; END IF;
			RETURN NEW;
		END $$`)
	r.passes(ids["Raised"])
	r.passes(ids["Broken"])
	r.arrived("account", 53)
	r.failed("Account", ids["Checked 2"])
	r.Exec(`ALTER TABLE salesforce.account DROP CONSTRAINT no_checked; DROP TRIGGER refuse ON salesforce.account`)
	r.passes(ids["Checked 2"])
	r.passes(ids["Strange"])
	r.failed("Account")
	r.Equal("Account")

	if code, out, stderr := r.Command("retry", "999999"); code != 1 || out != "0 requeued\n" || !strings.Contains(stderr, "hcbridge errors") {
		t.Errorf("an id of nothing: %d\n%s%s", code, out, stderr)
	}
	if code, _, stderr := r.Command("retry", "Acme"); code != 2 || !strings.Contains(stderr, "Acme") {
		t.Errorf("an id that is none: %d, %s", code, stderr)
	}
}

// refused waits until each of these has been refused this often at least.
func (r *rig) refused(times int, sfids ...string) {
	r.T.Helper()
	r.Eventually(fmt.Sprintf("refusal %d", times), 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM hcbridge.read_error WHERE attempts >= $1 AND sfid = ANY ($2)", times, sfids); n != len(sfids) {
			return fmt.Errorf("%d of %d were tried again", n, len(sfids))
		}
		return nil
	})
}

// passes lets the time pass until a refused record is tried again, which is an
// hour at most, and waits until it was. One that is refused no longer may have
// come by itself, with what else is read.
func (r *rig) passes(sfid string) {
	r.T.Helper()
	var attempts int
	err := r.Pool.QueryRow(r.T.Context(), `SELECT e.attempts FROM hcbridge.read_error e JOIN hcbridge.mark m USING (sfid)
		WHERE sfid = $1 AND m.due_at <= now() + interval '1 hour'`, sfid).Scan(&attempts)
	if errors.Is(err, pgx.ErrNoRows) && r.Count("SELECT count(*) FROM hcbridge.read_error WHERE sfid = $1", sfid) == 0 {
		return
	}
	if err != nil {
		r.T.Fatalf("%s will not be tried again: %v", sfid, err)
	}
	r.Exec("UPDATE hcbridge.mark SET due_at = now() WHERE sfid = $1", sfid)
	r.Eventually("another try", 20*time.Second, func() error {
		if r.Count("SELECT count(*) FROM hcbridge.read_error WHERE sfid = $1 AND attempts = $2", sfid, attempts) != 0 {
			return errors.New("not yet")
		}
		return nil
	})
}

// An app may put foreign keys between mapped tables. Whatever order records
// come in, a child waits for its parent, and a parent for the deletion of its
// children, and nothing else waits (fault 47).
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	for _, deferred := range []string{"NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"} {
		t.Run(deferred, func(t *testing.T) {
			t.Parallel()
			// Contacts come by events; their accounts are polled, and not to be seen
			// until what must not wait for them has come.
			r := newRig(t, "HC_OBJECTS=Contact,Account", "HC_OBJECT_ACCOUNT_MODE=polling", "HC_OBJECT_ACCOUNT_POLL_INTERVAL=2s",
				"HC_OBJECT_ACCOUNT_FIELDS=Name,ParentId", "HC_OBJECT_CONTACT_FIELDS=LastName,AccountId,ReportsToId")
			first := r.Start()
			r.Synced()
			r.Exec(`ALTER TABLE salesforce.contact ADD FOREIGN KEY (accountid) REFERENCES salesforce.account (sfid) ` + deferred + `;
				ALTER TABLE salesforce.contact ADD FOREIGN KEY (reportstoid) REFERENCES salesforce.contact (sfid) ` + deferred + `;
				ALTER TABLE salesforce.account ADD FOREIGN KEY (parentid) REFERENCES salesforce.account (sfid) ` + deferred)
			family := func(n int) (ids []string) {
				for i := range n {
					parent := r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Parent %d", i)})
					child := r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Child %d", i), "ParentId": parent})
					r.SF.HideRecord("Account", parent)
					r.SF.HideRecord("Account", child)
					boss := r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("Boss %d", i), "AccountId": child})
					r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("Report %d", i), "AccountId": parent, "ReportsToId": boss})
					// A circle, and a record that refers to itself.
					r.Must(r.SF.Update("Account", parent, map[string]any{"ParentId": child}))
					r.Must(r.SF.Update("Contact", boss, map[string]any{"ReportsToId": boss}))
					ids = append(ids, parent, child)
				}
				return ids
			}
			ids := family(20)
			r.Insert("Contact", map[string]any{"LastName": "Free"})
			r.Eventually("a contact without an account", 10*time.Second, func() error {
				if r.Count("SELECT count(*) FROM salesforce.contact WHERE lastname = 'Free'") != 1 {
					return errors.New("waits for those with one")
				}
				return nil
			})
			if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE accountid IS NULL"); n != 1 {
				t.Errorf("%d contacts have come without their account", n-1)
			}
			for _, id := range ids {
				r.SF.ShowRecord("Account", id)
			}
			r.Equal("Account", "Contact")
			r.failed("Contact")

			// And with them their contacts, of which no event tells. Their rows refer
			// to each other, too, and all wait until those of the contacts are gone.
			for _, id := range ids[:10] {
				r.Must(r.SF.Delete("Account", id))
			}
			r.Equal("Account", "Contact")
			r.failed("Account")

			// All of it again as a first load, children first.
			first.End(15)
			r.Exec("TRUNCATE salesforce.contact, salesforce.account, hcbridge.object, hcbridge.position, hcbridge.mark, salesforce._trigger_log")
			r.Start()
			r.Synced()
			r.Equal("Account", "Contact")
			r.failed("Contact")
		})
	}
}

// Ids that differ in case only stay apart even in a column that has no case,
// because all 18 characters are kept (fault 50).
func TestCaseInsensitiveCollation(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c", "HC_OBJECT_ACCOUNT_FIELDS=Name,External_Id__c,ParentId")
	r.Start()
	r.Synced()
	r.Exec(`CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		ALTER TABLE salesforce.account ALTER sfid TYPE varchar(18) COLLATE nocase, ALTER external_id__c TYPE varchar(64) COLLATE nocase,
			ALTER parentid TYPE varchar(18) COLLATE nocase`)
	short := map[string]bool{}
	var last string
	for i := range 200 {
		fields := map[string]any{"Name": fmt.Sprintf("A %d", i), "External_Id__c": fmt.Sprintf("Key-%d", i)}
		if last != "" {
			fields["ParentId"] = last[:15]
		}
		last = r.Insert("Account", fields)
		short[strings.ToLower(last[:15])] = true
	}
	if len(short) == 200 {
		t.Fatal("no two ids differ in case only")
	}
	r.Equal("Account")
	r.failed("Account")
}

// A parent that is named by its external id and is not there yet is waited for, and
// one that never comes fails the record with Salesforce's words.
func TestParentNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_CONTACT_ACCESS=read_write",
		"HC_OBJECT_CONTACT_FIELDS=LastName,Account.External_Id__c")
	b := r.Start()
	r.Synced()
	r.Exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('Early', 'soon'), ('Lost', 'never')`)
	r.Eventually("a refusal", 10*time.Second, func() error {
		if !strings.Contains(b.Log.String(), `"event":"write_retry"`) {
			return errors.New("none yet")
		}
		return nil
	})
	r.Insert("Account", map[string]any{"Name": "Parent", "External_Id__c": "soon"})
	r.Eventually("the child", 40*time.Second, func() error {
		if r.Count(`SELECT count(*) FROM salesforce.contact WHERE lastname = 'Early' AND sfid IS NOT NULL`) == 0 {
			return errors.New("no record")
		}
		return nil
	})
	r.Promised("the other to fail", 3*time.Minute, func() error {
		if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED' AND sf_message LIKE 'Foreign key external ID: never not found%'`); n != 1 {
			return fmt.Errorf("%d entries", n)
		}
		return nil
	})
	if n := r.Count(`SELECT count(*) FROM salesforce.contact WHERE lastname = 'Lost' AND _hc_err LIKE '%INVALID_FIELD%'`); n != 1 {
		t.Error("the row does not tell")
	}
	if strings.Contains(b.Log.String(), `"event":"schema_changed"`) {
		t.Error("it was taken for a change of the schema")
	}
}
