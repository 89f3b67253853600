package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
	"hcbridge/test/pgtest"
)

// says waits until the connection's state and message are as wanted.
func (r *rig) says(state, message string) {
	r.T.Helper()
	r.Promised("state "+state, 40*time.Second, func() error {
		st, ok := r.Status()
		if c := st.Connection; !ok || state != "" && c.State != state || !strings.Contains(c.Message, message) {
			return fmt.Errorf("state %s, message %q", c.State, c.Message)
		}
		return nil
	})
}

// ran runs a command that must succeed and say something.
func (r *rig) ran(want string, args ...string) {
	r.T.Helper()
	if code, out, stderr := r.Command(args...); code != 0 || !strings.Contains(out, want) {
		r.T.Errorf("%v: %d, %q, %s: want %q", args, code, out, stderr, want)
	}
}

// admin runs SQL in another database of the same server.
func (r *rig) admin(sql string) {
	r.T.Helper()
	u, err := url.Parse(r.URL)
	r.Must(err)
	u.Path = "/postgres"
	conn, err := pgx.Connect(r.T.Context(), u.String())
	r.Must(err)
	defer func() { _ = conn.Close(context.WithoutCancel(r.T.Context())) }()
	_, err = conn.Exec(r.T.Context(), sql)
	r.Must(err)
}

// named returns how many accounts of a name the org has.
func (r *rig) named(name string) (n int) {
	for _, record := range r.SF.Records("Account") {
		if r.value("Account", record, "Name") == name {
			n++
		}
	}
	return n
}

// value is a field of a record of the org.
func (r *rig) value(object string, record sobject.Record, field string) any {
	return record.Get(r.SF.Object(object), field)
}

