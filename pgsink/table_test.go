package pgsink

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

//nolint:gochecknoglobals // a test flag
var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got += "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}

// hostile has names that would break out of careless SQL.
func hostile() Spec {
	return Spec{
		Schema: `sales"force'\`, Object: `a"b'; DROP TABLE t; --`, ReadWrite: true, ExternalID: `x"; DROP TABLE t; --`,
		Fields: []Field{
			{Name: `x"; DROP TABLE t; --`, Type: "string", Length: 20},
			{Name: `user`, Type: "reference"},
			{Name: "SystemModstamp", Type: "datetime"},
		},
	}
}

func all(t *Table) []int { return t.present(nil) }

func TestSQL(t *testing.T) {
	t.Parallel()
	plain, rw, bad := mustTable(t, account()), mustTable(t, keyed()), mustTable(t, hostile())
	golden(t, "apply_read_only.sql", plain.applySQL(all(plain), fromArrays))
	golden(t, "apply_read_write.sql", rw.applySQL(all(rw), fromArrays))
	golden(t, "apply_hostile.sql", bad.applySQL(all(bad), fromArrays))
	golden(t, "apply_deletes.sql", plain.applySQL([]int{plain.stamp}, fromArrays))
	golden(t, "apply_patches.sql", rw.applySQL(all(rw), fromPatches))
	golden(t, "load_read_write.sql", rw.applySQL(all(rw), fromTemp))
	golden(t, "load_temp.sql", createTempSQL(all(plain)))
	golden(t, "create_every.sql", mustTable(t, every()).createSQL())
	golden(t, "create_hostile.sql", bad.createSQL())
}

func TestHostileNamesWork(t *testing.T) {
	t.Parallel()
	b := setup(t, hostile())
	row := func(name string) Row {
		return b.record(1, at(1), `x"; DROP TABLE t; --`, name)
	}
	row1 := row("v")
	b.applyChanges(Result{Inserted: 1}, Change{Table: b.table, Kind: Event, Row: row1})
	csv := "Id,SystemModstamp,user,\"x\"\"; DROP TABLE t; --\"\n" + id(2) + ",2024-05-01T08:00:00Z,,w\n"
	if _, err := b.loadPage(strings.NewReader(csv), LoadPosition{}); err != nil {
		t.Fatal(err)
	}
	b.want("2", "SELECT count(*) FROM "+b.table.ident())
	if _, err := b.sink.Stamps(t.Context(), b.table, []string{id(1)}); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"MemberPeriodId__c":         "memberperiodid__c",
		"Account__r.External_Id__c": "account__r__external_id__c",
		"Account.External_Id__c":    "account__external_id__c",
		"User":                      "user",
	} {
		if got := ColumnName(field); got != want {
			t.Errorf("column of %s is %s, want %s", field, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(1, 100, 200).Draw(t, "a"), rapid.StringN(1, 100, 200).Draw(t, "b")
		if x := short(a); len(x) > maxName || short(a) != x || short(x) != x {
			t.Errorf("short(%q) is %q", a, x)
		}
		if a != b && short(a) == short(b) {
			t.Errorf("%q and %q are both %q", a, b, short(a))
		}
	})
}

