package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/org/sobject"
)

// everyColumns is the table that Heroku Connect makes for an object with a
// field of every type, but for the width of id: column, type with length,
// collation unless it is the database's. All columns but id are nullable and
// none has a default. Compound and base64 fields have no column.
const everyColumns = `
_hc_err text
_hc_lastop character varying(32)
area__c character varying(255)
auto__c character varying(30)
check__c boolean
code__c character varying(20)
combo__c character varying(255)
createdbyid character varying(18)
createddate timestamp without time zone
currency__c double precision
date__c date
datetime__c timestamp without time zone
double__c double precision
double_formula__c double precision
email__c character varying(80)
external_id__c character varying(64)
formula__c character varying(1300)
id bigint not null
int__c integer
isdeleted boolean
lastmodifiedbyid character varying(18)
lastmodifieddate timestamp without time zone
legacy_key__c character varying(40)
loc__latitude__s double precision
loc__longitude__s double precision
long__c text
multi__c character varying(4099)
name character varying(80)
number_key__c double precision
open_pick__c character varying(255)
ownerid character varying(18)
percent__c double precision
phone__c character varying(40)
pick__c character varying(255)
ref__c character varying(18)
ref__r__external_id__c character varying(64)
rich__c text
secret__c character varying(175)
sfid character varying(18) C
systemmodstamp timestamp without time zone
text__c character varying(255)
time__c time without time zone
url__c character varying(255)
`

const everyIndexes = `
CREATE INDEX hc_idx_every__c_date__c ON salesforce.every__c USING btree (date__c)
CREATE INDEX hc_idx_every__c_pick__c ON salesforce.every__c USING btree (pick__c)
CREATE INDEX hc_idx_every__c_systemmodstamp ON salesforce.every__c USING btree (systemmodstamp)
CREATE UNIQUE INDEX every__c_pkey ON salesforce.every__c USING btree (id)
CREATE UNIQUE INDEX hcu_idx_every__c_external_id__c ON salesforce.every__c USING btree (external_id__c)
CREATE UNIQUE INDEX hcu_idx_every__c_sfid ON salesforce.every__c USING btree (sfid)
`

// Heroku Connect has one log trigger for all three events, for each row, and lets
// a TRUNCATE pass unseen.
const everyTriggers = `
CREATE TRIGGER hc_every__c_logtrigger AFTER UPDATE ON salesforce.every__c REFERENCING OLD TABLE AS _hc_before NEW TABLE AS _hc_after FOR EACH STATEMENT WHEN (((public.get_xmlbinary())::text = 'base64'::text)) EXECUTE FUNCTION salesforce.hc_every__c_logger()
CREATE TRIGGER hc_every__c_logtrigger_delete AFTER DELETE ON salesforce.every__c REFERENCING OLD TABLE AS _hc_before FOR EACH STATEMENT WHEN (((public.get_xmlbinary())::text = 'base64'::text)) EXECUTE FUNCTION salesforce.hc_every__c_logger()
CREATE TRIGGER hc_every__c_logtrigger_insert AFTER INSERT ON salesforce.every__c REFERENCING NEW TABLE AS _hc_after FOR EACH STATEMENT WHEN (((public.get_xmlbinary())::text = 'base64'::text)) EXECUTE FUNCTION salesforce.hc_every__c_logger()
CREATE TRIGGER hc_every__c_status_trigger BEFORE INSERT OR UPDATE ON salesforce.every__c FOR EACH ROW EXECUTE FUNCTION salesforce.hc_every__c_status()
CREATE TRIGGER hc_every__c_truncate_trigger BEFORE TRUNCATE ON salesforce.every__c FOR EACH STATEMENT WHEN (((public.get_xmlbinary())::text = 'base64'::text)) EXECUTE FUNCTION salesforce.hc_refuse_truncate()
`