func (r *rig) written(name string) {
	r.T.Helper()
	r.Eventually(name+" in Salesforce", 20*time.Second, func() error {
		if n := r.named(name); n != 1 {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
}

// A pause stops both directions within seconds, outlasts a restart and loses
// nothing.
func TestPause(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry")
	b := r.Start()
	r.Synced()
	r.ran("Paused", "pause")
	r.ran("already", "pause")
	r.says(status.Paused, "hcbridge resume")
	if code, out, stderr := r.Command("status"); code != 0 || strings.Contains(out, "connected") {
		t.Errorf("status of a paused bridge, exit code %d:\n%s%s", code, out, stderr)
	}
	r.Exec("INSERT INTO salesforce.account (name) VALUES ('captured')")
	r.Insert("Account", map[string]any{"Name": "fetched"})
	b.End(15)
	if code, _, stderr := r.Command("status"); code != 1 || !strings.Contains(stderr, "no bridge is running") {
		t.Errorf("status of a stopped bridge, exit code %d: %s", code, stderr)
	}
	r.Start()
	r.says(status.Paused, "hcbridge resume")
	if r.named("captured") != 0 || r.Count("SELECT count(*) FROM salesforce.account WHERE name = 'fetched'") != 0 {
		t.Error("a paused bridge syncs")
	}
	r.ran("Resumed", "resume")
	r.written("captured")
	r.Equal("Account")
}

// What a bridge that runs waits for is told, also where it has never got as far as to log in.
func TestStatusBeforeTheLogin(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account")
	away := r.SF.Fault(org.Fault{Path: "/services/oauth2/token", Verb: org.Drop})
	b := r.Start()
	tells := func(code int, out, stderr string) {
		t.Helper()
		r.Eventually("status to tell", 20*time.Second, func() error {
			is, o, e := r.Command("status")
			if is != code || !strings.Contains(o, out) || !strings.Contains(e, stderr) {
				return fmt.Errorf("%d: %s%s", is, o, e)
			}
			return nil
		})
	}
	tells(0, "SF_UNAVAILABLE", "")
	away.Remove()
	r.Synced()
	b.End(15)
	r.Exec("UPDATE hcbridge.instance SET status_at = now() - interval '1 hour'")
	tells(1, "IDLE", "no bridge is running: this is its status of 1h0m")
	r.Exec("UPDATE hcbridge.lease SET expires_at = now() + interval '1 hour'")
	tells(1, "IDLE", "a bridge is running, but has not told its status for 1h0m")
	r.Exec("UPDATE hcbridge.lease SET expires_at = now() - interval '1 hour'")
	r.SF.Fault(org.Fault{Path: "/services/oauth2/token", Verb: org.Drop})
	r.Start()
	tells(0, "SF_UNAVAILABLE", "")
}

// A copy of the database only receives until it is adopted (fault 100).
func TestClone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry")
	b := r.Start()
	r.Synced()
	b.End(15)
	if _, out, _ := r.Command("check"); strings.Contains(out, "Take-over") {
		t.Errorf("of the original it says\n%s", out)
	}
	r.Pool.Close()
	u, err := url.Parse(r.URL)
	r.Must(err)
	original := strings.TrimPrefix(u.Path, "/")
	u.Path = "/" + original[:min(len(original), 50)] + "_copy"
	r.admin(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", pgx.Identifier{u.Path[1:]}.Sanitize(), pgx.Identifier{original}.Sanitize()))
	t.Cleanup(func() { r.Pool.Close() })
	r.URL, r.Env["DATABASE_URL"] = u.String(), u.String()
	r.Pool = pgtest.Open(t, r.URL)
	r.ran("another database: this is a copy, or it was restored or moved: after a start it only receives", "check")
	r.Start()
	r.says("", "another database")
	r.Exec("INSERT INTO salesforce.account (name) VALUES ('of the copy')")
	r.Insert("Account", map[string]any{"Name": "of Salesforce"})
	r.arrived("account", 2) // inbound goes on
	if n := r.named("of the copy"); n != 0 {
		t.Error("a copy writes to Salesforce")
	}
	r.ran("1 entry is sent", "adopt")
	r.written("of the copy")
	r.ran("nothing to confirm", "adopt")
}

// A copy of the server's files, which has the same cluster and database, only receives
// until it is adopted, whether the original still works or not (fault 100). The same
// server that is reached by another name, or was started again, is no copy.
func TestCopiedFiles(t *testing.T) {
	t.Parallel()
	for _, runs := range []bool{false, true} {
		t.Run(map[bool]string{false: "of a stopped server", true: "of one that runs on"}[runs], func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry")
			original := pgtest.Private(t, pgtest.Options{})
			address, err := original.CreateDatabase(t.Context(), "production")
			r.Must(err)
			r.URL, r.Env["DATABASE_URL"], r.Pool = address, address, pgtest.Open(t, address)
			b := r.Start()
			r.Synced()
			r.Exec("INSERT INTO salesforce.account (name) VALUES ('of the original')")
			r.written("of the original")
			r.Equal("Account")
			if !runs {
				b.End(15)
				r.Must(original.Stop(pgtest.Fast))
			}
			second, err := original.Copy(t.Context())
			r.Must(err)
			t.Cleanup(second.Close)
			first := r.Pool
			r.URL, r.Env["DATABASE_URL"] = second.DatabaseURL("production"), second.DatabaseURL("production")
			r.Pool = pgtest.Open(t, r.URL)
			b = r.Start()
			r.says("", "a copy of its files")
			r.Exec("INSERT INTO salesforce.account (name) VALUES ('of the copy')")
			r.Insert("Account", map[string]any{"Name": "of Salesforce"})
			r.arrived("account", 3) // inbound goes on
			if runs {
				_, err := first.Exec(t.Context(), "INSERT INTO salesforce.account (name) VALUES ('later')")
				r.Must(err)
				r.written("later")
			}
			if n := r.named("of the copy"); n != 0 {
				t.Error("a copy writes to Salesforce")
			}
			if runs {
				return
			}
			r.ran("1 entry is sent", "adopt")
			r.written("of the copy")
			b.End(15)
			u, err := url.Parse(r.URL)
			r.Must(err)
			u.Host = "localhost:" + u.Port()
			r.Env["DATABASE_URL"] = u.String()
			b = r.Start()
			r.Exec("INSERT INTO salesforce.account (name) VALUES ('by another name')")
			r.written("by another name")
			b.End(15)
			r.Must(second.Stop(pgtest.Immediate))
			r.Must(second.Resume(t.Context()))
			r.Pool.Reset() // its connections ended with the server
			r.Start()
			r.Exec("INSERT INTO salesforce.account (name) VALUES ('started again')")
			r.written("started again")
		})
	}
}

// toldEpoch waits until Salesforce knows how far the database has come.
func (r *rig) toldEpoch(n int) {
	r.T.Helper()
	r.Promised("epoch in Salesforce", 20*time.Second, func() error {
		for _, topic := range r.SF.Records("PushTopic") {
			if d, _ := r.value("PushTopic", topic, "Description").(string); strings.Contains(d, fmt.Sprintf("epoch %d", n)) {
				return nil
			}
		}
		return errors.New("no topic bears it")
	})
}

// A database that was set back does not send what it sent once already (fault 99).
// What it holds may be dismissed, what was on its way then too; then Salesforce's values
// are taken.
func TestSetBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry")
	ids := []string{r.Insert("Account", map[string]any{"Name": "waits"}), r.Insert("Account", map[string]any{"Name": "is on its way"}), r.Insert("Account", map[string]any{"Name": "is asked for"})}
	has := func(want string) {
		t.Helper()
		for _, id := range ids {
			if record, _ := r.SF.Get("Account", id); r.value("Account", record, "Industry") != want {
				t.Errorf("the record that %s has %v", r.value("Account", record, "Name"), r.value("Account", record, "Industry"))
			}
		}
	}
	b := r.Start()
	r.Synced()
	r.Exec("UPDATE salesforce.account SET industry = 'Banking'")
	r.toldEpoch(1)
	r.Equal("Account")
	b.End(15)
	for _, id := range ids {
		r.Must(r.SF.Update("Account", id, map[string]any{"Industry": "Energy"}))
	}
	// Yesterday the changes were captured and not sent, or not answered, and there was
	// no epoch.
	r.Exec(`UPDATE hcbridge.instance SET epoch = 0`)
	r.Exec(`UPDATE salesforce.account SET industry = 'Finance' WHERE name <> 'is asked for'`)
	r.Exec(`UPDATE salesforce._trigger_log SET state = 'PENDING', processed_at = now() WHERE sfid = (SELECT sfid FROM salesforce.account WHERE name = 'is on its way')`)
	r.Exec(`UPDATE salesforce._trigger_log_archive SET state = 'REQUEUE' WHERE sfid = (SELECT sfid FROM salesforce.account WHERE name = 'is asked for')`)
	r.ran("it was set back, or a copy of it was at work: after a start it only receives", "check")
	b = r.Start()
	r.says("", "set back")
	time.Sleep(2 * time.Second) // for what must not happen
	has("Energy")
	r.ran("3 entries are dismissed", "adopt", "--dismiss")
	r.Eventually("Salesforce's values", 60*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce.account WHERE industry = 'Energy'"); n != 3 {
			return fmt.Errorf("%d rows have them", n)
		}
		return nil
	})
	r.Exec("INSERT INTO salesforce.account (name) VALUES ('goes on')")
	r.written("goes on")
	b.End(15) // all that it would send is sent
	has("Energy")
}

