package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org/sobject"
)

// Row 36 of the fault list: the user loses a field. The column keeps what it
// holds, the other fields go on both ways, status says what to do, and when the
// permission is back so is the field, with what the app has written to it meanwhile.
func TestFieldHidden(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.SF.HideField("Contact", "Extra__c")
	r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Title": "After", "Extra__c": "unseen"}))
	// One write of the app before the bridge knows, and one after.
	r.Exec("UPDATE salesforce.contact SET department = 'D', extra__c = 'local' WHERE sfid = $1", r.ids[1])
	r.row(0, "title", "After")
	r.row(0, "extra__c", "0")
	r.record(1, "Department", "D")
	r.shows("Contact", status.DataSynced, "Extra__c", "grant Read")
	r.Exec("UPDATE salesforce.contact SET department = 'E', extra__c = 'mine' WHERE sfid = $1", r.ids[2])
	r.record(2, "Department", "E")
	r.row(2, "extra__c", "mine")
	r.Exec("UPDATE salesforce.contact SET extra__c = 'first' WHERE sfid = $1", r.ids[3])
	r.Exec("UPDATE salesforce.contact SET extra__c = 'alone' WHERE sfid = $1", r.ids[3])
	r.Exec("INSERT INTO salesforce.contact (lastname, external_id__c, extra__c) VALUES ('New', 'c-new', 'inserted')")
	r.Eventually("changes that wait", 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED' AND sf_message LIKE 'FIELD_FROZEN: Extra\\_\\_c cannot%'"); n != 4 {
			return fmt.Errorf("%d, want 4", n)
		}
		if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE _hc_lastop = 'FAILED' AND _hc_err::json -> 'fields' ->> 0 = 'Extra__c'"); n != 4 {
			return fmt.Errorf("%d rows tell of it, want 4", n)
		}
		return nil
	})
	if _, out, _ := r.Command("errors"); strings.Count(out, "FIELD_FROZEN") != 4 {
		t.Errorf("errors tells\n%s", out)
	}
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE extra__c IS NULL"); n != 0 {
		t.Errorf("%d values of the frozen column are gone", n)
	}
	if code, out, _ := r.Command("check"); code != 0 || !strings.Contains(out, "! Contact") || !strings.Contains(out, "Extra__c") {
		t.Errorf("check exits with %d:\n%s", code, out)
	}
	r.SF.ShowField("Contact", "Extra__c")
	r.shows("Contact", status.DataSynced)
	r.row(0, "extra__c", "unseen")
	for i, want := range []string{1: "local", 2: "mine", 3: "alone"} {
		if i > 0 {
			r.record(i, "Extra__c", want)
			r.row(i, "extra__c", want)
		}
	}
	r.Equal("Contact")
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE extra__c = 'inserted' AND sfid IS NOT NULL"); n != 1 {
		t.Error("the value of the new contact is gone")
	}
	if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'") + r.Count("SELECT count(*) FROM salesforce.contact WHERE _hc_lastop = 'FAILED'"); n != 0 {
		t.Errorf("%d entries and rows are FAILED", n)
	}
}

// A field is deleted in Salesforce, and one of its name made anew.
func TestFieldRemoved(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.Must(r.SF.RemoveField("Contact", "Extra__c"))
	r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Title": "After"}))
	r.Exec("UPDATE salesforce.contact SET department = 'D', extra__c = 'local' WHERE sfid = $1", r.ids[1])
	r.row(0, "title", "After")
	r.record(1, "Department", "D")
	r.shows("Contact", status.DataSynced, "Extra__c")
	r.row(0, "extra__c", "0")
	r.Equal("Contact")
}

// A field is added where none is named: it gets a column, which is filled
// while changes go on.
func TestFieldAdded(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.Must(r.SF.AddField("Contact", textField("New__c", 30)))
	for i, id := range r.ids {
		r.Must(r.SF.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"New__c": fmt.Sprint(i)}))
	}
	if code, out, stderr := r.Command("reload", "contact"); code != 0 {
		t.Fatalf("reload exits with %d:\n%s%s", code, out, stderr)
	}
	r.row(3, "new__c", "3")
	r.Exec("UPDATE salesforce.contact SET new__c = 'out' WHERE sfid = $1", r.ids[4])
	r.record(4, "New__c", "out")
	r.Equal("Contact")
}

// A field gets longer, and the first that is heard of it is a value that does
// not fit.
func TestFieldWidened(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.Must(r.SF.ChangeField("Contact", "Extra__c", func(f *sobject.Field) { f.Length = 120 }))
	long := strings.Repeat("long ", 19) + "value"
	r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Extra__c": long}))
	r.row(0, "extra__c", long)
	r.Equal("Contact")
	if n := r.Count("SELECT count(*) FROM hcbridge.read_error"); n != 0 {
		t.Errorf("%d records are still shown as refused", n)
	}
}

