// Package takeover runs the real program on a schema that Heroku Connect left,
// made from what dumps of its schemas show.
package takeover

import (
	"embed"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

//go:embed testdata
var testdata embed.FS

// old is an org and a database that Heroku Connect has kept in step.
type old struct{ *rig.Rig }

// file runs an SQL file with words replaced.
func (r old) file(name string, replace ...string) {
	r.T.Helper()
	sql, err := testdata.ReadFile("testdata/" + name + ".sql")
	r.Must(err)
	_, err = r.Pool.Exec(r.T.Context(), strings.NewReplacer(replace...).Replace(string(sql)), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		r.T.Fatalf("%s: %v", name, err)
	}
}

// triggers makes what captures changes, as Heroku Connect does.
func (r old) triggers() {
	r.T.Helper()
	r.file("capture")
	r.file("table", "{table}", "account", "{state}", "NEW")
	r.file("table", "{table}", "contact", "{state}", "NEW")
	r.file("table", "{table}", "lead", "{state}", "READONLY")
}

// newOld returns a rig with a schema of Heroku Connect's, which holds the records
// that the org has, of each object as many as asked for.
func newOld(t *testing.T, accounts, contacts int, settings ...string) old {
	t.Helper()
	return newOldWith(t, org.Options{}, accounts, contacts, settings...)
}

func newOldWith(t *testing.T, opt org.Options, accounts, contacts int, settings ...string) old {
	t.Helper()
	r := old{rig.NewWith(t, opt, append([]string{
		"HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c", "HC_OBJECT_ACCOUNT_FIELDS=CreatedDate,Name,Industry,Phone,External_Id__c",
		"HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c", "HC_OBJECT_CONTACT_FIELDS=LastName,Title,AccountId,External_Id__c",
	}, settings...)...)}
	if !strings.Contains(r.Env["HC_OBJECTS"], "Contact") {
		maps.DeleteFunc(r.Env, func(name, _ string) bool { return strings.HasPrefix(name, "HC_OBJECT_CONTACT_") })
	}
	ids, err := r.SF.InsertMany("Account", func(yield func(map[string]any) bool) {
		for i := 0; i < accounts && yield(map[string]any{"Name": fmt.Sprintf("Account %d", i), "External_Id__c": fmt.Sprintf("a-%d", i), "Industry": "Banking", "Site": fmt.Sprintf("Site %d", i)}); i++ {
		}
	})
	r.Must(err)
	_, err = r.SF.InsertMany("Contact", func(yield func(map[string]any) bool) {
		for i := 0; i < contacts && yield(map[string]any{"LastName": fmt.Sprintf("Contact %d", i), "External_Id__c": fmt.Sprintf("c-%d", i), "AccountId": ids[i]}); i++ {
		}
	})
	r.Must(err)
	r.file("system")
	r.file("tables")
	r.Exec(`INSERT INTO salesforce._hcmeta (hcver, org_id, details) VALUES (10, $1, NULL)`, r.SF.ID())
	r.copyIn("Account", "createddate=CreatedDate", "isdeleted=IsDeleted", "name=Name", "industry=Industry", "phone=Phone", "systemmodstamp=SystemModstamp", "external_id__c=External_Id__c")
	r.copyIn("Contact", "isdeleted=IsDeleted", "lastname=LastName", "title=Title", "accountid=AccountId", "systemmodstamp=SystemModstamp", "external_id__c=External_Id__c")
	r.triggers() // not before: they would make the copy last a minute
	r.file("app")
	return r
}

// copyIn fills a table.
func (r old) copyIn(object string, fields ...string) {
	r.T.Helper()
	o := r.SF.Object(object)
	columns, names := []string{"sfid"}, []string{}
	for _, f := range fields {
		column, name, _ := strings.Cut(f, "=")
		columns, names = append(columns, column), append(names, name)
	}
	records := r.SF.Records(object)
	_, err := r.Pool.CopyFrom(r.T.Context(), pgx.Identifier{"salesforce", strings.ToLower(object)}, append(columns, "_hc_lastop"), pgx.CopyFromSlice(len(records), func(i int) ([]any, error) {
		row := []any{records[i].ID}
		for _, name := range names {
			row = append(row, records[i].Get(o, name))
		}
		return append(row, "SYNCED"), nil
	}))
	r.Must(err)
}

// rows are the places and versions of all rows of a table, by id.
func (r old) rows(table string) map[int64]string {
	r.T.Helper()
	rows, err := r.Pool.Query(r.T.Context(), "SELECT id::bigint, ctid::text || ' ' || xmin::text || ' ' || COALESCE(sfid, '') FROM salesforce."+table)
	r.Must(err)
	all := map[int64]string{}
	var id int64
	var place string
	_, err = pgx.ForEachRow(rows, []any{&id, &place}, func() error { all[id] = place; return nil })
	r.Must(err)
	return all
}

// ids are the ids of the rows that a condition names.
func (r old) ids(sql string, args ...any) []int64 {
	r.T.Helper()
	rows, err := r.Pool.Query(r.T.Context(), sql, args...)
	r.Must(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	r.Must(err)
	return ids
}

// value is a field of a record of the org.
func (r old) value(object string, record sobject.Record, field string) any {
	return record.Get(r.SF.Object(object), field)
}

// having returns how many records have a value in a field.
func (r old) having(object, field string, value any) (n int) {
	for _, record := range r.SF.Records(object) {
		if r.value(object, record, field) == value {
			n++
		}
	}
	return n
}

// is waits until a query answers one number.
func (r old) is(what string, want int, sql string, args ...any) {
	r.T.Helper()
	r.Eventually(what, 20*time.Second, func() error {
		var n int
		err := r.Pool.QueryRow(r.T.Context(), sql, args...).Scan(&n)
		if err == nil && n != want {
			return fmt.Errorf("%d, not %d", n, want)
		}
		return err
	})
}

// catalog is a digest of all that is in the database but for rows.
const catalog = `SELECT md5(string_agg(what, chr(10) ORDER BY what)) FROM (
	SELECT c.oid::regclass || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema')
	UNION ALL SELECT n.nspname FROM pg_namespace n WHERE nspname !~ '^pg_'
	UNION ALL SELECT t.tgrelid::regclass || ' ' || pg_get_triggerdef(t.oid) FROM pg_trigger t
	UNION ALL SELECT pg_get_functiondef(p.oid) || COALESCE(obj_description(p.oid), '') FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('public', 'salesforce') AND p.prokind = 'f'
) AS all_of_it (what)`

func (r old) catalog() (digest string) {
	r.T.Helper()
	r.Must(r.Pool.QueryRow(r.T.Context(), catalog).Scan(&digest))
	return digest
}

// ran runs a command and looks for what it must say.
func (r old) ran(code int, args []string, want ...string) string {
	r.T.Helper()
	got, out, stderr := r.Command(args...)
	if got != code {
		r.T.Errorf("hcbridge %v: exit code %d, want %d\n%s%s", args, got, code, out, stderr)
	}
	for _, w := range want {
		if !strings.Contains(out+stderr, w) {
			r.T.Errorf("hcbridge %v does not say %q:\n%s%s", args, w, out, stderr)
		}
	}
	return out
}