// A mass delete waits for a person, and says so (fault 98).
func TestHeldDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry", "HC_OBJECT_CONTACT_FIELDS=LastName")
	_, err := r.SF.InsertMany("Account", func(yield func(map[string]any) bool) {
		for i := range 700 {
			if !yield(map[string]any{"Name": fmt.Sprintf("a%d", i)}) {
				return
			}
		}
	})
	r.Must(err)
	b := r.Start()
	r.Synced()
	r.Exec("DELETE FROM salesforce.account WHERE id <= 600")
	r.Eventually("held", 20*time.Second, func() error {
		if !strings.Contains(b.Log.String(), `"event":"held"`) {
			return errors.New("not yet")
		}
		return nil
	})
	if n := len(r.SF.Records("Account")); n != 700 {
		t.Errorf("%d records are left", n)
	}
	for _, args := range [][]string{{"status"}, {"status", "--json"}} {
		r.Promised(strings.Join(args, " ")+" to tell", 15*time.Second, func() error {
			if _, out, _ := r.Command(args...); !strings.Contains(out, "600 deletes of Account within 30m0s are more than 500: nothing of this object is sent until `hcbridge approve Account`") {
				return errors.New(out)
			}
			return nil
		})
	}
	if code, out, stderr := r.Command("approve", "Acount"); code != 2 || !strings.Contains(stderr, "Acount is not mapped: mapped are Account") {
		t.Errorf("a misspelt object: %d %s%s", code, out, stderr)
	}
	r.ran("Nothing of Contact is held. Held are: account", "approve", "Contact")
	r.ran("account: 600 entries are released", "approve", "Account")
	r.ran("Nothing is held.", "approve", "Contact")
	r.Equal("Account")
	if n := r.Count("SELECT count(*) FROM salesforce.account"); n != 100 {
		t.Errorf("%d rows", n)
	}
	r.Promised("status to forget it", 15*time.Second, func() error {
		if _, out, _ := r.Command("status"); strings.Contains(out, "approve") {
			return errors.New(out)
		}
		return nil
	})
}