// logColumns are those of _trigger_log; the archive has the same without
// defaults. Ids are wider than Heroku Connect's.
const logColumns = `
action character varying(7)
created_at timestamp with time zone default now()
id bigint not null default nextval('salesforce._trigger_log_id_seq'::regclass)
old text
processed_at timestamp with time zone
processed_tx bigint
record_id bigint
sf_message text
sf_result integer
sfid character varying(18)
state character varying(8)
table_name character varying(128)
txid bigint
updated_at timestamp with time zone default now()
values text
`

const logIndexes = `
CREATE INDEX _trigger_log_archive_idx_created_at ON salesforce._trigger_log_archive USING btree (created_at)
CREATE INDEX _trigger_log_archive_idx_record_id ON salesforce._trigger_log_archive USING btree (record_id)
CREATE INDEX _trigger_log_archive_idx_state_table_name ON salesforce._trigger_log_archive USING btree (state, table_name) WHERE ((state)::text = 'FAILED'::text)
CREATE INDEX _trigger_log_idx_created_at ON salesforce._trigger_log USING btree (created_at)
CREATE INDEX _trigger_log_idx_state_id ON salesforce._trigger_log USING btree (state, id)
CREATE INDEX _trigger_log_idx_state_table_name ON salesforce._trigger_log USING btree (state, table_name) WHERE ((state)::text = ANY ((ARRAY['NEW'::character varying, 'PENDING'::character varying])::text[]))
`

