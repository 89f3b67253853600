package takeover

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/rig"
)

// A schema of Heroku Connect's is taken over in place: no id changes and no row is
// written anew, what waits is sent once a person has said so, what failed stays to
// be seen, and what people have made around it goes on working. The way back works
// as well.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	r := newOld(t, 9000, 1000)
	r.Exec(`CREATE ROLE ` + r.role() + `; GRANT USAGE ON SCHEMA salesforce TO ` + r.role() + `; GRANT SELECT, INSERT, UPDATE ON salesforce.account, salesforce._trigger_log TO ` + r.role() + `; GRANT USAGE ON ALL SEQUENCES IN SCHEMA salesforce TO ` + r.role())
	t.Cleanup(func() { _, _ = r.Pool.Exec(t.Context(), "DROP OWNED BY "+r.role()) })

	// What Heroku Connect has sent, could not send, and has not sent yet.
	r.Exec(`INSERT INTO salesforce._trigger_log_archive (id, txid, created_at, updated_at, processed_at, state, action, table_name, record_id, sfid, "values")
		SELECT n, n, now() - interval '2 days', now() - interval '2 days', now() - interval '2 days', CASE WHEN n % 10 = 0 THEN 'FAILED' ELSE 'SUCCESS' END, 'UPDATE', 'account', n, NULL, '"name"=>"x"' FROM generate_series(1, 100) AS n;
		SELECT setval('salesforce._trigger_log_id_seq', 100)`)
	r.Exec(`INSERT INTO salesforce.contact (title, external_id__c) SELECT 'refused', 'refused ' || n FROM generate_series(1, 3) AS n`)
	r.Exec(`UPDATE salesforce._trigger_log SET state = 'FAILED', sf_message = 'Required fields are missing: [LastName]', processed_at = now() - interval '1 day'`)
	r.Exec(`INSERT INTO salesforce.account (name, external_id__c) SELECT 'New ' || n, 'new-' || n FROM generate_series(1, 20) AS n`)
	r.Exec(`UPDATE salesforce.account SET phone = '555-' || id WHERE external_id__c IN (SELECT 'a-' || n FROM generate_series(1, 15) AS n)`)
	r.Exec(`DELETE FROM salesforce.contact WHERE external_id__c IN (SELECT 'c-' || n FROM generate_series(900, 904) AS n)`)
	r.Exec(`INSERT INTO salesforce.contact (lastname, external_id__c) SELECT 'New ' || n, 'new-' || n FROM generate_series(1, 10) AS n`)
	r.Exec(`INSERT INTO salesforce.lead (lastname) VALUES ('local')`)
	if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'NEW'`); n != 50 {
		t.Fatalf("%d unsent entries, want 50", n)
	}
	// It was on its way when Heroku Connect was stopped, and took effect.
	r.Exec(`INSERT INTO salesforce.contact (lastname) VALUES ('New on its way')`)
	r.Exec(`UPDATE salesforce._trigger_log SET state = 'PENDING' WHERE id = (SELECT max(id) FROM salesforce._trigger_log)`)
	_, err := r.SF.As(org.DefaultOther).Insert("Contact", map[string]any{"LastName": "New on its way"})
	r.Must(err)
	dump := filepath.Join(t.TempDir(), "before.dump")
	r.tool("pg_dump", "--dbname="+r.URL, "--format=custom", "--schema-only", "--schema=salesforce", "--file="+dump)
	before, contacts, catalog := r.rows("account"), r.rows("contact"), r.catalog()

	// Since Heroku Connect was stopped.
	accounts := r.SF.Records("Account")
	for _, record := range accounts[100:105] {
		r.Must(r.SF.Update("Account", record.ID, map[string]any{"Industry": "Energy"}))
	}
	for _, record := range accounts[200:203] {
		r.Must(r.SF.Delete("Account", record.ID))
	}
	r.Insert("Account", map[string]any{"Name": "Since", "External_Id__c": "since"})

	r.ran(0, []string{"check"}, "Heroku Connect", "50 ", "3 ", "hcbridge adopt", "lead",
		"Account: takes over salesforce.account", "industry")
	if r.catalog() != catalog {
		t.Error("check has altered the database")
	}
	if after := r.rows("account"); !maps.Equal(before, after) {
		t.Error("check has written rows")
	}

	b := r.Start()
	r.is("updates since", 5, `SELECT count(*) FROM salesforce.account WHERE industry = 'Energy'`)
	r.is("deletes since", 0, `SELECT count(*) FROM salesforce.account WHERE sfid IN ($1, $2, $3)`, accounts[200].ID, accounts[201].ID, accounts[202].ID)
	r.is("creations since", 1, `SELECT count(*) FROM salesforce.account WHERE name = 'Since'`)
	r.Eventually("comparison of all", 60*time.Second, func() error {
		if n := r.Count(`SELECT count(*) FROM hcbridge.object WHERE full_wanted OR full_mark < '2000-01-01'`); n > 0 {
			return fmt.Errorf("%d objects are to be compared", n)
		}
		return nil
	})
	r.Eventually("reason", 20*time.Second, func() error {
		st, _ := r.Status()
		if !strings.Contains(st.Connection.Message, "Heroku Connect") || !strings.Contains(st.Connection.Message, "hcbridge adopt") {
			return fmt.Errorf("status says %q", st.Connection.Message)
		}
		return nil
	})
	if n := r.having("Account", "Name", "New 1"); n != 0 {
		t.Error("something is sent before anybody has said so")
	}
	if strings.Contains(b.Log.String(), `"event":"loading"`) {
		t.Error("rows that are there are loaded again")
	}
	r.ran(0, []string{"check"}, "hcbridge adopt")

	// A change while it waits is captured by our triggers.
	r.Exec(`UPDATE salesforce.account SET phone = 'while' WHERE external_id__c = 'a-50'`)
	r.ran(0, []string{"adopt"}, "Heroku Connect", "51 entries are sent", "had sent 1 creation ")
	r.is("sent", 4, `SELECT count(*) FROM salesforce._trigger_log`)
	r.ran(0, []string{"errors"}, "Required fields are missing", "SELECT \"salesforce\".\"hc_capture_insert_from_row\"(hstore(t.*), 'contact')")
	if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'`); n != 4 {
		t.Errorf("%d entries are FAILED, want 4", n)
	}
	if n := r.having("Contact", "LastName", "New on its way"); n != 1 {
		t.Errorf("what was on its way: %d records", n)
	}
	if n := r.Count(`SELECT count(*) FROM salesforce.contact WHERE lastname = 'New on its way' AND (sfid IS NULL) = (_hc_lastop = 'FAILED' AND _hc_err::json->>'code' = 'IN_DOUBT')`); n != 2 {
		t.Errorf("what was on its way: %d rows tell what became of it", n)
	}
	for n := 1; n <= 20; n++ {
		if c := r.having("Account", "Name", fmt.Sprintf("New %d", n)); c != 1 {
			t.Errorf("New %d: %d records", n, c)
		}
	}
	if n := r.having("Contact", "Title", "refused"); n != 0 {
		t.Errorf("%d of what had failed was sent", n)
	}
	if n := len(r.SF.Records("Contact")); n != 1000-5+10-3+1 { // three went with their accounts
		t.Errorf("%d contacts", n)
	}
	if record, _ := r.SF.Get("Account", accounts[1].ID); !strings.HasPrefix(fmt.Sprint(r.value("Account", record, "Phone")), "555-") {
		t.Errorf("phone %v", r.value("Account", record, "Phone"))
	}

	// No id changed, and no row was written that did not have to be.
	touched := r.ids(`SELECT id::bigint FROM salesforce.account WHERE external_id__c IN (SELECT 'a-' || n FROM generate_series(1, 15) AS n) OR external_id__c = 'a-50' OR name LIKE 'New %' OR industry = 'Energy' OR name = 'Since'`)
	r.unmoved("account", before, touched, 3)
	r.unmoved("contact", contacts, r.ids(`SELECT id::bigint FROM salesforce.contact WHERE lastname LIKE 'New %'`), 3)
	for table, width := range map[string]string{"account": "integer", "_trigger_log": "integer", "_trigger_log_archive": "bigint"} { // a view keeps the log's
		if n := r.Count(`SELECT count(*) FROM pg_attribute WHERE attrelid = ('salesforce.' || $1)::regclass AND attname = 'id' AND format_type(atttypid, -1) = $2`, table, width); n != 1 {
			t.Errorf("id of %s is not %s", table, width)
		}
	}
	if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log_archive WHERE id <= 100 AND "values" = '"name"=>"x"'`); n != 100 {
		t.Errorf("%d old entries of the archive are left, want 100", n)
	}

	// What people have made goes on.
	r.Must(r.SF.Update("Account", accounts[7].ID, map[string]any{"Name": "Renamed there"}))
	r.sent("Title", "at Renamed there")
	r.Exec(`UPDATE salesforce.account SET name = 'Renamed here' WHERE external_id__c = 'a-8'`)
	r.sent("Title", "at Renamed here")
	if r.Count(`SELECT count(*) FROM public.big_accounts`) == 0 || r.Count(`SELECT count(*) FROM public.failures`) != 4 {
		t.Error("a view is empty")
	}
	if n := r.Count(`SELECT count(*) FROM pg_indexes WHERE indexname = 'my_account_name'`); n != 1 {
		t.Error("an index is gone")
	}
	if n := r.Count(`SELECT count(*) FROM pg_proc WHERE oid = 'public.get_xmlbinary()'::regprocedure AND prosrc LIKE '%pg_settings%'`); n != 1 {
		t.Error("public.get_xmlbinary() is another")
	}
	r.Exec(`DO $$ BEGIN SET LOCAL ROLE ` + r.role() + `; INSERT INTO salesforce.account (name, external_id__c) VALUES ('By the app', 'app'); UPDATE salesforce._trigger_log SET state = state WHERE false; END $$`)
	r.Eventually("the app's own write", 20*time.Second, func() error {
		if r.having("Account", "Name", "By the app") != 1 {
			return errors.New("not sent")
		}
		return nil
	})
	r.ran(0, []string{"verify", "Account"})

	// And back.
	b.End(syscall.SIGTERM)
	r.withoutTopics().End(syscall.SIGTERM)
	r.back(dump)
}

// role is a role of the test's own: roles belong to the whole server.
func (r old) role() string {
	return `app_` + regexp.MustCompile(`\W`).ReplaceAllString(r.URL[strings.LastIndex(r.URL, "/")+1:], "_")
}

// unmoved fails for rows that were there before and are now elsewhere, or have
// another version, unless they were touched. gone may be missing.
func (r old) unmoved(table string, before map[int64]string, touched []int64, gone int) {
	r.T.Helper()
	after := r.rows(table)
	moved := 0
	for id, place := range before {
		now, ok := after[id]
		switch {
		case !ok:
			gone--
		case now != place && !slices.Contains(touched, id):
			if moved++; moved < 5 {
				r.T.Errorf("row %d of %s was %s and is %s", id, table, place, now)
			}
		case place[len(place)-1] != ' ' && now[strings.LastIndex(now, " "):] != place[strings.LastIndex(place, " "):]:
			r.T.Errorf("row %d of %s is another record's", id, table)
		}
	}
	if gone != 0 || moved > 0 {
		r.T.Errorf("%s: %d rows were written, %d too few are gone", table, moved, gone)
	}
}

// sent waits until one contact has a value.
func (r old) sent(field, value string) {
	r.T.Helper()
	r.Eventually(value, 20*time.Second, func() error {
		if n := r.having("Contact", field, value); n != 1 {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
}

// tool runs a program of Postgres' and returns what it says.
func (r old) tool(name string, args ...string) string {
	r.T.Helper()
	out, err := exec.CommandContext(r.T.Context(), name, args...).Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || name == "pg_dump") {
		r.T.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// withoutTopics starts a bridge that polls all objects, which the way back begins with,
// and waits until no PushTopic is left.
func (r old) withoutTopics() *rig.Bridge {
	r.T.Helper()
	if len(r.SF.Records("PushTopic")) == 0 {
		r.T.Error("there was no PushTopic")
	}
	for name := range strings.SplitSeq(r.Env["HC_OBJECTS"], ",") {
		r.Env["HC_OBJECT_"+strings.ToUpper(name)+"_MODE"] = "polling"
	}
	b := r.Start()
	r.Eventually("PushTopics to go", 20*time.Second, func() error {
		if list := r.SF.Records("PushTopic"); len(list) > 0 {
			return fmt.Errorf("%d are left", len(list))
		}
		return nil
	})
	return b
}

// back takes the schema back as docs/take-over.md says, from a dump of before.
// Capture works as before, and nothing of ours is left.
func (r old) back(dump string) {
	r.T.Helper()
	text, err := os.ReadFile("../../docs/take-over.md")
	r.Must(err)
	_, sql, found := strings.Cut(string(text), "```sql\n-- The way back")
	sql, _, closed := strings.Cut(sql, "```")
	if !found || !closed {
		r.T.Fatal("docs/take-over.md has no SQL for the way back")
	}
	r.Exec("-- " + sql)
	ours := r.Count(`SELECT (SELECT count(*) FROM pg_trigger WHERE obj_description(oid, 'pg_trigger') LIKE 'hcbridge%')
		+ (SELECT count(*) FROM pg_proc WHERE obj_description(oid, 'pg_proc') = 'hcbridge') + (SELECT count(*) FROM pg_namespace WHERE nspname = 'hcbridge')
		+ (SELECT count(*) FROM pg_class WHERE oid IN (to_regclass('salesforce._trigger_log_attempt'), to_regclass('salesforce._trigger_log_echo')))
		+ (SELECT count(*) FROM pg_proc WHERE pronamespace = 'salesforce'::regnamespace)`)
	if ours != 0 {
		r.T.Errorf("%d things of ours are left", ours)
	}
	var list []string
	for line := range strings.Lines(r.tool("pg_restore", "--list", dump)) {
		if strings.Contains(line, " FUNCTION ") || strings.Contains(line, " TRIGGER ") {
			list = append(list, line)
		}
	}
	capture := filepath.Join(r.T.TempDir(), "capture.list")
	r.Must(os.WriteFile(capture, []byte(strings.Join(list, "")), 0o600))
	r.tool("pg_restore", "--use-list="+capture, "--dbname="+r.URL, dump) // complains of what is there
	entries := r.Count(`SELECT count(*) FROM salesforce._trigger_log`)
	r.Exec(`UPDATE salesforce.account SET phone = 'back' WHERE external_id__c = 'a-60'`)
	r.Exec(`UPDATE salesforce.account SET phone = phone WHERE external_id__c = 'a-60'`)
	r.Exec(`DELETE FROM salesforce.contact WHERE external_id__c = 'c-500'`)
	r.Exec(`INSERT INTO salesforce.account (name) VALUES ('back')`)
	r.Exec(`SELECT salesforce.hc_capture_update_from_row(public.hstore(a.*), 'account', ARRAY['name']) FROM salesforce.account AS a WHERE external_id__c = 'a-61'`)
	r.Exec(`TRUNCATE salesforce.lead`)
	rows, err := r.Pool.Query(r.T.Context(), `SELECT concat_ws(' ', state, action, table_name, CASE action WHEN 'UPDATE' THEN "values" END) FROM salesforce._trigger_log ORDER BY id OFFSET $1`, entries)
	r.Must(err)
	var got []string
	for rows.Next() {
		var line string
		r.Must(rows.Scan(&line))
		got = append(got, line)
	}
	want := []string{`NEW UPDATE account "phone"=>"back"`, "IGNORE UPDATE account ", "NEW DELETE contact", "NEW INSERT account", `NEW UPDATE account "name"=>"Account 61"`}
	if !slices.Equal(got, want) {
		r.T.Errorf("captured %q, want %q", got, want)
	}
}