// An edit of a record that was deleted there is FAILED with Salesforce's words, the
// row goes, and both are written down (fault 73).
func TestEditOfDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry", "HC_OBJECT_ACCOUNT_MODE=polling")
	id := r.Insert("Account", map[string]any{"Name": "record"})
	r.Start()
	r.Synced()
	r.Must(r.SF.Delete("Account", id))
	r.Exec("UPDATE salesforce.account SET name = 'ours'")
	r.arrived("account", 0)
	if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED' AND sf_message LIKE '%deleted%'"); n != 1 {
		t.Errorf("%d failed entries", n)
	}
	if n := r.Count("SELECT count(*) FROM hcbridge.conflict WHERE sfid = $1 AND remote_deleted AND field = 'name' AND local_value = 'ours' AND base_value = 'record'", id); n != 1 {
		t.Errorf("%d conflicts", n)
	}
}

// Changes that were captured before their object became read_only, or was taken out of
// the mapping, wait and are told of; they are sent when it is as before again.
func TestChangesOfBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_CONTACT_ACCESS=read_write")
	b := r.Start()
	r.Synced()
	b.End(15)
	r.Exec("INSERT INTO salesforce.account (name) VALUES ('of before')")
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('of before')")
	r.Env["HC_OBJECTS"], r.Env["HC_OBJECT_ACCOUNT_ACCESS"] = "Account", "read_only"
	delete(r.Env, "HC_OBJECT_CONTACT_ACCESS")
	b = r.Start()
	r.says("", "tables that are not mapped: contact (1)")
	r.Eventually("the object tells", 40*time.Second, func() error {
		if st, ok := r.Status(); ok && strings.Contains(st.Objects[0].Message, "of before it became read_only wait (1)") {
			return nil
		}
		return errors.New("it does not")
	})
	b.End(15)
	r.Env["HC_OBJECTS"], r.Env["HC_OBJECT_ACCOUNT_ACCESS"], r.Env["HC_OBJECT_CONTACT_ACCESS"] = "Account,Contact", "read_write", "read_write"
	r.Start()
	r.written("of before")
	r.Equal("Account", "Contact")
}