// A text becomes a number: the column stays text, which holds it, and the status says so.
func TestFieldRetyped(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.Must(r.SF.ChangeField("Contact", "Extra__c", func(f *sobject.Field) { f.Type, f.Length, f.Precision, f.Scale = "double", 0, 18, 2 }))
	if code, out, stderr := r.Command("reload", "Contact"); code != 0 {
		t.Fatalf("reload exits with %d:\n%s%s", code, out, stderr)
	}
	r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Extra__c": 12.5}))
	r.row(0, "extra__c", "12.5")
	r.Exec("UPDATE salesforce.contact SET extra__c = '7.25' WHERE sfid = $1", r.ids[1])
	r.record(1, "Extra__c", "7.25")
	r.shows("Contact", status.DataSynced, "extra__c", "double precision", "ALTER TABLE")
	r.Equal("Contact")
}

// A number becomes a text, which its column cannot hold: that object stops and
// says what to do, captures on, and goes on once it is done.
func TestFieldRetypedBeyondItsColumn(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t, "HC_OBJECTS=Account,Contact,Lead", "HC_OBJECT_LEAD_ACCESS=read_write")
	defer r.stop()
	lead := r.Insert("Lead", map[string]any{"LastName": "L", "Company": "C", "NumberOfEmployees": 5})
	r.Eventually("lead", 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce.lead WHERE numberofemployees = 5"); n != 1 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	r.Must(r.SF.ChangeField("Lead", "NumberOfEmployees", func(f *sobject.Field) { f.Type, f.Digits, f.Length = "string", 0, 40 }))
	r.Must(r.SF.Update("Lead", lead, map[string]any{"NumberOfEmployees": "many"}))
	r.shows("Lead", status.MappingError, "numberofemployees", "ALTER TABLE", "HC_OBJECT_LEAD_FIELDS")
	r.Exec("UPDATE salesforce.lead SET title = 'Meanwhile' WHERE sfid = $1", lead)
	if n := r.Count("SELECT count(*) FROM salesforce.lead WHERE numberofemployees = 5"); n != 1 {
		t.Error("the value is gone")
	}
	r.Exec("ALTER TABLE salesforce.lead ALTER COLUMN numberofemployees TYPE varchar(40)")
	r.shows("Lead", status.DataSynced)
	r.Eventually("lead", 20*time.Second, func() error {
		rec, _ := r.SF.Get("Lead", lead)
		if got := rec.Get(r.SF.Object("Lead"), "Title"); got != "Meanwhile" {
			return fmt.Errorf("title %v", got)
		}
		return nil
	})
	r.Equal("Lead", "Contact")
}

// A rename is a field that is gone and another that is new.
func TestFieldRenamed(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.Must(r.SF.ChangeField("Contact", "Extra__c", func(f *sobject.Field) { f.Name = "Renamed__c" }))
	r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Renamed__c": "after"}))
	r.row(1, "renamed__c", "1")
	r.row(0, "renamed__c", "after")
	r.row(0, "extra__c", "0")
	r.shows("Contact", status.DataSynced, "Extra__c")
	r.Equal("Contact")
}

// The permission on an object is lost, as if it had been deleted, and given
// back: others go on, its table stays, what the app writes is sent afterwards.
func TestObjectLost(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	r.SF.DenyObject("Contact", true)
	r.Exec("UPDATE salesforce.contact SET title = 'At once' WHERE sfid = $1", r.ids[0])
	r.shows("Contact", status.MappingError, "grant Read")
	r.Exec("UPDATE salesforce.contact SET title = 'Later' WHERE sfid = $1", r.ids[1])
	if n := r.Count("SELECT count(*) FROM salesforce.contact"); n != 20 {
		t.Errorf("%d contacts, want 20", n)
	}
	r.Must(r.SF.Update("Contact", r.ids[2], map[string]any{"Title": "Meanwhile"}))
	r.SF.DenyObject("Contact", false)
	r.shows("Contact", status.DataSynced)
	r.record(0, "Title", "At once")
	r.record(1, "Title", "Later")
	r.Equal("Contact")
}