// What would lose data is refused, by check and by a start, before anything is
// altered: another org's rows stop it all, somebody else's table its object.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newOld(t, 20, 20)
	r.Exec(`UPDATE salesforce._hcmeta SET org_id = '00D000000000099'`)
	catalog := r.catalog()
	r.ran(1, []string{"check"}, "✗ Take-over", "00D000000000099")
	r.ran(2, []string{"run"}, "belongs to org 00D000000000099")
	r.Exec(`DROP SCHEMA hcbridge CASCADE`)
	if r.catalog() != catalog {
		t.Error("a schema of another org was altered")
	}

	r.Exec(`UPDATE salesforce._hcmeta SET org_id = $1`, r.SF.ID()[:15])
	r.Exec(`DROP TABLE public.orders; DROP VIEW public.big_accounts; DROP TABLE salesforce.account; CREATE TABLE salesforce.account (id serial PRIMARY KEY, name text, password text NOT NULL); INSERT INTO salesforce.account (name, password) VALUES ('mine', 'x')`)
	r.Exec(`ALTER TABLE salesforce.contact ALTER COLUMN title TYPE boolean USING NULL`)
	catalog = r.catalog()
	r.ran(1, []string{"check"}, "✗ Account", "column sfid is missing", "column password", "✗ Contact", "column title is boolean")
	if r.catalog() != catalog {
		t.Error("check has altered the database")
	}
	r.Start()
	r.Eventually("both are refused", 20*time.Second, func() error {
		st, _ := r.Status()
		refused := 0
		for _, o := range st.Objects {
			if o.State == status.MappingError {
				refused++
			}
		}
		if refused != 2 {
			return fmt.Errorf("%+v", st.Objects)
		}
		return nil
	})
	if n := r.Count(`SELECT count(*) FROM salesforce.account WHERE name = 'mine'`); n != 1 {
		t.Error("the row is gone")
	}
	if n := r.Count(`SELECT count(*) FROM pg_attribute WHERE attrelid = 'salesforce.account'::regclass AND attnum > 0`); n != 3 {
		t.Error("somebody else's table was altered")
	}
	// Mended, it goes on by itself.
	r.Exec(`ALTER TABLE salesforce.contact ALTER COLUMN title TYPE varchar(128) USING NULL`)
	r.is("contacts", 20, `SELECT count(*) FROM salesforce.contact WHERE sfid IS NOT NULL`)
}