// lines runs a query of one text column, in the order of bytes.
func (r *rig) lines(sql string, args ...any) []string {
	r.T.Helper()
	rows, err := r.Pool.Query(r.T.Context(), sql, args...)
	r.Must(err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.Must(err)
	slices.Sort(got)
	return got
}

func (r *rig) layout(what string, got []string, want string) {
	r.T.Helper()
	lines := strings.Split(strings.Trim(want, "\n"), "\n")
	for _, line := range got {
		if !slices.Contains(lines, line) {
			r.T.Errorf("%s: has    %s", what, line)
		}
	}
	for _, line := range lines {
		if !slices.Contains(got, line) {
			r.T.Errorf("%s: has no %s", what, line)
		}
	}
}

// columns are read from information_schema, as ORMs read them.
func (r *rig) columns(table string) []string {
	return r.lines(`SELECT column_name || ' ' || data_type || COALESCE('(' || character_maximum_length || ')', '')
			|| CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
			|| COALESCE(' default ' || column_default, '') || COALESCE(' ' || collation_name, '')
		FROM information_schema.columns WHERE table_schema = 'salesforce' AND table_name = $1`, table)
}

func (r *rig) indexes(table string) []string {
	return r.lines("SELECT indexdef FROM pg_indexes WHERE schemaname = 'salesforce' AND tablename = $1", table)
}

// triggers are written with all names qualified.
func (r *rig) triggers(table string) []string {
	return r.lines(`SELECT pg_get_triggerdef(t.oid) FROM (SELECT set_config('search_path', 'pg_catalog', true)) AS s, pg_trigger AS t
		JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = 'salesforce' AND c.relname = $1 AND NOT t.tgisinternal`, table)
}

// Table, columns, indexes, triggers and log are Heroku Connect's.
func TestLayout(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Every__c", "HC_OBJECT_EVERY__C_ACCESS=read_write", "HC_OBJECT_EVERY__C_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_EVERY__C_INDEXES=Pick__c,Date__c", "HC_OBJECT_EVERY__C_FIELDS="+all)
	r.Start()
	r.Synced()
	r.layout("columns", r.columns("every__c"), everyColumns)
	r.layout("indexes", r.indexes("every__c"), everyIndexes)
	r.layout("triggers", r.triggers("every__c"), everyTriggers)
	r.layout("constraints", r.lines("SELECT conname || ' ' || contype::text FROM pg_constraint WHERE conrelid = 'salesforce.every__c'::regclass"), "every__c_pkey p")
	r.layout("sequence", r.lines("SELECT pg_get_serial_sequence('salesforce.every__c', 'id')"), "salesforce.every__c_id_seq")
	tail := r.lines(`SELECT string_agg(attname, ',' ORDER BY attnum DESC) FROM (SELECT attname, attnum FROM pg_attribute
		WHERE attrelid = 'salesforce.every__c'::regclass AND attnum > 0 ORDER BY attnum DESC LIMIT 4) AS a`)
	r.layout("last columns", tail, "_hc_err,_hc_lastop,id,sfid")

	r.layout("log", r.columns("_trigger_log"), logColumns)
	plain := strings.NewReplacer(" default now()", "", " default nextval('salesforce._trigger_log_id_seq'::regclass)", "").Replace(logColumns)
	r.layout("archive", r.columns("_trigger_log_archive"), plain)
	have := append(r.indexes("_trigger_log"), r.indexes("_trigger_log_archive")...)
	for line := range strings.SplitSeq(strings.Trim(logIndexes, "\n"), "\n") {
		if !slices.Contains(have, line) {
			t.Errorf("log: no %s", line)
		}
	}
	r.layout("marker", r.columns("_hcmeta"), "details text\nhcver integer\nid integer not null default nextval('salesforce._hcmeta_id_seq'::regclass)\norg_id character varying(50)")
	r.layout("functions", r.lines(`SELECT p.proname || ' ' || p.proargnames::text || ' ' || p.pronargdefaults FROM pg_proc AS p
		WHERE p.pronamespace = 'salesforce'::regnamespace AND p.proname LIKE 'hc\_capture%'`),
		"hc_capture_insert_from_row {source_row,table_name,excluded_cols} 1\nhc_capture_update_from_row {source_row,table_name,columns_to_include} 1")
	r.layout("switch", r.lines("SELECT public.get_xmlbinary()"), "base64")
}

// Exact number columns are asked for; whole numbers stay integers.
func TestLayoutNumeric(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Every__c", "HC_NUMBER_TYPE=numeric", "HC_OBJECT_EVERY__C_FIELDS="+all)
	r.Start()
	r.Synced()
	r.layout("columns", r.columns("every__c"), strings.ReplaceAll(everyColumns, "double precision", "numeric"))
}

// made is an object of the org's own making; fields are strings of 40
// characters, and references to Account where they end in Ref__c.
func made(name, prefix string, deletable bool, fields ...string) *sobject.Object {
	system := func(name, typ string, length int) *sobject.Field {
		return &sobject.Field{Name: name, Label: name, Type: typ, Length: length, DefaultedOnCreate: true}
	}
	o := &sobject.Object{
		Name: name, Label: name, LabelPlural: name + "s", KeyPrefix: prefix, Custom: strings.HasSuffix(name, "__c"),
		Createable: true, Updateable: true, Deletable: true, Undeletable: deletable, Replicateable: true, Triggerable: true, Layoutable: true,
		Fields: []*sobject.Field{system("Id", "id", 18)},
	}
	if deletable {
		o.Fields = append(o.Fields, system("IsDeleted", "boolean", 0))
	}
	for _, field := range fields {
		f := &sobject.Field{Name: field, Label: field, Type: "string", Length: 40, Nillable: true, Createable: true, Updateable: true, Custom: strings.HasSuffix(field, "__c")}
		if stem, ok := strings.CutSuffix(field, "Ref__c"); ok {
			f.Type, f.Length, f.ReferenceTo, f.RelationshipName = "reference", 18, []string{longName}, stem+"Ref__r"
		}
		f.ExternalID = strings.Contains(field, "Key")
		o.Fields = append(o.Fields, f)
	}
	o.Fields = append(o.Fields, system("CreatedDate", "datetime", 0), system("LastModifiedDate", "datetime", 0), system("SystemModstamp", "datetime", 0))
	return o
}

// longName has the most characters that an object's name can have: 15 of the
// namespace and 40 of its own.
const longName = "packagenamespac__An_Object_Whose_Name_Uses_All_Of_40_Chars__c"

// Names are kept as they are in lower case, whatever they mean to Postgres. One
// that is longer than Postgres allows is cut, ends in a hash of the whole, and
// stays apart from others with the same beginning. The rows are right under all
// of them (fault 44).
func TestNames(t *testing.T) {
	t.Parallel()
	const (
		longRef = "packagenamespac__A_Lookup_That_Also_Uses_All_Of_40_CharRef__c"
		keyA    = "packagenamespac__The_Key_Of_The_Parent_Of_All_40_Chars_A__c"
		keyB    = "packagenamespac__The_Key_Of_The_Parent_Of_All_40_Chars_B__c"
	)
	relation := strings.TrimSuffix(longRef, "__c") + "__r"
	r := newRig(t, "HC_POLL_INTERVAL=1s", "HC_OBJECTS=Order,Group,Case,User,"+longName+",infrm__SupportPlan__c,Contact,Invoice__c",
		"HC_OBJECT_"+strings.ToUpper(longName)+"_FIELDS=Table__c,"+keyA+","+longRef+","+relation+"."+keyA+","+relation+"."+keyB,
		"HC_OBJECT_"+strings.ToUpper(longName)+"_ACCESS=read_write",
		"HC_OBJECT_"+strings.ToUpper(longName)+"_EXTERNAL_ID="+keyA,
		"HC_OBJECT_ORDER_ACCESS=read_write", "HC_OBJECT_ORDER_INDEXES=Table__c",
		"HC_OBJECT_CONTACT_FIELDS=Name,Account.External_Id__c,MailingStreet,MailingCity,MailingState,MailingPostalCode,MailingCountry,MailingLatitude,MailingLongitude,MailingGeocodeAccuracy",
		"HC_OBJECT_INVOICE__C_FIELDS=Account__r.External_Id__c")
	r.SF.Define(made("Order", "801", true, "Name", "Table__c"))
	r.SF.Define(made(longName, "a9z", true, "Table__c", keyA, keyB, longRef))
	r.SF.Define(made("infrm__SupportPlan__c", "a9y", false, "infrm__Level__c"))
	parent := r.Insert(longName, map[string]any{"Table__c": "parent", keyA: "key a", keyB: "key b"})
	r.Insert(longName, map[string]any{"Table__c": "child", keyA: "c", longRef: parent})
	if code, out, stderr := r.Command("check"); code != 0 {
		t.Fatalf("check: %s%s", out, stderr)
	}
	r.Start()
	r.Synced()
	r.Insert("Order", map[string]any{"Name": "n", "Table__c": "t"})
	r.Insert("infrm__SupportPlan__c", map[string]any{"infrm__Level__c": "gold"})
	account := r.Insert("Account", map[string]any{"Name": "A", "External_Id__c": "acct"})
	r.Insert("Contact", map[string]any{"LastName": "C", "AccountId": account, "MailingCity": "Kandy", "MailingLatitude": 7.29, "MailingLongitude": 80.63})
	r.Insert("Invoice__c", map[string]any{"Name": "I", "Account__c": account})

	table := strings.ToLower(longName)
	r.layout("tables", r.lines("SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'salesforce' AND table_name NOT LIKE '\\_%'"),
		"order\ngroup\ncase\nuser\n"+table+"\ninfrm__supportplan__c\ncontact\ninvoice__c")
	r.layout("order", r.columns("order"), `
_hc_err text
_hc_lastop character varying(32)
createddate timestamp without time zone
id bigint not null
isdeleted boolean
lastmodifieddate timestamp without time zone
name character varying(40)
sfid character varying(18) C
systemmodstamp timestamp without time zone
table__c character varying(40)
`)
	r.layout("infrm__supportplan__c", r.columns("infrm__supportplan__c"), `
_hc_err text
_hc_lastop character varying(32)
createddate timestamp without time zone
id bigint not null
infrm__level__c character varying(40)
lastmodifieddate timestamp without time zone
sfid character varying(18) C
systemmodstamp timestamp without time zone
`)
	r.layout("contact", r.columns("contact"), `
_hc_err text
_hc_lastop character varying(32)
account__external_id__c character varying(64)
id bigint not null
isdeleted boolean
mailingcity character varying(40)
mailingcountry character varying(80)
mailinggeocodeaccuracy character varying(255)
mailinglatitude double precision
mailinglongitude double precision
mailingpostalcode character varying(20)
mailingstate character varying(80)
mailingstreet character varying(255)
name character varying(121)
sfid character varying(18) C
systemmodstamp timestamp without time zone
`)
	r.layout("reserved index", r.indexes("order")[:1], `CREATE INDEX hc_idx_order_systemmodstamp ON salesforce."order" USING btree (systemmodstamp)`)

	// The hashes must never change: apps and migrations hold on to the names.
	for _, name := range longNames {
		what, name, _ := strings.Cut(name, " ")
		if len(name) > 63 {
			t.Fatalf("%s has %d characters", name, len(name))
		}
		if n := r.Count(map[string]string{
			"column":   "SELECT count(*) FROM pg_attribute WHERE attrelid = ($2::text || '.' || $3)::regclass AND attname = $1",
			"index":    "SELECT count(*) FROM pg_indexes WHERE indexname = $1 AND schemaname = $2 AND tablename = $3",
			"trigger":  "SELECT count(*) FROM pg_trigger WHERE tgname = $1 AND tgrelid = ($2::text || '.' || $3)::regclass",
			"function": "SELECT count(*) FROM pg_proc WHERE proname = $1 AND pronamespace = $2::regnamespace AND $3::text <> ''",
		}[what], name, "salesforce", table); n != 1 {
			t.Errorf("no %s %s", what, name)
		}
	}
	for sql, want := range map[string]int{
		`SELECT count(*) FROM salesforce."order" WHERE (name, table__c) = ('n', 't')`:                                  1,
		`SELECT count(*) FROM salesforce.infrm__supportplan__c WHERE infrm__level__c = 'gold'`:                         1,
		`SELECT count(*) FROM salesforce.contact WHERE account__external_id__c = 'acct' AND mailinglatitude = 7.29`:    1,
		`SELECT count(*) FROM salesforce.invoice__c WHERE account__r__external_id__c = 'acct'`:                         1,
		fmt.Sprintf(`SELECT count(*) FROM salesforce.%s WHERE %s = 'key a' AND %s = 'key b'`, table, nameOfA, nameOfB): 1,
	} {
		r.arrivedAs(sql, want)
	}

	// And out: what the app writes under such names arrives.
	r.Exec(`UPDATE salesforce."order" SET table__c = 'new'`)
	r.Exec(`UPDATE salesforce.` + table + ` SET table__c = 'new'`)
	r.Equal("Order", longName)
}

func (r *rig) arrivedAs(sql string, want int) {
	r.T.Helper()
	r.Eventually(sql, 20e9, func() error {
		if n := r.Count(sql); n != want {
			return fmt.Errorf("%d rows, want %d", n, want)
		}
		return nil
	})
}

const (
	nameOfA = "packagenamespac__a_lookup_that_also_uses_all_of_40_cha_3d860f25"
	nameOfB = "packagenamespac__a_lookup_that_also_uses_all_of_40_cha_7451bbac"
)

var longNames = []string{
	"column " + nameOfA,
	"column " + nameOfB,
	"index hcu_idx_packagenamespac__an_object_whose_name_uses_all_d0366477",
	"index hc_idx_packagenamespac__an_object_whose_name_uses_all__4912f215",
	"index hcu_idx_packagenamespac__an_object_whose_name_uses_all_acc9ebf4",
	"index packagenamespac__an_object_whose_name_uses_all_of_40_c_766fc0c1",
	"trigger hc_packagenamespac__an_object_whose_name_uses_all_of_4_d20d1880",
	"trigger hc_packagenamespac__an_object_whose_name_uses_all_of_4_1e908ed3",
	"function hc_packagenamespac__an_object_whose_name_uses_all_of_4_8f854256",
	"function hc_packagenamespac__an_object_whose_name_uses_all_of_4_715c26db",
}