// Row 49 of the fault list: a long transaction of the app reads a table that
// gets a new column. Nobody queues behind the bridge for more than its two
// seconds, the object goes on as before, and the column comes afterwards.
func TestTableLocked(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	tx, err := r.Pool.Begin(t.Context())
	r.Must(err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), "SELECT count(*) FROM salesforce.contact")
	r.Must(err)
	r.Must(r.SF.AddField("Contact", textField("New__c", 30)))
	if code, out, stderr := r.Command("reload", "Contact", "--detach"); code != 0 {
		t.Fatalf("reload exits with %d:\n%s%s", code, out, stderr)
	}
	var longest time.Duration
	began := time.Now()
	blocked := false
	for time.Since(began) < 15*time.Second || !blocked && time.Since(began) < 60*time.Second {
		at := time.Now()
		r.Count("SELECT count(*) FROM salesforce.contact")
		longest = max(longest, time.Since(at))
		st, _ := r.Status()
		for _, o := range st.Objects {
			blocked = blocked || o.Object == "Contact" && o.State == status.SchemaChanged && strings.Contains(o.Message, "it is held by pid ")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !blocked {
		t.Error("status did not say that the table is locked")
	}
	if longest > 4*time.Second {
		t.Errorf("a query of the app waited %s", longest)
	}
	t.Logf("the longest query of the app took %s", longest)
	r.Must(r.SF.Update("Contact", r.ids[0], map[string]any{"Title": "Meanwhile"}))
	r.row(0, "title", "Meanwhile")
	r.Must(tx.Rollback(t.Context()))
	r.Must(r.SF.Update("Contact", r.ids[1], map[string]any{"New__c": "now"}))
	r.row(1, "new__c", "now")
	r.Equal("Contact")
}

// Row 49 again: a migration of the app has locked a table for a while. What has to be read
// back of another object is, and its own new rows are told so; who waits is told as a stop
// with who holds the lock, and goes on by itself.
func TestLockedTableIsAlone(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t, "HC_HTTP_ADDR="+freeAddr(t))
	defer r.stop()
	account := r.Insert("Account", map[string]any{"Name": "Other", "External_Id__c": "other"})
	r.Eventually("the account", 20*time.Second, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce.account WHERE sfid = $1", account); n != 1 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	r.SF.OmitFromEvents("Account", "Phone")
	r.SF.OmitFromEvents("Contact", "Phone")
	tx, err := r.Pool.Begin(t.Context())
	r.Must(err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), "LOCK TABLE salesforce.contact")
	r.Must(err)
	part := "table of Contact"
	for round := range 10 {
		r.Must(r.SF.Update("Contact", r.ids[round], map[string]any{"Title": "behind"}))
		name := fmt.Sprintf("beside %d", round)
		r.Must(r.SF.Update("Account", account, map[string]any{"Name": name}))
		r.Exec("INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $1)", name)
		r.Eventually(name, 8*time.Second, func() error {
			if n := r.Count("SELECT count(*) FROM salesforce.account WHERE name = $1 AND _hc_lastop = 'SYNCED'", name); n != 2 {
				return fmt.Errorf("%d rows are in step, want 2", n)
			}
			return nil
		})
	}
	r.Eventually(part, 30*time.Second, func() error {
		if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, part) || !strings.Contains(body, "; it is held by pid ") {
			return fmt.Errorf("/readyz answers %d: %s", code, body)
		}
		return nil
	})
	r.Must(tx.Rollback(t.Context()))
	for i := range 10 {
		r.row(i, "title", "behind")
	}
	r.Eventually(part, 30*time.Second, func() error {
		if code, body := r.get("/readyz"); code != http.StatusOK {
			return fmt.Errorf("/readyz answers %d: %s", code, body)
		}
		return nil
	})
	r.Equal("Contact")
}