func TestNewTableRefuses(t *testing.T) {
	t.Parallel()
	stamp := Field{Name: "SystemModstamp", Type: "datetime"}
	for name, c := range map[string]struct {
		spec Spec
		want string
	}{
		"TwoFieldsOfOneColumn":  {Spec{Schema: "s", Object: "A", Fields: []Field{stamp, {Name: "X__c", Type: "string"}, {Name: "x__C", Type: "int"}}}, "column x__c belongs to X__c"},
		"AParentsFieldAsOurOwn": {Spec{Schema: "s", Object: "A", Fields: []Field{stamp, {Name: "A__r__B__c", Type: "string"}, {Name: "A__r.B__c", Type: "int"}}}, "column a__r__b__c belongs to"},
		"ASystemColumn":         {Spec{Schema: "s", Object: "A", Fields: []Field{stamp, {Name: "SfId", Type: "string"}}}, "column sfid belongs to Id"},
		"NoStamp":               {Spec{Schema: "s", Object: "A"}, "SystemModstamp is not mapped"},
		"AStampOfAnotherType":   {Spec{Schema: "s", Object: "A", Fields: []Field{{Name: "SystemModstamp", Type: "string"}}}, "not datetime"},
		"ACompound":             {Spec{Schema: "s", Object: "A", Fields: []Field{stamp, {Name: "BillingAddress", Type: "address"}}}, "compound address"},
		"AnUnmappedExternalID":  {Spec{Schema: "s", Object: "A", Fields: []Field{stamp}, ExternalID: "E__c"}, "external id E__c is not mapped"},
		"NoSchema":              {Spec{Object: "A", Fields: []Field{stamp}}, "schema name"},
		"NoObject":              {Spec{Schema: "s", Fields: []Field{stamp}}, "object name"},
		"AnEmptyField":          {Spec{Schema: "s", Object: "A", Fields: []Field{stamp, {Type: "string"}}}, "field name"},
		"AFieldWithoutType":     {Spec{Schema: "s", Object: "A", Fields: []Field{stamp, {Name: "X"}}}, "no type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := NewTable(c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()

	t.Run("MakesATableOfEveryType", func(t *testing.T) {
		t.Parallel()
		b := setup(t, every())
		golden(t, "every_columns.txt", b.one(`SELECT string_agg(concat_ws(' ', column_name, data_type, character_maximum_length,
				CASE WHEN is_nullable = 'NO' THEN 'NOT NULL' END, collation_name, CASE WHEN is_identity = 'YES' THEN 'IDENTITY ' || identity_generation END),
				E'\n' ORDER BY ordinal_position)
			FROM information_schema.columns WHERE table_schema = 'salesforce' AND table_name = 'every__c'`))
		golden(t, "every_indexes.txt", b.one(`SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'salesforce' AND tablename = 'every__c'`))
		b.want("salesforce.every__c_id_seq", `SELECT pg_get_serial_sequence('salesforce.every__c', 'id')`)
		report, err := b.ensure()
		if err != nil || report.Created || len(report.Columns)+len(report.Indexes)+len(report.Widened)+len(report.Narrow) > 0 {
			t.Errorf("a second time did %+v, %v", report, err)
		}
	})

	t.Run("MakesNumericColumns", func(t *testing.T) {
		t.Parallel()
		spec := account()
		spec.Numeric = true
		b := setup(t, spec)
		b.applyChanges(Result{Inserted: 1}, Change{Table: b.table, Kind: Event, Row: Row{
			SFID: id(1), Stamp: at(1), Values: []*string{nil, nil, ptr("123456789012345678.25"), ptr("2024-05-01 08:00:01"), nil},
		}})
		b.want("123456789012345678.25", `SELECT amount__c::text FROM salesforce.account`)
	})

	t.Run("CutsLongNamesAlikeEverywhere", func(t *testing.T) {
		t.Parallel()
		spec := account()
		spec.Object = strings.Repeat("VeryLongObjectName", 4) + "__c"
		long := strings.Repeat("LongFieldName", 5)
		spec.Fields = append(spec.Fields, Field{Name: long + "A__c", Type: "string", Indexed: true}, Field{Name: long + "B__c", Type: "string", Indexed: true})
		b := setup(t, spec)
		report, err := b.ensure()
		if err != nil || len(report.Columns)+len(report.Indexes) > 0 {
			t.Errorf("a second time did %+v, %v", report, err)
		}
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), long+"A__c", "a", long+"B__c", "b"))
	})

	t.Run("TakesOverAHerokuConnectTable", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		b.exec(`DROP TABLE salesforce.account;
			CREATE TABLE salesforce.account (name varchar(40), amount__c double precision, extra text, systemmodstamp timestamp,
				isdeleted boolean, sfid varchar(18) COLLATE ucs_basic, id serial PRIMARY KEY);
			CREATE UNIQUE INDEX hcu_idx_account_sfid ON salesforce.account (sfid);
			CREATE INDEX other_name ON salesforce.account (systemmodstamp);
			INSERT INTO salesforce.account (name, sfid, extra) VALUES ('old', $$` + id(1) + `$$, 'kept')`)
		report, err := b.ensure()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(report.Columns, ","); got != "ext__c,_hc_lastop,_hc_err" {
			t.Errorf("added columns %s", got)
		}
		if got := strings.Join(report.Indexes, ","); got != "hcu_idx_account_ext__c" {
			t.Errorf("made indexes %s", got)
		}
		if got := strings.Join(report.Widened, ","); got != "name" {
			t.Errorf("widened %s", got)
		}
		b.applyChanges(Result{Updated: 1, Inserted: 1}, b.change(Event, 1, at(1), "Name", strings.Repeat("n", 80)), b.change(Event, 2, at(1), "Ext__c", "E"))
		b.want("kept", `SELECT extra FROM salesforce.account WHERE id = 1`)
		b.want("integer", `SELECT data_type FROM information_schema.columns WHERE table_name = 'account' AND column_name = 'id'`)
	})

	t.Run("WritesNumbersAsTheExistingColumnHoldsThem", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account ALTER COLUMN amount__c TYPE numeric`)
		if _, err := b.ensure(); err != nil {
			t.Fatal(err)
		}
		row := Row{SFID: id(1), Stamp: at(1), Values: []*string{nil, nil, ptr("9007199254740993"), ptr("2024-05-01 08:00:01"), nil}}
		b.applyChanges(Result{Inserted: 1}, Change{Table: b.table, Kind: Read, Row: row})
		b.want("9007199254740993", `SELECT amount__c::text FROM salesforce.account`)
		b.applyChanges(Result{Unchanged: 1}, Change{Table: b.table, Kind: Read, Row: row})
	})

	t.Run("LeavesAColumnNarrowThatAViewUses", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account ALTER COLUMN name TYPE varchar(10); CREATE VIEW v AS SELECT name FROM salesforce.account`)
		report, err := b.ensure()
		if err != nil || strings.Join(report.Narrow, ",") != "name" {
			t.Errorf("report %+v, %v", report, err)
		}
	})

	for name, c := range map[string]struct{ ddl, want string }{
		"AnotherType":           {`ALTER TABLE salesforce.account ALTER COLUMN name TYPE integer USING 1`, "column name is integer, field Name (string) needs character varying(80)"},
		"ARoundingNumber":       {`ALTER TABLE salesforce.account ALTER COLUMN amount__c TYPE numeric(18,2)`, "column amount__c is numeric(18,2)"},
		"AnotherTimestamp":      {`ALTER TABLE salesforce.account ALTER COLUMN systemmodstamp TYPE timestamptz`, "column systemmodstamp is timestamp with time zone"},
		"AMandatoryColumn":      {`ALTER TABLE salesforce.account ADD COLUMN mine integer NOT NULL`, "column mine is not mapped, NOT NULL"},
		"AMandatoryField":       {`ALTER TABLE salesforce.account ALTER COLUMN name SET NOT NULL`, "column name is NOT NULL"},
		"AGeneratedField":       {`ALTER TABLE salesforce.account DROP COLUMN name, ADD COLUMN name varchar(80) GENERATED ALWAYS AS ('x') STORED`, "column name is generated"},
		"NoID":                  {`ALTER TABLE salesforce.account DROP COLUMN id`, "column id is missing"},
		"AnIDThatIsNotUnique":   {`ALTER TABLE salesforce.account DROP CONSTRAINT account_pkey`, "column id is not unique"},
		"ATextID":               {`ALTER TABLE salesforce.account DROP COLUMN id, ADD COLUMN id text DEFAULT '' PRIMARY KEY`, "column id is text"},
		"ANumberForSFID":        {`ALTER TABLE salesforce.account DROP COLUMN sfid, ADD COLUMN sfid integer`, "column sfid is integer"},
		"ANumberForAnError":     {`ALTER TABLE salesforce.account DROP COLUMN _hc_err, ADD COLUMN _hc_err integer`, "column _hc_err is integer"},
		"AView":                 {`ALTER TABLE salesforce.account RENAME TO t; CREATE VIEW salesforce.account AS SELECT * FROM salesforce.t`, "it is not a table"},
		"ARecordThatIsThereTwo": {`DROP INDEX salesforce.hcu_idx_account_sfid; ALTER TABLE salesforce.account DROP COLUMN ext__c; INSERT INTO salesforce.account (sfid) VALUES ('x'), ('x')`, "column sfid holds a value more than once"},
	} {
		t.Run("ChangesNothingFor"+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, account())
			b.exec(c.ddl)
			const shape = `SELECT string_agg(attname || atttypid || atttypmod, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'salesforce.account'::regclass`
			before := b.one(shape)
			var mismatch *Mismatch
			err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
				if _, err := b.table.Ensure(t.Context(), tx); !errors.As(err, &mismatch) {
					t.Errorf("got %v, want a Mismatch", err)
				}
				return nil // committed: it is Ensure that undoes its work
			})
			if err != nil {
				t.Fatal(err)
			}
			if mismatch == nil || !strings.Contains(mismatch.Error(), c.want) {
				t.Errorf("got %v, want %q", mismatch, c.want)
			}
			b.want(before, shape)
		})
	}

	t.Run("DoesNotWaitForEver", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account DROP COLUMN name`)
		ctx := withTimeout(t)
		tx, err := b.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, `SELECT count(*) FROM salesforce.account`); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ensure(); !isConflict(err) {
			t.Errorf("got %v, want lock_not_available", err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		b.want("0", `SELECT current_setting('lock_timeout')`)
	})
}

func ptr(s string) *string { return &s }