// Fields that Heroku Connect did not map are filled beside the rest, though no record
// has changed for so long that a poll would read it.
func TestNewFields(t *testing.T) {
	t.Parallel()
	var ago atomic.Int64
	ago.Store(int64(24 * time.Hour))
	r := newOldWith(t, org.Options{Now: func() time.Time { return time.Now().Add(-time.Duration(ago.Load())) }}, 50, 0,
		"HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name,Industry,Phone,External_Id__c,Site")
	ago.Store(int64(12 * time.Hour))
	newest := r.Insert("Account", map[string]any{"Name": "Newest"}) // polls begin a little before it
	ago.Store(0)
	record, _ := r.SF.Get("Account", newest)
	r.Exec(`SET xmlbinary = hex; INSERT INTO salesforce.account (name, sfid, createddate, systemmodstamp, isdeleted, _hc_lastop) VALUES ('Newest', '` + newest + `', '` +
		record.Created.UTC().Format(time.DateTime) + `', now() AT TIME ZONE 'UTC' - interval '12 hours 5 seconds', false, 'SYNCED'); RESET xmlbinary`)
	r.ran(0, []string{"check"}, "adds site")
	r.Exec(`DROP VIEW public.failures`) // without it nothing keeps the log's ids narrow
	before := r.rows("account")
	r.Start()
	r.is("new column", 50, `SELECT count(*) FROM salesforce.account WHERE site LIKE 'Site %'`)
	r.Equal("Account")
	for _, column := range []string{"id", "record_id"} {
		if n := r.Count(`SELECT count(*) FROM pg_attribute WHERE attrelid = 'salesforce._trigger_log'::regclass AND attname = $1 AND format_type(atttypid, -1) = 'bigint'`, column); n != 1 {
			t.Errorf("%s of the log is not widened", column)
		}
	}
	for id := range r.rows("account") {
		if _, ok := before[id]; !ok {
			t.Errorf("row %d is new", id)
		}
	}
}