// Row 43 of the fault list: an administrator who does not stop. Thirty changes
// of Contact's fields, with changes of its records on both sides between them;
// no column and no value is ever dropped, and in the end both sides are equal.
func TestSchemaDrift(t *testing.T) {
	t.Parallel()
	r := newSchemaRig(t)
	defer r.stop()
	rng := rand.New(rand.NewPCG(43, 0))
	fields, hidden, named := []string{"Extra__c"}, []string{}, 0
	fresh := func() string { named++; return fmt.Sprintf("Field%d__c", named) }
	take := func(list *[]string) string {
		i := rng.IntN(len(*list))
		name := (*list)[i]
		*list = slices.Delete(*list, i, i+1)
		return name
	}
	for i := range 30 {
		var what string
		switch kind := rng.IntN(7); {
		case kind == 0 || len(fields) == 0:
			name := fresh()
			what = "add " + name
			r.Must(r.SF.AddField("Contact", textField(name, 20)))
			fields = append(fields, name)
		case kind == 1:
			name := take(&fields)
			what = "remove " + name
			r.Must(r.SF.RemoveField("Contact", name))
		case kind == 2:
			name, next := take(&fields), fresh()
			what = "rename " + name + " to " + next
			r.Must(r.SF.ChangeField("Contact", name, func(f *sobject.Field) { f.Name = next }))
			fields = append(fields, next)
		case kind == 3:
			name := fields[rng.IntN(len(fields))]
			what = "widen " + name
			r.Must(r.SF.ChangeField("Contact", name, func(f *sobject.Field) { f.Length += 50 }))
		case kind == 4 && len(hidden) > 0:
			name := take(&hidden)
			what = "show " + name
			r.SF.ShowField("Contact", name)
			fields = append(fields, name)
		case kind == 5:
			what = "lose and regain Contact"
			r.SF.DenyObject("Contact", true)
			time.Sleep(time.Duration(rng.IntN(700)) * time.Millisecond) // the time it is lost for is part of the script
			r.SF.DenyObject("Contact", false)
		default:
			name := take(&fields)
			what = "hide " + name
			r.SF.HideField("Contact", name)
			hidden = append(hidden, name)
		}
		t.Logf("%d: %s", i, what)
		change := map[string]any{"Title": fmt.Sprint(i)}
		for _, name := range fields {
			change[name] = fmt.Sprintf("%s %d", name, i)
		}
		r.Must(r.SF.Update("Contact", r.ids[i%10], change))
		r.Exec("UPDATE salesforce.contact SET department = $2 WHERE sfid = $1", r.ids[10+i%10], fmt.Sprint(i))
		if i%6 == 5 {
			r.row(i%10, "title", fmt.Sprint(i))
			r.record(10+i%10, "Department", fmt.Sprint(i))
		}
	}
	for _, name := range hidden {
		r.SF.ShowField("Contact", name)
	}
	if code, out, stderr := r.Command("reload", "Contact"); code != 0 {
		t.Fatalf("reload exits with %d:\n%s%s", code, out, stderr)
	}
	for i := 20; i < 30; i++ {
		r.record(10+i%10, "Department", fmt.Sprint(i))
	}
	r.Equal("Contact")
	if n := r.Count("SELECT count(*) FROM salesforce.contact WHERE extra__c IS NULL"); n != 0 && r.SF.Object("Contact").Field("Extra__c") == nil {
		t.Errorf("%d values of a column that is frozen are gone", n)
	}
	if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'"); n != 0 {
		t.Errorf("%d writes failed", n)
	}
}

// Row 44 of the fault list: names that are reserved, long or nearly the same
// work, and two that would share a column are refused for that object alone,
// before anything is made.
func TestIdentifiers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Abcdefghij", 7)
	r := newRig(t, append([]string{"HC_OBJECTS=Account,Contact,Lead"}, readWrite...)...)
	for _, name := range []string{"Select__c", "User", "Table", "Default", long + "XA__c", long + "XB__c"} {
		r.Must(r.SF.AddField("Contact", textField(name, 40)))
	}
	r.Must(r.SF.AddField("Lead", textField("SfId", 40))) // the column of Id
	id := r.Insert("Contact", map[string]any{
		"LastName": "L", "Select__c": "s", "User": "u", long + "XA__c": "a", long + "XB__c": "b", "External_Id__c": "e",
	})
	r.Start()
	r.Eventually("status", 60*time.Second, func() error {
		st, _ := r.Status()
		for _, o := range st.Objects {
			if bad := o.Object == "Lead"; bad != (o.State == status.MappingError) || bad && !strings.Contains(o.Message, "column sfid belongs to Id") {
				return fmt.Errorf("%s is %s: %s", o.Object, o.State, o.Message)
			}
		}
		if len(st.Objects) != 3 {
			return fmt.Errorf("%d objects", len(st.Objects))
		}
		return nil
	})
	var a, b string
	r.Eventually("row", 20*time.Second, func() error {
		var columns []string
		r.Must(r.Pool.QueryRow(t.Context(), "SELECT array_agg(column_name::text ORDER BY column_name) FROM information_schema.columns WHERE table_name = 'contact' AND column_name LIKE 'abcdefghij%'").Scan(&columns))
		if len(columns) != 2 || len(columns[0]) != 63 || len(columns[1]) != 63 {
			return fmt.Errorf("columns %v", columns)
		}
		return r.Pool.QueryRow(t.Context(), fmt.Sprintf("SELECT %s, %s FROM salesforce.contact WHERE sfid = $1", columns[0], columns[1]), id).Scan(&a, &b)
	})
	if a+b != "ab" && a+b != "ba" {
		t.Errorf("the long names hold %q and %q", a, b)
	}
	r.Exec(`UPDATE salesforce.contact SET "user" = 'U', "select__c" = 'S', "table" = 'T', "default" = 'D' WHERE sfid = $1`, id)
	r.Equal("Contact")
	rec, _ := r.SF.Get("Contact", id)
	for name, want := range map[string]string{"User": "U", "Select__c": "S", "Table": "T", "Default": "D"} {
		if got := rec.Get(r.SF.Object("Contact"), name); got != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if n := r.Count("SELECT count(*) FROM information_schema.tables WHERE table_name = 'lead'"); n != 0 {
		t.Error("a table was made for the object that is refused")
	}
}
